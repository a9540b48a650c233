import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.evaluation.strategies import Case, cases
from tests.evaluation.truths import box, detection, frames, perfect, track, truth

from vru.domain import Box, VruClass, VruError
from vru.evaluation import METRICS, Evaluation, EvaluationSettings, evaluate

FAST = EvaluationSettings(resamples=100)


def values(evaluation: Evaluation, name: str = "all") -> dict[str, float | None]:
    return {metric: estimate.value for metric, estimate in evaluation.slices[name].estimates.items()}


def test_a_case_by_hand() -> None:
    # Track 1 in frames 10-19, found from frame 12 on in 6; track 2 in 30-39, missed; one false alarm of 2 frames.
    found = [detection(index) for index in range(12, 18)] + [detection(50), detection(51), detection(60, score=0.3)]
    result = evaluate(truth(track(1, 10, 19), track(2, 30, 39, x=300)), found, frames(100), FAST)
    overall = result.overall
    assert (overall.true_positives, overall.false_positives, overall.false_negatives) == (6, 2, 14)
    figures = values(result)
    assert figures["precision"] == pytest.approx(6 / 8)
    assert figures["recall"] == pytest.approx(6 / 20)
    assert figures["f1"] == pytest.approx(12 / (12 + 2 + 14))
    assert figures["track_recall"] == 0.5
    assert figures["latency_median_ms"] == pytest.approx(200)
    assert figures["latency_p95_ms"] is None
    assert figures["false_alarms_per_minute"] == pytest.approx(6.0)  # one in 100 frames of 0.1 s
    assert figures["latency_resolution_ms"] == pytest.approx(100)
    # The six hits and the two false positives have equal scores; in order of time the hits come first.
    assert figures["ap50"] == pytest.approx(31 / 101)


def test_perfect_detections_are_perfect() -> None:
    tracks = truth(*(track(number, number * 10, number * 10 + 8) for number in range(10)))
    figures = values(evaluate(tracks, perfect(tracks, frames(100)), frames(100), FAST))
    assert [figures[name] for name in ("precision", "recall", "f1", "ap50", "track_recall")] == [1.0] * 5
    assert [figures[name] for name in ("latency_median_ms", "latency_p95_ms", "false_alarms_per_minute")] == [0.0] * 3


def test_what_the_data_do_not_determine_is_none_and_never_zero() -> None:
    nothing = values(evaluate(truth(), [], frames(10), FAST))
    assert nothing["false_alarms_per_minute"] == nothing["tracks_not_evaluated"] == 0
    assert {name for name, value in nothing.items() if value is None} == {
        *("precision", "recall", "f1", "ap50", "track_recall", "latency_median_ms", "latency_p95_ms"),
        *("latency_reasonable_median_ms", "latency_reasonable_p95_ms", "longest_gap_median_ms", "longest_gap_p95_ms"),
        *("reacquisition_median_ms", "reacquisition_p95_ms"),
    }
    silent = values(evaluate(truth(track(1, 0, 5)), [], frames(10), FAST))
    assert silent["precision"] is None
    assert silent["recall"] == silent["f1"] == silent["ap50"] == silent["track_recall"] == 0


def test_one_frame_lasts_no_known_time() -> None:
    figures = values(evaluate(truth(), [detection(0)], {0: 0.0}, FAST))
    assert figures["false_alarms_per_minute"] is None
    assert figures["latency_resolution_ms"] is None


def test_only_evaluated_frames_count() -> None:
    tracks = truth(track(1, 0, 49), track(2, 61, 64))
    every_fifth = frames(100, 5)
    result = evaluate(tracks, perfect(tracks, every_fifth), every_fifth, FAST)
    assert result.overall.true_positives == 10
    assert values(result)["recall"] == 1.0
    assert values(result)["tracks_not_evaluated"] == 1
    assert any("500.0 ms" in note for note in result.notes)


def test_frames_are_timed_by_their_own_times_and_not_by_their_number() -> None:
    uneven = {0: 0.0, 1: 0.1, 2: 0.7, 3: 0.8}
    late = dataclasses.replace(track(1, 1, 2).boxes[1], time_s=0.7)
    tracks = truth(dataclasses.replace(track(1, 1, 2), boxes=(track(1, 1, 2).boxes[0], late)))
    found = dataclasses.replace(detection(2), time_s=0.7)
    assert values(evaluate(tracks, [found], uneven, FAST))["latency_median_ms"] == pytest.approx(600)


