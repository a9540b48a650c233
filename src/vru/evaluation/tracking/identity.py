"""Identity: for how much of the time the tracker keeps to the right road user.

Source: Ristani et al., Performance Measures and a Data Set for Multi-Target, Multi-Camera Tracking, 2016, as computed
by TrackEval.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from vru.evaluation.tracking.sequences import Sequence


@dataclass(frozen=True, slots=True)
class IdentityCounts:
    """Boxes with the right identity, truth boxes without, and the tracker's boxes without."""

    right: int = 0
    missing: int = 0
    wrong: int = 0

    @classmethod
    def total(cls, parts: Iterable["IdentityCounts"]) -> "IdentityCounts":
        """The sum."""
        parts = list(parts)
        return cls(
            sum(part.right for part in parts), sum(part.missing for part in parts), sum(part.wrong for part in parts)
        )

    def figures(self) -> dict[str, float | None]:
        """IDF1, ID precision and ID recall. None where there is nothing to divide by."""
        truths, said = self.right + self.missing, self.right + self.wrong
        return {
            "idf1": 2 * self.right / (truths + said) if truths + said else None,
            "idp": self.right / said if said else None,
            "idr": self.right / truths if truths else None,
        }


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
