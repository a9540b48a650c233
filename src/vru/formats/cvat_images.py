"""CVAT for images 1.1: XML with an ``<image>`` each, and its ``<box>`` elements; other shapes as the box around them.

``rotation`` turns a box around its centre, clockwise in degrees. DTDs and entities are refused.
"""

from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import iterparse

from vru.formats.annotations import Annotations, FormatError, integer, number
from vru.formats.builder import Builder, Sides, around, corners, turned
from vru.formats.registry import Asked, Format, Opening
from vru.formats.text_files import named

_DEEPEST = 32
_ENCLOSED = ("polygon", "polyline")
_TRUE = {"true", "1"}
_EXPORT = "Export from CVAT as 'CVAT for images 1.1'."


def _sniff(opening: Opening) -> bool:
    return opening.elements[:1] == ("annotations",) and "image" in opening.elements and "track" not in opening.elements


def _truth(path: Path, asked: Asked) -> Annotations:
    if path.is_dir():
        raise FormatError(f"{path} is a folder.", "Name the XML file in it.")
    builder = Builder("cvat-images")
    depth = 0
    with named(path):
        try:
            for event, element in iterparse(path, events=("start", "end"), forbid_dtd=True):
                depth += 1 if event == "start" else -1
                if depth > _DEEPEST:
                    raise FormatError(f"Elements are nested more than {_DEEPEST} deep.", _EXPORT)
                if event == "end" and depth == 1:
                    if element.tag == "track":
                        raise FormatError("The file has tracks and images.", "Export as 'CVAT for video 1.1'.")
                    if element.tag == "image":
                        _image(builder, element)
                    element.clear()
        except ParseError as error:
            raise FormatError(f"The XML is broken: {error}.", _EXPORT) from None
        except DefusedXmlException:
            raise FormatError("The XML has a DTD or entities, which are not read.", _EXPORT) from None
        return builder.finish("The file")


def _image(builder: Builder, image: Element) -> None:
    key, name = integer(image.get("id"), "The image's id"), image.get("name") or ""
    where = f"Image {key}"
    width, height = (integer(image.get(side), f"{where}: {side}") for side in ("width", "height"))
    # A project numbers the images of each of its tasks from 0.
    task = image.get("task_id")
    picture = builder.picture(
        f"{task}/{key}" if task else key,
        f"{where} of task {task}" if task else where,
        width=width,
        height=height,
        name=name,
    )
    for place, shape in enumerate(image):
        at = f"{where}, object {place}"
        if shape.tag not in ("box", *_ENCLOSED):
            builder.leave_out(f"of the type {shape.tag[:20]}")
            continue
        attributes = {item.get("name"): (item.text or "").strip().lower() for item in shape.findall("attribute")}
        track, occluded = attributes.get("track_id"), shape.get("occluded")
        builder.box(
            picture,
            builder.label(shape.get("label"), at),
            _sides(builder, shape, at),
            place,
            track=integer(track, f"{at}: track_id") if track else None,
            occluded=occluded == "1",
            level=0 if occluded == "0" else -1,
            truncated=attributes.get("truncated") in _TRUE,
            ignore=attributes.get("ignore") in _TRUE,
        )


def _sides(builder: Builder, shape: Element, where: str) -> Sides:
    if shape.tag in _ENCLOSED:
        builder.enclose(shape.tag)
        return around([pair.split(",") for pair in (shape.get("points") or "").split(";")], where)
    sides = corners(shape.attrib, ("xtl", "ytl", "xbr", "ybr"), where)
    degrees = number(shape.get("rotation", "0"), f"{where}: rotation")
    if degrees % 360 == 0:
        return sides
    builder.enclose("rotated boxe")
    return turned(sides, degrees)


CVAT_IMAGES = Format(_sniff, _truth)
