import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.evaluation.truths import box, detection, frames, perfect, track, truth

from vru.evaluation import EvaluationSettings, evaluate
from vru.evaluation.core.frames import Frames
from vru.evaluation.video.metrics import Clips

GAP = ((30, 39),)


def value(evaluation, metric: str) -> float | None:
    return evaluation.overall.estimates[metric].value


def test_excluded_frames_count_neither_for_the_model_nor_against_it() -> None:
    people = truth(track(1, 0, 99), track(2, 32, 36, x=200), track(3, 35, 60, x=400))
    found = [one for one in perfect(people, frames(100)) if not 30 <= one.frame_index <= 39]
    whole = evaluate(people, found, frames(100))
    assert whole.overall.false_negatives == 20
    assert {track.track_id for track in whole.overall.tracks if track.latency_ms is None} == {2}
    part = evaluate(people, found, frames(100), EvaluationSettings(excluded=GAP))
    assert (part.frames, part.overall.false_negatives, part.overall.false_positives) == (90, 0, 0)
    # Track 2 was visible while nobody looked; track 3 begins where somebody looked again.
    assert {track.track_id: track.latency_ms for track in part.overall.tracks} == {1: 0.0, 3: 0.0}
    assert value(part, "recall") == 1


def test_the_time_of_a_gap_dilutes_no_rate_and_is_no_resolution() -> None:
    people = truth(track(1, 0, 99))
    alarm = [detection(frame, box(x=300)) for frame in (10, 29, 40)]
    part = evaluate(people, alarm, frames(100), EvaluationSettings(excluded=GAP))
    assert value(part, "latency_resolution_ms") == pytest.approx(100)
    # Nobody knows whether the alarm went on from frame 29 to 40: they are two. Nine seconds were looked at.
    assert len(part.overall.alarms) == 3
    assert value(part, "false_alarms_per_minute") == pytest.approx(3 / (9 / 60))


@given(
    stride=st.integers(1, 7),
    parts=st.lists(st.tuples(st.integers(0, 190), st.integers(0, 30)), max_size=4),
    seconds=st.floats(0.3, 8),
)
def test_all_clips_last_as_long_as_the_frames_that_are_left(
    stride: int, parts: list[tuple[int, int]], seconds: float
) -> None:
    excluded = [(first, first + length) for first, length in parts]
    left = Frames.of(frames(200, stride), excluded)
    people = left.outside(truth(track(1, 0, 199), count=200))
    gone = {index for first, last in excluded for index in range(first, last + 1)}
    assert set(left.indices.tolist()) == set(range(0, 200, stride)) - gone
    assert not {owned.frame_index for _, owned in people.boxes()} & gone
    if len(left) < 2 or any(first % stride or (last + 1) % stride for first, last in excluded):
        return
    # Parts as a run has them, cut at evaluated frames: each frame that is left lasts one stride, if most do.
    if len(left.gaps) * 2 < len(left) - 1:
        assert np.isclose(Clips.of(left, seconds).minutes.sum() * 60, len(left) * stride / 10)
