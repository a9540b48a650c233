import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.evaluation.truths import track, truth

from vru.domain import Comparator, Criterion, Signal, SignalKind, Verdict, VruClass, VruError
from vru.evaluation.camera import (
    CameraEvaluation,
    CameraSettings,
    RoadUsers,
    SignalOutcome,
    SignalTable,
    evaluate_camera,
    given_offset,
)
from vru.evaluation.core.tables import CLASSES
from vru.evaluation.verdict.judge import decide

P, B = CLASSES.index(VruClass.PEDESTRIAN), CLASSES.index(VruClass.CYCLIST)
FRAMES = np.arange(600) / 10  # a minute
S = SignalOutcome


def run(
    signals: list[tuple[float, int]],
    tracks: list[tuple[float, float, int]],
    *,
    uncertainty_s: float = 0,
    offset_s: int = 7,
    **options,
) -> CameraEvaluation:
    table = SignalTable(
        np.array([round((when + offset_s) * 1e9) for when, _ in signals], dtype=np.int64),
        np.array([said for _, said in signals], dtype=np.int64),
    )
    columns = np.array([row[:2] for row in tracks], dtype=float).reshape(-1, 2).T
    classes = np.array([row[2] for row in tracks], dtype=np.int64)
    users = RoadUsers(np.arange(len(tracks)), classes, *columns, *columns)
    return evaluate_camera(
        table, users, FRAMES, given_offset(offset_s * 10**9, uncertainty_s), CameraSettings(resamples=200, **options)
    )


def value(evaluation: CameraEvaluation, metric: str, slice_: str = "all") -> float | None:
    return evaluation.slices[slice_][metric].value


def test_by_hand() -> None:
    evaluation = run(
        [(5.0, P), (9.5, P), (10.2, P), (10.9, P), (12.05, P), (12.2, P), (20.1, B), (30.3, -1), (70.0, P)],
        [(10.0, 12.0, P), (20.0, 22.0, P), (30.0, 32.0, B)],
    )
    assert [S(number) for number in evaluation.matches.outcome] == [
        S.FALSE_ALARM, S.EARLY, S.DETECTION, S.DUPLICATE, S.DUPLICATE, S.FALSE_ALARM, S.FALSE_ALARM, S.DETECTION,
        S.OUTSIDE,
    ]  # fmt: skip
    assert evaluation.latency_s == pytest.approx([0.2, math.nan, 0.3], nan_ok=True)
    assert value(evaluation, "track_recall") == pytest.approx(2 / 3)
    assert value(evaluation, "precision") == pytest.approx(2 / 6)
    assert value(evaluation, "false_alarms_per_minute") == pytest.approx(4)
    assert value(evaluation, "early_signals") == 1 and value(evaluation, "duplicate_signals") == 2
    assert value(evaluation, "latency_median_ms") == pytest.approx(300)
    assert value(evaluation, "latency_p95_ms") is None
    assert value(evaluation, "track_recall", "class:cyclist") == 1
    # A signal without a class cannot be told to be a pedestrian's.
    assert value(evaluation, "precision", "class:pedestrian") is None


def test_an_early_signal_is_no_early_success() -> None:
    evaluation = run([(9.9, P)], [(10.0, 12.0, P)])
    assert value(evaluation, "track_recall") == 0 and value(evaluation, "precision") == 0


def test_the_tolerance_is_no_limit_of_the_latency() -> None:
    evaluation = run([(11.9, P)], [(10.0, 12.0, P)], tolerance_s=0.05)
    assert value(evaluation, "latency_median_ms") == pytest.approx(1900)


def test_ignored_and_small_road_users_excuse_signals() -> None:
    video = truth(track(1, 10, 30, ignore=frozenset(range(10, 31))), track(2, 50, 60, size=(20, 60)))
    users = RoadUsers.of(video, 50)
    signals = SignalTable.of([Signal(2_000_000_000, SignalKind.CAN), Signal(5_100_000_000, SignalKind.UDP)])
    evaluation = evaluate_camera(signals, users, FRAMES, given_offset(0, 0))
    assert evaluation.matches.outcome.tolist() == [S.SET_ASIDE, S.DETECTION]
    assert value(evaluation, "track_recall") == 1 and value(evaluation, "precision") == 1


def test_the_clocks_uncertainty_is_in_every_bound_and_in_the_verdict() -> None:
    tracks = [(number * 1.0, number + 0.7, P) for number in range(60)]
    signals = [(number + 0.04 + 0.0001 * number, P) for number in range(60)]
    sure, unsure = (run(signals, tracks, clip_seconds=2, uncertainty_s=of) for of in (0, 0.005))
    criterion = Criterion("latency_median_ms", Comparator.AT_MOST, 50)
    assert decide(sure.slices["all"]["latency_median_ms"], criterion)[0] == Verdict.PASS
    assert decide(unsure.slices["all"]["latency_median_ms"], criterion)[0] == Verdict.INCONCLUSIVE
    low, high = sure.slices["all"]["latency_median_ms"].bounds(0.95)
    assert unsure.slices["all"]["latency_median_ms"].bounds(0.95) == pytest.approx((low - 10, high + 10))
    # 5 ms from the clocks, and a frame of 100 ms: its twelfth root.
    assert value(unsure, "latency_uncertainty_ms") == pytest.approx(math.hypot(5, 100 / math.sqrt(12)), rel=1e-6)


def test_a_signal_near_the_window_s_edge_is_in_doubt() -> None:
    evaluation = run([(10.001, P)], [(10.0, 12.0, P)], uncertainty_s=0.01)
    assert value(evaluation, "early_signals") == 0
    assert evaluation.slices["all"]["early_signals"].bounds(0.95) == (0, 1)


