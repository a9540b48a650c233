"""A video that is evaluated piece by piece gives what it gives at once."""

import dataclasses
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.evaluation.at_once import AtOnce, slice_at_once
from tests.evaluation.strategies import COUNT, Case, cases
from tests.evaluation.truths import detection, frames, track, truth

import vru.evaluation
from vru.domain import Box, Detection, GroundTruth, Track, TruthBox, VruClass, VruError
from vru.evaluation import Evaluation, EvaluationSettings, Evaluator, Frames, Roster, SliceEvaluation, evaluate

SLICES = ("all", "class:pedestrian", "class:cyclist", "size:small", "occlusion:partial")


def pieces(
    ground_truth: GroundTruth, detections: Sequence[Detection], ends: Sequence[int]
) -> Iterator[tuple[GroundTruth, list[Detection]]]:
    """Truth and detections cut before each of these frames."""
    for first, after in zip([0, *ends], [*ends, ground_truth.frame_count], strict=True):
        tracks = []
        for whole in ground_truth.tracks:
            boxes = tuple(box for box in whole.boxes if first <= box.frame_index < after)
            tracks += [dataclasses.replace(whole, boxes=boxes)] if boxes else []
        here = [one for one in detections if first <= one.frame_index < after]
        yield dataclasses.replace(ground_truth, tracks=tuple(tracks)), here


def streamed(case: Case, given: EvaluationSettings, ends: Sequence[int]) -> Evaluation:
    evaluator = Evaluator(Roster.of(case.truth), Frames.of(case.frames), given)
    for piece in pieces(case.truth, case.detections, ends):
        evaluator.add(*piece)
    return evaluator.result()


def test_the_slow_twin_runs_no_code_of_what_it_checks() -> None:
    """It makes the evaluation's plain records, which compute nothing, and reads their fields."""
    found = [detection(at, Box(10 + at, 10, 20, 40), score=0.5 + at / 40) for at in range(12)]
    there = truth(track(1, 0, 9), track(2, 4, 11, road_user=VruClass.CYCLIST, occluded=frozenset({5})))
    given = EvaluationSettings(resamples=100, slices=SLICES[1:])
    room = str(Path(vru.evaluation.__file__).parent)
    called: set[str] = set()

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(room):
            called.add(frame.f_code.co_name)

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        slices = [slice_at_once(name, there, found, frames(12), given) for name in SLICES]
    finally:
        sys.setprofile(before)
    assert called == set(), called
    assert slices[0].true_positives and slices[0].tracks and slices[0].alarms and slices[0].timings


FIELDS = [field.name for field in dataclasses.fields(SliceEvaluation)]
# They depend on excluded parts, which the slow twin does not know of.
TIMED = ("longest_gap", "reacquisition", "latency_reasonable")


def assert_same(one: SliceEvaluation, other: SliceEvaluation) -> None:
    """Equal to the last bit: values, replicates and all that is behind them."""
    for field in FIELDS:
        mine, its = getattr(one, field), getattr(other, field)
        if field == "estimates":
            assert list(mine) == list(its)
            for name in mine:
                assert_same_estimate(name, mine[name], its[name])
        elif field == "alarms":
            assert list(mine) == list(its)
        else:
            assert mine == its, field


def assert_same_estimate(name: str, one: object, other: object) -> None:
    assert type(one) is type(other), name
    for field in dataclasses.fields(one):  # type: ignore[arg-type]
        mine, its = getattr(one, field.name), getattr(other, field.name)
        if isinstance(mine, np.ndarray):
            assert np.array_equal(mine, its, equal_nan=True), (name, field.name)
        elif dataclasses.is_dataclass(mine):
            assert_same_estimate(name, mine, its)
        else:
            assert mine == its, (name, field.name)


def assert_as_at_once(part: SliceEvaluation, reference: AtOnce, *, timings: bool = True) -> None:
    """What was streamed is what the definitions say of the whole video: values, units and bounds."""
    assert list(part.alarms) == list(reference.alarms)
    in_time = "detected_in_time"
    assert [curve for curve in part.curves if curve.chart != in_time] == list(reference.curves)
    for field in ("tracks", "not_evaluated", "true_positives", "false_positives", "false_negatives"):
        assert getattr(part, field) == getattr(reference, field), field
    assert not timings or part.timings == reference.timings
    assert set(part.estimates) == set(reference.estimates)
    for name, known in reference.estimates.items():
        if not timings and name.startswith(TIMED):
            continue
        estimate = part.estimates[name]
        low, high = estimate.bounds(0.95)
        assert (estimate.value is None) is (known.value is None), name
        expected = (known.value or 0.0, known.n, known.low, known.high)
        assert (estimate.value or 0.0, estimate.n, low, high) == pytest.approx(expected, rel=1e-9, abs=1e-9), name


