"""Boxes of a unit that was not seen, put before all detections: what bounds of ranked figures allow for."""

from dataclasses import dataclass

from vru.evaluation.core.tables import Floats


@dataclass(frozen=True, slots=True)
class UnseenDetections:
    """Hits, false boxes and truth boxes, views x classes each, and in how many ``pictures``."""

    true_positives: Floats
    false_positives: Floats
    truths: Floats
    pictures: float

    def __mul__(self, weight: float) -> "UnseenDetections":
        return UnseenDetections(
            self.true_positives * weight, self.false_positives * weight, self.truths * weight, self.pictures * weight
        )
