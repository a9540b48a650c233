"""What became of each detection of a data set, at several overlaps and in several views at once.

A view says which truth boxes and which detections count: all of them, the small ones, the reasonable ones, those of a
slice. A truth box that does not count may still be found, and the detection that finds it does not count either. Every
metric of detection here (COCO's numbers, the miss rate, precision and recall at a confidence) is computed from these
outcomes, so they agree with each other and with the list of misses.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vru.evaluation.core.assignment import Pairs, assign, overlap_pairs, ranks
from vru.evaluation.core.ordering import falling, rank_in_run, run_starts, stable_order
from vru.evaluation.core.tables import Bools, DataSet, Floats, Ints

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
class Taken:
    """The truth boxes that detections take; the detections are those that overlap one enough for the lowest overlap.

    Most of them overlap a single truth box, together with others that overlap only this one. What happens to them is
    the same in every view, and follows from one rule: a truth box goes to the first that overlaps it enough, so a
    detection takes its ``truth`` box at the overlaps from the position ``begin`` on, up to ``end``. The others are
    ``several``, positions that rise; ``of_several`` is views x overlaps x several, -1 for none.
    """

    truth: NDArray[np.int32]
    begin: NDArray[np.int16]
    end: NDArray[np.int16]
    several: Ints
    of_several: NDArray[np.int32]

    def at(self, view: int, overlap: int, which: slice) -> NDArray[np.int32]:
        """The truth box that each of the detections takes, -1 for none."""
        return np.asarray(self.everywhere(slice(view, view + 1), slice(overlap, overlap + 1), which)[0, 0])

    def everywhere(self, views: slice, overlaps: slice, which: slice) -> NDArray[np.int32]:
        """The same for several views and overlaps: views x overlaps x detections."""
        begin, end = np.searchsorted(self.several, (which.start, which.stop))
        several = self.of_several[views, overlaps, begin:end]
        place = np.arange(self.of_several.shape[1], dtype=np.int16)[overlaps, None]
        holds = (self.begin[which] <= place) & (place < self.end[which])
        taken = np.where(holds, self.truth[which], np.int32(-1))
        result = np.repeat(taken[None], len(several), axis=0)
        result[:, :, self.several[begin:end] - which.start] = several
        return result


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What became of the detections.

    ``kept`` are the detections that took part, ordered by class, falling score, picture and rank: ``rank`` is the place
    of each among the detections of its class in its picture, from 0. ``first`` has for each class where its detections
    begin in ``kept``, and one entry more. ``regions`` are the truth boxes that excuse any number of detections lying
    inside of them; they never count. ``overlapping`` are the places in ``kept``, rising, of the detections that overlap
    a truth box enough to take it, and ``taken`` is what they take.
    """

    data: DataSet
    views: tuple[View, ...]
    overlaps: tuple[float, ...]
    regions: Bools
    kept: Ints
    rank: NDArray[np.int32]
    first: Ints
    overlapping: Ints
    taken: Taken

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
        taken = self.taken.at(view, overlap, which)
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
        result[self.overlapping] = self.taken.at(view, overlap, self.overlapping_of(None))
        return result

    def missed(self, view: int, overlap: int, score_threshold: float) -> Ints:
        """The truth boxes that count in the view and that no detection at or above the score took."""
        taken = self.taken.at(view, overlap, self.overlapping_of(None))
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
    max_detections: int | None = 100,
) -> Outcomes:
    """Match the detections with the truth: greedy by falling score, within a picture and a class.

    Each detection takes, of the truth boxes that are still free and that it overlaps enough, one that counts rather
    than one that does not, and of those the one that it overlaps most (the last one on a tie). ``regions`` (over the
    truth) are taken by any number of detections, by intersection over the detection's own area. Of each class in each
    picture the ``max_detections`` surest detections take part, all if it is None. The ``overlaps`` rise.

    Source: COCO's ``COCOeval.evaluateImg``, whose views are four ranges of area and whose regions are the crowds.
    """
    views = tuple(views)
    truth, found = data.truth, data.found
    classes = max(len(data.labels), 1)
    cell = found.picture * classes + found.label
    order = _by_class_and_score(data)
    by_cell = stable_order(cell[order])
    rank = np.empty(len(order), dtype=np.int32)
    rank[by_cell] = rank_in_run(cell[order][by_cell])
    if max_detections is not None and (rank >= max_detections).any():
        order, rank = order[rank < max_detections], rank[rank < max_detections]
        by_cell = stable_order(cell[order])
    counts = np.array([view.truth_counts for view in views]).reshape(len(views), len(truth)) & ~regions
    # COCO caps the threshold just below 1, so that rounding does not lose a perfect match.
    needed = np.minimum(np.asarray(overlaps, dtype=np.float64), 1 - 1e-10)
    if (np.diff(needed) < 0).any():
        raise ValueError(f"the overlaps {overlaps} do not rise")
    # The detections cell by cell, the surest of each first: so no cell is cut, and none looked for twice.
    turns = order[by_cell]
    pairs = overlap_pairs(
        cell[turns],
        found.boxes,
        truth.picture * classes + truth.label,
        truth.boxes,
        regions,
        float(needed.min()),
        turns,
    )
    starts = run_starts(pairs.chooser)
    detections = pairs.chooser[starts]
    chooser = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(pairs))))
    places = by_cell[detections]
    overlapping = np.sort(places)
    taken = _take(
        Pairs(chooser, pairs.item, pairs.overlap),
        cell[turns[detections]],
        needed,
        counts,
        [None if view.found_enters is None else view.found_enters[turns[detections]] for view in views],
        regions,
        np.searchsorted(overlapping, places),
    )
    first = np.searchsorted(found.label[order], np.arange(classes + 1))
    return Outcomes(data, views, tuple(overlaps), regions, order, rank, first, overlapping, taken)


