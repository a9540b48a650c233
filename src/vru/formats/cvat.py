"""CVAT for video 1.1: XML with one ``<track>`` per road user and one ``<box>`` per frame.

A box with ``outside="1"`` says that the road user is no longer visible from that frame on; it is no box. The
attributes ``truncated`` and ``ignore`` are read if they are there. Frames are numbered from 0. Tracks whose
``source`` is ``auto`` are counted as made by a program; ``<meta><source>model:NAME</source>`` says by which.
"""

from typing import Any, BinaryIO, TextIO
from xml.etree.ElementTree import ParseError
from xml.sax.saxutils import escape, quoteattr

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
# Each declared frame takes memory before any box is read: 4 hours at 30 frames a second.
_MOST_FRAMES = 4 * 3600 * 30
# Each event's path is joined, so without a limit nesting costs quadratic time.
_DEEPEST = 32


def read_cvat(stream: BinaryIO) -> Annotations:
    """Read ground truth. DTDs and entities are refused.

    Raises:
        FormatError: it is no such file; the message names the line.
    """
    target = _Target()
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


class _Target:
    """Takes the parser's events one by one: no tree of a large file is ever in memory."""

    def __init__(self) -> None:
        self.expat: Any = None
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
        self._last_visible: int | None = None
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
            self._track = None
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
        pictures = [
            Picture(frame, f"frame {frame}", 0, frame, None, self._width, self._height) for frame in range(self._frames)
        ]
        video = Video("The annotated video", self._width, self._height, self._frames)
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
        self._last_visible = None

    def _check_facts(self) -> None:
        missing = [name for name in ("size", "original_size/width", "original_size/height") if name not in self._facts]
        if missing:
            raise FormatError(
                f"<meta> has no <{missing[0]}>: which video the file is about cannot be checked.", _EXPORT
            )
        size = self._integer(self._facts, "size")
        if size <= 0:
            raise FormatError(f"<size> says {size} frames.", _EXPORT)
        if size > _MOST_FRAMES:
            raise FormatError(
                f"{self._where()}: <size> says {size} frames; at most {_MOST_FRAMES} are read.",
                "Cut the video into shorter ones, each with its own export.",
            )
        self._frames = size
        self._width = self._integer(self._facts, "original_size/width")
        self._height = self._integer(self._facts, "original_size/height")
        start = self._integer(self._facts, "start_frame") if self._facts.get("start_frame") else 0
        stop = self._integer(self._facts, "stop_frame") if self._facts.get("stop_frame") else size - 1
        if start != 0 or stop != size - 1 or self._facts.get("frame_filter"):
            frame_filter = self._facts.get("frame_filter") or "none"
            raise FormatError(
                f"The annotations are about frames {start} to {stop} (filter: {frame_filter}), not about all {size}.",
                "Annotate the whole video, with every frame.",
            )
        self._checked = True

    def _end_box(self) -> None:
        if self._track is None:
            return
        track_id, label = self._track
        where = f"Line {self._box_line} (track {track_id})"
        frame = self._integer(self._box, "frame")
        # CVAT writes a box for every frame, interpolated ones too, until it writes one that is outside.
        if self._last_visible is not None and frame > self._last_visible + 1:
            raise FormatError(
                f"{where}: frames {self._last_visible + 1} to {frame - 1} have neither a box nor an outside mark.",
                "Export with interpolated boxes, not with key frames only.",
            )
        if not 0 <= frame < self._frames:
            raise FormatError(
                f"{where} is about frame {frame}, but the video's frames are 0 to {self._frames - 1}.", _EXPORT
            )
        if self._flag(self._box, "outside", where):
            self._last_visible = None
            return
        if self._number(self._box, "rotation", where) if self._box.get("rotation") else 0.0:
            raise FormatError(f"{where}: the box is rotated.", "Annotate with upright boxes.")
        left, top, right, bottom = (self._number(self._box, name, where) for name in ("xtl", "ytl", "xbr", "ybr"))
        check_box(left, top, right - left, bottom - top, where)
        row = BoxRow(
            frame,
            self._labels.setdefault(label, len(self._labels)),
            left,
            top,
            right - left,
            bottom - top,
            track_id,
            occluded=self._flag(self._box, "occluded", where),
            truncated=self._flag(self._attributes, "truncated", where),
            ignore=self._flag(self._attributes, "ignore", where),
        )
        self._boxes.add(row, self._box_line)
        self._last_visible = frame

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


def write_cvat(annotations: Annotations, out: TextIO) -> None:
    """Write the tracks of one video as CVAT for video 1.1.

    Raises:
        FormatError: there are several videos, a box has no track, or a track has two classes.
    """
    if len(annotations.sequences) != 1:
        raise FormatError(f"There are {len(annotations.sequences)} videos.", "CVAT's files are about one video each.")
    tracks = _tracks(annotations)
    frames = max((_frame(picture) for picture in annotations.pictures), default=-1) + 1
    first = annotations.pictures[0] if annotations.pictures else None
    width, height = (first.width, first.height) if first else (None, None)
    out.write('<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n  <meta><task>')
    out.write(f"<size>{frames}</size><start_frame>0</start_frame><stop_frame>{frames - 1}</stop_frame>\n    <labels>")
    for label in annotations.labels:
        out.write(f"<label><name>{escape(label)}</name></label>")
    out.write(f"</labels>\n    <original_size><width>{width or 0:g}</width><height>{height or 0:g}</height>")
    out.write("</original_size></task></meta>\n")
    for (track, number_of), boxes in tracks.items():
        out.write(f'  <track id="{track}" label={quoteattr(annotations.labels[number_of])} source="manual">\n')
        for frame in sorted(boxes):
            row = boxes[frame]
            out.write(_box(frame, row, outside=False))
            if frame + 1 not in boxes and frame + 1 < frames:
                out.write(_box(frame + 1, row, outside=True))
        out.write("  </track>\n")
    out.write("</annotations>\n")


def _frame(picture: Picture) -> int:
    if picture.frame_index is None:
        raise FormatError(f"{picture.where} is no frame of a video.", "CVAT's video files need frames.")
    return picture.frame_index


def _tracks(annotations: Annotations) -> dict[tuple[int, int], dict[int, BoxRow]]:
    """The boxes of each track (id and class) by frame."""
    tracks: dict[tuple[int, int], dict[int, BoxRow]] = {}
    classes: dict[int, int] = {}
    for position, row in enumerate(annotations.boxes.rows()):
        where = annotations.boxes.where(position)
        if row.track is None:
            raise FormatError(f"{where} has no track.", "CVAT's video files hold tracks.")
        if classes.setdefault(row.track, row.label) != row.label:
            raise FormatError(f"{where} gives track {row.track} a second class.", "Give it a track of its own.")
        tracks.setdefault((row.track, row.label), {})[_frame(annotations.pictures[row.picture])] = row
    return tracks


def _box(frame: int, row: BoxRow, *, outside: bool) -> str:
    right, bottom = row.x + row.width, row.y + row.height
    return (
        f'    <box frame="{frame}" outside="{int(outside)}" occluded="{int(row.occluded)}" keyframe="1" '
        f'xtl="{row.x!r}" ytl="{row.y!r}" xbr="{right!r}" ybr="{bottom!r}" z_order="0">'
        f'<attribute name="truncated">{str(row.truncated).lower()}</attribute>'
        f'<attribute name="ignore">{str(row.ignore or row.crowd).lower()}</attribute></box>\n'
    )
