"""EuroCity Persons: JSON, one file a picture: ``imagewidth``, ``imageheight`` and nested ``children`` with corners x0,
y0, x1, y1, ``identity`` and ``tags``.

Tags say how much is hidden or outside of the picture: more than 10, 40 or 80 %, which is read as the middle of each
stage. Source: Braun et al., EuroCity Persons, TPAMI 2019, section 3.2.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vru.formats.annotations import Annotations, integer
from vru.formats.builder import Builder, corners, load_json, member
from vru.formats.registry import Asked, Format, Opening
from vru.formats.text_files import annotation_files

_STAGES = {"10": 0.25, "40": 0.6, "80": 0.9}
# Pictures of people, and people in mirrors.
_NO_PERSON = {"depiction", "reflection"}


def _sniff(opening: Opening) -> bool:
    return {"imagewidth", "imageheight", "children"} <= opening.names


def _truth(path: Path, asked: Asked) -> Annotations:
    builder = Builder("eurocity")
    for file in annotation_files(path, ".json"):
        where = str(file)
        document = load_json(file, picture=True)
        width, height = (integer(member(document, name, int, where), where) for name in ("imagewidth", "imageheight"))
        picture = builder.picture(
            file.stem, where, width=width, height=height, name=f"{file.parent.name}/{file.stem}.png"
        )
        for place, item in enumerate(_children(document, where)):
            _add(builder, picture, item, place, where)
    return builder.finish(str(path))


def _children(document: object, where: str) -> Iterator[dict[str, Any]]:
    """All objects, those inside of others too: a rider's bicycle is a child of the rider."""
    waiting: list[object] = list(reversed(member(document, "children", list, where)))
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            yield item
            inner = item.get("children")
            waiting.extend(reversed(inner) if isinstance(inner, list) else ())


def _add(builder: Builder, picture: int, item: dict[str, Any], place: int, where: str) -> None:
    at = f"{where}, object {place}"
    sides = corners(item, ("x0", "y0", "x1", "y1"), at)
    said = item.get("tags")
    tags = [str(tag) for tag in said] if isinstance(said, list) else []
    occlusion, truncation = _stage(tags, "occluded"), _stage(tags, "truncated")
    builder.box(
        picture,
        builder.label(item.get("identity"), at),
        sides,
        place,
        occlusion=occlusion,
        truncation=truncation,
        occluded=occlusion > 0,
        truncated=truncation > 0,
        level=-1 if occlusion else 0,
        ignore=bool(_NO_PERSON & set(tags)),
    )


def _stage(tags: list[str], what: str) -> float:
    return max((_STAGES.get(tag.partition(">")[2], 0.0) for tag in tags if tag.startswith(f"{what}>")), default=0.0)


EUROCITY = Format(_sniff, _truth)
