"""The fields of COCO's objects, checked one by one. Errors name their place in the file."""

from collections.abc import Mapping
from typing import Any, TypeGuard

from vru.formats.annotations import LARGEST, UNKNOWN, FormatError, integer, number, shown

WHAT_IS_READ = "docs/formats.md describes the fields that are read."
FLAGS = {"occluded", "truncated", "ignore", "iscrowd"}


def bad(place: str, why: str) -> FormatError:
    """The error that names a place of the file."""
    return FormatError(f"This is no COCO file: {place}: {why}.", WHAT_IS_READ)


def file_name(value: Mapping[str, Any]) -> str:
    """The image's file; Roboflow keeps the name before its own renaming."""
    extra = value.get("extra")
    original = extra.get("name") if isinstance(extra, dict) else None
    name = original if isinstance(original, str) and original else value.get("file_name")
    return name if isinstance(name, str) else ""


def source(value: Mapping[str, Any]) -> str | None:
    """The video, scene or sequence that an image says it is from, in whichever field."""
    for name in ("video", "video_name", "sequence", "sequence_name", "scene", "scene_name"):
        found = value.get(name)
        if isinstance(found, str) and found:
            return found
    return None


def track(value: Mapping[str, Any], place: str) -> int | None:
    """The track's id; CVAT writes it among the attributes."""
    attributes = value.get("attributes")
    inner = attributes.get("track_id") if isinstance(attributes, dict) else None
    track = value.get("track_id") if value.get("track_id") is not None else inner
    return None if track is None else coco_integer(track, f"{place}.track_id")


def rotation(value: Mapping[str, Any], place: str) -> float:
    """Degrees by which the box is turned around its centre, clockwise; CVAT writes them among the attributes, where
    anything that is no number is an attribute of somebody's own.
    """
    attributes = value.get("attributes")
    degrees = attributes.get("rotation", 0) if isinstance(attributes, dict) else 0
    known = isinstance(degrees, int | float) and not isinstance(degrees, bool)
    return coco_number(degrees, f"{place}.attributes.rotation") % 360 if known else 0.0


def truncation(value: Mapping[str, Any], flags: Mapping[str, bool], place: str) -> float:
    """The share outside of the picture."""
    if "truncation" in value:
        return share(value["truncation"], f"{place}.truncation")
    # A box that is said not to be cut off has no share outside; one that is, has one that nobody knows.
    return 0.0 if flags.get("truncated") is False else UNKNOWN


def usual_integer(value: object) -> TypeGuard[int]:
    """Whether it is a whole number as it should be, which saves the search for what else it might be."""
    return type(value) is int and -LARGEST < value < LARGEST


def coco_integer(value: object, place: str) -> int:
    """``value`` as a whole number."""
    try:
        return integer(value, place)
    except FormatError as error:
        raise FormatError(f"This is no COCO file: {error.message}", WHAT_IS_READ) from None


def coco_number(value: object, place: str) -> float:
    """``value`` as a finite number."""
    try:
        return number(value, place)
    except FormatError as error:
        raise FormatError(f"This is no COCO file: {error.message}", WHAT_IS_READ) from None


def optional(value: Mapping[str, Any], name: str, place: str) -> int | None:
    """A whole number, None where there is none."""
    found = value.get(name)
    return found if found is None or usual_integer(found) else coco_integer(found, f"{place}.{name}")


def flag(value: object, place: str) -> bool:
    """Whether it is 1, of 0 and 1."""
    if value in (0, 1):
        return bool(value)
    raise bad(place, f"{shown(value)} is neither 0 nor 1")


def share(value: object, place: str) -> float:
    """A number from 0 to 1."""
    share = coco_number(value, place)
    if not 0 <= share <= 1:
        raise bad(place, f"{share:g} is no share from 0 to 1")
    return share


def provenance(info: Mapping[str, Any]) -> tuple[str, str | None]:
    """The source, and who approved it."""
    source: str | None = info.get("source")
    for name in ("source", "approved_by"):
        if not isinstance(info.get(name), str | None):
            raise bad(f"info.{name}", "Input should be text")
    return source or "", (info["approved_by"] or "") if "approved_by" in info else None


def distance(value: object, place: str) -> float:
    """Metres, not below 0."""
    distance = coco_number(value, f"{place}.distance_m")
    if distance < 0:
        raise bad(f"{place}.distance_m", f"{distance:g} is below 0")
    return distance


def attributes(value: Mapping[str, Any], place: str) -> dict[str, str]:
    """Texts by name. What else an image's attributes may hold (numbers, lists) makes no slices, and is left out."""
    attributes = value.get("attributes", {})
    if not isinstance(attributes, dict):
        raise bad(f"{place}.attributes", "Input should be an object")
    return {name: text for name, text in attributes.items() if isinstance(text, str) and text}


def area(value: object, place: str) -> float:
    """Square pixels, not below 0."""
    area = coco_number(value, f"{place}.area")
    if area < 0:
        raise bad(f"{place}.area", f"{area:g} is below 0")
    return area


def occlusion(value: Mapping[str, Any], place: str) -> float:
    """The share hidden."""
    if "occlusion" in value:
        return share(value["occlusion"], f"{place}.occlusion")
    return 1 - share(value["vis_ratio"], f"{place}.vis_ratio") if "vis_ratio" in value else UNKNOWN


def bbox(value: object, place: str) -> tuple[float, float, float, float]:
    """x, y, width and height."""
    if not isinstance(value, list) or len(value) != 4:
        raise bad(f"{place}.bbox", "Input should be a list of four numbers")
    x, y, width, height = value
    if all(type(side) is float or type(side) is int for side in value) and abs(sum(value)) < float("inf"):
        return float(x), float(y), float(width), float(height)
    x, y, width, height = (coco_number(side, f"{place}.bbox[{position}]") for position, side in enumerate(value))
    return x, y, width, height