def test_slices_hold_their_own() -> None:
    tracks = truth(
        track(1, 0, 9),
        track(2, 0, 9, x=200, road_user=VruClass.CYCLIST),
        track(3, 20, 29, size=(200, 200), occluded=frozenset(range(20, 30))),
    )
    found = [detection(index) for index in range(10)] + [detection(40, Box(10, 10, 300, 300))]
    wanted = ("class:pedestrian", "class:cyclist", "size:small", "size:large", "occlusion:none", "occlusion:partial")
    result = evaluate(tracks, found, frames(100), dataclasses.replace(FAST, slices=wanted))
    assert values(result, "class:pedestrian")["recall"] == 0.5
    assert values(result, "class:cyclist")["recall"] == 0
    assert values(result, "class:cyclist")["precision"] is None
    assert values(result, "size:small")["precision"] == 1.0  # the large false positive is not small
    assert values(result, "size:large")["precision"] == 0.0
    assert values(result, "occlusion:none")["recall"] == 0.5
    assert values(result, "occlusion:partial")["recall"] == 0
    # Nobody can say whether a false positive is occluded.
    assert values(result, "occlusion:none")["precision"] is None
    assert values(result, "occlusion:none")["false_alarms_per_minute"] is None
    assert result.slices["occlusion:none"].false_positives is None


@pytest.mark.parametrize(
    ("source", "model"),
    [("model:net", "net"), ("model:Net/2", "net"), ("model:net@1", "net"), ("model: net:3", "NET")],
)
def test_truth_made_by_the_model_under_test_is_refused(source: str, model: str) -> None:
    with pytest.raises(VruError, match="compared with itself"):
        evaluate(truth(track(1, 0, 9), source=source), [], frames(10), EvaluationSettings(model=model))


@pytest.mark.parametrize("source", ["manual", "synthetic", "model:other", "model:net-2"])
def test_truth_from_elsewhere_is_not(source: str) -> None:
    evaluate(truth(track(1, 0, 9), source=source), [], frames(10), dataclasses.replace(FAST, model="net"))


def test_unapproved_truth_is_marked() -> None:
    result = evaluate(truth(track(1, 0, 9), approved=False), [], frames(10), FAST)
    assert not result.approved
    assert any("not approved" in note for note in result.notes)


@pytest.mark.parametrize(
    ("detections", "evaluated", "message"),
    [
        ([], {}, "No frame was evaluated"),
        ([], {0: 0.0, 1: 0.0}, "do not rise"),
        ([], {0: math.nan}, "do not rise"),
        ([detection(11)], frames(10), "was not evaluated"),
        ([detection(1, score=math.nan)], frames(10), "not a finite number"),
        ([dataclasses.replace(detection(1), time_s=1_700_000_000.1)], frames(10), "the video has it at"),
        ([], {index: 1_700_000_000 + index / 10 for index in range(10)}, "on one clock"),
    ],
)
def test_bad_input_is_an_error_that_names_it(detections: list, evaluated: dict, message: str) -> None:
    with pytest.raises(VruError, match=message):
        evaluate(truth(track(1, 0, 9)), detections, evaluated, FAST)


def test_tracks_with_one_id_are_refused() -> None:
    with pytest.raises(VruError, match="same id"):
        evaluate(truth(track(1, 0, 1), track(1, 2, 3)), [], frames(10), FAST)


@pytest.mark.parametrize(
    "wrong", [{"iou_threshold": 0}, {"confidence_level": 1}, {"resamples": 5}, {"clip_seconds": 0}, {"slices": ("x",)}]
)
def test_bad_settings_are_refused(wrong: dict) -> None:
    with pytest.raises(VruError):
        evaluate(truth(), [], frames(3), EvaluationSettings(**wrong))


