"""Which detection found which truth box: greedy by score, within a frame and a class, as COCO does it."""

from array import array
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vru.domain import Detection, GroundTruth, TruthBox, VruClass
from vru.evaluation.core.frames import Frames

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

TRUE_POSITIVE = 1
FALSE_POSITIVE = 0
IGNORED = -1

CLASSES = tuple(VruClass)
_NUMBER = {road_user: number for number, road_user in enumerate(CLASSES)}


@dataclass(frozen=True, slots=True)
class Matches:
    """All detections with what became of them.

    Arrays of one entry per detection, ordered by frame, class, then falling score: ``frame`` (position among the
    evaluated frames), ``road_user`` (position in ``CLASSES``), ``score``, ``outcome`` (TRUE_POSITIVE, FALSE_POSITIVE or
    IGNORED), ``track`` (position in the ground truth's tracks, -1 without a match), ``boxes`` (n x 4: x, y, width,
    height).

    Greedy matching by falling score has a property that everything here relies on: the matches of the detections at
    or above a threshold are the same whether or not the detections below it take part.
    """

    frame: Ints
    road_user: Ints
    score: Floats
    outcome: Ints
    track: Ints
    boxes: Floats


def overlaps(detections: Floats, truths: Floats, ignore: NDArray[np.bool_]) -> Floats:
    """Overlap of n detections with m truth boxes (n x 4 and m x 4: x, y, width, height), n x m, from 0 to 1.

    Intersection over union; for an ``ignore`` truth box intersection over the detection's own area, as COCO does for
    crowds: a detection inside an ignored region is excused however large the region is.
    """
    left = np.maximum(detections[:, None, 0], truths[None, :, 0])
    top = np.maximum(detections[:, None, 1], truths[None, :, 1])
    right = np.minimum((detections[:, 0] + detections[:, 2])[:, None], (truths[:, 0] + truths[:, 2])[None, :])
    bottom = np.minimum((detections[:, 1] + detections[:, 3])[:, None], (truths[:, 1] + truths[:, 3])[None, :])
    shared = np.clip(right - left, 0, None) * np.clip(bottom - top, 0, None)
    detection_area = (detections[:, 2] * detections[:, 3])[:, None]
    truth_area = (truths[:, 2] * truths[:, 3])[None, :]
    whole = np.where(ignore[None, :], detection_area, detection_area + truth_area - shared)
    return np.asarray(shared / whole, dtype=np.float64)


def match_frame(
    detections: Floats, truths: Floats, ignore: NDArray[np.bool_], iou_threshold: float
) -> tuple[list[int], list[int]]:
    """Match the detections of one class in one frame, which come in falling order of score.

    Each detection takes the counted truth box that it overlaps most among those still free (the last one on a tie, as
    COCO does), if the overlap reaches ``iou_threshold``; failing that, any ``ignore`` box, which may be taken any
    number of times. Returns the outcome of each detection and the truth box it took (-1 for none).
    """
    outcomes, taken = [], []
    free = ~ignore
    shared = overlaps(detections, truths, ignore) if len(truths) else np.zeros((len(detections), 0))
    # COCO caps the threshold just below 1 so that rounding does not lose a perfect match.
    needed = min(iou_threshold, 1 - 1e-10)
    for row in shared:
        best, reached = -1, needed
        for truth in np.flatnonzero(free):
            if row[truth] >= reached:
                best, reached = int(truth), float(row[truth])
        if best >= 0:
            free[best] = False
            outcomes.append(TRUE_POSITIVE)
        elif (excused := np.flatnonzero(ignore & (row >= needed))).size:
            best = int(excused[0])
            outcomes.append(IGNORED)
        else:
            outcomes.append(FALSE_POSITIVE)
        taken.append(best)
    return outcomes, taken


def match(truth: GroundTruth, detections: Sequence[Detection], frames: Frames, iou_threshold: float) -> Matches:
    """Match ``detections`` with ``truth`` in the evaluated ``frames``.

    A frame's matches depend on that frame alone, so a long video may be matched piece by piece.
    """
    shown = np.unique([box.frame_index for _, box in truth.boxes()] + [found.frame_index for found in detections])
    where = frames.positions(shown.astype(np.int64))
    position = {index: at for index, at in zip(shown.tolist(), where.tolist(), strict=True) if at >= 0}
    truths: dict[tuple[int, int], list[tuple[int, TruthBox]]] = defaultdict(list)
    found: dict[tuple[int, int], list[Detection]] = defaultdict(list)
    for number, track in enumerate(truth.tracks):
        for box in track.boxes:
            if box.frame_index in position:
                at = position[box.frame_index]
                truths[at, _NUMBER[track.road_user]].append((number, box))
    for detection in detections:
        found[position[detection.frame_index], _NUMBER[detection.road_user]].append(detection)

    # Typed arrays: lists of numbers would take ten times the memory of a long video's boxes.
    frames_of, classes_of, outcomes_of, tracks_of = (array("q") for _ in range(4))
    scores, corners = array("d"), array("d")
    for key in sorted(found):
        candidates = truths[key]
        ordered = sorted(found[key], key=lambda detection: -detection.score)
        boxes = [detection.box.as_tuple() for detection in ordered]
        outcomes, taken = match_frame(
            np.array(boxes),
            np.array([box.box.as_tuple() for _, box in candidates]).reshape(-1, 4),
            np.array([box.ignore for _, box in candidates], dtype=bool),
            iou_threshold,
        )
        for detection, outcome, which in zip(ordered, outcomes, taken, strict=True):
            track_number = candidates[which][0] if outcome == TRUE_POSITIVE else -1
            frames_of.append(key[0])
            classes_of.append(key[1])
            scores.append(detection.score)
            outcomes_of.append(outcome)
            tracks_of.append(track_number)
        for corner in boxes:
            corners.extend(corner)

    return Matches(
        frame=np.frombuffer(frames_of, dtype=np.int64),
        road_user=np.frombuffer(classes_of, dtype=np.int64),
        score=np.frombuffer(scores, dtype=np.float64),
        outcome=np.frombuffer(outcomes_of, dtype=np.int64),
        track=np.frombuffer(tracks_of, dtype=np.int64),
        boxes=np.frombuffer(corners, dtype=np.float64).reshape(-1, 4),
    )
