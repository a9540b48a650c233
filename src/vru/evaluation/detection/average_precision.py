"""Average precision with COCO's 101-point interpolation."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vru.evaluation.core.tables import Floats

RECALLS = np.linspace(0.0, 1.0, 101)
# Detections whose weights are in memory at a time. They fit into a processor's cache: that is faster, too.
_BLOCK = 1 << 14


def average_precision(hit_weights: Floats, miss_weights: Floats, truth_weight: float) -> float | None:
    """Average precision of one class.

    Source: COCO's ``COCOeval.accumulate``: precision at each of 101 recalls from 0 to 1 is the highest precision at
    that recall or above, 0 where that recall is never reached; the result is their mean.

    ``hit_weights`` and ``miss_weights`` have one entry per detection in falling order of score: 1 and 0 for a true
    positive, 0 and 1 for a false positive (other weights are those of a resample). ``truth_weight`` is the number of
    truth boxes. None if there is no truth box: the figure is then not defined.
    """
    if truth_weight <= 0:
        return None
    true_positives = np.cumsum(hit_weights)
    all_counted = true_positives + np.cumsum(miss_weights)
    envelope = np.maximum.accumulate(_precision(true_positives, all_counted)[::-1])[::-1]
    positions = np.searchsorted(true_positives / truth_weight, RECALLS, side="left")
    reached = positions < len(envelope)
    return float(envelope[positions[reached]].sum() / len(RECALLS))


@dataclass(frozen=True, slots=True)
class Ranked:
    """One class's detections by falling score, 5 bytes each, for many resamples: whether each is a ``hit``, and the
    number of its independent ``unit``. ``hits_of`` and ``all_of`` are the units' hits, and detections.
    """

    hit: NDArray[np.bool_]
    unit: NDArray[np.int32]
    hits_of: Floats
    all_of: Floats

    @classmethod
    def of(cls, hit: NDArray[np.bool_], unit: NDArray[np.int32], units: int) -> "Ranked":
        """From the detections' own, and the number of units."""
        hits_of, all_of = np.zeros(units), np.zeros(units)
        for start in range(0, len(hit), _BLOCK):
            block = unit[start : start + _BLOCK]
            hits_of += np.bincount(block, weights=hit[start : start + _BLOCK], minlength=units)
            all_of += np.bincount(block, minlength=units)
        return cls(hit, unit, hits_of, all_of)

    def average_precision(
        self, weights: Floats, truth_weight: float, true_positives: float = 0.0, false_positives: float = 0.0
    ) -> float | None:
        """As the function of this name, with ``weights`` of the units whose sums are exact. So many
        ``true_positives`` and ``false_positives`` come before all others.

        It goes from the lowest score to the highest, block by block: the best precision at a recall or above is known
        at once, and what came before a block is the whole less what it holds and what comes after.
        """
        if truth_weight <= 0:
            return None
        # Sums of whole numbers are exact, in whatever order.
        hits_before = true_positives + float(self.hits_of @ weights)
        all_before = true_positives + false_positives + float(self.all_of @ weights)
        best_after, best_at, reached = 0.0, np.zeros(len(RECALLS)), 0
        for start in reversed(range(0, len(self.hit), _BLOCK)):
            drawn = weights[self.unit[start : start + _BLOCK]]
            found = np.cumsum(np.where(self.hit[start : start + _BLOCK], drawn, 0.0))
            all_counted = np.cumsum(drawn)
            hits_before -= float(found[-1])
            all_before -= float(all_counted[-1])
            found += hits_before
            all_counted += all_before
            precision = _precision(found, all_counted)
            precision[-1] = max(precision[-1], best_after)
            envelope = np.maximum.accumulate(precision[::-1])[::-1]
            best_after = float(envelope[0])
            found /= truth_weight
            positions = np.searchsorted(found, RECALLS, side="left")
            # Recalls that an earlier block reaches already are put right there.
            within = int(np.count_nonzero(positions < len(found)))
            best_at[:within] = envelope[positions[:within]]
            reached = max(reached, within)
        if true_positives:
            first = int(np.searchsorted(RECALLS, true_positives / truth_weight, side="right"))
            best_at[:first] = np.maximum(best_at[:first], true_positives / (true_positives + false_positives))
            reached = max(reached, first)
        return float(best_at[:reached].sum() / len(RECALLS))


def _precision(true_positives: Floats, all_counted: Floats) -> Floats:
    """Where a resample has drawn none of the first detections, their precision is not defined, and not asked for."""
    return np.divide(true_positives, all_counted, out=np.zeros_like(true_positives), where=all_counted > 0)
