import dataclasses

import numpy as np
import pytest
from tests.evaluation.truths import detection, frames, perfect, track, truth

from vru.domain import DEFAULT_CRITERIA, Comparator, Criterion, Severity, Verdict, VruError
from vru.evaluation import EvaluationSettings, check_criteria, evaluate, judge
from vru.evaluation.core.settings import UnseenUnit
from vru.evaluation.statistics.draws import Draws
from vru.evaluation.statistics.estimates import Quantile, Replicates, Resampled, Unbounded
from vru.evaluation.statistics.resampling import resampled
from vru.evaluation.verdict.judge import decide, holm

# A clip for each road user; clips that were not seen are like those seen.
FAST = EvaluationSettings(resamples=1000, clip_seconds=0.3, unseen=UnseenUnit(truth=1, false_boxes=0.001))
TRACK_RECALL = Criterion("track_recall", Comparator.AT_LEAST, 0.95)


def campaign(tracks: int, missed: int = 0, approved: bool = True, settings: EvaluationSettings = FAST):
    """So many road users one after the other, the first ``missed`` of them never detected."""
    ground_truth = truth(*(track(n, n * 3, n * 3 + 1) for n in range(tracks)), count=tracks * 3, approved=approved)
    evaluated = frames(tracks * 3)
    found = [d for d in perfect(ground_truth, evaluated) if d.frame_index >= missed * 3]
    return evaluate(ground_truth, found, evaluated, settings)


def proportion(successes: int, n: int, resamples: int = 1000) -> Resampled:
    """So many of n tracks detected, each in a clip of its own."""
    table = np.array([[1.0, 1.0]] * successes + [[0.0, 1.0]] * (n - successes)).reshape(-1, 2)
    found = resampled(
        Draws(n, resamples), table, lambda sums: {"share": sums[:, 0] / sums[:, 1]}, np.array([[0.0, 1.0], [1.0, 1.0]])
    )["share"]
    return Resampled(found.value, n, found.replicates)


def only(evaluation, *criteria: Criterion):
    (result,) = judge(evaluation, criteria).results
    return result


def test_59_of_59_pass_and_58_of_58_are_inconclusive() -> None:
    assert only(campaign(59), TRACK_RECALL).verdict == Verdict.PASS
    result = only(campaign(57), TRACK_RECALL)
    assert result.verdict == Verdict.INCONCLUSIVE and result.more_needed in (1, 2)
    assert "more clip" in result.reason and "like these would decide it." in result.reason


def test_clips_that_were_not_seen_may_be_twice_as_full() -> None:
    doubled = dataclasses.replace(FAST, unseen=UnseenUnit(truth=2))
    report = judge(campaign(59, settings=doubled), [TRACK_RECALL])
    assert report.verdict == Verdict.INCONCLUSIVE
    assert report.results[0].more_needed == pytest.approx(57, abs=4)
    assert "clips which were not seen hold at most 2 times the truth" in report.reasons[-1]
    assert judge(campaign(120, settings=doubled), [TRACK_RECALL]).verdict == Verdict.PASS


def test_tracks_that_are_visible_together_are_one_unit() -> None:
    """Sixty road users in three clips, all detected, prove no more than three clips do."""
    together = dataclasses.replace(FAST, clip_seconds=6.0)
    result = only(campaign(60, settings=together), TRACK_RECALL)
    assert result.verdict == Verdict.INCONCLUSIVE and "from 3 clips" in result.reason


def test_far_below_the_threshold_fails() -> None:
    result = only(campaign(40, missed=20), TRACK_RECALL)
    assert result.verdict == Verdict.FAIL
    assert "0.5000 from 40 clips" in result.reason
    assert result.measurement.high is not None
    assert result.measurement.high < 0.95


def test_the_interval_of_a_result_has_the_level_it_states() -> None:
    measured = only(campaign(59), TRACK_RECALL).measurement
    assert measured.confidence_level == pytest.approx(0.9)
    assert measured.low == pytest.approx(0.05 ** (1 / 59), abs=1e-3)


def test_a_quantile_out_of_reach_fails_once_the_misses_prove_it() -> None:
    p95 = Criterion("latency_p95_ms", Comparator.AT_MOST, 100.0)
    result = only(campaign(60, missed=30), p95)
    assert result.verdict == Verdict.FAIL
    assert "too many tracks were missed" in result.reason
    assert result.measurement.value is None
    assert only(campaign(10, missed=1), p95).verdict == Verdict.INCONCLUSIVE


def test_without_data_nothing_is_decided() -> None:
    report = judge(evaluate(truth(), [], frames(10), FAST), DEFAULT_CRITERIA)
    assert report.verdict == Verdict.INCONCLUSIVE
    recall = next(r for r in report.results if r.criterion.metric == "recall")
    assert recall.measurement.value is recall.measurement.low is recall.measurement.high is None
    assert recall.more_needed == pytest.approx(116, abs=2)


def test_the_default_criteria_pass_with_enough_flawless_evidence() -> None:
    # Half an hour without a false alarm, and 100 road users.
    ground_truth = truth(*(track(n, n * 180, n * 180 + 20) for n in range(100)), count=18_100)
    evaluated = frames(18_100)
    settings = dataclasses.replace(FAST, clip_seconds=10.0)
    report = judge(evaluate(ground_truth, perfect(ground_truth, evaluated), evaluated, settings), DEFAULT_CRITERIA)
    assert {r.verdict for r in report.results} == {Verdict.PASS}
    assert report.verdict == Verdict.PASS


