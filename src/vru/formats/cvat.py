"""CVAT for video 1.1: XML with one ``<track>`` per road user and one ``<box>`` per frame.

A box with ``outside="1"`` says that the road user is no longer visible from that frame on; it is no box. The
attributes ``truncated`` and ``ignore`` are read if they are there. Frames are numbered from 0. Tracks whose
``source`` is ``auto`` are counted as made by a program; ``<meta><source>model:NAME</source>`` says by which.
"""

import itertools
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple
from xml.etree.ElementTree import ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from vru.formats.annotations import (
    MOST_FRAMES,
    Annotations,
    Boxes,
    BoxRow,
    FormatError,
    Picture,
    Video,
    check_box,
    integer,
    number,
)
from vru.formats.builder import turned
from vru.formats.registry import Asked, Format, Opening
from vru.formats.text_files import read_single

_EXPORT = "Export the task from CVAT as 'CVAT for video 1.1'."
_SHAPES = {"polygon", "polyline", "points", "cuboid", "ellipse", "skeleton", "mask"}
_TRUE, _FALSE = {"true", "1"}, {"false", "0", ""}
# Where the task's facts are: an export of one job says <job> instead of <task>.
_FACTS = {
    f"annotations/meta/{kind}/{name}"
    for kind in ("task", "job")
    for name in ("size", "start_frame", "stop_frame", "frame_filter", "original_size/width", "original_size/height")
}
# CVAT puts the video's name there; only what names a model is taken.
_SOURCES = {"annotations/meta/source", "annotations/meta/task/source", "annotations/meta/job/source"}
_LABELS = {f"annotations/meta/{kind}/labels/label/name" for kind in ("task", "job")}
_CHUNK = 1 << 16
# Each event's path is joined, so without a limit nesting costs quadratic time.
_DEEPEST = 32


def read_cvat(stream: BinaryIO, *, complete: bool = False) -> Annotations:
    """Read ground truth. DTDs and entities are refused.

    ``complete`` puts in what lies between key frames, and reads rotated boxes as the upright box around each, which
    notes say; otherwise both are refused.

    Raises:
        FormatError: it is no such file; the message names the line.
    """
    target = _Target(complete=complete)
    parser = DefusedXMLParser(target=target, forbid_dtd=True, forbid_entities=True, forbid_external=True)
    target.expat = parser.parser
    try:
        while data := stream.read(_CHUNK):
            parser.feed(data)
        parser.close()
    except ParseError as error:
        raise FormatError(f"The XML is broken: {error}.", _EXPORT) from error
    except DefusedXmlException as error:
        raise FormatError("The XML has a DTD or entities, which are not read.", _EXPORT) from error
    return target.finish()


def _describe(boxes: Boxes, position: int) -> str:
    return f"Line {boxes.place[position]} (track {boxes.track[position]})"


class _Shape(NamedTuple):
    """A box of a track by the place of its frame among the task's; no row says that the road user is outside."""

    place: int
    line: int
    row: BoxRow | None


def _on_the_way(before: _Shape, after: _Shape, place: int) -> BoxRow:
    """The box between two key frames; before an outside mark, that of the last."""
    row, to = before.row, after.row
    assert row is not None  # noqa: S101 - the caller looks
    if to is None:
        return row._replace(picture=place)
    share = (place - before.place) / (after.place - before.place)
    edges = [
        a + (b - a) * share
        for a, b in (
            (row.x, to.x),
            (row.y, to.y),
            (row.x + row.width, to.x + to.width),
            (row.y + row.height, to.y + to.height),
        )
    ]
    left, top, right, bottom = edges
    return row._replace(picture=place, x=left, y=top, width=right - left, height=bottom - top)