@given(case=cases())
@settings(max_examples=60, deadline=None)
def test_bounds(case: Case) -> None:
    result = evaluate(case.truth, case.detections, case.frames, FAST)
    for measured in result.measurements:
        json.dumps(dataclasses.asdict(measured), allow_nan=False)
        if measured.value is None:
            continue
        assert measured.value >= 0
        if not measured.unit:
            assert measured.value <= 1
        if measured.metric.startswith("latency") and measured.metric != "latency_resolution_ms":
            continue  # a quantile between cut-short tracks may lie at an end of its bounds, or beyond a missing one
        assert measured.low is None or measured.low <= measured.value + 1e-12
        assert measured.high is None or measured.high >= measured.value - 1e-12
    overall = result.overall
    counted = sum(not b.ignore and b.frame_index in case.frames for _, b in case.truth.boxes())
    assert overall.true_positives + overall.false_negatives == counted
    assert sum(t.true_positives for t in overall.tracks) == overall.true_positives
    assert len(overall.alarms) <= (overall.false_positives or 0)


@given(case=cases(), seed=st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_the_order_of_the_input_does_not_matter(case: Case, seed: int) -> None:
    distinct = list({(d.frame_index, d.road_user, d.score): d for d in case.detections}.values())
    shuffled = list(distinct)
    np.random.default_rng(seed).shuffle(shuffled)  # type: ignore[arg-type]
    tracks = dataclasses.replace(case.truth, tracks=case.truth.tracks[::-1])
    backwards = dict(sorted(case.frames.items(), reverse=True))
    one = evaluate(case.truth, distinct, case.frames, FAST)
    other = evaluate(tracks, shuffled, backwards, FAST)
    for metric in METRICS:
        assert values(one)[metric] == pytest.approx(values(other)[metric])


@given(case=cases(), shift=st.integers(-40, 40), later=st.integers(0, 50))
@settings(max_examples=40, deadline=None)
def test_shifting_everything_in_space_or_time_changes_nothing(case: Case, shift: int, later: int) -> None:
    def moved(old: Box) -> Box:
        return Box(old.x + shift, old.y - shift, old.width, old.height)

    tracks = tuple(
        dataclasses.replace(
            t, boxes=tuple(dataclasses.replace(b, box=moved(b.box), time_s=b.time_s + later) for b in t.boxes)
        )
        for t in case.truth.tracks
    )
    detections = [dataclasses.replace(d, box=moved(d.box), time_s=d.time_s + later) for d in case.detections]
    evaluated = {index: time + later for index, time in case.frames.items()}
    one = evaluate(case.truth, case.detections, case.frames, FAST)
    other = evaluate(dataclasses.replace(case.truth, tracks=tracks), detections, evaluated, FAST)
    for metric in METRICS:
        assert values(one)[metric] == pytest.approx(values(other)[metric])


@given(case=cases())
@settings(max_examples=40, deadline=None)
def test_another_false_positive_never_raises_precision_or_average_precision(case: Case) -> None:
    far_away = detection(0, box(5000), score=0.95)
    before = values(evaluate(case.truth, case.detections, case.frames, FAST))
    after = values(evaluate(case.truth, [*case.detections, far_away], case.frames, FAST))
    for metric in ("precision", "f1", "ap50"):
        if before[metric] is not None:
            assert after[metric] <= before[metric] + 1e-12
    assert after["recall"] == before["recall"]


def test_the_seed_decides_the_intervals_and_nothing_else() -> None:
    tracks = truth(*(track(number, number * 10, number * 10 + 8) for number in range(9)))
    found = [d for d in perfect(tracks, frames(100)) if d.frame_index % 3] + [detection(99)]

    def of(seed: int) -> Evaluation:
        return evaluate(tracks, found, frames(100), EvaluationSettings(seed=seed, resamples=200, clip_seconds=1))

    assert of(1).measurements == of(1).measurements
    assert values(of(1)) == values(of(2))


@pytest.mark.slow
def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    """Simulated campaigns of 60 road users who differ a lot: some are nearly always found, some hardly ever.

    A bootstrap over frames covers the true recall in far below half of such campaigns.
    """
    rng = np.random.default_rng(7)
    covered, campaigns = 0, 120
    for number in range(campaigns):
        ease = rng.beta(4, 1, size=60)  # true mean recall 0.8
        tracks = truth(*(track(n, n * 10, n * 10 + 9) for n in range(60)), count=600)
        found = [d for d in perfect(tracks, frames(600)) if rng.random() < ease[d.frame_index // 10]]
        result = evaluate(tracks, found, frames(600), EvaluationSettings(resamples=300, seed=number))
        low, high = result.overall.estimates["recall"].bounds(0.975)
        covered += low <= 0.8 <= high
    assert covered / campaigns >= 0.92
