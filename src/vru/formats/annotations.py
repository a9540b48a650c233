"""What every format is read into: pictures, classes, and boxes as columns. Standard library only.

Columns and not objects: a million boxes take 100 MB, and numpy reads the columns without copying them.
"""

import math
from array import array
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from vru.domain import VruError

Key = int | str
OCCLUDED, TRUNCATED, IGNORE, CROWD, HAS_TRACK, NAMED = (1 << bit for bit in range(6))
UNKNOWN = math.nan
LARGEST = 2**62


class FormatError(VruError):
    """A file that is not what it should be. The message names the place in it."""


@dataclass(frozen=True, slots=True)
class Picture:
    """An image, or a frame of a video.

    ``key`` is how the file names it (an image id, a frame number, a file's stem), ``where`` how a message should.
    ``sequence`` is a position among ``Annotations.sequences``. Sizes in pixels and times in seconds are None where the
    file does not say them. ``attributes`` are the file's own, such as ``light: night``. ``name`` is the image's file,
    "" where there is none, ``source`` the video or scene that the file says it is from.
    """

    key: Key
    where: str
    sequence: int
    frame_index: int | None = None
    time_s: float | None = None
    width: float | None = None
    height: float | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    name: str = ""
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Video:
    """What a file says about a whole video, to be checked against it. None where it says nothing."""

    where: str
    width: int | None = None
    height: int | None = None
    frame_count: int | None = None


class BoxRow(NamedTuple):
    """One box. Pixels; ``picture`` and ``label`` are positions. See ``Boxes`` for the rest."""

    picture: int
    label: int
    x: float
    y: float
    width: float
    height: float
    track: int | None = None
    score: float = UNKNOWN
    area: float = UNKNOWN
    occlusion: float = UNKNOWN
    truncation: float = UNKNOWN
    level: int = -1
    occluded: bool = False
    truncated: bool = False
    ignore: bool = False
    crowd: bool = False
    distance: float = UNKNOWN


class Boxes:
    """Boxes as columns, in the order of their file.

    ``picture`` and ``label`` are positions among the pictures and labels. ``occlusion`` and ``truncation`` are the
    shares hidden and outside of the picture (NaN unknown), ``level`` is KITTI's occlusion, 0 to 3 (-1 unknown),
    ``distance`` is in metres along the camera's axis (NaN unknown).
    ``place`` is a line, a position or an id, whatever ``describe`` makes of it.
    """

    def __init__(self, describe: "Callable[[Boxes, int], str]") -> None:
        self.picture, self.label, self.track, self.place = array("q"), array("q"), array("q"), array("q")
        self.x, self.y, self.width, self.height = array("d"), array("d"), array("d"), array("d")
        self.score, self.area = array("d"), array("d")
        self.occlusion, self.truncation, self.distance = array("d"), array("d"), array("d")
        self.level = array("b")
        self.flags = bytearray()
        # Sentences on how the file was read.
        self.notes: list[str] = []
        self._describe = describe

    def __len__(self) -> int:
        return len(self.flags)

    def add(self, row: BoxRow, place: int, *, named: bool = False) -> None:
        """Take one box. ``named`` says that ``place`` is an id of the file's own."""
        self.picture.append(row.picture)
        self.label.append(row.label)
        self.track.append(-1 if row.track is None else row.track)
        self.place.append(place)
        self.x.append(row.x)
        self.y.append(row.y)
        self.width.append(row.width)
        self.height.append(row.height)
        self.score.append(row.score)
        self.area.append(row.area)
        self.occlusion.append(row.occlusion)
        self.truncation.append(row.truncation)
        self.distance.append(row.distance)
        self.level.append(row.level)
        self.flags.append(
            OCCLUDED * row.occluded
            | TRUNCATED * row.truncated
            | IGNORE * row.ignore
            | CROWD * row.crowd
            | HAS_TRACK * (row.track is not None)
            | NAMED * named
        )

    def take_columns(
        self,
        *,
        picture: Any,
        label: Any,
        track: Any,
        place: Any,
        sides: Any,
        flags: Any,
        score: Any = None,
        area: Any = None,
        occlusion: Any = None,
        truncation: Any = None,
        distance: Any = None,
        level: Any = None,
    ) -> None:
        """Take many boxes: numpy arrays of 64-bit numbers, n each; ``sides`` is n x 4. None is unknown throughout."""
        count = len(picture)
        unknown = array("d", [UNKNOWN]) * count
        for whole, values in ((self.picture, picture), (self.label, label), (self.track, track), (self.place, place)):
            whole.frombytes(values.tobytes())
        for number, side in enumerate((self.x, self.y, self.width, self.height)):
            side.frombytes(sides[:, number].tobytes())
        for real, values in (
            (self.score, score),
            (self.area, area),
            (self.occlusion, occlusion),
            (self.truncation, truncation),
            (self.distance, distance),
        ):
            real.extend(unknown) if values is None else real.frombytes(values.tobytes())
        self.level.extend(array("b", [-1]) * count) if level is None else self.level.frombytes(
            level.astype("int8").tobytes()
        )
        self.flags.extend(flags.astype("uint8").tobytes())

    def replace_pictures(self, picture: Any) -> None:
        """Put other pictures in the place of those that the boxes have: a numpy array of 64-bit numbers."""
        self.picture = array("q")
        self.picture.frombytes(picture.tobytes())

    def where(self, number: int) -> str:
        """The place of a box in its file, for a message."""
        return self._describe(self, number)

    def row(self, number: int) -> BoxRow:
        """One box."""
        flags = self.flags[number]
        return BoxRow(
            self.picture[number],
            self.label[number],
            self.x[number],
            self.y[number],
            self.width[number],
            self.height[number],
            self.track[number] if flags & HAS_TRACK else None,
            self.score[number],
            self.area[number],
            self.occlusion[number],
            self.truncation[number],
            self.level[number],
            bool(flags & OCCLUDED),
            bool(flags & TRUNCATED),
            bool(flags & IGNORE),
            bool(flags & CROWD),
            self.distance[number],
        )

    def rows(self) -> Iterator[BoxRow]:
        """All boxes."""
        return (self.row(number) for number in range(len(self)))


