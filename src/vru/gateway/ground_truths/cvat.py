"""CVAT for video 1.1: XML with one ``<track>`` per road user and one ``<box>`` per frame.

A box with ``outside="1"`` says that the road user is no longer visible from that frame on; it is no box. The
attributes ``truncated`` and ``ignore`` are read if they are there.
"""

from typing import Any
from xml.etree.ElementTree import ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from vru.domain import GroundTruth
from vru.gateway.ground_truths.timeline import RawBox, Timeline, TrackCollector
from vru.service.errors import UnprocessableError

_EXPORT = "Export the task from CVAT as 'CVAT for video 1.1'."
_SHAPES = {"polygon", "polyline", "points", "cuboid", "ellipse", "skeleton", "mask"}
_TRUE, _FALSE = {"true", "1"}, {"false", "0", ""}
# Where the task's facts are: an export of one job says <job> instead of <task>.
_FACTS = {
    f"annotations/meta/{kind}/{name}"
    for kind in ("task", "job")
    for name in ("size", "start_frame", "stop_frame", "frame_filter", "original_size/width", "original_size/height")
}


def parse_cvat(data: bytes, timeline: Timeline, source: str = "manual") -> GroundTruth:
    """Read a CVAT file about the video that ``timeline`` describes. DTDs and entities are refused.

    Raises:
        UnprocessableError: it is no such file, or about another video; the sentence names the line.
    """
    target = _Target(timeline)
    parser = DefusedXMLParser(target=target, forbid_dtd=True, forbid_entities=True, forbid_external=True)
    target.expat = parser.parser
    try:
        parser.feed(data)
        parser.close()
    except ParseError as error:
        raise UnprocessableError(f"The XML is broken: {error}.", _EXPORT) from error
    except DefusedXmlException as error:
        raise UnprocessableError("The XML has a DTD or entities, which are not read.", _EXPORT) from error
    return target.finish(source)


