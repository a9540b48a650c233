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

from vru.evaluation.core.assignment import Pairs, assign, overlap_pairs, rank_in_cell, ranks
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
    of each among the detections of its class in its picture, from 0. ``first`` has for each class where its detections
    begin in ``kept``, and one entry more. ``regions`` are the truth boxes that excuse any number of detections lying
    inside of them; they never count. ``overlapping`` are the places in ``kept``, rising, of the detections that overlap
    a truth box enough to take it: of most data sets a small part. ``taken`` is views x overlaps x overlapping: the
    truth box taken, -1 for none.
    """

    data: DataSet
    views: tuple[View, ...]
    overlaps: tuple[float, ...]
    regions: Bools
    kept: Ints
    rank: NDArray[np.int32]
    first: Ints
    overlapping: Ints
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

    @property
    def size(self) -> int:
        """How many outcomes there are: of each kept detection one for every view and overlap."""
        return len(self.views) * len(self.overlaps) * len(self.kept)

    def of_label(self, label: int | None) -> slice:
        """Where the detections of one class stand in ``kept``; those of all classes for None."""
        return slice(0, len(self.kept)) if label is None else slice(int(self.first[label]), int(self.first[label + 1]))

    def overlapping_of(self, label: int | None) -> slice:
        """Where the detections of one class stand in ``overlapping``; those of all classes for None."""
        mine = self.of_label(label)
        begin, end = np.searchsorted(self.overlapping, (mine.start, mine.stop))
        return slice(int(begin), int(end))

    def unmatched(self, view: int, label: int | None = None) -> Bools:
        """Which of the kept detections, of all classes or of one, are false positives if they take nothing."""
        kept, seen = self.kept[self.of_label(label)], self.views[view]
        counts = seen.found_counts[kept]
        return counts if seen.found_enters is None else counts & seen.found_enters[kept]

    def outcome(self, view: int, overlap: int, label: int | None = None) -> NDArray[np.int8]:
        """TRUE_POSITIVE, FALSE_POSITIVE or NOT_COUNTED for each kept detection, of all classes or of one."""
        result = np.where(self.unmatched(view, label), FALSE_POSITIVE, NOT_COUNTED)
        which = self.overlapping_of(label)
        taken = self.taken[view, overlap, which]
        matched = taken >= 0
        places = self.overlapping[which][matched] - self.of_label(label).start
        result[places] = np.where(self.counted_truth(view)[taken[matched]], TRUE_POSITIVE, NOT_COUNTED)
        return result

    def counted_truth(self, view: int) -> Bools:
        """Which truth boxes count in the view."""
        return np.asarray(self.views[view].truth_counts & ~self.regions)

    def matched_truth(self, view: int, overlap: int) -> NDArray[np.int32]:
        """The truth box that each kept detection took, -1 for none."""
        result = np.full(len(self.kept), -1, dtype=np.int32)
        result[self.overlapping] = self.taken[view, overlap]
        return result

    def missed(self, view: int, overlap: int, score_threshold: float) -> Ints:
        """The truth boxes that count in the view and that no detection at or above the score took."""
        taken = self.taken[view, overlap]
        sure = self.data.found.score[self.kept[self.overlapping]] >= score_threshold
        counted = self.counted_truth(view)
        counted[taken[sure & (taken >= 0)]] = False
        return np.flatnonzero(counted)

    def false_alarms(self, view: int, overlap: int, score_threshold: float) -> Ints:
        """The detections at or above the score that are false positives in the view."""
        sure = self.data.found.score[self.kept] >= score_threshold
        return np.asarray(self.kept[sure & (self.outcome(view, overlap) == FALSE_POSITIVE)])


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
    kept, rank = _by_class_and_score(data, cell)
    if most is not None and (rank >= most).any():
        kept, rank = kept[rank < most], rank[rank < most]
    first = np.searchsorted(found.label[kept], np.arange(classes + 1))
    counts = np.array([view.truth_counts for view in views]).reshape(len(views), len(truth)) & ~regions
    # COCO caps the threshold just below 1, so that rounding does not lose a perfect match.
    needed = np.minimum(np.asarray(overlaps, dtype=np.float64), 1 - 1e-10)
    pairs = overlap_pairs(
        cell[kept],
        found.boxes,
        truth.picture * classes + truth.label,
        truth.boxes,
        regions,
        float(needed.min()),
        kept,
    )
    overlapping, chooser = _numbered(pairs.chooser)
    enters = [
        np.ones(len(overlapping), dtype=bool) if view.found_enters is None else view.found_enters[kept[overlapping]]
        for view in views
    ]
    pairs = Pairs(chooser, pairs.item, pairs.overlap)
    taken = _take(pairs, cell[kept[overlapping]], needed, counts, np.array(enters).reshape(len(views), -1), regions)
    return Outcomes(data, views, tuple(overlaps), regions, kept, rank, first, overlapping, taken)


def _by_class_and_score(data: DataSet, cell: Ints) -> tuple[Ints, NDArray[np.int32]]:
    """All detections, ordered by class, falling score and picture, in a tie by file order, as COCO is; and the place of
    each among those of its ``cell``.
    """
    found = data.found
    order = np.arange(len(found))
    if (np.diff(found.picture) < 0).any():
        order = np.argsort(found.picture, kind="stable")
    # Numbers of two bytes are sorted several times as fast.
    label = found.label.astype(np.int16 if len(data.labels) < 1 << 15 else np.int64)
    order = order[np.lexsort((-found.score[order], label[order]))]
    return order, rank_in_cell(cell[order]).astype(np.int32)


def _numbered(rising: Ints) -> tuple[Ints, Ints]:
    """The different values of numbers that never fall, and for each number the position of its value."""
    new = np.concatenate([[True], rising[1:] != rising[:-1]]) if len(rising) else np.zeros(0, dtype=bool)
    return rising[new], np.cumsum(new) - 1


def _take(
    pairs: Pairs, cells: Ints, needed: NDArray[np.float64], counts: Bools, enters: Bools, regions: Bools
) -> NDArray[np.int32]:
    """The truth box that each detection takes: views x overlaps x detections, which stand in the ``cells``, the surest
    of each first.
    """
    shape = (len(counts), len(needed))
    taken = np.full((*shape, len(cells)), -1, dtype=np.int32)
    if not len(pairs):
        return taken
    turn = rank_in_cell(cells)[pairs.chooser]
    wanted = ranks(pairs.item, pairs.overlap)
    for part in _parts(cells[pairs.chooser], turn):
        wish = np.where(counts[:, pairs.item[part]], wanted[part] + np.int32(len(wanted)), wanted[part])
        wish = np.where(enters[:, pairs.chooser[part]], wish, 0)
        wish = np.where(pairs.overlap[part] >= needed[:, None], wish[:, None, :], 0).reshape(-1, len(part))
        local, who = np.unique(pairs.chooser[part], return_inverse=True)
        items, what = np.unique(pairs.item[part], return_inverse=True)
        piece = Pairs(who, what, pairs.overlap[part])
        choice = assign(piece, turn[part], np.ascontiguousarray(wish.T), len(local), len(items), regions[items])
        result = np.where(choice >= 0, items[choice], -1).T.reshape(*shape, len(local))
        taken[:, :, local] = result
    return taken


def _parts(cell: Ints, turn: Ints) -> list[Ints]:
    """The pairs in parts of about ``_CHUNK``, no cell being cut, ordered so that a chooser's pairs are neighbours."""
    order = np.lexsort((turn, cell))
    if len(order) <= _CHUNK:
        return [order]
    ordered = cell[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    cuts = np.unique(starts[np.searchsorted(starts, np.arange(_CHUNK, len(order), _CHUNK), side="right") - 1])
    return list(np.split(order, cuts[cuts > 0]))
