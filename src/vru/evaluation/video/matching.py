"""The matches of one video: truth and detections as records, matched as a data set is."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vru.domain import Detection, GroundTruth
from vru.domain.slices import ALL
from vru.evaluation.core.frames import Frames
from vru.evaluation.core.tables import CLASSES, Bools, DataSet, Floats, Ints, found_table, truth_table
from vru.evaluation.detection.outcomes import TRUE_POSITIVE, View, match_all

_NUMBER = {road_user: number for number, road_user in enumerate(CLASSES)}
_LABELS = tuple(str(road_user) for road_user in CLASSES)


@dataclass(frozen=True, slots=True)
class Matches:
    """All detections with what became of them.

    Arrays of one entry per detection, ordered by frame, class, then falling score: ``frame`` (position among the
    evaluated frames), ``road_user`` (position in ``CLASSES``), ``score``, ``outcome`` (TRUE_POSITIVE, FALSE_POSITIVE or
    NOT_COUNTED), ``track`` (position in the ground truth's tracks, -1 without a match), ``boxes`` (n x 4: x, y, width,
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


def match(truth: GroundTruth, detections: Sequence[Detection], frames: Frames, iou_threshold: float) -> Matches:
    """Match ``detections`` with ``truth`` in the evaluated ``frames``: see ``match_all``. A truth box to ``ignore``
    excuses any number of detections.

    A frame's matches depend on that frame alone, so a long video may be matched piece by piece.
    """
    data, ignored = tables(truth, detections, frames)
    everything = View(ALL, ~ignored, np.ones(len(detections), dtype=np.bool_))
    outcomes = match_all(data, (iou_threshold,), (everything,), regions=ignored, max_detections=None)
    found, outcome, taken = data.found.take(outcomes.kept), outcomes.outcome(0, 0), outcomes.matched_truth(0, 0)
    order = np.lexsort((outcomes.rank, found.label, found.picture))
    track = np.full(len(found), -1, dtype=np.int64)
    hit = outcome == TRUE_POSITIVE
    track[hit] = data.truth.track[taken[hit]]
    return Matches(
        data.frame[found.picture[order]],
        found.label[order],
        found.score[order],
        outcome[order].astype(np.int64),
        track[order],
        found.boxes[order],
    )


def tables(truth: GroundTruth, detections: Sequence[Detection], frames: Frames) -> tuple[DataSet, Bools]:
    """What is in the evaluated ``frames`` as a data set, and which of its truth boxes are to ``ignore``.

    Its pictures are those frames that hold a box, its ``frame`` their positions among the evaluated ones. The track of
    a truth box is its position among the truth's tracks, its label that in ``CLASSES``.
    """
    owned = [(number, track.road_user, box) for number, track in enumerate(truth.tracks) for box in track.boxes]
    of_truth = frames.positions(np.array([box.frame_index for _, _, box in owned], dtype=np.int64))
    of_found = frames.positions(np.array([found.frame_index for found in detections], dtype=np.int64))
    evaluated = of_truth >= 0
    owned = [row for row, seen in zip(owned, evaluated.tolist(), strict=True) if seen]
    # The frames of this piece alone, numbered through.
    shown, picture = np.unique(np.concatenate([of_truth[evaluated], of_found]), return_inverse=True)
    ignored = np.array([box.ignore for _, _, box in owned], dtype=np.bool_)
    data = DataSet(
        _LABELS,
        ("",),
        np.zeros(len(shown), dtype=np.int64),
        shown,
        truth_table(
            picture[: len(owned)],
            [_NUMBER[road_user] for _, road_user, _ in owned],
            [box.box.as_tuple() for _, _, box in owned],
            track=[number for number, _, _ in owned],
        ),
        found_table(
            picture[len(owned) :],
            [_NUMBER[found.road_user] for found in detections],
            [found.box.as_tuple() for found in detections],
            [found.score for found in detections],
        ),
    )
    return data, ignored
