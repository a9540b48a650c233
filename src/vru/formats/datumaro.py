"""Datumaro: JSON with ``categories.label.labels`` and ``items`` of ``annotations`` (``bbox``: x, y, width, height)."""

from pathlib import Path
from typing import Any

from vru.formats.annotations import Annotations, FormatError, integer, number
from vru.formats.builder import Builder, Sides, around, inner, load_json, member, optional, texts, turned
from vru.formats.registry import Asked, Format, Opening
from vru.formats.text_files import annotation_files

_POINTS = ("polygon", "polyline")


def _sniff(opening: Opening) -> bool:
    # "label" is there in both; "items" comes after the categories, and may be beyond the beginning.
    return "categories" in opening.names and bool({"dm_format_version", "items", "label_id"} & opening.names)


def _truth(path: Path, asked: Asked) -> Annotations:
    builder = Builder("datumaro")
    for file in annotation_files(path, ".json"):
        where = str(file)
        document = load_json(file)
        label = member(member(document, "categories", dict, where), "label", dict, f"{where}: categories")
        names = [member(item, "name", str, f"{where}: labels") for item in member(label, "labels", list, where)]
        for name in names:
            builder.label(name, where)
        for item in member(document, "items", list, where):
            _item(builder, item, names, where)
    return builder.finish(str(path))


def _item(builder: Builder, item: object, names: list[str], where: str) -> None:
    key = str(member(item, "id", str, f"{where}: an item"))
    at = f"{where}: item {key[:60]}"
    image: dict[str, Any] = {}
    attributes: dict[str, Any] = {}
    video: dict[str, Any] = {}
    if isinstance(item, dict):
        image, attributes = inner(item, "image"), inner(item, "attr")
        video = inner(item, "video_frame")
    said = image.get("size")
    height, width = said if isinstance(said, list) and len(said) == 2 else (None, None)
    size = {"height": height, "width": width}
    frame, source = attributes.get("frame", video.get("frame_index")), video.get("video_path")
    picture = builder.picture(
        key,
        at,
        frame=None if frame is None else integer(frame, f"{at}: frame"),
        height=optional(size, "height", at),
        width=optional(size, "width", at),
        attributes=texts(attributes),
        name=str(image.get("path") or key),
        source=source if isinstance(source, str) and source else None,
    )
    for place, annotation in enumerate(member(item, "annotations", list, at)):
        spot = f"{at}, object {place}"
        kind = member(annotation, "type", str, spot)
        if kind not in ("bbox", *_POINTS):
            builder.leave_out(f"of the type {kind[:20]}")
            continue
        label_id = integer(annotation.get("label_id"), f"{spot}: label_id")
        if not 0 <= label_id < len(names):
            raise FormatError(f"{spot}: unknown class {label_id}.", f"There are {len(names)} labels.")
        marks = inner(annotation, "attributes")
        occluded, track = marks.get("occluded"), marks.get("track_id", annotation.get("object_id"))
        builder.box(
            picture,
            builder.label(names[label_id], spot),
            _sides(builder, annotation, kind, spot),
            place,
            track=None if track is None else integer(track, f"{spot}: track_id"),
            occluded=occluded is True,
            level=0 if occluded is False else -1,
            truncated=marks.get("truncated") is True,
            ignore=marks.get("difficult") is True or marks.get("ignore") is True,
            crowd=marks.get("is_crowd") is True,
        )


def _sides(builder: Builder, annotation: dict[str, Any], kind: str, where: str) -> Sides:
    if kind in _POINTS:
        flat = member(annotation, "points", list, where)
        builder.enclose(kind)
        return around([list(pair) for pair in zip(flat[::2], flat[1::2], strict=False)], where)
    values = member(annotation, "bbox", list, where)
    if len(values) != 4:
        raise FormatError(f"{where}: bbox is no list of four numbers.", "x, y, width, height.")
    x, y, width, height = (number(value, f"{where}: bbox") for value in values)
    degrees = number(inner(annotation, "attributes").get("rotation", 0), f"{where}: rotation")
    if degrees % 360 == 0:
        return x, y, width, height
    # CVAT writes the box before it was turned, and by how much.
    builder.enclose("rotated boxe")
    return turned((x, y, width, height), degrees)


DATUMARO = Format(_sniff, _truth)
