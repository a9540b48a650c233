"""Open Images: CSV with the columns ImageID, LabelName, XMin, XMax, YMin, YMax (shares of the picture), IsOccluded,
IsTruncated, IsGroupOf. Names of the classes come from ``class-descriptions-boxable.csv`` beside it.
"""

import csv
from pathlib import Path

from vru.formats.annotations import Annotations, FormatError, number
from vru.formats.builder import Builder
from vru.formats.lines import line, lines
from vru.formats.registry import Asked, Format, Opening
from vru.formats.text_files import text_lines

_NEEDED = ("ImageID", "LabelName", "XMin", "XMax", "YMin", "YMax")
_DESCRIPTIONS = ("class-descriptions-boxable.csv", "oidv7-class-descriptions-boxable.csv", "class-descriptions.csv")


def _sniff(opening: Opening) -> bool:
    return set(_NEEDED) <= {column.strip() for column in opening.first_line.split(",")}


def _truth(path: Path, asked: Asked) -> Annotations:
    if path.is_dir():
        raise FormatError(f"{path} is a folder.", "Name the CSV file in it.")
    builder = Builder("openimages", "line")
    builder.normalised = asked.size is None
    width, height = asked.size or (1, 1)
    names = _names(path.parent)
    pictures: dict[str, int] = {}
    header: list[str] = []
    with path.open("rb") as stream:
        for count, text in lines(stream, str(path)):
            where = line(count, str(path))
            columns = [column.strip() for column in text.split(",")]
            if not header:
                header = columns
                continue
            if len(columns) != len(header):
                raise FormatError(f"{where} has {len(columns)} columns, the header {len(header)}.", "Correct it.")
            row = dict(zip(header, columns, strict=True))
            key = row["ImageID"]
            if key not in pictures:
                pictures[key] = builder.picture(key, f"image {key[:60]}", width=width, height=height, name=f"{key}.jpg")
            left, right, top, bottom = (number(row[name], f"{where}: {name}") for name in _NEEDED[2:])
            occluded, truncated = _flag(row, "IsOccluded", where), _flag(row, "IsTruncated", where)
            builder.box(
                pictures[key],
                builder.label(names.get(row["LabelName"], row["LabelName"]), where),
                (left * width, top * height, (right - left) * width, (bottom - top) * height),
                count,
                occluded=occluded is True,
                level=0 if occluded is False else -1,
                truncated=truncated is True,
                truncation=0.0 if truncated is False else float("nan"),
                crowd=_flag(row, "IsGroupOf", where) is True,
                ignore=_flag(row, "IsDepiction", where) is True,
            )
    builder.notes.append("Images without a box are not in Open Images' file: nothing is measured on them.")
    return builder.finish(str(path))


def _flag(row: dict[str, str], name: str, where: str) -> bool | None:
    text = row.get(name, "-1")
    if text not in ("-1", "0", "1"):
        raise FormatError(f"{where}: {name} is {text[:60]!r}, not -1, 0 or 1.", "Correct it.")
    return None if text == "-1" else text == "1"


def _names(folder: Path) -> dict[str, str]:
    for name in _DESCRIPTIONS:
        if rows := text_lines(folder / name):
            return {row[0]: row[1] for row in csv.reader(rows) if len(row) == 2}
    return {}


OPENIMAGES = Format(_sniff, _truth)
