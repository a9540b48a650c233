"""Greedy one-to-one assignment, for many cells, thresholds and views at once.

A cell is one class in one picture: boxes of different cells never meet. Within a cell the choosers choose one after the
other, each the free item that it wants most. The first choosers of all cells choose at the same time, then all second
ones, and so on: as many steps as the fullest cell has choosers, however many cells there are.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vru.evaluation.core.ordering import stable_order
from vru.evaluation.core.tables import Bools, Floats, Ints

# Pairs that are looked at in one go: bounds the memory.
_CHUNK = 1_000_000


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs of a chooser and an item of the same cell, ordered by chooser, then item. ``overlap`` is from 0 to 1."""

    chooser: Ints
    item: Ints
    overlap: Floats

    def __len__(self) -> int:
        return len(self.chooser)


def overlaps(boxes: Floats, items: Floats, region: Bools) -> Floats:
    """Overlap of each of n boxes with each of m items (n x 4 and m x 4: x, y, width, height), n x m, from 0 to 1: for a
    few of them, where ``overlap_pairs`` has many.
    """
    mine, theirs = _Sides.of(boxes), _Sides.of(items)
    width = np.minimum(mine.right[:, None], theirs.right) - np.maximum(mine.left[:, None], theirs.left)
    height = np.minimum(mine.bottom[:, None], theirs.bottom) - np.maximum(mine.top[:, None], theirs.top)
    return _share(width, height, mine.area[:, None], theirs.area, region)


def _share(width: Floats, height: Floats, area: Floats, item_area: Floats, region: Bools) -> Floats:
    """The overlap of boxes that share so much width and height: intersection over union; with a ``region``, over the
    box's own area, as COCO does for crowds: a detection inside of one is excused however large it is.
    """
    shared = np.where((width > 0) & (height > 0), width * height, 0.0)
    whole = np.where(region, area, area + item_area - shared)
    return np.asarray(np.divide(shared, whole, out=np.zeros_like(shared), where=shared > 0))


def overlap_pairs(
    cells: Ints,
    boxes: Floats,
    item_cells: Ints,
    item_boxes: Floats,
    region: Bools,
    least: float,
    which: Ints | None = None,
) -> Pairs:
    """All pairs of a box with an item of the same cell that overlap by at least ``least`` (which is above 0).

    Overlap is intersection over union; with a ``region`` it is intersection over the box's own area. Boxes are n x 4:
    x, y, width, height. ``which`` are those of the ``boxes`` that the ``cells`` are of; None for all of them in order.
    """
    order = stable_order(item_cells)
    sorted_cells = item_cells[order]
    start = np.searchsorted(sorted_cells, cells, side="left")
    # Only boxes with an item in their cell can overlap one; of a large data set that is a small part.
    there = np.flatnonzero(start < len(order))
    there = there[sorted_cells[start[there]] == cells[there]]
    start = start[there]
    count = np.searchsorted(sorted_cells, cells[there], side="right") - start
    mine = _Sides.of(boxes[there if which is None else which[there]])
    theirs, region = _Sides.of(item_boxes[order]), region[order]
    kept = [_overlapping(part, start, count, mine, theirs, region, least) for part in _chunks(count)]
    if not kept:
        return Pairs(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros(0))
    chooser, item, overlap = (np.concatenate(columns) for columns in zip(*kept, strict=True))
    return Pairs(there[chooser], order[item], overlap)


class _Sides(NamedTuple):
    """Boxes as columns."""

    left: Floats
    top: Floats
    right: Floats
    bottom: Floats
    area: Floats

    @classmethod
    def of(cls, boxes: Floats) -> "_Sides":
        x, y, width, height = boxes.T
        return cls(x, y, x + width, y + height, width * height)

    def per(self, count: Ints, part: slice) -> "_Sides":
        """The boxes of a part, each so many times."""
        return _Sides(*(np.repeat(side[part], count) for side in self))

    def at(self, places: Ints) -> "_Sides":
        return _Sides(*(side[places] for side in self))


def _chunks(count: Ints) -> Iterator[slice]:
    """Slices of the choosers with about ``_CHUNK`` pairs each."""
    total = np.cumsum(count)
    first = 0
    while first < len(count):
        before = total[first - 1] if first else 0
        last = max(int(np.searchsorted(total, before + _CHUNK, side="right")), first + 1)
        yield slice(first, last)
        first = last


def _overlapping(
    part: slice, start: Ints, count: Ints, boxes: _Sides, items: _Sides, region: Bools, least: float
) -> tuple[Ints, Ints, Floats]:
    """The pairs of some boxes, each with so many items from its ``start`` on."""
    counts = count[part]
    chooser = np.repeat(np.arange(part.start, part.stop), counts)
    item = np.arange(len(chooser)) + np.repeat(start[part] - np.cumsum(counts) + counts, counts)
    mine, theirs = boxes.per(counts, part), items.at(item)
    width = np.minimum(mine.right, theirs.right) - np.maximum(mine.left, theirs.left)
    height = np.minimum(mine.bottom, theirs.bottom) - np.maximum(mine.top, theirs.top)
    overlap = _share(width, height, mine.area, theirs.area, region[item])
    near = overlap >= least
    return chooser[near], item[near], overlap[near]


def assign(
    pairs: Pairs, turn: Ints, wish: NDArray[np.int32], choosers: int, items: int, reusable: Bools
) -> NDArray[np.int32]:
    """Let each chooser take the free item that it wants most, in turn.

    ``turn`` says for each pair when its chooser chooses: its rank in its cell. ``wish`` is pairs x variants: how much
    the chooser wants the item in that variant, 0 for not at all; two items of one chooser never have the same wish
    above 0. An item is taken once in each variant, unless it is ``reusable``.

    Returns choosers x variants: the item taken, -1 for none.
    """
    variants = wish.shape[1]
    choice = np.full((choosers, variants), -1, dtype=np.int32)
    taken = np.zeros((items, variants), dtype=bool)
    order = np.argsort(turn, kind="stable")  # stable: the pairs of one chooser stay together
    bounds = np.flatnonzero(np.diff(turn[order])) + 1
    for chosen in np.split(order, bounds) if len(order) else []:
        chooser, item = pairs.chooser[chosen], pairs.item[chosen]
        blocked = taken[item] & ~reusable[item][:, None]
        wanted = np.where(blocked, 0, wish[chosen])
        starts = np.flatnonzero(np.concatenate([[True], chooser[1:] != chooser[:-1]]))
        if len(starts) == len(chosen):
            won = wanted > 0
        else:
            most = np.maximum.reduceat(wanted, starts, axis=0)
            lengths = np.diff(np.append(starts, len(chosen)))
            won = (wanted == np.repeat(most, lengths, axis=0)) & (wanted > 0)
        row, variant = np.nonzero(won)
        choice[chooser[row], variant] = item[row]
        taken[item[row], variant] = True
    return choice


def ranks(*keys: NDArray[np.generic]) -> NDArray[np.int32]:
    """Position of each entry in the order of the keys, the last key first in importance; from 1, all different."""
    order = np.lexsort(keys)
    position = np.empty(len(order), dtype=np.int32)
    position[order] = np.arange(1, len(order) + 1, dtype=np.int32)
    return position
