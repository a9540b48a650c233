"""Boxes in a frame: what is there (truth) and what a model says is there (detection)."""

import math
from dataclasses import dataclass

from vru.domain.classes import VruClass
from vru.domain.errors import VruError


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in pixels: origin at the top-left corner of the frame, right and bottom edges exclusive."""

    x: float
    y: float
    width: float
    height: float

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, (self.x, self.y, self.width, self.height))):
            raise VruError(f"Box {self.as_tuple()} has a coordinate that is not a finite number.")
        if self.width <= 0 or self.height <= 0:
            raise VruError(f"Box {self.as_tuple()} has no area.", "Width and height must be above 0.")

    @property
    def area(self) -> float:
        """Square pixels."""
        return self.width * self.height

    def as_tuple(self) -> tuple[float, float, float, float]:
        """``(x, y, width, height)``."""
        return (self.x, self.y, self.width, self.height)


@dataclass(frozen=True, slots=True)
class TruthBox:
    """One box of a ground-truth track in one frame.

    ``occluded`` and ``truncated`` say that part of the road user is hidden or outside the frame.
    An ``ignore`` box scores neither a hit nor a miss.
    """

    frame_index: int
    time_s: float
    box: Box
    occluded: bool = False
    truncated: bool = False
    ignore: bool = False


@dataclass(frozen=True, slots=True)
class Detection:
    """One box that a model found in one frame. ``score`` is the model's confidence, higher is surer."""

    frame_index: int
    time_s: float
    road_user: VruClass
    score: float
    box: Box


def iou(a: Box, b: Box) -> float:
    """Intersection over union of two boxes, from 0 to 1."""
    overlap_width = min(a.x + a.width, b.x + b.width) - max(a.x, b.x)
    overlap_height = min(a.y + a.height, b.y + b.height) - max(a.y, b.y)
    if overlap_width <= 0 or overlap_height <= 0:
        return 0.0
    overlap = overlap_width * overlap_height
    return overlap / (a.area + b.area - overlap)