@given(
    case=cases(),
    size=st.integers(1, COUNT),
    cuts=st.sets(st.integers(1, COUNT - 1), max_size=5),
    parts=st.lists(st.tuples(st.integers(0, COUNT - 1), st.integers(0, 6)), max_size=2),
    threshold=st.sampled_from([0.2, 0.5]),
)
@settings(max_examples=30, deadline=None)
def test_in_pieces_of_any_size_all_is_equal(
    case: Case, size: int, cuts: set[int], parts: list[tuple[int, int]], threshold: float
) -> None:
    excluded = tuple((first, first + length) for first, length in parts)
    gone = {index for first, last in excluded for index in range(first, last + 1)}
    if not set(case.frames) - gone:
        return
    found = tuple(one for one in case.detections if one.frame_index not in gone)
    case = dataclasses.replace(case, detections=found)
    given = EvaluationSettings(
        resamples=100, clip_seconds=0.7, slices=SLICES, score_threshold=threshold, excluded=excluded
    )
    whole = evaluate(case.truth, case.detections, case.frames, given)
    for ends in (range(size, COUNT, size), sorted(cuts)):
        part = streamed(case, given, ends)
        assert (part.measurements, part.frames, part.notes) == (whole.measurements, whole.frames, whole.notes)
        for name in whole.slices:
            assert_same(part.slices[name], whole.slices[name])
    for name in whole.slices:
        reference = slice_at_once(name, case.truth, case.detections, case.frames, given)
        assert_as_at_once(whole.slices[name], reference, timings=not excluded)


@pytest.mark.parametrize(("name", "count"), [("TUD-Campus", 71), ("TUD-Stadtmitte", 179)])
@pytest.mark.parametrize("excluded", [(), ((20, 29), (45, 47))])
def test_real_tracks_in_pieces(real_tracks: Path, name: str, count: int, excluded: tuple[tuple[int, int], ...]) -> None:
    """Real truth and a real tracker's boxes, with made-up scores: the tracker gives none."""
    boxes: dict[int, list[TruthBox]] = {}
    for frame, number, box in read_mot(real_tracks / name / "gt.txt"):
        boxes.setdefault(number, []).append(TruthBox(frame, frame / 25, box, occluded=number % 2 == 0))
    tracks = [Track(number, VruClass.PEDESTRIAN, tuple(shown)) for number, shown in sorted(boxes.items())]
    gone = {index for first, last in excluded for index in range(first, last + 1)}
    found = [
        Detection(frame, frame / 25, VruClass.PEDESTRIAN, row * 37 % 101 / 100, box)
        for row, (frame, _, box) in enumerate(read_mot(real_tracks / name / "test.txt"))
        if frame not in gone
    ]
    people = GroundTruth(640, 480, count, tuple(tracks))
    case = Case(people, tuple(found), {index: index / 25 for index in range(count)})
    given = EvaluationSettings(resamples=100, clip_seconds=1, slices=SLICES, score_threshold=0.3, excluded=excluded)
    result = streamed(case, given, range(10, count, 10))
    assert result.overall.true_positives > 50 and result.overall.alarms
    for part in SLICES:
        reference = slice_at_once(part, case.truth, case.detections, case.frames, given)
        assert_as_at_once(result.slices[part], reference, timings=not excluded)


def read_mot(path: Path) -> list[tuple[int, int, Box]]:
    with path.open() as lines:
        rows = [line.split(",") for line in lines if line.strip()]
    return [(int(row[0]) - 1, int(row[1]), Box(*map(float, row[2:6]))) for row in rows]


def test_an_alarm_and_a_gap_go_on_over_the_border_of_pieces() -> None:
    people = truth(track(1, 5, 40))
    found = [detection(7), *(detection(frame, track(9, 0, 0, x=300).boxes[0].box) for frame in range(10, 20))]
    case = Case(people, tuple(found), frames(100))
    result = streamed(case, EvaluationSettings(resamples=100), range(1, 100))
    (alarm,) = result.overall.alarms
    assert (alarm.first_frame, alarm.last_frame) == (10, 19)
    (timing,) = result.overall.timings
    assert (timing.reacquisitions, timing.longest_gap.observed_ms) == (1, pytest.approx(3200))


def test_pieces_out_of_order_are_refused() -> None:
    evaluator = Evaluator(Roster.of(truth()), Frames.of(frames(10)), EvaluationSettings())
    evaluator.add(truth(), [detection(5)])
    with pytest.raises(VruError, match="comes after frame 5"):
        evaluator.add(truth(), [detection(5)])
