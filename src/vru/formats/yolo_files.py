"""YOLO data sets on disk: ``data.yaml`` with its splits, the folders ``images`` and ``labels``, and the classes' names.

An image without a file of labels shows nobody. Source: the data set formats of Ultralytics' documentation.
"""

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml

from vru.formats.annotations import Annotations, Boxes, FormatError
from vru.formats.registry import Asked, Format, Opening
from vru.formats.text_files import TextFile, is_number, label_files, open_files, read_many, text_lines
from vru.formats.yolo import read_yolo, read_yolo_results

_IMAGES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"}
_YAMLS = ("data.yaml", "dataset.yaml")
_DARKNET = "obj.data"
# What is evaluated of a data set that has several splits.
_SPLITS = ("val", "valid", "test", "train")
_HOW = "A data set is: data.yaml, obj.data, or a folder with images and labels (docs/formats.md)."


def _sniff(opening: Opening) -> bool:
    path = opening.path
    if path.is_dir() and not opening.head:
        return _yaml_of(path) is not None or _darknet_of(path) is not None or (path / "labels").is_dir()
    if path.suffix in (".yaml", ".yml") or _darknet_of(path) is not None:
        return True
    columns = opening.first_line.split()
    if len(columns) < 5 or not all(map(is_number, columns)):
        return False
    # Lines of MOT text are numbers too, but their fifth is a width in pixels.
    return len(columns) in (5, 6) or all(-0.1 <= float(column) <= 1.1 for column in columns[1:5])


def _truth(path: Path, asked: Asked) -> Annotations:
    files, notes = _files(path)
    described = _described(path)
    annotations = read_yolo(files, _names(path), asked.size, keypoints="kpt_shape" in described)
    annotations.notes[:0] = notes
    return annotations


def _results(path: Path, truth: Annotations) -> Boxes:
    return read_many(path, lambda files: read_yolo_results(files, truth, _names(path)))


def _files(path: Path) -> tuple[list[TextFile], list[str]]:
    """The files of labels of all images, those that have none too; and what there is to say of them."""
    described, darknet = _yaml_of(path), _darknet_of(path)
    if darknet is not None and described is None:
        return _of_darknet(darknet)
    if path.is_file() and described is None:
        return open_files([path]), []
    if described is not None:
        split, images = _split(described)
        found = [file for place in images for file in _of_images(place)]
        return _unique(found, path), [f"The split {split} of {described.name} was read: {len(found)} images."]
    labels = path / "labels" if (path / "labels").is_dir() else path
    folders = [item.name for item in sorted(labels.iterdir()) if item.is_dir()]
    if folders and not label_files(labels):
        raise FormatError(f"{labels} has no labels but folders: {', '.join(folders[:5])}.", f"Name one. {_HOW}")
    images = [_beside(labels, "labels", "images")]
    if images[0].is_dir() and images[0] != labels:
        return _unique(_of_images(images[0]), path), []
    return open_files(label_files(labels)), []


def _of_images(place: Path) -> list[TextFile]:
    """The labels of the images in a folder, or of those that a text file lists."""
    if place.is_file():
        images = [
            _listed(place, line, lambda image: _beside(image.parent, "images", "labels")) for line in text_lines(place)
        ]
        pairs = [(image, _beside(image.parent, "images", "labels") / f"{image.stem}.txt") for image in images]
    elif place.is_dir():
        labels = _beside(place, "images", "labels")
        images = sorted(file for file in place.rglob("*") if file.suffix.lower() in _IMAGES)
        pairs = [(image, labels / image.relative_to(place).with_suffix(".txt")) for image in images]
        known = {label for _, label in pairs}
        for label in sorted(labels.rglob("*.txt")) if labels != place else ():
            if label not in known and label.name != "classes.txt":
                raise FormatError(f"{label} has no image in {place}.", "Add the image, or take the labels out.")
    else:
        raise FormatError(f"{place} does not exist.", _HOW)
    if not pairs:
        raise FormatError(f"{place} has no image.", _HOW)
    return [_labels(image, label) for image, label in pairs]


def _listed(place: Path, said: str, labels: Callable[[Path], Path]) -> Path:
    """An image that a list names; exporters write a folder before it that there need not be, such as ``data/``."""
    image = place.parent / said
    without = place.parent.joinpath(*Path(said).parts[1:])
    return without if not labels(image).is_dir() and labels(without).is_dir() else image


