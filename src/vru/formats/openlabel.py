"""ASAM OpenLABEL 1.0: JSON, ``frames`` with ``objects`` whose ``object_data.bbox`` is the centre, width and height.

Source: ASAM OpenLABEL 1.0.0, 2021, the section on geometries. Of each object the first box of a frame is read.
"""

from pathlib import Path
from typing import Any

from vru.formats.annotations import Annotations, FormatError, brief, integer, number
from vru.formats.builder import Builder, Sides, inner, load_json, member, optional
from vru.formats.limits import check_frame
from vru.formats.registry import Asked, Format, Opening
from vru.formats.text_files import annotation_files


def _sniff(opening: Opening) -> bool:
    return "openlabel" in opening.names


def _truth(path: Path, asked: Asked) -> Annotations:
    builder = Builder("openlabel")
    builder.declared = True
    for file in annotation_files(path, ".json"):
        where = str(file)
        content = member(load_json(file), "openlabel", dict, where)
        cameras = {
            name: stream
            for name, stream in inner(content, "streams").items()
            if isinstance(stream, dict) and stream.get("type") == "camera"
        }
        if len(cameras) > 1:
            raise FormatError(f"{where} is of {len(cameras)} cameras.", "Make a file for each camera.")
        lens: dict[str, Any] = {}
        for stream in cameras.values():
            lens = inner(inner(stream, "stream_properties"), "intrinsics_pinhole")
        width, height = (optional(lens, f"{side}_px", where) for side in ("width", "height"))
        objects = inner(content, "objects")
        frames = member(content, "frames", dict, where)
        for key, frame in frames.items():
            index = check_frame(integer(key, f"{where}: a frame's number"), where)
            picture = builder.picture(
                index, f"{where}: frame {index}", sequence=file.stem, frame=index, width=width, height=height
            )
            for place, (name, item) in enumerate(inner(frame, "objects").items()):
                _add(builder, picture, (file.stem, name), objects.get(name), item, place, f"{where}: frame {index}")
    return builder.finish(str(path))


def _add(
    builder: Builder, picture: int, track: tuple[str, str], described: object, item: object, place: int, frame: str
) -> None:
    at = f"{frame}, object {brief(track[1])}"
    boxes = inner(item, "object_data").get("bbox")
    if not isinstance(boxes, list) or not boxes:
        builder.leave_out("without bbox (cuboids, areas)")
        return
    box = boxes[0]
    said = inner(box, "attributes").get("boolean")
    marks = {
        mark.get("name"): mark.get("val")
        for mark in (said if isinstance(said, list) else [])
        if isinstance(mark, dict) and isinstance(mark.get("name"), str)
    }
    builder.box(
        picture,
        builder.label(member(described, "type", str, at), at),
        _sides(box, at),
        place,
        track=builder.track(track),
        occluded=marks.get("occluded") is True,
        level=0 if marks.get("occluded") is False else -1,
        truncated=marks.get("truncated") is True,
        ignore=marks.get("ignore") is True,
    )


def _sides(box: object, where: str) -> Sides:
    values = member(box, "val", list, where)
    if len(values) != 4:
        raise FormatError(f"{where}: val is no list of four numbers.", "The centre's x and y, width, height.")
    x, y, width, height = (number(value, f"{where}: val") for value in values)
    return x - width / 2, y - height / 2, width, height


OPENLABEL = Format(_sniff, _truth)
