"""BDD100K: ``det_20`` and ``box_track_20`` (a list of frames with ``labels``, which is Scalabel's form), and the older
one, a file a picture with ``frames`` of ``objects``. Boxes are ``box2d``: x1, y1, x2, y2, of which the last are within
the box, as Scalabel's own converters have it (``scalabel/label/transforms.py``: width = x2 - x1 + 1).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vru.formats.annotations import Annotations, FormatError, brief, integer, number, shown
from vru.formats.builder import Builder, corners, inner, load_json, member, optional, texts
from vru.formats.registry import Asked, Format, Opening
from vru.formats.text_files import annotation_files

# Whether a picture is one of a video, which says how it is named.
Frame = tuple[str, dict[str, Any], object, str]


def _sniff(opening: Opening) -> bool:
    names = opening.names
    return "name" in names and bool({"labels", "frames"} & names) and bool({"box2d", "timeofday"} & names)


def _truth(path: Path, asked: Asked) -> Annotations:
    builder = Builder("bdd100k")
    for file in annotation_files(path, ".json"):
        for name, frame, objects, where in _frames(load_json(file), str(file)):
            _add(builder, name, frame, objects, where)
    return builder.finish(str(path))


def _frames(document: object, where: str) -> Iterator[Frame]:
    """Every picture: its name, its frame, its objects and how a message names it."""
    if isinstance(document, dict) and "name" in document:
        name, frames = member(document, "name", str, where), member(document, "frames", list, where)
        if len(frames) != 1:
            raise FormatError(f"{where} has {len(frames)} frames of one picture.", "Use box_track_20 for videos.")
        frame = frames[0] if isinstance(frames[0], dict) else {}
        yield name, frame | {"attributes": document.get("attributes")}, frame.get("objects") or [], where
        return
    listed = document if isinstance(document, list) else member(document, "frames", list, where)
    for place, frame in enumerate(listed):
        at = f"{where}: frame {place}"
        yield member(frame, "name", str, at), frame, frame.get("labels") or [], at


def _add(builder: Builder, name: str, frame: dict[str, Any], objects: object, where: str) -> None:
    if not isinstance(objects, list):
        raise FormatError(
            f"{where}: the objects are {shown(objects)}, no list.", "docs/formats.md describes the fields."
        )
    video, size = frame.get("videoName"), inner(frame, "size")
    if not isinstance(video, str | None):
        raise FormatError(f"{where}: videoName is {shown(video)}.", "docs/formats.md describes the fields.")
    builder.declared |= bool(video)
    index, time = frame.get("frameIndex"), frame.get("timestamp")
    picture = builder.picture(
        name,
        f"{where} ({name[:60]})",
        sequence=video or None,
        frame=None if index is None else integer(index, f"{where}: frameIndex"),
        # Of a video, milliseconds from its beginning.
        time_s=number(time, f"{where}: timestamp") / 1000 if time is not None and video else None,
        width=optional(size, "width", where),
        height=optional(size, "height", where),
        attributes=texts(frame.get("attributes")),
        name=name if "." in name else f"{name}.jpg",
    )
    for place, item in enumerate(objects):
        at = f"{where}, object {place}"
        box = item.get("box2d") if isinstance(item, dict) else None
        if not isinstance(box, dict):
            builder.leave_out("without box2d (lanes, areas)")
            continue
        said = inner(item, "attributes")
        truncated, occluded = said.get("truncated"), said.get("occluded")
        x, y, width, height = corners(box, ("x1", "y1", "x2", "y2"), at)
        builder.box(
            picture,
            builder.label(item.get("category"), at),
            (x, y, width + 1, height + 1),
            place,
            track=builder.track((video, brief(item["id"])))
            if video and isinstance(item.get("id"), int | str)
            else None,
            occluded=occluded is True,
            level=0 if occluded is False else -1,
            truncated=truncated is True,
            truncation=0.0 if truncated is False else float("nan"),
            crowd=said.get("crowd") is True,
            ignore=said.get("ignored") is True,
        )


BDD100K = Format(_sniff, _truth)
