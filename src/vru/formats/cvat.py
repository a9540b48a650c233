"""CVAT for video 1.1: XML with one ``<track>`` per road user and one ``<box>`` per frame.

A box with ``outside="1"`` says that the road user is no longer visible from that frame on; it is no box. The
attributes ``truncated`` and ``ignore`` are read if they are there. Frames are numbered from 0. Tracks whose
``source`` is ``auto`` are counted as made by a program; ``<meta><source>model:NAME</source>`` says by which.
"""

import itertools
from array import array
from pathlib import Path
from typing import Any, BinaryIO
from xml.etree.ElementTree import ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from vru.formats.annotations import (
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
from vru.formats.cvat_meta import EXPORT, FACTS, FACTS_OF_PROJECT, LABELS, TASK_OF_PROJECT, Task, project, single
from vru.formats.cvat_tracks import Shape, TaskTracks, said_of_deleted
from vru.formats.registry import Asked, Format, Opening
from vru.formats.text_files import read_single

_SHAPES = {"polygon", "polyline", "points", "cuboid", "ellipse", "skeleton", "mask"}
_TRUE, _FALSE = {"true", "1"}, {"false", "0", ""}
# CVAT puts the video's name there; only what names a model is taken.
_SOURCES = {"annotations/meta/source", "annotations/meta/task/source", "annotations/meta/job/source"}
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
        raise FormatError(f"The XML is broken: {error}.", EXPORT) from error
    except DefusedXmlException as error:
        raise FormatError("The XML has a DTD or entities, which are not read.", EXPORT) from error
    return target.finish()


def _describe(boxes: Boxes, position: int) -> str:
    return f"Line {boxes.place[position]} (track {boxes.track[position]})"


class _Target:
    """Takes the parser's events one by one: no tree of a large file is ever in memory."""

    def __init__(self, *, complete: bool) -> None:
        self.expat: Any = None
        self._complete = complete
        self._boxes = Boxes(_describe)
        self._labels: dict[str, int] = {}
        self._path: list[str] = []
        self._text: list[str] = []
        self._facts: dict[str, str] = {}
        self._of_tasks: list[dict[str, str]] = []
        self._project = False
        self._source = ""
        self._automatic = 0
        self._tasks: list[Task] = []
        # Where the pictures of each task begin.
        self._first: list[int] = []
        self._tracks: list[TaskTracks] = []
        self._track: tuple[int, str, int] | None = None
        self._track_ids: set[int] = set()
        self._shapes: list[Shape] = []
        # Whether the file has boxes between key frames.
        self._between = False
        self._rotated = 0
        self._notes: list[str] = []
        self._box: dict[str, str] = {}
        self._box_line = 0
        self._attribute = ""
        self._attributes: dict[str, str] = {}

    def _where(self) -> str:
        return f"Line {self.expat.CurrentLineNumber}"

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """An element begins."""
        if len(self._path) == _DEEPEST:
            raise FormatError(f"{self._where()}: elements are nested more than {_DEEPEST} deep.", EXPORT)
        self._path.append(tag)
        self._text.clear()
        if len(self._path) == 1 and tag != "annotations":
            raise FormatError(f"The XML's root is <{tag}>, not <annotations>.", EXPORT)
        if len(self._path) == 2 and tag == "image":
            raise FormatError(
                f"{self._where()}: this is a CVAT file for images, which says nothing about time.", EXPORT
            )
        if self._path == ["annotations", "meta", "project"]:
            if not self._complete:
                raise FormatError(
                    f"{self._where()}: this is a project of several videos.", "Export each of its tasks by itself."
                )
            self._project = True
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
        if path in FACTS:
            self._facts[FACTS[path]] = text
        elif path in FACTS_OF_PROJECT:
            self._facts[FACTS_OF_PROJECT[path]] = text
        elif path == TASK_OF_PROJECT:
            self._of_tasks.append(self._facts)
            self._facts = {}
        elif path in _SOURCES and text.startswith("model:"):
            self._source = text
        elif path in LABELS:
            self._labels.setdefault(text, len(self._labels))
        elif path == "annotations/meta":
            self._end_meta()
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
        if not self._tasks:
            raise FormatError("The file has no <meta>: which video it is about cannot be checked.", EXPORT)
        if not self._track_ids:
            # A task that nobody has worked on looks just like this.
            raise FormatError("The file has no track.", "Annotate the video first, or use COCO JSON.")
        deleted = self._complete_tracks()
        if self._rotated:
            self._notes.append(f"{self._rotated} boxes are rotated, and were read as the upright box around each.")
        pictures = [
            Picture(*self._named(task, frame), sequence, frame, None, task.width, task.height)
            for sequence, task in enumerate(self._tasks)
            for frame in task.numbers
        ]
        if deleted:
            self._leave_out(pictures, deleted)
        videos = [
            Video(
                "The annotated video" if not self._project else f"Task {task.name}",
                task.width,
                task.height,
                len(task.numbers) if task.whole and not deleted else None,
            )
            for task in self._tasks
        ]
        labels = list(self._labels)
        keys: dict[int | str, int] = {name: position for position, name in enumerate(labels)}
        keys |= {position + 1: position for position in range(len(labels))}
        return Annotations(
            "cvat",
            labels,
            keys,
            pictures,
            [task.name if self._project else "" for task in self._tasks],
            self._boxes,
            videos,
            source=self._source,
            automatic=self._automatic,
            notes=self._notes,
        )

    def _named(self, task: Task, frame: int) -> tuple[int | str, str]:
        if not self._project:
            return frame, f"frame {frame}"
        return f"{task.name}/{frame}", f"frame {frame} of task {task.name}"

    def _leave_out(self, pictures: list[Picture], deleted: set[int]) -> None:
        """Take out the pictures at these places, none of which has a box."""
        self._notes.append(said_of_deleted([pictures[place].frame_index or 0 for place in sorted(deleted)]))
        place_of = array("q", itertools.accumulate(place not in deleted for place in range(len(pictures))))
        self._boxes.picture = array("q", (place_of[place] - 1 for place in self._boxes.picture))
        pictures[:] = [picture for place, picture in enumerate(pictures) if place not in deleted]

    def _begin_track(self, attributes: dict[str, str]) -> None:
        if not self._tasks:
            raise FormatError(f"{self._where()}: a <track> comes before <meta>.", EXPORT)
        track_id = self._integer(attributes, "id")
        if track_id in self._track_ids:
            raise FormatError(f"{self._where()}: track {track_id} is in the file twice.", EXPORT)
        if "label" not in attributes:
            raise FormatError(f"{self._where()}: the track has no label.", EXPORT)
        task = 0
        if self._project:
            ids = [task.id for task in self._tasks]
            if attributes.get("task_id") not in ids:
                raise FormatError(f"{self._where()}: track {track_id} is of no task of the project.", EXPORT)
            task = ids.index(attributes["task_id"])
        self._track_ids.add(track_id)
        self._track = (track_id, attributes["label"], task)
        self._automatic += attributes.get("source") == "auto"
        self._shapes = []

    def _end_meta(self) -> None:
        if self._project:
            self._tasks, notes = project(self._of_tasks, self._where())
        else:
            self._tasks, notes = single(self._facts, self._where(), complete=self._complete)
        self._notes += notes
        counts = [len(task.numbers) for task in self._tasks]
        self._first = [0, *itertools.accumulate(counts[:-1])]
        self._tracks = [TaskTracks() for _ in self._tasks]

    def _end_box(self) -> None:
        if self._track is None:
            return
        track_id, label, number_of = self._track
        task = self._tasks[number_of]
        where = f"Line {self._box_line} (track {track_id})"
        frame = self._integer(self._box, "frame")
        place = task.place(frame)
        if place is None:
            first, last, step = (task.numbers[0] + task.offset, task.numbers[-1] + task.offset, task.numbers.step)
            raise FormatError(
                f"{where} is about frame {frame}, but the video's frames are {first} to {last}"
                + (f", each {step}." if step > 1 else "."),
                EXPORT,
            )
        self._between |= self._box.get("keyframe") == "0"
        if self._flag(self._box, "outside", where):
            self._shapes.append(Shape(place, self._box_line, None))
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
            self._first[number_of] + place,
            self._labels.setdefault(label, len(self._labels)),
            *sides,
            track_id,
            occluded=self._flag(self._box, "occluded", where),
            truncated=self._flag(self._attributes, "truncated", where),
            ignore=self._flag(self._attributes, "ignore", where),
        )
        self._shapes.append(Shape(place, self._box_line, row))

    def _end_track(self) -> None:
        """Every frame may be there; where the track does not end, whether it goes on is known at the file's end."""
        if self._track is not None:
            self._tracks[self._track[2]].take(self._track[0], self._shapes)
        self._track = None
        for shape in self._shapes:
            if shape.row is not None:
                self._boxes.add(shape.row, shape.line)
        self._shapes = []

    def _complete_tracks(self) -> set[int]:
        """Put in what lies between key frames, in a file of these alone; in one with all boxes, the places of the
        pictures of frames that were deleted.

        Raises:
            FormatError: boxes are missing in a file that has more than the key frames.
        """
        if not any(of.gaps for of in self._tracks):
            return set()
        if not self._complete:
            number_of = next(number for number, of in enumerate(self._tracks) if of.gaps)
            line, track, places = self._tracks[number_of].gaps[0]
            numbers = self._tasks[number_of].numbers
            raise FormatError(
                f"Line {line} (track {track}): frames {numbers[places[0]]} to {numbers[places[-1]]} have neither a box "
                "nor an outside mark.",
                "Export with interpolated boxes, not with key frames only, and restore deleted frames.",
            )
        if self._between:
            return {
                first + place
                for task, first, of in zip(self._tasks, self._first, self._tracks, strict=True)
                for place in of.deleted(task.numbers)
            }
        added = 0
        for task, of in zip(self._tasks, self._tracks, strict=True):
            for row, line in of.between(len(task.numbers)):
                self._boxes.add(row, line)
                added += 1
        self._notes.append(f"The file has key frames only: {added} boxes between them were interpolated, as CVAT does.")
        return set()

    def _integer(self, values: dict[str, str], name: str) -> int:
        return integer(values.get(name), f"{self._where()}: {name}")

    @staticmethod
    def _number(values: dict[str, str], name: str, where: str) -> float:
        return number(values.get(name), f"{where}: {name}")

    @staticmethod
    def _flag(values: dict[str, str], name: str, where: str) -> bool:
        value = values.get(name, "").strip().lower()
        if value not in _TRUE | _FALSE:
            raise FormatError(f"{where}: {name} is {value!r}, not true or false.", EXPORT)
        return value in _TRUE


def _sniff(opening: Opening) -> bool:
    return opening.head[:1] == "<"


def _truth(path: Path, asked: Asked) -> Annotations:
    return read_single(path, lambda stream: read_cvat(stream, complete=True))


CVAT = Format(_sniff, _truth)
