"""What became of each detection of a data set, at several overlaps and in several views at once.

A view says which truth boxes and which detections count: all of them, the small ones, the reasonable ones, those of a
slice. A truth box that does not count may still be found, and the detection that finds it does not count either. Every
metric of detection here (COCO's numbers, the miss rate, precision and recall at a confidence) is computed from these
outcomes, so they agree with each other and with the list of misses.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vru.evaluation.core.assignment import assign, overlap_pairs, rank_in_cell, ranks
from vru.evaluation.core.tables import Bools, DataSet, Ints

TRUE_POSITIVE, FALSE_POSITIVE, NOT_COUNTED = np.int8(1), np.int8(0), np.int8(-1)
_CHUNK = 40_000


@dataclass(frozen=True, slots=True)
class View:
    """Which truth boxes count, and which detections count as false positives if they find nothing.

    Arrays over the data set's truth boxes and over its detections. Detections outside of ``found_enters`` do not take
    part at all: they find nothing, and are no false positives. None lets all take part.
    """

    name: str
    truth_counts: Bools
    found_counts: Bools
    found_enters: Bools | None = None


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What became of the detections.

    ``kept`` are the detections that took part, ordered by class, falling score, picture and rank: ``rank`` is the place
    of each among the detections of its class in its picture, from 0. ``regions`` are the truth boxes that excuse any
    number of detections lying inside of them; they never count. ``outcome`` is views x overlaps x kept:
    TRUE_POSITIVE, FALSE_POSITIVE or NOT_COUNTED. ``taken`` has the same shape: the truth box taken, -1 for none.
    ``first`` has for each class where its detections begin in ``kept``, and one entry more.
    """

    data: DataSet
    views: tuple[View, ...]
    overlaps: tuple[float, ...]
    regions: Bools
    kept: Ints
    rank: Ints
    first: Ints
    outcome: NDArray[np.int8]
    taken: NDArray[np.int32]

    def view(self, name: str) -> int:
        """The position of a view.

        Raises:
            KeyError: there is none of that name.
        """
        for position, view in enumerate(self.views):
            if view.name == name:
                return position
        raise KeyError(name)

    def of_label(self, label: int) -> slice:
        """Where the detections of one class stand in ``kept``."""
        return slice(int(self.first[label]), int(self.first[label + 1]))

    def counted_truth(self, view: int) -> Bools:
        """Which truth boxes count in the view."""
        return np.asarray(self.views[view].truth_counts & ~self.regions)

    def missed(self, view: int, overlap: int, score_threshold: float) -> Ints:
        """The truth boxes that count in the view and that no detection at or above the score took."""
        sure = self.data.found.score[self.kept] >= score_threshold
        hit = self.taken[view, overlap][sure & (self.outcome[view, overlap] == TRUE_POSITIVE)]
        counted = self.counted_truth(view).copy()
        counted[hit] = False
        return np.flatnonzero(counted)

    def false_alarms(self, view: int, overlap: int, score_threshold: float) -> Ints:
        """The detections at or above the score that are false positives in the view."""
        sure = self.data.found.score[self.kept] >= score_threshold
        return np.asarray(self.kept[sure & (self.outcome[view, overlap] == FALSE_POSITIVE)])


