"""YOLO data sets on disk: the folders of labels, and the names of their classes."""

from pathlib import Path

import yaml

from vru.formats.annotations import Annotations, Boxes, FormatError
from vru.formats.registry import Asked, Format, Opening
from vru.formats.text_files import is_number, read_many, text_lines
from vru.formats.yolo import read_yolo, read_yolo_results


def _sniff(opening: Opening) -> bool:
    columns = opening.first_line.split()
    return len(columns) in (5, 6) and all(map(is_number, columns))


def _truth(path: Path, asked: Asked) -> Annotations:
    return read_many(path, lambda files: read_yolo(files, _names(path), asked.size))


def _results(path: Path, truth: Annotations) -> Boxes:
    return read_many(path, lambda files: read_yolo_results(files, truth, _names(path)))


def _names(path: Path) -> list[str] | None:
    """A YOLO data set's names of classes, where a file beside the labels has them."""
    folder = path if path.is_dir() else path.parent
    for place in (folder, folder.parent, folder.parent.parent):
        for name in ("classes.txt", "obj.names"):
            if found := text_lines(place / name):
                return found
        for name in ("data.yaml", "dataset.yaml"):
            if (place / name).is_file():
                return _yaml_names(place / name)
    return None


def _yaml_names(path: Path) -> list[str] | None:
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise FormatError(f"{path}: this is no YAML: {' '.join(str(error).split())[:200]}.", "Correct it.") from None
    names = document.get("names") if isinstance(document, dict) else None
    if isinstance(names, dict):
        names = [names.get(number) for number in range(len(names))]
    if names is not None and not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
        raise FormatError(f"{path}: names is no list of names.", "names: [pedestrian, cyclist]")
    return names


YOLO = Format(_sniff, _truth, _results)
