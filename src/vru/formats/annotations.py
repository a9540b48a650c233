"""What every format is read into: pictures, classes, and boxes as columns. Standard library only.

Columns and not objects: a million boxes take 100 MB, and numpy reads the columns without copying them.
"""

import math
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress
from typing import Any, NamedTuple

from vru.domain import VruError

Key = int | str
OCCLUDED, TRUNCATED, IGNORE, CROWD, HAS_TRACK, NAMED = (1 << bit for bit in range(6))
UNKNOWN = math.nan
LARGEST = 2**62
_LONGEST_SHOWN = 60
# Digits beyond which a number is none that anybody meant; Python converts no more than 4,300 of them.
_MOST_DIGITS = 40


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


_COLUMNS = (
    "picture", "label", "track", "place", "x", "y", "width", "height", "score", "area", "occlusion", "truncation",
    "distance", "level",
)  # fmt: skip


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

    def only(self, kept: Sequence[bool]) -> "Boxes":
        """The boxes that are ``kept``, one for each; they still know their places."""
        numbers = array("q", compress(range(len(self)), kept))
        found = Boxes(lambda _, number: self.where(numbers[number]))
        for name in _COLUMNS:
            column = getattr(self, name)
            setattr(found, name, array(column.typecode, compress(column, kept)))
        found.flags = bytearray(compress(self.flags, kept))
        found.notes = self.notes
        return found

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
    ``assumption`` is what that rests on where it does not. ``renamed`` gives classes, in lower case, another
    name; ``ignore_others`` says that detections of other classes are left out. ``notes`` are sentences on how the file
    was read.
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
    renamed: Mapping[str, str] = field(default_factory=dict)
    ignore_others: bool = False
    notes: list[str] = field(default_factory=list)

    def by_key(self) -> dict[Key, int]:
        """Position of each picture by its key. A key that is a number is found as text as well."""
        found: dict[Key, int] = {}
        for position, picture in enumerate(self.pictures):
            found.setdefault(picture.key, position)
        for position, picture in enumerate(self.pictures):
            found.setdefault(str(picture.key), position)
            number_of = whole(picture.key) if isinstance(picture.key, str) else None
            if number_of is not None:
                found.setdefault(number_of, position)
        return found

    def label_of(self, name: Key, where: str) -> int:
        """Position of the class that a file calls ``name``; a new one if the file's classes are not ``closed``. -1 for
        another class, if these are to be left out.

        Raises:
            FormatError: there is no such class.
        """
        if isinstance(name, str):
            name = self.renamed.get(name.lower(), name)
        if name in self.label_keys:
            return self.label_keys[name]
        for position, label in enumerate(self.labels):
            if str(name).lower() == label.lower():
                return position
        if self.ignore_others:
            return -1
        if self.closed or not isinstance(name, str):
            known = ", ".join(self.labels[:20]) + (", ..." if len(self.labels) > 20 else "")
            raise FormatError(
                f"{where}: unknown class {shown(name)}.",
                f"The truth has: {known or 'no class'}. --map renames, --ignore-other-classes leaves others out.",
            )
        self.labels.append(name)
        return len(self.labels) - 1


def check_box(x: float, y: float, width: float, height: float, where: str) -> None:
    """Do nothing if this is of finite numbers. Whether it has an area is looked at when all are read.

    Raises:
        FormatError: a coordinate is not a finite number.
    """
    if not (math.isfinite(x) and math.isfinite(y) and math.isfinite(width) and math.isfinite(height)):
        raise FormatError(f"{where}: the box ({x}, {y}, {width}, {height}) is not of finite numbers.", "Correct it.")


def check_score(score: float, where: str) -> float:
    """``score``, if it is a finite number.

    Raises:
        FormatError: it is not.
    """
    if not math.isfinite(score):
        raise FormatError(f"{where}: the confidence is {score}, not a finite number.", "Correct it.")
    return score


def shown(value: object) -> str:
    """``value`` as a message shows it: a long one by its beginning."""
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 256:
        return f"a number of more than {_MOST_DIGITS} digits"
    text = repr(value) if isinstance(value, str | int | float | None) else f"a {type(value).__name__}"
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}... ({len(text):,} characters)"


def brief(key: Key) -> str:
    """An id as a message names it."""
    return key if isinstance(key, str) and len(key) <= _LONGEST_SHOWN else shown(key)


def whole(text: str) -> int | None:
    """The number that a name such as ``000123`` is; None if it is none, or none that anybody meant."""
    return int(text) if text.isdecimal() and len(text) <= _MOST_DIGITS else None


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
            raise FormatError(f"{where} is {shown(value)}, not a whole number.", "Correct it.")
        number = int(real)
    if not -LARGEST < number < LARGEST:
        raise FormatError(f"{where} is {shown(number)}, which is too large.", "Correct it.")
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
        raise FormatError(f"{where} is {shown(value)}, not a number.", "Correct it.")
    if not math.isfinite(real):
        raise FormatError(f"{where} is {real}, not a finite number.", "Correct it.")
    return real
