"""Identity: for how much of the time the tracker keeps to the right road user.

Source: Ristani et al., Performance Measures and a Data Set for Multi-Target, Multi-Camera Tracking, 2016, as computed
by TrackEval.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from vru.evaluation.core.tables import Floats, or_none, ratio
from vru.evaluation.tracking.sequences import Sequence


@dataclass(frozen=True, slots=True)
class IdentityCounts:
    """Boxes with the right identity, truth boxes without, and the tracker's boxes without."""

    right: int = 0
    missing: int = 0
    false_positives: int = 0

    @classmethod
    def total(cls, parts: Iterable["IdentityCounts"]) -> "IdentityCounts":
        """The sum."""
        parts = list(parts)
        return cls(
            sum(part.right for part in parts),
            sum(part.missing for part in parts),
            sum(part.false_positives for part in parts),
        )

    def metrics(self) -> dict[str, float | None]:
        """IDF1, ID precision and ID recall. None where there is nothing to divide by."""
        return or_none(identity_rates(self.row()[None]))

    def row(self) -> Floats:
        """The counts as numbers, in the order of the fields."""
        return np.array([self.right, self.missing, self.false_positives], dtype=np.float64)


def identity_rates(sums: Floats) -> dict[str, Floats]:
    """The figures of each row of summed counts (m x 3, see ``IdentityCounts.row``); NaN where nothing divides."""
    right, missing, false_positives = sums.T
    truths, said = right + missing, right + false_positives
    return {"idf1": ratio(2 * right, truths + said), "idp": ratio(right, said), "idr": ratio(right, truths)}


def identity(sequence: Sequence, threshold: float = 0.5) -> IdentityCounts:
    """Pair whole tracks one to one, so that most boxes have the right identity; count those."""
    truths, founds = len(sequence.truth_ids), len(sequence.found_ids)
    together = np.zeros((truths, founds))
    for frame in sequence.frames:
        rows, columns = np.nonzero(frame.overlap >= threshold)
        together[frame.truths[rows], frame.founds[columns]] += 1
    # An unpaired track costs nothing beyond its boxes, so the best pairing is the one with the most shared boxes.
    rows, columns = linear_sum_assignment(-together)
    right = int(together[rows, columns].sum())
    return IdentityCounts(right, sequence.truth_boxes - right, sequence.found_boxes - right)
