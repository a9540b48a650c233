import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.evaluation.truths import detection, frames, perfect, track, truth

from vru.domain import Detection, GroundTruth, VruClass
from vru.evaluation import EvaluationSettings, evaluate
from vru.evaluation.video.latency import Outcome, TrackOutcome, latency_quantile


def run(ground_truth: GroundTruth, detections: list[Detection], stride: int = 1, count: int = 100):
    overall = evaluate(ground_truth, detections, frames(count, stride), EvaluationSettings(resamples=100)).overall
    return list(overall.tracks), list(overall.not_evaluated)


def made(observed: float, outcome: Outcome = Outcome.DETECTED) -> TrackOutcome:
    latency = observed if outcome == Outcome.DETECTED else None
    return TrackOutcome(1, VruClass.PEDESTRIAN, 0, 9, None, latency, observed, outcome, 1, 1)


def test_latency_is_first_hit_minus_first_visible() -> None:
    (only,), _ = run(truth(track(1, 10, 30)), [detection(13), detection(14), detection(20)])
    assert only.latency_ms == pytest.approx(300)
    assert only.first_detected_s == pytest.approx(1.3)
    assert (only.boxes, only.true_positives) == (21, 3)


def test_a_detection_before_visible_is_no_early_success() -> None:
    (only,), _ = run(truth(track(1, 10, 30)), [detection(8), detection(9)])
    assert only.latency_ms is None
    assert only.outcome == Outcome.MISSED


def test_a_detection_below_the_score_threshold_does_not_stop_the_clock() -> None:
    (only,), _ = run(truth(track(1, 10, 30)), [detection(11, score=0.4), detection(15)])
    assert only.latency_ms == pytest.approx(500)


def test_between_evaluated_frames_the_latency_is_rounded_up() -> None:
    (only,), _ = run(truth(track(1, 11, 30)), [detection(15)], stride=5)
    assert only.latency_ms == pytest.approx(400)


def test_the_clock_starts_at_the_first_box_that_counts() -> None:
    tracks = truth(track(1, 10, 30, ignore=frozenset({10})))
    (only,), _ = run(tracks, perfect(tracks, frames(100)))
    assert only.latency_ms == 0
    assert only.first_visible_s == pytest.approx(1.1)


def test_a_track_that_no_evaluated_frame_shows_is_named_and_not_counted() -> None:
    outcomes, unseen = run(truth(track(1, 11, 13), track(2, 11, 30)), [], stride=10)
    assert [outcome.track_id for outcome in outcomes] == [2]
    assert unseen == [1]


def test_a_track_visible_to_the_end_is_cut_short_and_not_missed() -> None:
    (only,), _ = run(truth(track(1, 95, 99)), [])
    assert only.outcome == Outcome.CUT_SHORT
    assert only.observed_ms == pytest.approx(400)


def test_a_miss_never_shortens_a_latency() -> None:
    detected = [made(10), made(20), made(30)]
    assert latency_quantile(detected, 0.95) == 30
    assert latency_quantile([*detected, made(5, Outcome.MISSED)], 0.5) == 20
    # A quarter of all is never detected: 95 % are at no time.
    assert latency_quantile([*detected, made(5, Outcome.MISSED)], 0.95) is None


def test_kaplan_meier_by_hand() -> None:
    # 4 at risk: 3/4 undetected after 10; the one cut short at 15 leaves; 2 at risk: 3/8 after 20; 0 after 30.
    tracks = [made(10), made(15, Outcome.CUT_SHORT), made(20), made(30)]
    assert latency_quantile(tracks, 0.25) == 10
    assert latency_quantile(tracks, 0.5) == 20
    assert latency_quantile(tracks, 0.63) == 30


def test_without_tracks_there_is_no_latency() -> None:
    assert latency_quantile([], 0.5) is None


ALL = st.lists(st.builds(made, st.integers(0, 50).map(float), st.sampled_from(list(Outcome))), min_size=1, max_size=30)


@given(tracks=ALL, quantile=st.sampled_from([0.25, 0.5, 0.95]), at=st.integers(0, 50))
def test_another_miss_never_makes_it_shorter(tracks: list[TrackOutcome], quantile: float, at: int) -> None:
    before = latency_quantile(tracks, quantile)
    after = latency_quantile([*tracks, made(at, Outcome.MISSED)], quantile)
    assert after is None or (before is not None and after >= before)


@given(tracks=ALL, quantile=st.sampled_from([0.25, 0.5, 0.95]))
def test_without_cut_short_tracks_it_is_the_share_detected_by_then(tracks: list[TrackOutcome], quantile: float) -> None:
    tracks = [track for track in tracks if track.outcome != Outcome.CUT_SHORT]
    value = latency_quantile(tracks, quantile)
    detected = [track.observed_ms for track in tracks if track.outcome == Outcome.DETECTED]
    reached = [time for time in sorted(detected) if sum(d <= time for d in detected) >= quantile * len(tracks) - 1e-9]
    assert value == (reached[0] if reached and tracks else None)
