"""One class of a data set as sequences of frames, cleaned as the protocol says."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from vru.domain import VruError
from vru.evaluation.core.tables import Bools, DataSet, Floats, Ints

EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame: who is there, what the tracker says, and how much they overlap (n x m, 0 to 1).

    ``truths`` and ``founds`` are numbers of tracks, from 0 without gaps through the whole sequence. ``position`` is the
    frame's place in the sequence.
    """

    position: int
    truths: Ints
    founds: Ints
    overlap: Floats


@dataclass(frozen=True, slots=True)
class Sequence:
    """A sequence's frames, also the empty ones. ``truth_ids`` and ``found_ids`` are the tracks' own ids."""

    name: str
    frames: tuple[Frame, ...]
    truth_ids: Ints
    found_ids: Ints

    @property
    def truth_boxes(self) -> int:
        """How many truth boxes count."""
        return sum(len(frame.truths) for frame in self.frames)

    @property
    def found_boxes(self) -> int:
        """How many of the tracker's boxes count."""
        return sum(len(frame.founds) for frame in self.frames)


@dataclass(frozen=True, slots=True)
class TrackingRules:
    """What is taken out before anything is measured.

    Boxes of a tracker that match a truth box of the ``distractors`` (classes that are neither wanted nor wrong) are
    taken out; matching is one to one with the largest total overlap, of all classes together, from ``overlap`` on.
    Boxes that match nothing and lie in a box of the ``regions`` by more than half are taken out, too (KITTI's DontCare,
    as TrackEval does it).
    """

    distractors: frozenset[str] = frozenset()
    overlap: float = 0.5
    regions: frozenset[str] = frozenset({"DontCare"})


def sequences_of(data: DataSet, label: str, rules: TrackingRules) -> list[Sequence]:
    """The sequences of one class. Truth that is ``ignore`` or ``crowd`` is taken out (in MOT Challenge: marked 0).

    Raises:
        VruError: a box has no track, or a track has two boxes in a frame.
    """
    wanted = data.labels.index(label)
    distractors = np.array([name in rules.distractors for name in data.labels])
    outside = {name.lower() for name in rules.regions}
    regions = np.array([name.lower() in outside for name in data.labels])
    _check_tracks(data, regions)
    by_picture = np.lexsort((data.frame, data.sequence))
    bounds = np.searchsorted(data.sequence[by_picture], np.arange(len(data.sequences) + 1))
    truth_of, found_of = _grouped(data.truth.picture, data.pictures), _grouped(data.found.picture, data.pictures)
    result = []
    for number, name in enumerate(data.sequences):
        kept = [
            _clean(data, truth_of[picture], found_of[picture], wanted, distractors, regions, rules)
            for picture in by_picture[bounds[number] : bounds[number + 1]].tolist()
        ]
        result.append(_numbered(data, name, kept))
    return result


def overlaps(truths: Floats, founds: Floats) -> Floats:
    """Intersection over union of n with m boxes (x, y, width, height), n x m.

    Areas are taken from the corners, as TrackEval does: with rounding, that decides equality at a threshold.
    """
    corners = [np.column_stack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]]) for boxes in (truths, founds)]
    first, second = corners[0][:, None], corners[1][None, :]
    sides = np.minimum(first[..., 2:], second[..., 2:]) - np.maximum(first[..., :2], second[..., :2])
    shared = np.maximum(sides, 0).prod(axis=-1)
    areas = [(corner[:, 2:] - corner[:, :2]).prod(axis=-1) for corner in corners]
    whole = areas[0][:, None] + areas[1][None, :] - shared
    return np.asarray(np.divide(shared, whole, out=np.zeros_like(shared), where=(whole > EPS) & (shared > 0)))


def _share_inside(boxes: Floats, areas: Floats) -> Floats:
    """The share of each of n boxes that lies in each of m areas, n x m."""
    low = np.maximum(boxes[:, None, :2], areas[None, :, :2])
    high = np.minimum((boxes[:, :2] + boxes[:, 2:])[:, None], (areas[:, :2] + areas[:, 2:])[None, :])
    shared = np.maximum(high - low, 0).prod(axis=-1)
    return np.asarray(shared / np.maximum(boxes[:, 2:].prod(axis=-1), EPS)[:, None])


def best_pairs(score: Floats) -> Iterator[tuple[int, int]]:
    """One-to-one pairs with the largest total score, without those of score 0."""
    for row, column in zip(*linear_sum_assignment(-score), strict=True):
        if score[row, column] > EPS:
            yield int(row), int(column)


def _check_tracks(data: DataSet, regions: Bools) -> None:
    followed = data.truth.take(~regions[data.truth.label]) if len(data.truth) else data.truth
    for table, whose in ((followed, "truth"), (data.found, "tracker")):
        if (table.track < 0).any():
            raise VruError(f"A box of the {whose} has no track id.", "Tracking is measured on boxes with track ids.")
        order = np.lexsort((table.track, table.picture))
        picture, track = table.picture[order], table.track[order]
        twice = np.flatnonzero((np.diff(picture) == 0) & (np.diff(track) == 0))
        if len(twice):
            where = int(picture[twice[0]])
            name = data.sequences[int(data.sequence[where])]
            raise VruError(
                f"Track {track[twice[0]]} of the {whose} has two boxes in frame {data.frame[where]} of {name or 'it'}."
            )


def _grouped(picture: Ints, count: int) -> list[Ints]:
    order = np.argsort(picture, kind="stable")
    return np.split(order, np.searchsorted(picture[order], np.arange(1, count)))


def _clean(
    data: DataSet, truths: Ints, founds: Ints, wanted: int, distractors: Bools, regions: Bools, rules: TrackingRules
) -> tuple[Ints, Ints, Floats]:
    truth, found = data.truth, data.found
    founds = founds[found.label[founds] == wanted]
    inside = regions[truth.label[truths]]
    areas, truths = truths[inside], truths[~inside]
    overlap = overlaps(truth.boxes[truths], found.boxes[founds])
    if (distractors.any() or len(areas)) and len(founds):
        enough = np.where(overlap < rules.overlap - EPS, 0, overlap)
        pairs = list(best_pairs(enough)) if len(truths) else []
        excused = [column for row, column in pairs if distractors[truth.label[truths[row]]]]
        if len(areas):
            within = _share_inside(found.boxes[founds], truth.boxes[areas]).max(axis=1) > rules.overlap + EPS
            within[[column for _, column in pairs]] = False
            excused += np.flatnonzero(within).tolist()
        founds, overlap = np.delete(founds, excused), np.delete(overlap, excused, axis=1)
    counted = (truth.label[truths] == wanted) & ~truth.ignore[truths] & ~truth.crowd[truths]
    return truths[counted], founds, overlap[counted]


def _numbered(data: DataSet, name: str, kept: list[tuple[Ints, Ints, Floats]]) -> Sequence:
    truth_ids = np.unique(np.concatenate([data.truth.track[truths] for truths, _, _ in kept] or [np.zeros(0, int)]))
    found_ids = np.unique(np.concatenate([data.found.track[founds] for _, founds, _ in kept] or [np.zeros(0, int)]))
    frames = tuple(
        Frame(
            position,
            np.searchsorted(truth_ids, data.truth.track[truths]),
            np.searchsorted(found_ids, data.found.track[founds]),
            overlap,
        )
        for position, (truths, founds, overlap) in enumerate(kept)
    )
    return Sequence(name, frames, truth_ids, found_ids)