def _darknet_of(path: Path) -> Path | None:
    """Darknet's description of a data set, which CVAT's YOLO 1.1 has: ``obj.data``, beside lists of images."""
    if path.is_file():
        return path if path.name == _DARKNET else None
    return path / _DARKNET if (path / _DARKNET).is_file() else None


def _of_darknet(described: Path) -> tuple[list[TextFile], list[str]]:
    """The labels of the images that are evaluated, which lie beside these."""
    said = {}
    for line in text_lines(described):
        name, _, value = line.partition("=")
        said[name.strip()] = value.strip()
    split = next((name for name in _SPLITS if said.get(name)), None)
    if split is None:
        raise FormatError(f"{described} names no valid, test or train.", _HOW)
    place = described.parent / Path(said[split]).name
    images = [_listed(place, line, lambda image: image.parent) for line in text_lines(place)]
    if not images:
        raise FormatError(f"{place} lists no image.", _HOW)
    found = [_labels(image, image.with_suffix(".txt")) for image in images]
    return _unique(found, described), [f"The split {split} of {described.name} was read: {len(found)} images."]


def _labels(image: Path, label: Path) -> TextFile:
    return open_files([label])[0] if label.is_file() else TextFile(image.stem, io.BytesIO(), str(label))


def _unique(files: Sequence[TextFile], path: Path) -> list[TextFile]:
    seen: set[str] = set()
    for file in files:
        if file.stem in seen:
            raise FormatError(f"{path} has two images {file.stem[:60]}.", "Give each a name of its own.")
        seen.add(file.stem)
    return list(files)


def _beside(folder: Path, before: str, after: str) -> Path:
    """The folder with the last of its names that is ``before`` as ``after``."""
    parts = list(folder.parts)
    for place in range(len(parts) - 1, -1, -1):
        if parts[place] == before:
            parts[place] = after
            return Path(*parts)
    return folder


def _yaml_of(path: Path) -> Path | None:
    if path.is_file():
        return path if path.suffix in (".yaml", ".yml") else None
    return next((path / name for name in _YAMLS if (path / name).is_file()), None)


def _split(described: Path) -> tuple[str, list[Path]]:
    """The split that is evaluated, and its folders of images (or files that list them)."""
    document = _loaded(described)
    split = next((name for name in _SPLITS if document.get(name)), None)
    if split is None:
        raise FormatError(f"{described} names no val, test or train.", _HOW)
    said = document[split]
    entries = said if isinstance(said, list) else [said]
    root = document.get("path") or "."
    if not isinstance(root, str) or not all(isinstance(entry, str) for entry in entries):
        raise FormatError(f"{described}: {split} is no folder.", "val: images/val")
    places = []
    for entry in entries:
        # Roboflow writes ../valid/images for what lies beside the file.
        tried = [described.parent / root / entry, described.parent / entry, described.parent / entry.lstrip("./")]
        places.append(next((place for place in tried if place.exists()), tried[0]))
    return split, places


def _described(path: Path) -> dict[str, Any]:
    """What the data set's YAML says; nothing where there is none."""
    folder = path if path.is_dir() else path.parent
    found = _yaml_of(path) or next(filter(None, map(_yaml_of, (folder, folder.parent, folder.parent.parent))), None)
    return _loaded(found) if found is not None else {}


def _names(path: Path) -> list[str] | None:
    """A YOLO data set's names of classes, where a file beside the labels has them."""
    if path.is_file() and path.suffix in (".yaml", ".yml"):
        return _yaml_names(path)
    folder = path if path.is_dir() else path.parent
    for place in (folder, folder / "labels", folder.parent, folder.parent.parent):
        for name in ("classes.txt", "obj.names"):
            if found := text_lines(place / name):
                return found
        for name in _YAMLS:
            if (place / name).is_file():
                return _yaml_names(place / name)
    return None


def _loaded(path: Path) -> dict[str, Any]:
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise FormatError(f"{path}: this is no YAML: {' '.join(str(error).split())[:200]}.", "Correct it.") from None
    return document if isinstance(document, dict) else {}


def _yaml_names(path: Path) -> list[str] | None:
    names = _loaded(path).get("names")
    if isinstance(names, dict):
        names = [names.get(number) for number in range(len(names))]
    if names is not None and not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
        raise FormatError(f"{path}: names is no list of names.", "names: [pedestrian, cyclist]")
    return names


YOLO = Format(_sniff, _truth, _results)
