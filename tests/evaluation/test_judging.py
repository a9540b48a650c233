import dataclasses

import numpy as np
import pytest
from tests.evaluation.truths import detection, frames, perfect, track, truth

from vru.domain import DEFAULT_CRITERIA, Comparator, Criterion, Severity, Verdict, VruError
from vru.evaluation import EvaluationSettings, check_criteria, evaluate, judge
from vru.evaluation.statistics.estimates import Proportion, Quantile, Resampled
from vru.evaluation.statistics.resampling import Counted, Drawn, Spread, Units, share
from vru.evaluation.verdict.judge import decide, holm

FAST = EvaluationSettings(resamples=100)
TRACK_RECALL = Criterion("track_recall", Comparator.AT_LEAST, 0.95)


def campaign(tracks: int, missed: int = 0, approved: bool = True):
    """So many road users one after the other, the first ``missed`` of them never detected."""
    ground_truth = truth(*(track(n, n * 3, n * 3 + 1) for n in range(tracks)), count=tracks * 3, approved=approved)
    evaluated = frames(tracks * 3)
    found = [d for d in perfect(ground_truth, evaluated) if d.frame_index >= missed * 3]
    return evaluate(ground_truth, found, evaluated, FAST)


def only(evaluation, *criteria: Criterion):
    (result,) = judge(evaluation, criteria).results
    return result


def test_59_of_59_pass_and_58_of_58_are_inconclusive() -> None:
    assert only(campaign(59), TRACK_RECALL).verdict == Verdict.PASS
    result = only(campaign(58), TRACK_RECALL)
    assert (result.verdict, result.more_needed) == (Verdict.INCONCLUSIVE, 1)
    assert "About 1 more track like these would decide it." in result.reason


def test_far_below_the_threshold_fails() -> None:
    result = only(campaign(40, missed=20), TRACK_RECALL)
    assert result.verdict == Verdict.FAIL
    assert "0.5000 from 40 tracks" in result.reason
    assert result.measurement.high is not None
    assert result.measurement.high < 0.95


def test_the_interval_of_a_result_has_the_level_it_states() -> None:
    measured = only(campaign(59), TRACK_RECALL).measurement
    assert measured.confidence_level == pytest.approx(0.9)
    assert measured.low == pytest.approx(0.05 ** (1 / 59))


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
    assert recall.more_needed == 59


def test_the_default_criteria_pass_with_enough_flawless_evidence() -> None:
    # Half an hour without a false alarm, and 100 road users.
    ground_truth = truth(*(track(n, n * 180, n * 180 + 20) for n in range(100)), count=18_100)
    evaluated = frames(18_100)
    report = judge(evaluate(ground_truth, perfect(ground_truth, evaluated), evaluated, FAST), DEFAULT_CRITERIA)
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
    for found in rng.binomial(400, 0.9, (500, 10)).tolist():
        slices = [Proportion(hits, 400) for hits in found]
        families = holm(slices, criteria)
        verdicts = [decide(*of)[0] for of in zip(slices, criteria, families, strict=True)]
        together += Verdict.FAIL in verdicts
        alone += Verdict.FAIL in [decide(*of)[0] for of in zip(slices, criteria, strict=True)]
    assert alone / 500 > 0.2
    # 5 %, and twice the Monte Carlo error of 500 campaigns.
    assert together / 500 <= 0.07


def test_holm_steps_down() -> None:
    """Once the clear failures are found, fewer criteria are left to share the error; advice is a family of its own."""
    criteria = [Criterion("track_recall", Comparator.AT_LEAST, 0.9)] * 3
    clear, close, good = Proportion(10, 100), Proportion(83, 100), Proportion(95, 100)
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
        (Proportion(1, 1), "track_recall", 0.95, "from 1 track; with 95% confidence on either side it lies", 58),
        # One unit says nothing about the spread, whatever the figure: as many as do are needed at least.
        (Spread(0.8, 1, np.full(9, 0.8)), "mota", 0.5, "0.8000 from 1 sequence; it has no interval", 9),
        (Spread(0.8, 9, np.full(9, 0.8)), "mota", 0.5, "at least 1 more sequence needed.", 1),
        (Counted(0.8, 1, "clips", 10), "recall", 0.5, "how much they differ: at least 9 more clips needed.", 9),
        (Counted(12.0, 3, "clips"), "id_switches", 20, "12 from 3 clips; it has no interval, against 20. So", None),
        (Spread(None, 0, np.zeros(0)), "mota", 0.5, "not determined: there are no sequences to measure it on", None),
        (Resampled(0.9, 50, np.linspace(0.8, 1, 99)), "recall", 0.9, "too close to the threshold.", None),
    ],
)  # fmt: skip
def test_undecided_criteria_say_what_is_needed(estimate, metric: str, threshold: float, says: str, more) -> None:
    verdict, reason, needed = decide(estimate, Criterion(metric, Comparator.AT_LEAST, threshold))
    assert (verdict, needed) == (Verdict.INCONCLUSIVE, more)
    assert says in reason and "inf" not in reason


def test_a_time_without_an_upper_bound_says_so() -> None:
    three = np.array([1.0, 2.0, 3.0])
    estimate = Quantile(2.0, 0.5, three, three)
    reason = decide(estimate, Criterion("latency_median_ms", Comparator.AT_MOST, 100.0))[1]
    assert "it is at least 0.0 ms, and nothing bounds it from above, against 100.0 ms. About 2 more tracks" in reason


def test_all_figures_of_one_video_need_as_many_more() -> None:
    units = Units("sequences", np.zeros(5, dtype=np.int64), 1)
    recall = share(Drawn(0.8, np.full(9, 0.8), np.zeros(1)), units, 1)
    mota = Spread(0.8, 1, np.full(9, 0.8))
    not_drawn = share(Drawn(0.8), units, 1)
    assert not_drawn.more_needed(0.5, True, 0.95) == 9
    assert share(Drawn(0.8), units, 5).more_needed(0.5, True, 0.95) is None
    assert recall.more_needed(0.5, True, 0.95) == mota.more_needed(0.5, True, 0.95) == 9