class _Target:
    """Takes the parser's events one by one: no tree of a large file is ever in memory."""

    def __init__(self, *, complete: bool) -> None:
        self.expat: Any = None
        self._complete = complete
        self._boxes = Boxes(_describe)
        self._labels: dict[str, int] = {}
        self._frames = self._width = self._height = 0
        self._path: list[str] = []
        self._text: list[str] = []
        self._facts: dict[str, str] = {}
        self._source = ""
        self._automatic = 0
        self._checked = False
        self._track: tuple[int, str] | None = None
        self._track_ids: set[int] = set()
        self._shapes: list[_Shape] = []
        # Tracks that are not all there, and whether the file has boxes between key frames.
        self._incomplete: list[list[_Shape]] = []
        self._gap: tuple[str, int, int] | None = None
        self._between = False
        self._rotated = 0
        self._notes: list[str] = []
        self._numbers = range(0)
        self._box: dict[str, str] = {}
        self._box_line = 0
        self._attribute = ""
        self._attributes: dict[str, str] = {}

    def _where(self) -> str:
        return f"Line {self.expat.CurrentLineNumber}"

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """An element begins."""
        if len(self._path) == _DEEPEST:
            raise FormatError(f"{self._where()}: elements are nested more than {_DEEPEST} deep.", _EXPORT)
        self._path.append(tag)
        self._text.clear()
        if len(self._path) == 1 and tag != "annotations":
            raise FormatError(f"The XML's root is <{tag}>, not <annotations>.", _EXPORT)
        if len(self._path) == 2 and tag == "image":
            raise FormatError(
                f"{self._where()}: this is a CVAT file for images, which says nothing about time.", _EXPORT
            )
        if self._path == ["annotations", "meta", "project"]:
            raise FormatError(
                f"{self._where()}: this is a project of several videos.", "Export each of its tasks by itself."
            )
        if self._path == ["annotations", "track"]:
            self._begin_track(attributes)
        elif self._track and tag in _SHAPES:
            raise FormatError(f"{self._where()}: <{tag}> is not read, only <box>.", "Annotate with boxes.")
        elif self._path == ["annotations", "track", "box"]:
            self._box, self._box_line, self._attributes = attributes, self.expat.CurrentLineNumber, {}
        elif self._path == ["annotations", "track", "box", "attribute"]:
            self._attribute = attributes.get("name", "")

    def data(self, text: str) -> None:
        """Text inside of an element, in pieces."""
        self._text.append(text)

    def end(self, tag: str) -> None:
        """An element ends."""
        path = "/".join(self._path)
        text = "".join(self._text).strip()
        if path in _FACTS:
            self._facts[path.split("/", 3)[3]] = text
        elif path in _SOURCES and text.startswith("model:"):
            self._source = text
        elif path in _LABELS:
            self._labels.setdefault(text, len(self._labels))
        elif path == "annotations/meta":
            self._check_facts()
        elif path == "annotations/track/box/attribute":
            self._attributes[self._attribute] = text
        elif path == "annotations/track/box":
            self._end_box()
        elif path == "annotations/track":
            self._end_track()
        self._path.pop()
        self._text.clear()

    def close(self) -> None:
        """The file ends."""

    def finish(self) -> Annotations:
        """What was read."""
        if not self._checked:
            raise FormatError("The file has no <meta>: which video it is about cannot be checked.", _EXPORT)
        if not self._track_ids:
            # A task that nobody has worked on looks just like this.
            raise FormatError("The file has no track.", "Annotate the video first, or use COCO JSON.")
        self._interpolate()
        if self._rotated:
            self._notes.append(f"{self._rotated} boxes are rotated, and were read as the upright box around each.")
        pictures = [
            Picture(frame, f"frame {frame}", 0, frame, None, self._width, self._height) for frame in self._numbers
        ]
        whole = self._numbers == range(self._frames)
        video = Video("The annotated video", self._width, self._height, self._frames if whole else None)
        labels = list(self._labels)
        keys: dict[int | str, int] = {name: position for position, name in enumerate(labels)}
        keys |= {position + 1: position for position in range(len(labels))}
        return Annotations(
            "cvat",
            labels,
            keys,
            pictures,
            [""],
            self._boxes,
            [video],
            source=self._source,
            automatic=self._automatic,
            notes=self._notes,
        )

    def _begin_track(self, attributes: dict[str, str]) -> None:
        if not self._checked:
            raise FormatError(f"{self._where()}: a <track> comes before <meta>.", _EXPORT)
        track_id = self._integer(attributes, "id")
        if track_id in self._track_ids:
            raise FormatError(f"{self._where()}: track {track_id} is in the file twice.", _EXPORT)
        if "label" not in attributes:
            raise FormatError(f"{self._where()}: the track has no label.", _EXPORT)
        self._track_ids.add(track_id)
        self._track = (track_id, attributes["label"])
        self._automatic += attributes.get("source") == "auto"
        self._shapes = []

    def _check_facts(self) -> None:
        missing = [name for name in ("size", "original_size/width", "original_size/height") if name not in self._facts]
        if missing:
            raise FormatError(
                f"<meta> has no <{missing[0]}>: which video the file is about cannot be checked.", _EXPORT
            )
        size = self._integer(self._facts, "size")
        if size <= 0:
            raise FormatError(f"<size> says {size} frames.", _EXPORT)
        if size > MOST_FRAMES:
            raise FormatError(
                f"{self._where()}: <size> says {size} frames; at most {MOST_FRAMES} are read.",
                "Cut the video into shorter ones, each with its own export.",
            )
        self._frames = size
        self._width = self._integer(self._facts, "original_size/width")
        self._height = self._integer(self._facts, "original_size/height")
        self._numbers = self._frame_numbers(size)
        self._checked = True

    def _frame_numbers(self, size: int) -> range:
        """The video's frames that the task is about."""
        start = self._integer(self._facts, "start_frame") if self._facts.get("start_frame") else 0
        said = self._facts.get("frame_filter") or ""
        step = integer(said.partition("step=")[2], f"{self._where()}: frame_filter {said[:40]}") if said else 1
        last = start + (size - 1) * step
        stop = self._integer(self._facts, "stop_frame") if self._facts.get("stop_frame") else last
        # The stop is the video's own where the filter skips it.
        if start < 0 or step < 1 or not last <= stop < last + step:
            raise FormatError(
                f"The task has {size} frames, but is about frames {start} to {stop} (filter: {said[:40] or 'none'}).",
                _EXPORT,
            )
        if stop > MOST_FRAMES:
            raise FormatError(f"<stop_frame> says {stop}; at most {MOST_FRAMES} frames are read.", _EXPORT)
        if start or step > 1:
            self._notes.append(f"The task is about frames {start} to {last} of a longer video, in steps of {step}.")
        return range(start, last + 1, step)

    def _end_box(self) -> None:
        if self._track is None:
            return
        track_id, label = self._track
        where = f"Line {self._box_line} (track {track_id})"
        frame = self._integer(self._box, "frame")
        if frame not in self._numbers:
            raise FormatError(
                f"{where} is about frame {frame}, but the video's frames are {self._numbers[0]} to {self._numbers[-1]}"
                + (f", each {self._numbers.step}." if self._numbers.step > 1 else "."),
                _EXPORT,
            )
        place = self._numbers.index(frame)
        self._between |= self._box.get("keyframe") == "0"
        if self._flag(self._box, "outside", where):
            self._take(_Shape(place, self._box_line, None))
            return
        left, top, right, bottom = (self._number(self._box, name, where) for name in ("xtl", "ytl", "xbr", "ybr"))
        sides = left, top, right - left, bottom - top
        check_box(*sides, where)
        degrees = self._number(self._box, "rotation", where) if self._box.get("rotation") else 0.0
        if degrees % 360 and not self._complete:
            raise FormatError(f"{where}: the box is rotated.", "Annotate with upright boxes.")
        if degrees % 360:
            self._rotated += 1
            sides = turned(sides, degrees)
        row = BoxRow(
            place,
            self._labels.setdefault(label, len(self._labels)),
            *sides,
            track_id,
            occluded=self._flag(self._box, "occluded", where),
            truncated=self._flag(self._attributes, "truncated", where),
            ignore=self._flag(self._attributes, "ignore", where),
        )
        self._take(_Shape(place, self._box_line, row))

    def _take(self, shape: "_Shape") -> None:
        """The next box of the track, or its mark that there is none."""
        before = self._shapes[-1] if self._shapes else None
        if before is not None and before.row is not None and shape.place > before.place + 1 and self._gap is None:
            track_id = self._track[0] if self._track else 0
            first, last = self._numbers[before.place + 1], self._numbers[shape.place - 1]
            self._gap = f"Line {shape.line} (track {track_id})", first, last
        self._shapes.append(shape)

    def _end_track(self) -> None:
        """Every frame may be there; where the track does not end, whether it goes on is known at the file's end."""
        self._track = None
        for shape in self._shapes:
            if shape.row is not None:
                self._boxes.add(shape.row, shape.line)
        gaps = any(
            before.row is not None and after.place > before.place + 1
            for before, after in itertools.pairwise(self._shapes)
        )
        if gaps or (self._shapes and self._shapes[-1].row is not None):
            self._incomplete.append(self._shapes)
        self._shapes = []

    def _interpolate(self) -> None:
        """Put in what lies between key frames: a box moves in a straight line from one to the next, and stays as it is
        after the last until the task's end, unless it is outside.

        Raises:
            FormatError: boxes are missing in a file that has more than the key frames.
        """
        if self._gap is None:
            return
        where, first, last = self._gap
        if self._between or not self._complete:
            raise FormatError(
                f"{where}: frames {first} to {last} have neither a box nor an outside mark.",
                "Export with interpolated boxes, not with key frames only, and restore deleted frames.",
            )
        added = 0
        for shapes in self._incomplete:
            end = _Shape(self._frames, 0, None)
            for before, after in itertools.pairwise([*shapes, end]):
                if before.row is None:
                    continue
                for place in range(before.place + 1, after.place):
                    self._boxes.add(_on_the_way(before, after, place), before.line)
                    added += 1
        self._notes.append(f"The file has key frames only: {added} boxes between them were interpolated, as CVAT does.")

    def _integer(self, values: dict[str, str], name: str) -> int:
        return integer(values.get(name), f"{self._where()}: {name}")

    @staticmethod
    def _number(values: dict[str, str], name: str, where: str) -> float:
        return number(values.get(name), f"{where}: {name}")

    @staticmethod
    def _flag(values: dict[str, str], name: str, where: str) -> bool:
        value = values.get(name, "").strip().lower()
        if value not in _TRUE | _FALSE:
            raise FormatError(f"{where}: {name} is {value!r}, not true or false.", _EXPORT)
        return value in _TRUE


def _sniff(opening: Opening) -> bool:
    return opening.head[:1] == "<"


def _truth(path: Path, asked: Asked) -> Annotations:
    return read_single(path, lambda stream: read_cvat(stream, complete=True))


CVAT = Format(_sniff, _truth)