def _by_class_and_score(data: DataSet) -> Ints:
    """All detections, ordered by class, falling score and picture, in a tie by file order, as COCO is."""
    found = data.found
    order = np.arange(len(found))
    if (np.diff(found.picture) < 0).any():
        order = stable_order(found.picture)
    order = order[stable_order(falling(found.score[order]))]
    return order[stable_order(found.label[order])]


def _take(
    pairs: Pairs,
    cells: Ints,
    needed: Floats,
    counts: Bools,
    enters: Sequence[Bools | None],
    regions: Bools,
    places: Ints,
) -> Taken:
    """What detections take, which stand in the ``cells``, cell by cell, the surest of each first; in the result each
    stands at its place of ``places``.
    """
    count = len(cells)
    truth = np.zeros(count, dtype=np.int32)
    begin, end = np.zeros((2, count), dtype=np.int16)
    cell_of = np.cumsum(np.diff(cells, prepend=cells[:1]) != 0)
    # A cell is simple if each of its detections overlaps one truth box, and takes part in every view.
    simple = np.bincount(cell_of[pairs.chooser]) == np.bincount(cell_of) if count else np.zeros(0, dtype=bool)
    for entering in enters:
        if entering is not None:
            simple[cell_of[~entering]] = False
    alone = simple[cell_of] if count else np.zeros(0, dtype=bool)
    of_alone = np.flatnonzero(alone[pairs.chooser])
    level = np.searchsorted(needed, pairs.overlap[of_alone], side="right")
    item = pairs.item[of_alone]
    mine = places[pairs.chooser[of_alone]]
    truth[mine], end[mine] = item, level
    begin[mine] = np.where(regions[item], 0, _taken_before(item, level))
    several = np.flatnonzero(~alone)
    chosen = np.flatnonzero(~alone[pairs.chooser])
    number = np.cumsum(~alone) - 1
    rest = Pairs(number[pairs.chooser[chosen]], pairs.item[chosen], pairs.overlap[chosen])
    of_several = _choose(
        rest,
        cells[several],
        needed,
        counts,
        np.array([np.ones(len(several), bool) if part is None else part[several] for part in enters]).reshape(
            len(enters), -1
        ),
        regions,
    )
    order = np.argsort(places[several])
    return Taken(truth, begin, end, places[several][order], np.ascontiguousarray(of_several[:, :, order]))


def _taken_before(item: Ints, level: Ints) -> Ints:
    """For each detection, which come in turn, at how many of the rising overlaps an earlier one has its ``item``.

    ``level`` is at how many of them the detection overlaps the item enough.
    """
    by_item = stable_order(item)
    ordered = item[by_item]
    # The most that was reached so far: items come one after the other, so each begins above all before it.
    width = int(level.max(initial=0)) + 1
    reached = np.maximum.accumulate(ordered * width + level[by_item])
    before = np.zeros(len(item), dtype=np.int64)
    before[1:] = np.where(ordered[1:] == ordered[:-1], reached[:-1] - ordered[1:] * width, 0)
    result = np.empty(len(item), dtype=np.int64)
    result[by_item] = before
    return result


def _choose(
    pairs: Pairs, cells: Ints, needed: Floats, counts: Bools, enters: Bools, regions: Bools
) -> NDArray[np.int32]:
    """The truth box that each detection takes, by choosing in turn: views x overlaps x detections."""
    shape = (len(counts), len(needed))
    taken = np.full((*shape, len(cells)), -1, dtype=np.int32)
    if not len(pairs):
        return taken
    turn = rank_in_run(cells)[pairs.chooser]
    wanted = ranks(pairs.item, pairs.overlap)
    for part in _parts(cells[pairs.chooser]):
        wish = np.where(counts[:, pairs.item[part]], wanted[part] + np.int32(len(wanted)), wanted[part])
        wish = np.where(enters[:, pairs.chooser[part]], wish, 0)
        wish = np.where(pairs.overlap[part] >= needed[:, None], wish[:, None, :], 0).reshape(-1, wish.shape[1])
        local, who = np.unique(pairs.chooser[part], return_inverse=True)
        items, what = np.unique(pairs.item[part], return_inverse=True)
        piece = Pairs(who, what, pairs.overlap[part])
        choice = assign(piece, turn[part], np.ascontiguousarray(wish.T), len(local), len(items), regions[items])
        taken[:, :, local] = np.where(choice >= 0, items[choice], -1).T.reshape(*shape, len(local))
    return taken


def _parts(cell: Ints) -> Iterator[slice]:
    """The pairs in parts of about ``_CHUNK``, no cell being cut. The cells come one after the other."""
    starts = np.append(run_starts(cell), len(cell))
    first = 0
    while first < len(cell):
        last = int(starts[np.searchsorted(starts, first + _CHUNK, side="right") - 1])
        if last <= first:
            last = int(starts[np.searchsorted(starts, first, side="right")])
        yield slice(first, last)
        first = last
