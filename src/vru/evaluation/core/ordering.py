"""Stable orders of many numbers, digit by digit: a fifth of the time that comparing them takes."""

import numpy as np
from numpy.typing import NDArray

from vru.evaluation.core.tables import Floats, Ints

# numpy sorts numbers of two bytes by counting them, and wider ones by comparing them.
_DIGIT = 16


def stable_order(keys: Ints | NDArray[np.uint64]) -> Ints:
    """The positions of whole numbers that are not below 0, in rising order; equal ones as they stand.

    Source: least significant digit radix sort (Knuth, The Art of Computer Programming, volume 3, 5.2.5).
    """
    order = np.arange(len(keys))
    if not len(keys):
        return order
    largest = int(keys.max())
    for shift in range(0, largest.bit_length(), _DIGIT):
        digits = (keys[order] >> keys.dtype.type(shift)).astype(np.uint16)
        order = order[np.argsort(digits, kind="stable")]
    return order


def rising(values: Floats) -> NDArray[np.uint64]:
    """Whole numbers that stand in the same order as these finite numbers.

    The bits of a floating-point number (IEEE 754) rise with it, those of one below 0 fall.
    """
    # Adding 0 makes one of the two zeros the other.
    bits = (values + 0.0).view(np.uint64)
    sign = np.uint64(1 << 63)
    return np.where(bits & sign, ~bits, bits | sign)


def falling(values: Floats) -> NDArray[np.uint64]:
    """Whole numbers that stand in the opposite order of these finite numbers."""
    return ~rising(values)


def rank_in_cell(cells: Ints) -> Ints:
    """Position of each entry among the earlier entries of its cell, from 0. ``cells`` may come in any order."""
    order = stable_order(cells)
    ranks = np.empty(len(cells), dtype=np.int64)
    ranks[order] = rank_in_run(cells[order])
    return ranks


def rank_in_run(values: Ints) -> Ints:
    """Position of each entry in its run of equal values, from 0."""
    starts = run_starts(values)
    return np.arange(len(values)) - np.repeat(starts, np.diff(np.append(starts, len(values))))


def run_starts(values: Ints) -> Ints:
    """Where the runs of equal values begin."""
    return np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]])) if len(values) else np.zeros(0, np.int64)