class _Target:
    """Takes the parser's events one by one: no tree of a large file is ever in memory."""

    def __init__(self, timeline: Timeline) -> None:
        self.expat: Any = None
        self._timeline = timeline
        self._collector = TrackCollector(timeline)
        self._path: list[str] = []
        self._text: list[str] = []
        self._facts: dict[str, str] = {}
        self._checked = False
        self._track: tuple[int, str] | None = None
        self._track_ids: set[int] = set()
        self._last_visible: int | None = None
        self._box: dict[str, str] = {}
        self._box_where = ""
        self._attribute = ""
        self._attributes: dict[str, str] = {}

    def _where(self) -> str:
        return f"Line {self.expat.CurrentLineNumber}"

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """An element begins."""
        self._path.append(tag)
        self._text.clear()
        if len(self._path) == 1 and tag != "annotations":
            raise UnprocessableError(f"The XML's root is <{tag}>, not <annotations>.", _EXPORT)
        if len(self._path) == 2 and tag == "image":
            raise UnprocessableError(
                f"{self._where()}: this is a CVAT file for images, which says nothing about time.", _EXPORT
            )
        if self._path == ["annotations", "track"]:
            self._begin_track(attributes)
        elif self._track and tag in _SHAPES:
            raise UnprocessableError(f"{self._where()}: <{tag}> is not read, only <box>.", "Annotate with boxes.")
        elif self._path == ["annotations", "track", "box"]:
            self._box, self._box_where, self._attributes = attributes, self._where(), {}
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

    def finish(self, source: str) -> GroundTruth:
        """What was read."""
        if not self._checked:
            raise UnprocessableError("The file has no <meta>: which video it is about cannot be checked.", _EXPORT)
        if not self._track_ids:
            # A task that nobody has worked on looks just like this.
            raise UnprocessableError("The file has no track.", "Annotate the video first, or upload COCO JSON.")
        return self._collector.build(source)

    def _begin_track(self, attributes: dict[str, str]) -> None:
        if not self._checked:
            raise UnprocessableError(f"{self._where()}: a <track> comes before <meta>.", _EXPORT)
        track_id = self._integer(attributes, "id")
        if track_id in self._track_ids:
            raise UnprocessableError(f"{self._where()}: track {track_id} is in the file twice.", _EXPORT)
        if "label" not in attributes:
            raise UnprocessableError(f"{self._where()}: the track has no label.", _EXPORT)
        self._track_ids.add(track_id)
        self._track = (track_id, attributes["label"])
        self._last_visible = None

    def _check_facts(self) -> None:
        missing = [name for name in ("size", "original_size/width", "original_size/height") if name not in self._facts]
        if missing:
            raise UnprocessableError(
                f"<meta> has no <{missing[0]}>: which video the file is about cannot be checked.", _EXPORT
            )
        size = self._integer(self._facts, "size")
        self._timeline.check_size(
            self._integer(self._facts, "original_size/width"),
            self._integer(self._facts, "original_size/height"),
            "The annotated video",
        )
        self._timeline.check_frame_count(size, "The annotated video")
        start = self._integer(self._facts, "start_frame") if self._facts.get("start_frame") else 0
        stop = self._integer(self._facts, "stop_frame") if self._facts.get("stop_frame") else size - 1
        if start != 0 or stop != size - 1 or self._facts.get("frame_filter"):
            frame_filter = self._facts.get("frame_filter") or "none"
            raise UnprocessableError(
                f"The annotations are about frames {start} to {stop} (filter: {frame_filter}), not about all {size}.",
                "Annotate the whole video, with every frame.",
            )
        self._checked = True

    def _end_box(self) -> None:
        if self._track is None:
            return
        track_id, label = self._track
        where = f"{self._box_where} (track {track_id})"
        frame = self._integer(self._box, "frame")
        # CVAT writes a box for every frame, interpolated ones too, until it writes one that is outside.
        if self._last_visible is not None and frame > self._last_visible + 1:
            raise UnprocessableError(
                f"{where}: frames {self._last_visible + 1} to {frame - 1} have neither a box nor an outside mark.",
                "Export with interpolated boxes, not with key frames only.",
            )
        if self._flag(self._box, "outside", where):
            self._timeline.check_frame(frame, where)
            self._last_visible = None
            return
        if float(self._number(self._box, "rotation", where)) if self._box.get("rotation") else 0.0:
            raise UnprocessableError(f"{where}: the box is rotated.", "Annotate with upright boxes.")
        left, top, right, bottom = (self._number(self._box, name, where) for name in ("xtl", "ytl", "xbr", "ybr"))
        self._collector.add(
            RawBox(
                where=where,
                track_id=track_id,
                label=label,
                frame_index=frame,
                x=left,
                y=top,
                width=right - left,
                height=bottom - top,
                occluded=self._flag(self._box, "occluded", where),
                truncated=self._flag(self._attributes, "truncated", where),
                ignore=self._flag(self._attributes, "ignore", where),
            )
        )
        self._last_visible = frame

    def _integer(self, values: dict[str, str], name: str) -> int:
        try:
            return int(values.get(name, ""))
        except ValueError:
            raise UnprocessableError(
                f"{self._where()}: {name} is {values.get(name)!r}, not a whole number.", _EXPORT
            ) from None

    @staticmethod
    def _number(values: dict[str, str], name: str, where: str) -> float:
        try:
            return float(values.get(name, ""))
        except ValueError:
            raise UnprocessableError(f"{where}: {name} is {values.get(name)!r}, not a number.", _EXPORT) from None

    @staticmethod
    def _flag(values: dict[str, str], name: str, where: str) -> bool:
        value = values.get(name, "").strip().lower()
        if value not in _TRUE | _FALSE:
            raise UnprocessableError(f"{where}: {name} is {value!r}, not true or false.", _EXPORT)
        return value in _TRUE
