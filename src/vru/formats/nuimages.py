"""nuImages: a folder of JSON tables: ``object_ann`` (boxes as corners), ``sample_data`` (images), ``category``; with
``sample`` and ``log``, if they are there, images know their drive. Only key frames are annotated. Boxes are amodal.

Source: ``docs/schema_nuimages.md`` of the nuScenes devkit.
"""

from pathlib import Path

from vru.formats.annotations import Annotations, FormatError, brief, number
from vru.formats.builder import Builder, load_json, member, optional
from vru.formats.registry import Asked, Format, Opening


def _sniff(opening: Opening) -> bool:
    return not opening.head and (opening.path / "object_ann.json").is_file()


def _truth(path: Path, asked: Asked) -> Annotations:
    builder = Builder("nuimages")
    builder.amodal = True
    names = {key: member(row, "name", str, str(path)) for key, row in _table(path, "category").items()}
    drives = {key: row.get("log_token") for key, row in _table(path, "sample", needed=False).items()}
    logs = {key: row.get("logfile") for key, row in _table(path, "log", needed=False).items()}
    pictures = {}
    for key, row in _table(path, "sample_data").items():
        if row.get("is_key_frame") is not True:
            continue
        where = f"{path}: image {brief(key)}"
        drive = drives.get(str(row.get("sample_token")))
        log = logs.get(drive) if isinstance(drive, str) else None
        pictures[key] = builder.picture(
            key,
            where,
            width=optional(row, "width", where),
            height=optional(row, "height", where),
            name=member(row, "filename", str, where),
            source=log if isinstance(log, str) else None,
        )
    for place, row in enumerate(_table(path, "object_ann").values()):
        at = f"{path}: object_ann {place}"
        image, category = (member(row, f"{name}_token", str, at) for name in ("sample_data", "category"))
        if image not in pictures or category not in names:
            raise FormatError(f"{at} is of an image or a category that is not there.", "Are all tables of one set?")
        corners = member(row, "bbox", list, at)
        if len(corners) != 4:
            raise FormatError(f"{at}: bbox is no list of four numbers.", "xmin, ymin, xmax, ymax.")
        left, top, right, bottom = (number(value, f"{at}: bbox") for value in corners)
        builder.box(pictures[image], builder.label(names[category], at), (left, top, right - left, bottom - top), place)
    return builder.finish(str(path))


def _table(path: Path, name: str, *, needed: bool = True) -> dict[str, dict[str, object]]:
    """A table's rows by their token."""
    file = path / f"{name}.json"
    if not file.is_file():
        if needed:
            raise FormatError(f"{path} has no {name}.json.", "Name the folder of tables, such as v1.0-val.")
        return {}
    rows = load_json(file)
    if not isinstance(rows, list):
        raise FormatError(f"{file} is no list.", "Is it nuImages?")
    found: dict[str, dict[str, object]] = {}
    for row in rows:
        found[member(row, "token", str, str(file))] = row
    return found


NUIMAGES = Format(_sniff, _truth)
