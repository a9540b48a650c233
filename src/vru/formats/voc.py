"""Pascal VOC: XML, one file a picture: ``object`` with ``name``, ``bndbox`` (xmin, ymin, xmax, ymax), ``difficult``,
``truncated`` and ``occluded``. DTDs and entities are refused.

Source: Everingham et al., The PASCAL Visual Object Classes Challenge 2012 Development Kit.
"""

from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from vru.formats.annotations import Annotations, FormatError, integer
from vru.formats.builder import Builder, corners
from vru.formats.registry import Asked, Format, Opening
from vru.formats.text_files import annotation_files

_LARGEST = 16 << 20
_EDGES = (
    "VOC's corners are taken as edges counted from 0: files that count pixels from 1, as VOC's own do, are off by up "
    "to a pixel."
)


def _sniff(opening: Opening) -> bool:
    return opening.elements[:1] == ("annotation",)


def _truth(path: Path, asked: Asked) -> Annotations:
    builder = Builder("voc")
    builder.notes.append(_EDGES)
    for file in annotation_files(path, ".xml"):
        where = str(file)
        root = _parsed(file)
        if root.tag != "annotation":
            raise FormatError(f"{where}: the XML's root is <{root.tag[:60]}>, not <annotation>.", "Is it Pascal VOC?")
        width, height = (integer(root.findtext(f"size/{name}"), f"{where}: {name}") for name in ("width", "height"))
        picture = builder.picture(
            file.stem, where, width=width or None, height=height or None, name=root.findtext("filename") or file.stem
        )
        for place, item in enumerate(root.findall("object")):
            _add(builder, picture, item, place, f"{where}, object {place}")
    return builder.finish(str(path))


def _add(builder: Builder, picture: int, item: Element, place: int, where: str) -> None:
    box = item.find("bndbox")
    values: dict[str, Any] = {} if box is None else {side.tag: side.text for side in box}
    truncated, occluded = _flag(item, "truncated", where), _flag(item, "occluded", where)
    builder.box(
        picture,
        builder.label(item.findtext("name"), where),
        corners(values, ("xmin", "ymin", "xmax", "ymax"), where),
        place,
        ignore=_flag(item, "difficult", where) is True,
        truncated=truncated is True,
        truncation=0.0 if truncated is False else float("nan"),
        occluded=occluded is True,
        level=0 if occluded is False else -1,
    )


def _flag(item: Element, name: str, where: str) -> bool | None:
    """What it says; None where it says nothing, or ``Unspecified``."""
    text = (item.findtext(name) or "").strip().lower()
    if text in ("", "unspecified"):
        return None
    if text not in ("0", "1", "true", "false"):
        raise FormatError(f"{where}: {name} is {text[:60]!r}, not 0 or 1.", "Correct it.")
    return text in ("1", "true")


def _parsed(path: Path) -> Element:
    if path.stat().st_size > _LARGEST:
        raise FormatError(f"{path} has more than 16 MB: it is not about one picture.", "Is it another format?")
    try:
        root: Element = fromstring(path.read_bytes(), forbid_dtd=True)
    except ParseError as error:
        raise FormatError(f"{path}: the XML is broken: {error}.", "Was the file cut off?") from None
    except DefusedXmlException:
        raise FormatError(f"{path}: the XML has a DTD or entities, which are not read.", "Take them out.") from None
    return root


VOC = Format(_sniff, _truth)