@dataclass(slots=True)
class Annotations:
    """A file, or a folder of files, with ground truth.

    ``labels`` are the classes as the file names them; ``label_keys`` is how its format numbers them, for predictions.
    ``closed`` says that no other class can occur. ``amodal`` boxes may reach out of the picture. ``source`` is who or
    what made the boxes (``manual``, ``synthetic``, ``model:NAME``), "" where the file does not say it; ``automatic`` is
    how many of its tracks are marked as made by a program; ``approved_by`` is who vouches for them, "" for nobody, None
    where the file does not say it. ``declared`` says that the file itself tells which pictures belong to one video;
    ``assumption`` is what that rests on where it does not. ``notes`` are sentences on how the file was read.
    """

    format: str
    labels: list[str]
    label_keys: dict[Key, int]
    pictures: list[Picture]
    sequences: list[str]
    boxes: Boxes
    videos: list[Video] = field(default_factory=list)
    closed: bool = True
    amodal: bool = False
    normalised: bool = False
    source: str = ""
    approved_by: str | None = None
    automatic: int = 0
    declared: bool = True
    assumption: str = ""
    notes: list[str] = field(default_factory=list)

    def by_key(self) -> dict[Key, int]:
        """Position of each picture by its key. A key that is a number is found as text as well."""
        found: dict[Key, int] = {}
        for position, picture in enumerate(self.pictures):
            found.setdefault(picture.key, position)
        for position, picture in enumerate(self.pictures):
            found.setdefault(str(picture.key), position)
            if isinstance(picture.key, str) and picture.key.isdecimal():
                found.setdefault(int(picture.key), position)
        return found

    def label_of(self, name: Key, where: str) -> int:
        """Position of the class that a file calls ``name``; a new one if the file's classes are not ``closed``.

        Raises:
            FormatError: there is no such class.
        """
        if name in self.label_keys:
            return self.label_keys[name]
        for position, label in enumerate(self.labels):
            if str(name).lower() == label.lower():
                return position
        if self.closed or not isinstance(name, str):
            known = ", ".join(self.labels[:20]) + (", ..." if len(self.labels) > 20 else "")
            raise FormatError(f"{where}: unknown class {name!r}.", f"The truth has: {known or 'no class'}.")
        self.labels.append(name)
        return len(self.labels) - 1


