"""Puts annotations together box by box, for formats that hold little: pictures, classes and boxes."""

import math
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from vru.formats.annotations import (
    Annotations,
    Boxes,
    BoxRow,
    FormatError,
    Key,
    Picture,
    brief,
    check_box,
    number,
    shown,
)

_Value = TypeVar("_Value")
# Text of a single picture beyond this is no annotation.
_LARGEST_PICTURE = 16 << 20
Sides = tuple[float, float, float, float]


class Builder:
    """Pictures in the order in which they come; boxes by their picture, with ``place``, a line or a position."""

    def __init__(self, format_: str, described: str = "object") -> None:
        self._format = format_
        self._pictures: list[Picture] = []
        self._sequences: dict[Hashable, int] = {}
        self._names: list[str] = []
        self._keys: set[tuple[str | None, Key]] = set()
        self._labels: dict[str, int] = {}
        self._tracks: dict[Hashable, int] = {}
        self._left_out: dict[str, int] = {}
        self._enclosed: dict[str, int] = {}
        self.declared = False
        self.amodal = False
        self.normalised = False
        self.notes: list[str] = []
        pictures = self._pictures

        def describe(boxes: Boxes, position: int) -> str:
            return f"{pictures[boxes.picture[position]].where}, {described} {boxes.place[position]}"

        self._boxes = Boxes(describe)

    def picture(
        self,
        key: Key,
        where: str,
        *,
        sequence: str | None = None,
        frame: int | None = None,
        time_s: float | None = None,
        width: float | None = None,
        height: float | None = None,
        attributes: Mapping[str, str] | None = None,
        name: str = "",
        source: str | None = None,
    ) -> int:
        """A new picture; one without a ``sequence`` is one of its own."""
        if (sequence, key) in self._keys:
            raise FormatError(f"{where}: there are two pictures {brief(key)}.", "Give each a name of its own.")
        self._keys.add((sequence, key))
        owner: Hashable = ("picture", len(self._pictures)) if sequence is None else ("sequence", sequence)
        if owner not in self._sequences:
            self._sequences[owner] = len(self._names)
            self._names.append(str(key) if sequence is None else sequence)
        self._pictures.append(
            Picture(key, where, self._sequences[owner], frame, time_s, width, height, attributes or {}, name, source)
        )
        return len(self._pictures) - 1

    def label(self, name: object, where: str) -> int:
        """The number of a class, a new one if need be."""
        if not isinstance(name, str) or not name.strip():
            raise FormatError(f"{where}: the class is {shown(name)}, not a name.", "Name the class.")
        return self._labels.setdefault(name.strip(), len(self._labels))

    def track(self, key: Hashable) -> int:
        """The number of a track that its file calls ``key``."""
        return self._tracks.setdefault(key, len(self._tracks) + 1)

    def box(self, picture: int, label: int, sides: Sides, place: int, **more: Any) -> None:
        """A box: x, y, width and height, and what else ``BoxRow`` has."""
        check_box(*sides, f"{self._pictures[picture].where}, object {place}")
        self._boxes.add(BoxRow(picture, label, *sides, **more), place)

    def leave_out(self, what: str) -> None:
        """Count something that is no box."""
        self._left_out[what] = self._left_out.get(what, 0) + 1

    def enclose(self, what: str) -> None:
        """Count a shape that is read as the box around it."""
        self._enclosed[what] = self._enclosed.get(what, 0) + 1

    def finish(self, where: str) -> Annotations:
        """What was put together.

        Raises:
            FormatError: there is no picture.
        """
        if not self._pictures:
            raise FormatError(f"{where} has no picture.", "docs/formats.md describes what is read.")
        for what, count in self._enclosed.items():
            self.notes.append(f"{count} shapes are no boxes but {what}s, and were read as the box around each.")
        for what, count in self._left_out.items():
            self.notes.append(f"{count} annotations are {what}, no boxes, and were left out.")
        labels = list(self._labels)
        keys: dict[Key, int] = {name: position for position, name in enumerate(labels)}
        keys |= {position + 1: position for position in range(len(labels))}
        return Annotations(
            self._format,
            labels,
            keys,
            self._pictures,
            self._names,
            self._boxes,
            amodal=self.amodal,
            normalised=self.normalised,
            declared=self.declared,
            notes=self.notes,
        )


def corners(values: Mapping[str, Any], names: tuple[str, str, str, str], where: str) -> Sides:
    """x, y, width and height from the left, top, right and bottom that have these names.

    Raises:
        FormatError: one is not there, or no number.
    """
    for name in names:
        if name not in values:
            raise FormatError(f"{where} has no {name}.", "docs/formats.md describes the fields.")
    left, top, right, bottom = (number(values[name], f"{where}: {name}") for name in names)
    return left, top, right - left, bottom - top


def around(points: object, where: str) -> Sides:
    """The upright box around points, a list of pairs.

    Raises:
        FormatError: they are none, or fewer than two.
    """
    pairs = points if isinstance(points, list) else []
    if len(pairs) < 2 or not all(isinstance(pair, list | tuple) and len(pair) >= 2 for pair in pairs):
        raise FormatError(f"{where}: the points are no list of two pairs or more.", "Annotate with boxes.")
    xs = [number(pair[0], f"{where}: a point") for pair in pairs]
    ys = [number(pair[1], f"{where}: a point") for pair in pairs]
    return min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)


def turned(sides: Sides, degrees: float) -> Sides:
    """The upright box around one that is turned around its centre."""
    x, y, width, height = sides
    cos, sin = abs(math.cos(math.radians(degrees))), abs(math.sin(math.radians(degrees)))
    wide, high = width * cos + height * sin, width * sin + height * cos
    return x + (width - wide) / 2, y + (height - high) / 2, wide, high


def load_json(path: Path, *, picture: bool = False) -> Any:
    """A JSON document; with ``picture``, one about a single picture, which is small.

    Raises:
        FormatError: it is none, or too large.
    """
    if picture and path.stat().st_size > _LARGEST_PICTURE:
        raise FormatError(f"{path} has more than 16 MB: it is not about one picture.", "Is it another format?")
    try:
        return msgspec.json.decode(path.read_bytes())
    except (msgspec.DecodeError, RecursionError) as error:
        why = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)[:200]
        raise FormatError(f"{path}: this is no JSON: {why}.", "Was the file cut off?") from None


def member(value: object, name: str, type_: type[_Value], where: str) -> _Value:
    """A member of an object, which must be there.

    Raises:
        FormatError: it is not, or of another type.
    """
    found = value.get(name) if isinstance(value, dict) else None
    if not isinstance(found, type_) or isinstance(found, bool):
        raise FormatError(f"{where}: {name} is {shown(found)}.", "docs/formats.md describes the fields.")
    return found


def inner(value: object, name: str) -> dict[str, Any]:
    """A member that is an object; an empty one where there is none."""
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}


def optional(value: dict[str, Any], name: str, where: str) -> float | None:
    """A member that is a number, None where there is none.

    Raises:
        FormatError: it is something else.
    """
    return None if value.get(name) is None else number(value[name], f"{where}: {name}")


def texts(value: object) -> dict[str, str]:
    """The members that are texts."""
    return {name: text for name, text in value.items() if isinstance(text, str)} if isinstance(value, dict) else {}
