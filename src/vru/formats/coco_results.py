"""COCO results: a list of detections, or a whole COCO file of them; and the images that they are about."""

from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import BinaryIO, NamedTuple

from vru.formats.annotations import Annotations, Boxes, BoxRow, FormatError, Key, check_box, check_score, shown, whole
from vru.formats.coco_fields import WHAT_IS_READ, bbox, coco_number, file_name, track
from vru.formats.json_stream import pieces


def describe_result(boxes: Boxes, position: int) -> str:
    """How a message names a detection."""
    return f"results[{boxes.place[position]}]"


def read_coco_results(stream: BinaryIO, truth: Annotations) -> Boxes:  # noqa: C901 - one sentence for each thing that a detection can have wrong
    """Read detections: ``[{"image_id", "category_id", "bbox", "score", "track_id"?}, ...]``, or a whole COCO file with
    them among its ``annotations``.

    Names come before ids. A whole file names its own categories and images: those of the truth are found by name. Of a
    plain list an image or a class is named as the truth names it: by the id of a COCO file, otherwise by the frame's
    number, the file's stem, the class's number or name.

    Raises:
        FormatError: it is no such file, or about other images or classes; the message names the position.
    """
    boxes = Boxes(describe_result)
    own = _own_names(stream)
    stream.seek(0)
    own_labels = own.labels if own.labels and truth.labels else None
    labels: dict[Key, int] = {}
    # Images are kept as small numbers until all of them are known; with the place that named each first.
    images: dict[Key, int] = {}
    first: list[str] = []
    listed = False
    for key, position, value in pieces(stream):
        if key not in ("", "annotations") or position is None:
            continue
        listed = True
        if position < 0:
            continue
        place = f"results[{position}]"
        if not isinstance(value, dict):
            raise FormatError(f"{place} is no object.", WHAT_IS_READ)
        missing = [name for name in ("image_id", "category_id", "bbox", "score") if name not in value]
        if missing:
            raise FormatError(f"{place} has no {missing[0]}.", WHAT_IS_READ)
        image, category = value["image_id"], value["category_id"]
        if not isinstance(image, int | str) or isinstance(image, bool):
            raise FormatError(f"{place}: image_id is {shown(image)}.", WHAT_IS_READ)
        if not isinstance(category, int | str) or isinstance(category, bool):
            raise FormatError(f"{place}: category_id is {shown(category)}.", WHAT_IS_READ)
        if image not in images:
            images[image] = len(images)
            first.append(place)
        if category not in labels:
            if own_labels is not None and category not in own_labels:
                raise FormatError(
                    f"{place} is of category {shown(category)}, which its file does not list.", WHAT_IS_READ
                )
            labels[category] = truth.label_of(own_labels[category] if own_labels is not None else category, place)
        x, y, width, height = bbox(value["bbox"], place)
        check_box(x, y, width, height, place)
        boxes.add(
            BoxRow(
                images[image],
                labels[category],
                x,
                y,
                width,
                height,
                track(value, place),
                check_score(coco_number(value["score"], f"{place}.score"), place),
            ),
            position,
        )
    if not listed:
        raise FormatError("This is no list of COCO results.", WHAT_IS_READ)
    pictures = pictures_of(images, first.__getitem__, own, truth, boxes.notes)
    for position, number_of in enumerate(boxes.picture):
        boxes.picture[position] = pictures[number_of]
    return boxes


class Names(NamedTuple):
    """What a whole COCO file of detections calls its images and categories."""

    images: dict[Key, str]
    labels: dict[Key, str]


NoNames = Names({}, {})


def _own_names(stream: BinaryIO) -> Names:
    own = Names({}, {})
    for key, position, value in pieces(stream):
        if not key and position is not None:
            break
        if position is None or position < 0 or not isinstance(value, dict) or not isinstance(value.get("id"), Key):
            continue
        if key == "images":
            own.images[value["id"]] = file_name(value)
        elif key == "categories" and isinstance(value.get("name"), str):
            own.labels[value["id"]] = value["name"]
    return own


def pictures_of(
    images: Mapping[Key, int], first: Callable[[int], str], own: Names, truth: Annotations, notes: list[str]
) -> list[int]:
    """The truth's pictures, by the number that each image of the detections was given: 0, 1, ... in their order.

    Raises:
        FormatError: the truth does not have one; the message names the ``first`` place that is about this number.
    """
    known: Mapping[Key, int] = truth.by_key()
    if own.images:
        places = _by_name(truth)
        if places and all(own.images.values()):
            found = {
                key: next((places[form] for form in _forms(name) if form in places), -1)
                for key, name in own.images.items()
            }
            known = {key: place for key, place in found.items() if place >= 0}
        else:
            whose = "detections do" if places else "truth does"
            notes.append(f"The {whose} not name the images: they were joined by id.")
    else:
        named: dict[Key, int] = {}
        if any(isinstance(image, str) for image in images):
            named.update(_by_name(truth))
        named.update(_ids_or_stems(images, known, truth, notes))
        known = named
    for image, number in images.items():
        if image not in known:
            raise FormatError(
                f"{first(number)} is about image {shown(image)}, which the truth does not have.",
                "Are these the detections of another video?",
            )
    return [known[image] for image in images]


def _forms(name: str) -> tuple[str, ...]:
    """A file's name with its folders, without, and without its ending."""
    path = PurePosixPath(name.replace("\\", "/"))
    return str(path), path.name, path.stem


def _by_name(truth: Annotations) -> dict[str, int]:
    """Place of each picture by the forms of its name that no other has; none where pictures have no names."""
    found: dict[str, int] = {}
    twice = set[str]()
    for place, picture in enumerate(truth.pictures):
        if not picture.name:
            return {}
        for form in set(_forms(picture.name)):
            twice |= {form} if form in found else set()
            found[form] = place
    return {form: place for form, place in found.items() if form not in twice}


def _ids_or_stems(
    images: Mapping[Key, int], known: Mapping[Key, int], truth: Annotations, notes: list[str]
) -> Mapping[Key, int]:
    """Numbers are the truth's ids, or the numbers in its file names: some tools write those as the image's id. Read the
    wrong way all detections would move to other images.

    Raises:
        FormatError: they could be both, and would not mean the same.
    """
    stems: dict[Key, int] = {}
    for place, picture in enumerate(truth.pictures):
        # As PurePosixPath.stem, which takes ten times as long.
        stem, dot, ending = picture.name.rpartition("/")[2].rpartition(".")
        number_of = whole(stem if stem and ending else stem + dot + ending)
        if number_of is None or not isinstance(picture.key, int):
            return known
        stems[number_of] = place
    if not images or not images.keys() <= stems.keys() or all(stems[key] == known.get(key) for key in images):
        return known
    if images.keys() <= known.keys():
        raise FormatError(
            "The image ids of the detections fit the truth's ids as well as the numbers of its files, which differ.",
            "Write the file names as image_id, or a whole COCO file with its images.",
        )
    notes.append("The image ids of the detections are the numbers of the truth's files, and were joined by these.")
    return stems
