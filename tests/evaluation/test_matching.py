import numpy as np
import pytest
from hypothesis import given, settings
from tests.evaluation.strategies import Case, cases
from tests.evaluation.truths import box, detection, frames, track, truth

from vru.domain import Box, Track, TruthBox, VruClass, iou
from vru.evaluation.core.assignment import overlap_pairs, overlaps
from vru.evaluation.core.frames import Frames
from vru.evaluation.core.tables import DataSet, found_table, truth_table
from vru.evaluation.detection.outcomes import FALSE_POSITIVE, NOT_COUNTED, TRUE_POSITIVE, View, match_all
from vru.evaluation.video.matching import match


def outcomes(ground_truth, detections, evaluated=None, threshold=0.5) -> list[int]:
    return match(ground_truth, detections, Frames.of(evaluated or frames(20)), threshold).outcome.tolist()


def test_the_surest_detection_takes_the_box_and_the_next_is_a_false_positive() -> None:
    found = [detection(3, score=0.6), detection(3, box(11), score=0.9)]
    result = match(truth(track(1, 0, 9)), found, Frames.of(frames(20)), 0.5)
    assert result.score.tolist() == [0.9, 0.6]
    assert result.outcome.tolist() == [TRUE_POSITIVE, FALSE_POSITIVE]


def test_a_detection_of_the_wrong_class_is_a_false_positive() -> None:
    assert outcomes(truth(track(1, 0, 9)), [detection(3, road_user=VruClass.CYCLIST)]) == [FALSE_POSITIVE]


def test_a_detection_before_the_road_user_is_visible_is_a_false_positive() -> None:
    assert outcomes(truth(track(1, 5, 9)), [detection(4), detection(5)]) == [FALSE_POSITIVE, TRUE_POSITIVE]


def test_any_number_of_detections_inside_an_ignored_box_are_excused() -> None:
    ignored = truth(track(1, 3, 3, ignore=frozenset({3}), size=(100, 100)))
    assert outcomes(ignored, [detection(3, box(15)), detection(3, box(40))]) == [NOT_COUNTED, NOT_COUNTED]


def test_a_counted_box_goes_before_an_ignored_one_that_overlaps_more() -> None:
    both = truth(track(1, 3, 3, x=13), track(2, 3, 3, ignore=frozenset({3})))
    assert outcomes(both, [detection(3)]) == [TRUE_POSITIVE]


def test_the_overlap_needed_is_the_threshold_itself() -> None:
    half = Box(10, 10, 20, 20)  # exactly half of the truth's 20 x 40
    assert outcomes(truth(track(1, 0, 3)), [detection(3, half)]) == [TRUE_POSITIVE]
    assert outcomes(truth(track(1, 0, 3)), [detection(3, half)], threshold=0.51) == [FALSE_POSITIVE]
    assert outcomes(truth(track(1, 0, 3)), [detection(3)], threshold=1.0) == [TRUE_POSITIVE]


@given(case=cases())
@settings(deadline=None)
def test_overlaps_are_the_domains_iou(case: Case) -> None:
    found = [d.box for d in case.detections]
    there = [b.box for _, b in case.truth.boxes()]
    if found and there:
        shared = overlaps(
            np.array([b.as_tuple() for b in found]),
            np.array([b.as_tuple() for b in there]),
            np.zeros(len(there), dtype=bool),
        )
        assert np.allclose(shared, [[iou(a, b) for b in there] for a in found], atol=1e-12)
        one, other = (np.zeros(len(boxes), dtype=np.int64) for boxes in (found, there))
        pairs = overlap_pairs(
            one, np.array([b.as_tuple() for b in found]), other, np.array([b.as_tuple() for b in there]), other > 0, 0.1
        )
        assert dict(zip(zip(pairs.chooser.tolist(), pairs.item.tolist(), strict=True), pairs.overlap, strict=True)) == {
            (int(row), int(column)): shared[row, column] for row, column in np.argwhere(shared >= 0.1)
        }


@given(case=cases())
@settings(deadline=None)
def test_detections_below_a_threshold_do_not_change_the_matches_above_it(case: Case) -> None:
    everything = match(case.truth, case.detections, Frames.of(case.frames), 0.5)
    sure = match(case.truth, [d for d in case.detections if d.score >= 0.5], Frames.of(case.frames), 0.5)
    kept = everything.score >= 0.5
    assert everything.outcome[kept].tolist() == sure.outcome.tolist()
    assert everything.track[kept].tolist() == sure.track.tolist()


@given(case=cases())
@settings(deadline=None)
def test_no_truth_box_is_found_twice_and_nothing_is_found_elsewhere(case: Case) -> None:
    result = match(case.truth, case.detections, Frames.of(case.frames), 0.5)
    hit = result.outcome == TRUE_POSITIVE
    pairs = list(zip(result.frame[hit].tolist(), result.track[hit].tolist(), strict=True))
    assert len(pairs) == len(set(pairs))
    place = {index: at for at, index in enumerate(sorted(case.frames))}
    counted = {
        (place.get(box.frame_index), number)
        for number, whole in enumerate(case.truth.tracks)
        for box in whole.boxes
        if not box.ignore
    }
    assert set(pairs) <= counted
    assert len(result.outcome) == len(case.detections)


# The same box, once by its corners and back.
BOX = (64.7, 28.0, 5.1, 2.7)
AGAIN = (64.7, 28.0, (64.7 + 5.1) - 64.7, (28.0 + 2.7) - 28.0)


@pytest.mark.parametrize("threshold", [1.0, 0.5])
def test_a_perfect_box_is_found_at_an_iou_of_1(threshold: float) -> None:
    """Rounding makes the IoU of equal boxes a little less than 1: here they were corners, and then sides again."""
    shared = overlaps(np.array([AGAIN]), np.array([BOX]), np.zeros(1, dtype=bool))
    assert 1 - 1e-10 < float(shared[0, 0]) < 1
    there = truth(Track(1, VruClass.PEDESTRIAN, (TruthBox(0, 0.0, Box(*BOX)),)))
    assert outcomes(there, [detection(0, Box(*AGAIN))], threshold=threshold) == [TRUE_POSITIVE]


def test_a_perfect_box_is_found_at_an_iou_of_1_in_a_data_set() -> None:
    data = DataSet(
        ("pedestrian",),
        ("0",),
        np.zeros(1, dtype=np.int64),
        np.zeros(1, dtype=np.int64),
        truth_table([0], [0], [BOX]),
        found_table([0], [0], [AGAIN], [0.9]),
    )
    everything = View("all", np.ones(1, dtype=bool), np.ones(1, dtype=bool))
    outcomes = match_all(data, (1.0,), (everything,), regions=np.zeros(1, dtype=bool))
    assert outcomes.outcome(0, 0).tolist() == [1]