def test_a_false_alarm_in_every_second_fails() -> None:
    found = [detection(index) for index in range(0, 600, 10)]
    alarms = Criterion("false_alarms_per_minute", Comparator.AT_MOST, 0.1)
    result = only(evaluate(truth(), found, frames(600), FAST), alarms)
    assert result.verdict == Verdict.FAIL


def test_fail_goes_before_inconclusive_and_advice_decides_nothing() -> None:
    poor = campaign(40, missed=20)
    unclear = Criterion("latency_median_ms", Comparator.AT_MOST, 50.0)
    advice = dataclasses.replace(TRACK_RECALL, severity=Severity.ADVISORY)
    assert judge(poor, [TRACK_RECALL, unclear]).verdict == Verdict.FAIL
    assert judge(poor, [advice, unclear]).verdict == Verdict.INCONCLUSIVE
    assert judge(poor, [advice]).verdict == Verdict.INCONCLUSIVE
    assert judge(campaign(59), [TRACK_RECALL, dataclasses.replace(advice, threshold=1.1)]).verdict == Verdict.PASS


def test_unapproved_truth_is_marked_in_every_reason() -> None:
    report = judge(campaign(59, approved=False), DEFAULT_CRITERIA)
    assert all("not approved" in result.reason for result in report.results)


def test_a_slice_that_was_not_measured_is_inconclusive() -> None:
    result = only(campaign(59), dataclasses.replace(TRACK_RECALL, slice="class:cyclist"))
    assert result.verdict == Verdict.INCONCLUSIVE
    assert "was not measured" in result.reason


@pytest.mark.parametrize("wrong", [{"metric": "accuracy"}, {"slice": "night"}])
def test_a_criterion_on_nothing_is_refused(wrong: dict) -> None:
    with pytest.raises(VruError, match="Use one of"):
        check_criteria([dataclasses.replace(TRACK_RECALL, **wrong)])


def test_ten_slices_at_the_threshold_seldom_fail_one() -> None:
    """All meet the criterion exactly. Each alone fails at up to 5 %; together they must not fail more often."""
    criteria = [Criterion("track_recall", Comparator.AT_LEAST, 0.9, slice=f"s{number}") for number in range(10)]
    rng = np.random.default_rng(5)
    alone, together = 0, 0
    for found in rng.binomial(100, 0.9, (200, 10)).tolist():
        slices = [proportion(hits, 100, 2000) for hits in found]
        families = holm(slices, criteria)
        verdicts = [decide(*of)[0] for of in zip(slices, criteria, families, strict=True)]
        together += Verdict.FAIL in verdicts
        alone += Verdict.FAIL in [decide(*of)[0] for of in zip(slices, criteria, strict=True)]
    assert alone / 200 > 0.15
    # 5 %, and twice the Monte Carlo error of 200 campaigns.
    assert together / 200 <= 0.08


def test_holm_steps_down() -> None:
    """Once the clear failures are found, fewer criteria are left to share the error; advice is a family of its own."""
    criteria = [Criterion("track_recall", Comparator.AT_LEAST, 0.9)] * 3
    clear, close, good = proportion(10, 100), proportion(83, 100), proportion(95, 100)
    assert holm([clear, close, good], criteria) == [3, 2, 1]
    assert holm([good, close, good], criteria) == [3, 3, 3]
    advisory = dataclasses.replace(criteria[0], severity=Severity.ADVISORY)
    assert holm([clear, close], [criteria[0], advisory]) == [1, 1]
    assert holm([None], criteria[:1]) == [1]
    # Who reads its interval sees it beyond the threshold: the reason says why that is not enough.
    verdict, why, _ = decide(close, criteria[1], 3)
    assert verdict == Verdict.INCONCLUSIVE
    assert "By itself it would fail; as one of 3 criteria it has to miss at 98.33% confidence." in why


@pytest.mark.parametrize(
    ("estimate", "metric", "threshold", "says", "more"),
    [
        # One unit says nothing about the spread, whatever the figure.
        (proportion(1, 1), "track_recall", 0.95, "from 1 clip; it has no interval, against 0.9500. So few", 59),
        (Resampled(0.8, 1, Replicates()), "mota", 0.5, "they differ: at least 1 more clip needed.", 1),
        (Unbounded(12.0, 3, "clips"), "id_switches", 20, "12 from 3 clips; it has no interval, against 20. So", None),
        (Resampled(None, 0, Replicates(), "sequences"), "mota", 0.5, "there are no sequences to measure it on", 8),
        (proportion(45, 50), "recall", 0.9, "too close to the threshold.", None),
    ],
)  # fmt: skip
def test_undecided_criteria_say_what_is_needed(estimate, metric: str, threshold: float, says: str, more) -> None:
    verdict, reason, needed = decide(estimate, Criterion(metric, Comparator.AT_LEAST, threshold))
    assert (verdict, needed) == (Verdict.INCONCLUSIVE, more)
    assert says in reason and "inf" not in reason


def test_a_time_without_an_upper_bound_says_so() -> None:
    three = np.array([1.0, 2.0, 3.0])
    estimate = Quantile(2.0, 0.5, three, three, np.arange(3), Draws(3, 1000), 1.0)
    reason = decide(estimate, Criterion("latency_median_ms", Comparator.AT_MOST, 100.0))[1]
    assert "it is at least 0.0 ms, and nothing bounds it from above, against 100.0 ms. About 2 more clips" in reason
