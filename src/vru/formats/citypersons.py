"""CityPersons: JSON, one file a picture of Cityscapes: ``objects`` with ``bbox`` (the whole person), ``bboxVis`` (what
is visible) and ``label``. Regions of the label ``ignore`` are nobody's business.

Source: Zhang, Benenson and Schiele, CityPersons, CVPR 2017.
"""

from pathlib import Path

from vru.formats.annotations import UNKNOWN, Annotations, FormatError, integer, number
from vru.formats.builder import Builder, Sides, load_json, member
from vru.formats.registry import Asked, Format, Opening
from vru.formats.text_files import annotation_files

_SUFFIX = "_gtBboxCityPersons"


def _sniff(opening: Opening) -> bool:
    return {"imgWidth", "imgHeight", "objects", "bboxVis"} <= opening.names


def _truth(path: Path, asked: Asked) -> Annotations:
    builder = Builder("citypersons")
    builder.amodal = True
    for file in annotation_files(path, ".json"):
        where, stem = str(file), file.stem.removesuffix(_SUFFIX)
        document = load_json(file, picture=True)
        width, height = (integer(member(document, name, int, where), where) for name in ("imgWidth", "imgHeight"))
        # aachen_000000_000019 is of a city and a sequence, of which this is the one annotated frame.
        picture = builder.picture(stem, where, width=width, height=height, name=f"{stem}_leftImg8bit.png")
        for place, item in enumerate(member(document, "objects", list, where)):
            at = f"{where}, object {place}"
            name = member(item, "label", str, at)
            whole, visible = _sides(item, "bbox", at), _sides(item, "bboxVis", at)
            area = whole[2] * whole[3]
            hidden = 1 - visible[2] * visible[3] / area if area > 0 else UNKNOWN
            region = name == "ignore"
            builder.box(
                picture,
                builder.label("DontCare" if region else name, at),
                whole,
                place,
                occlusion=min(max(hidden, 0.0), 1.0),
                crowd=region or name == "person group",
            )
    return builder.finish(str(path))


def _sides(item: object, name: str, where: str) -> Sides:
    values = member(item, name, list, where)
    if len(values) != 4:
        raise FormatError(f"{where}: {name} is no list of four numbers.", "x, y, width, height.")
    x, y, width, height = (number(value, f"{where}: {name}") for value in values)
    return x, y, width, height


CITYPERSONS = Format(_sniff, _truth)
