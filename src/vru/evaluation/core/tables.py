"""Truth and detections of a whole data set as columns: what the metrics of data sets work on."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vru.domain.classes import VruClass

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

# Classes of road users are positions in it.
CLASSES = tuple(VruClass)


@dataclass(frozen=True, slots=True)
class Truth:
    """n truth boxes, in the order of their file. Pixels, ``boxes`` is n x 4: x, y, width, height.

    ``picture`` and ``label`` are positions among the data set's pictures and labels; ``track`` is the road user's id in
    its sequence, -1 where the file names none. ``crowd`` marks regions that may hold any number of road users,
    ``ignore`` single ones that score neither a hit nor a miss. ``occlusion`` and ``truncation`` are the shares hidden
    and outside of the picture, 0 to 1, NaN where unknown; ``occlusion_level`` is KITTI's 0 to 3, -1 where unknown.
    ``truncated`` says that the box is marked as reaching out of the picture. ``distance`` is in metres, NaN unknown.
    ``area`` is the annotated area in square pixels, which for COCO is the mask's and not the box's.
    """

    picture: Ints
    label: Ints
    boxes: Floats
    area: Floats
    track: Ints
    crowd: Bools
    ignore: Bools
    occlusion: Floats
    truncation: Floats
    occlusion_level: Ints
    truncated: Bools
    distance: Floats

    def __len__(self) -> int:
        return len(self.picture)

    def take(self, which: Ints | Bools) -> "Truth":
        """The boxes at these positions."""
        return Truth(*(getattr(self, name)[which] for name in self.__slots__))


@dataclass(frozen=True, slots=True)
class Found:
    """n detections, in the order of their file. ``track`` is the tracker's id, -1 where it names none."""

    picture: Ints
    label: Ints
    boxes: Floats
    score: Floats
    track: Ints

    def __len__(self) -> int:
        return len(self.picture)

    @property
    def area(self) -> Floats:
        """Square pixels."""
        return np.asarray(self.boxes[:, 2] * self.boxes[:, 3])

    def take(self, which: Ints | Bools) -> "Found":
        """The detections at these positions."""
        return Found(*(getattr(self, name)[which] for name in self.__slots__))


@dataclass(frozen=True, slots=True)
class DataSet:
    """Pictures with their truth and the detections of one model.

    ``size`` is each picture's width and height in pixels (pictures x 2, NaN unknown), None where no file says any.
    ``sequence`` and ``frame`` say for each picture to which of the ``sequences`` it belongs, and where in it it stands
    (rising). A data set of unrelated pictures has one sequence for each picture.
    """

    labels: tuple[str, ...]
    sequences: tuple[str, ...]
    sequence: Ints
    frame: Ints
    truth: Truth
    found: Found
    size: Floats | None = None

    @property
    def pictures(self) -> int:
        """How many pictures there are, also those that show nobody."""
        return len(self.sequence)


def truth_table(
    picture: Iterable[int],
    label: Iterable[int],
    boxes: Iterable[Iterable[float]] | Floats,
    *,
    area: Iterable[float] | None = None,
    track: Iterable[int] | None = None,
    crowd: Iterable[bool] | None = None,
    ignore: Iterable[bool] | None = None,
    occlusion: Iterable[float] | None = None,
    truncation: Iterable[float] | None = None,
    occlusion_level: Iterable[int] | None = None,
    truncated: Iterable[bool] | None = None,
    distance: Iterable[float] | None = None,
) -> Truth:
    """A truth table from its columns; what is left out is unknown, and the area is the box's."""
    pictures = np.asarray(picture, dtype=np.int64)
    count = len(pictures)
    table = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)

    return Truth(
        picture=pictures,
        label=np.asarray(label, dtype=np.int64),
        boxes=table,
        area=table[:, 2] * table[:, 3] if area is None else np.asarray(area, dtype=np.float64),
        track=np.full(count, -1, dtype=np.int64) if track is None else np.asarray(track, dtype=np.int64),
        crowd=np.full(count, False, dtype=np.bool_) if crowd is None else np.asarray(crowd, dtype=np.bool_),
        ignore=np.full(count, False, dtype=np.bool_) if ignore is None else np.asarray(ignore, dtype=np.bool_),
        occlusion=np.full(count, np.nan, dtype=np.float64)
        if occlusion is None
        else np.asarray(occlusion, dtype=np.float64),
        truncation=np.full(count, np.nan, dtype=np.float64)
        if truncation is None
        else np.asarray(truncation, dtype=np.float64),
        occlusion_level=np.full(count, -1, dtype=np.int64)
        if occlusion_level is None
        else np.asarray(occlusion_level, dtype=np.int64),
        truncated=np.full(count, False, dtype=np.bool_) if truncated is None else np.asarray(truncated, dtype=np.bool_),
        distance=np.full(count, np.nan, dtype=np.float64)
        if distance is None
        else np.asarray(distance, dtype=np.float64),
    )


def found_table(
    picture: Iterable[int],
    label: Iterable[int],
    boxes: Iterable[Iterable[float]] | Floats,
    score: Iterable[float],
    track: Iterable[int] | None = None,
) -> Found:
    """A table of detections from its columns."""
    pictures = np.asarray(picture, dtype=np.int64)
    return Found(
        picture=pictures,
        label=np.asarray(label, dtype=np.int64),
        boxes=np.asarray(boxes, dtype=np.float64).reshape(-1, 4),
        score=np.asarray(score, dtype=np.float64),
        track=np.full(len(pictures), -1, dtype=np.int64) if track is None else np.asarray(track, dtype=np.int64),
    )


def ratio(above: Floats, below: Floats) -> Floats:
    """Quotient, NaN where nothing is below the line."""
    return np.asarray(np.divide(above, below, out=np.full(np.shape(above), np.nan), where=np.asarray(below) > 0))


def or_none(rows: Mapping[str, Floats]) -> dict[str, float | None]:
    """The first of each figure's values; None for NaN."""
    return {name: None if np.isnan(values[0]) else float(values[0]) for name, values in rows.items()}