def check_box(x: float, y: float, width: float, height: float, where: str, *, truth: bool = True) -> None:
    """Do nothing if this can be a box; a detection, unlike truth, may be empty.

    Raises:
        FormatError: a coordinate is not a finite number, or a side is not above 0.
    """
    if not (math.isfinite(x) and math.isfinite(y) and math.isfinite(width) and math.isfinite(height)):
        raise FormatError(f"{where}: the box ({x}, {y}, {width}, {height}) is not of finite numbers.", "Correct it.")
    if width < 0 or height < 0 or (truth and not (width > 0 and height > 0)):
        raise FormatError(
            f"{where}: the box is {width:g} wide and {height:g} high: it has no area.",
            "Width and height must be above 0.",
        )


def check_score(score: float, where: str) -> float:
    """``score``, if it is a finite number.

    Raises:
        FormatError: it is not.
    """
    if not math.isfinite(score):
        raise FormatError(f"{where}: the confidence is {score}, not a finite number.", "Correct it.")
    return score


def check_inside(annotations: Annotations, tolerance: float) -> None:
    """Do nothing if every truth box lies in its picture, to within ``tolerance`` pixels, where the picture's size is
    known. Amodal boxes need only touch it.

    Raises:
        FormatError: one does not.
    """
    for number in _reaching_out(annotations, tolerance):
        boxes, picture = annotations.boxes, annotations.pictures[annotations.boxes.picture[number]]
        left, top = boxes.x[number], boxes.y[number]
        right, bottom = left + boxes.width[number], top + boxes.height[number]
        raise FormatError(
            f"{boxes.where(number)} {'lies' if annotations.amodal else 'reaches'} outside of the frame: "
            f"({left:g}, {top:g}) to ({right:g}, {bottom:g}) in {picture.width:g}x{picture.height:g} pixels.",
            "Is it the truth of another video? Else cut the boxes at the frame's edge.",
        )


def _reaching_out(annotations: Annotations, tolerance: float) -> Iterator[int]:
    """Places of the boxes that lie outside of their picture, or amodal ones that do not touch it."""
    boxes, pictures = annotations.boxes, annotations.pictures
    sizes = [(picture.width, picture.height) for picture in pictures]
    for number, of in enumerate(boxes.picture):
        width, height = sizes[of]
        if width is None or height is None:
            continue
        left, top = boxes.x[number], boxes.y[number]
        right, bottom = left + boxes.width[number], top + boxes.height[number]
        if annotations.amodal:
            if right <= 0 or bottom <= 0 or left >= width or top >= height:
                yield number
        elif left < -tolerance or top < -tolerance or right > width + tolerance or bottom > height + tolerance:
            yield number


def integer(value: object, where: str) -> int:
    """``value`` as a whole number; text and floats that are one are taken too.

    Raises:
        FormatError: it is none.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        number = value
    else:
        try:
            real = float(value) if isinstance(value, str | float) else math.nan
        except ValueError:
            real = math.nan
        if not real.is_integer():
            raise FormatError(f"{where} is {value!r}, not a whole number.", "Correct it.")
        number = int(real)
    if not -LARGEST < number < LARGEST:
        raise FormatError(f"{where} is {number}, which is too large.", "Correct it.")
    return number


def number(value: object, where: str) -> float:
    """``value`` as a finite number; text that is one is taken too.

    Raises:
        FormatError: it is none.
    """
    try:
        real = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else None
    except (ValueError, OverflowError):
        real = None
    if real is None:
        raise FormatError(f"{where} is {value!r}, not a number.", "Correct it.")
    if not math.isfinite(real):
        raise FormatError(f"{where} is {value}, not a finite number.", "Correct it.")
    return real


def no_duplicates(boxes: Boxes, annotations: Annotations, whose: str) -> None:
    """Do nothing if no track has two boxes in a picture.

    Raises:
        FormatError: one has.
    """
    seen: set[tuple[int, int]] = set()
    tracked = bytes(flag & HAS_TRACK for flag in range(256))
    if not any(boxes.flags.translate(tracked)):
        return
    for position in range(len(boxes)):
        if not boxes.flags[position] & HAS_TRACK:
            continue
        pair = (boxes.picture[position], boxes.track[position])
        if pair in seen:
            where = annotations.pictures[pair[0]].where
            raise FormatError(
                f"{boxes.where(position)} is the second box of track {pair[1]} of the {whose} in {where}.",
                "A track has at most one box a frame: remove one, or give it another track id.",
            )
        seen.add(pair)