def test_drift_and_jitter_are_separated() -> None:
    rng = np.random.default_rng(1)
    noise = rng.normal(0, 0.002, 55)
    # Latency grows by 200 microseconds a second.
    signals = [(n + 0.1 + 200e-6 * n + float(noise[n]), P) for n in range(55)]
    evaluation = run(signals, [(float(n), n + 0.7, P) for n in range(55)])
    drift, jitter = evaluation.slices["all"]["latency_drift_ppm"], evaluation.slices["all"]["latency_jitter_ms"]
    low, high = drift.bounds(0.975)
    assert low < 200 < high and high - low < 150
    assert jitter.value == pytest.approx(float(noise.std() * 1000), rel=0.1)


def test_another_recording_is_refused() -> None:
    with pytest.raises(VruError, match="None of the 1 signals lies in the video"):
        run([(100.0, P)], [(10.0, 12.0, P)])


def test_a_signal_just_after_the_last_frame_is_within_the_tolerance() -> None:
    """A road user may leave with the video: it may be signalled for the tolerance after that, and no longer."""
    last = float(FRAMES[-1])
    found = run([(last + 0.19, P)], [(last - 1, last, P)], tolerance_s=0.2)
    assert value(found, "track_recall") == 1 and value(found, "false_alarm_signals") == 0
    with pytest.raises(VruError, match="None of the 1 signals lies in the video"):
        run([(last + 0.35, P)], [(last - 1, last, P)], tolerance_s=0.2)


def test_a_signal_just_after_an_ignored_road_user_is_set_aside() -> None:
    """One who counts may be signalled for the tolerance after being visible: so may one who does not count."""
    ignored = track(1, 0, 9, ignore=frozenset(range(10)))
    users = RoadUsers.of(truth(ignored))
    gone = ignored.last_visible_s
    sent = SignalTable(np.array([round((gone + after) * 1e9) for after in (0.05, 0.15)]), np.array([P, P]))
    clocks = given_offset(0, 0)
    found = evaluate_camera(sent, users, FRAMES, clocks, CameraSettings(resamples=200, tolerance_s=0.1))
    assert [S(number) for number in found.matches.outcome] == [S.SET_ASIDE, S.FALSE_ALARM]


def test_a_message_sent_again_and_again_is_one_warning() -> None:
    """CAN every 20 ms for a second: one warning, not one and 46 false alarms once its road user is gone."""
    sent = [(10.0 + 0.02 * number, P) for number in range(51)]
    plain = run(sent, [(9.9, 10.05, P)], tolerance_s=0.0)
    assert value(plain, "false_alarm_signals") > 40
    held = run(sent, [(9.9, 10.05, P)], tolerance_s=0.0, hold_s=0.05)
    assert value(held, "false_alarm_signals") == 0 and value(held, "track_recall") == 1
    assert any("51 signals are 1" in note for note in held.notes)
    # Another class is another warning, and so is the same one after a pause.
    again = run([(10.0, P), (10.02, B), (10.04, P), (11.0, P)], [(9.9, 12.0, P), (9.9, 12.0, B)], hold_s=0.05)
    assert any("4 signals are 3" in note for note in again.notes)


def test_silence_is_measured() -> None:
    evaluation = run([], [(10.0, 12.0, P)])
    assert value(evaluation, "track_recall") == 0 and value(evaluation, "precision") is None
    assert value(evaluation, "latency_median_ms") is None and value(evaluation, "false_alarms_per_minute") == 0


@given(seed=st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_outcomes_follow_the_definitions_and_the_order_does_not_matter(seed: int) -> None:
    rng = np.random.default_rng(seed)
    signals = [
        (float(rng.integers(0, 400)) / 10 + 0.03, int(rng.choice([-1, P, B]))) for _ in range(rng.integers(1, 25))
    ]
    tracks = [(s / 10, (s + int(rng.integers(0, 40))) / 10, int(rng.choice([P, B]))) for s in rng.integers(0, 400, 6)]
    evaluation = run(signals, tracks, early_s=0.5)
    ordered = [signals[number] for number in evaluation.matches.order]
    taken = set(evaluation.matches.signal[evaluation.matches.signal >= 0].tolist())
    for number, (when, said) in enumerate(ordered):
        fit = [t for t in tracks if said in (-1, t[2])]
        if number in taken:
            expected = S.DETECTION
        elif any(t[0] <= when <= t[1] + 0.1 for t in fit):
            expected = S.DUPLICATE
        else:
            expected = S.EARLY if any(0 < t[0] - when <= 0.5 for t in fit) else S.FALSE_ALARM
        assert evaluation.matches.outcome[number] == expected
    mixed = [signals[number] for number in rng.permutation(len(signals))]
    again = run(mixed, tracks, early_s=0.5)
    assert again.latency_s.tolist() == pytest.approx(evaluation.latency_s.tolist(), nan_ok=True)
    later = run(signals, tracks, early_s=0.5, offset_s=1000)
    assert later.latency_s.tolist() == pytest.approx(evaluation.latency_s.tolist(), nan_ok=True)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_a_signal_that_never_came_shortens_no_latency(seed: int) -> None:
    rng = np.random.default_rng(seed)
    tracks = [(float(n * 2), n * 2 + 1.5, P) for n in range(12)]
    signals = [(n * 2 + float(rng.integers(0, 14)) / 10, P) for n in range(12)]
    fewer = [row for row in signals if rng.random() < 0.7] or signals[:1]
    for metric in ("latency_median_ms", "latency_p95_ms"):
        before, after = value(run(signals, tracks), metric), value(run(fewer, tracks), metric)
        assert after is None or (before is not None and after >= before - 1e-6)