def match_all(
    data: DataSet,
    overlaps: Sequence[float],
    views: Iterable[View],
    *,
    regions: Bools,
    most: int | None = 100,
) -> Outcomes:
    """Match the detections with the truth: greedy by falling score, within a picture and a class.

    Each detection takes, of the truth boxes that are still free and that it overlaps enough, one that counts rather
    than one that does not, and of those the one that it overlaps most (the last one on a tie). ``regions`` (over the
    truth) are taken by any number of detections, by intersection over the detection's own area. Of each class in each
    picture the ``most`` surest detections take part, all if it is None.

    Source: COCO's ``COCOeval.evaluateImg``, whose views are four ranges of area and whose regions are the crowds.
    """
    views = tuple(views)
    truth, found = data.truth, data.found
    classes = max(len(data.labels), 1)
    cell = found.picture * classes + found.label
    # Stable by file order in a tie, as COCO is.
    by_cell = np.lexsort((-found.score, cell))
    place = rank_in_cell(cell[by_cell])
    if most is not None:
        by_cell, place = by_cell[place < most], place[place < most]
    order = np.lexsort((place, found.picture[by_cell], -found.score[by_cell], found.label[by_cell]))
    kept, rank = by_cell[order], place[order]
    first = np.searchsorted(found.label[kept], np.arange(classes + 1))

    counts = np.array([view.truth_counts for view in views]).reshape(len(views), len(truth)) & ~regions
    enters = np.array([_enters(view, len(found))[kept] for view in views]).reshape(len(views), len(kept))
    taken = _take(data, kept, rank, overlaps, counts, enters, regions)
    wrong = [view.found_counts[kept] & entering for view, entering in zip(views, enters, strict=True)]
    unmatched = np.where(np.array(wrong).reshape(enters.shape), FALSE_POSITIVE, NOT_COUNTED)
    outcome = np.empty(taken.shape, dtype=np.int8)
    for view in range(len(views)):
        # A view at a time: their positions all at once would take ten times the memory of the outcomes.
        if not len(truth):
            outcome[view] = unmatched[view]
            continue
        of = np.where(counts[view], TRUE_POSITIVE, NOT_COUNTED)[taken[view]]
        outcome[view] = np.where(taken[view] >= 0, of, unmatched[view])
    return Outcomes(data, views, tuple(overlaps), regions, kept, rank, first, outcome, taken)


def _enters(view: View, count: int) -> Bools:
    return np.ones(count, dtype=bool) if view.found_enters is None else view.found_enters


def _take(
    data: DataSet, kept: Ints, rank: Ints, overlaps: Sequence[float], counts: Bools, enters: Bools, regions: Bools
) -> NDArray[np.int32]:
    """The truth box that each kept detection takes: views x overlaps x kept."""
    truth, found = data.truth, data.found
    classes = max(len(data.labels), 1)
    # COCO caps the threshold just below 1, so that rounding does not lose a perfect match.
    needed = np.minimum(np.asarray(overlaps, dtype=np.float64), 1 - 1e-10)
    shape = (len(counts), len(needed))
    taken = np.full((*shape, len(kept)), -1, dtype=np.int32)
    pairs = overlap_pairs(
        (found.picture * classes + found.label)[kept],
        found.boxes[kept],
        truth.picture * classes + truth.label,
        truth.boxes,
        regions,
        float(needed.min()),
    )
    if not len(pairs):
        return taken
    # Only detections that overlap something take a turn.
    meeting, chooser = np.unique(pairs.chooser, return_inverse=True)
    cells = (found.picture * classes + found.label)[kept[meeting]]
    turn = rank_in_cell_by(cells, rank[meeting])[chooser]
    wanted = ranks(pairs.item, pairs.overlap)
    for part in _parts(cells[chooser], turn):
        wish = np.where(counts[:, pairs.item[part]], wanted[part] + np.int32(len(wanted)), wanted[part])
        wish = np.where(enters[:, pairs.chooser[part]], wish, 0)
        wish = np.where(pairs.overlap[part] >= needed[:, None], wish[:, None, :], 0).reshape(-1, len(part))
        local, who = np.unique(chooser[part], return_inverse=True)
        items, what = np.unique(pairs.item[part], return_inverse=True)
        piece = type(pairs)(who, what, pairs.overlap[part])
        choice = assign(piece, turn[part], np.ascontiguousarray(wish.T), len(local), len(items), regions[items])
        result = np.where(choice >= 0, items[choice], -1).T.reshape(*shape, len(local))
        taken[:, :, meeting[local]] = result
    return taken


def rank_in_cell_by(cells: Ints, key: Ints) -> Ints:
    """Rank of each entry among those of its cell, in rising order of ``key``."""
    order = np.lexsort((key, cells))
    result = np.empty(len(cells), dtype=np.int64)
    result[order] = rank_in_cell(cells[order])
    return result


def _parts(cell: Ints, turn: Ints) -> list[Ints]:
    """The pairs in parts of about ``_CHUNK``, no cell being cut, ordered so that a chooser's pairs are neighbours."""
    order = np.lexsort((turn, cell))
    if len(order) <= _CHUNK:
        return [order]
    ordered = cell[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    cuts = np.unique(starts[np.searchsorted(starts, np.arange(_CHUNK, len(order), _CHUNK), side="right") - 1])
    return list(np.split(order, cuts[cuts > 0]))
