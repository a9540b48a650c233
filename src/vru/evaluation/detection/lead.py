"""Boxes of a unit that was not seen, put before all detections: what bounds of ranked figures allow for."""

from dataclasses import dataclass

from vru.evaluation.core.tables import Floats


@dataclass(frozen=True, slots=True)
class Lead:
    """Hits, false boxes and truth boxes, views x classes each, and in how many ``pictures``."""

    hits: Floats
    wrong: Floats
    truths: Floats
    pictures: float

    def __mul__(self, weight: float) -> "Lead":
        return Lead(self.hits * weight, self.wrong * weight, self.truths * weight, self.pictures * weight)
