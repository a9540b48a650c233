"""LabelMe: JSON, one file a picture: ``shapes`` of ``points``, ``imagePath``, ``imageWidth``, ``imageHeight``."""

import math
from pathlib import Path, PurePosixPath
from typing import Any

from vru.formats.annotations import Annotations, FormatError, integer, number
from vru.formats.builder import Builder, Sides, around, inner, load_json, member
from vru.formats.registry import Asked, Format, Opening
from vru.formats.text_files import annotation_files

_BOXES = {"rectangle", "mask"}
_ENCLOSED = {"polygon", "circle", "rotation"}


def _sniff(opening: Opening) -> bool:
    return "shapes" in opening.names and bool({"imagePath", "shape_type", "points"} & opening.names)


def _truth(path: Path, asked: Asked) -> Annotations:
    builder = Builder("labelme")
    for file in annotation_files(path, ".json"):
        where = str(file)
        document = load_json(file, picture=True)
        shapes = member(document, "shapes", list, where)
        width, height = (integer(member(document, name, int, where), where) for name in ("imageWidth", "imageHeight"))
        image = member(document, "imagePath", str, where).replace("\\", "/")
        picture = builder.picture(file.stem, where, width=width, height=height, name=PurePosixPath(image).name)
        for place, shape in enumerate(shapes):
            at = f"{where}, object {place}"
            kind = str(shape.get("shape_type") or "polygon") if isinstance(shape, dict) else "?"
            if kind not in _BOXES | _ENCLOSED:
                builder.leave_out(f"of the type {kind[:20]}")
                continue
            if kind in _ENCLOSED:
                builder.enclose(kind)
            flags = inner(shape, "flags")
            builder.box(
                picture,
                builder.label(shape.get("label"), at),
                _sides(shape, kind, at),
                place,
                ignore=flags.get("ignore") is True or flags.get("difficult") is True,
            )
    return builder.finish(str(path))


def _sides(shape: dict[str, Any], kind: str, where: str) -> Sides:
    points = shape.get("points")
    if kind != "circle":
        return around(points, where)
    around(points, where)
    if not isinstance(points, list) or len(points) != 2:
        raise FormatError(f"{where}: a circle has two points.", "Annotate with boxes.")
    (x, y), edge = ([number(value, f"{where}: a point") for value in point[:2]] for point in points)
    radius = math.dist((x, y), edge)
    return x - radius, y - radius, 2 * radius, 2 * radius


LABELME = Format(_sniff, _truth)
