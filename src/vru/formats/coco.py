"""COCO JSON: images, categories, annotations; and COCO's results, a list of detections.

Beside COCO's own fields, an image may carry ``video_id``, ``frame_index`` (or ``frame_id``) and ``timestamp_s``; an
annotation may carry ``track_id``, ``occluded``, ``truncated`` and ``ignore`` (0 or 1), ``occlusion`` and ``truncation``
(shares from 0 to 1), ``vis_ratio`` (the share that is visible) and ``distance_m`` (metres). Images and videos may carry
``attributes``, texts by name, such as ``{"light": "night"}``; an image's own come before its video's. ``bbox`` is
``[x, y, width, height]`` in pixels. ``info`` may say the ``source`` (``manual``, ``synthetic``, ``model:NAME``) and who
vouches for the truth, ``approved_by`` (null: nobody).
"""

import json
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any, BinaryIO, NamedTuple, TextIO

from vru.formats.annotations import (
    NAMED,
    UNKNOWN,
    Annotations,
    Boxes,
    BoxRow,
    FormatError,
    Key,
    Picture,
    Video,
    check_box,
    check_score,
    integer,
    number,
)
from vru.formats.json_stream import Piece, pieces

_WHAT_IS_READ = "docs/formats.md describes the fields that are read."
_LISTS = ("images", "annotations", "categories")
_FLAGS = {"occluded", "truncated", "ignore", "iscrowd"}


def read_coco(stream: BinaryIO) -> Annotations:
    """Read ground truth.

    Raises:
        FormatError: it is no such file; the message names the id or the position.
    """
    reader = CocoReader()
    for piece in pieces(stream):
        reader.take(piece)
    return reader.finish()


def _bad(place: str, why: str) -> FormatError:
    return FormatError(f"This is no COCO file: {place}: {why}.", _WHAT_IS_READ)


def describe_result(boxes: Boxes, position: int) -> str:
    """How a message names a detection."""
    return f"results[{boxes.place[position]}]"


def describe(boxes: Boxes, position: int) -> str:
    """How a message names a truth box."""
    return f"Annotation {boxes.place[position]}" if boxes.flags[position] & NAMED else f"annotations[{position}]"


class CocoReader:
    """Takes the pieces in whatever order the file has them; annotations find their images in the end."""

    def __init__(self) -> None:
        self._missing = set(_LISTS)
        self._videos: dict[Key, Video] = {}
        self._video_names: dict[Key, str] = {}
        self._video_attributes: dict[Key, Mapping[str, str]] = {}
        self._labels: dict[Key, str] = {}
        self._images: dict[Key, tuple[Picture, Key | None]] = {}
        self._boxes = Boxes(describe)
        # Ids are kept as small numbers until all images and categories are known.
        self._image_ids: dict[Key, int] = {}
        self._category_ids: dict[Key, int] = {}
        self._seen: set[Key] = set()
        self._info: Mapping[str, Any] = {}

    def take(self, piece: Piece) -> None:
        """One piece of the document."""
        key, position, value = piece
        if key == "info" and position is None:
            self.take_info(value)
            return
        if key not in (*_LISTS, "videos"):
            if not key and position is not None:
                raise FormatError("This is a list, not a COCO file with images and annotations.", _WHAT_IS_READ)
            return
        if position is None:
            raise _bad(key, "Input should be a valid list")
        self._missing.discard(key)
        if position < 0:
            return
        self.take_object(key, position, value)

    def take_info(self, value: object) -> None:
        """What the file says about itself."""
        if isinstance(value, dict):
            self._info = value

    def take_object(self, key: str, position: int, value: object) -> None:
        """An element of one of the lists."""
        self._missing.discard(key)
        place = f"{key}[{position}]"
        if not isinstance(value, dict):
            raise _bad(place, "Input should be an object")
        if key == "annotations":
            self._annotation(value, place)
        elif key == "images":
            self._image(value, place)
        elif key == "categories":
            self._category(value, place)
        else:
            self._video(value, place)

    def take_boxes(self, boxes: Boxes, images: dict[Key, int], categories: dict[Key, int]) -> None:
        """All annotations at once, with the numbers that their images and categories were given."""
        self._missing.clear()
        self._boxes, self._image_ids, self._category_ids = boxes, images, categories

    def _key(self, value: Mapping[str, Any], name: str, place: str) -> Key:
        if name not in value:
            raise FormatError(f"{place} has no {name}.", _WHAT_IS_READ)
        key = value[name]
        return key if isinstance(key, str) else _integer(key, f"{place}.{name}")

    def _video(self, value: Mapping[str, Any], place: str) -> None:
        key = self._key(value, "id", place)
        if key in self._videos:
            raise FormatError(f"Video {key} is in the file twice.", "Give each video an id of its own.")
        sizes = [_optional(value, name, place) for name in ("width", "height", "frame_count")]
        self._videos[key] = Video(f"Video {key} of the file", *sizes)
        self._video_attributes[key] = _attributes(value, place)
        self._video_names[key] = str(value.get("name") or value.get("file_name") or key)

    def _category(self, value: Mapping[str, Any], place: str) -> None:
        key = self._key(value, "id", place)
        if not isinstance(value.get("name"), str):
            raise _bad(f"{place}.name", "Input should be text")
        if key in self._labels:
            raise FormatError(f"Category {key} is in the file twice.", "Give each category an id of its own.")
        self._labels[key] = value["name"]

    def _image(self, value: Mapping[str, Any], place: str) -> None:
        key = self._key(value, "id", place)
        where = f"Image {key}"
        if key in self._images:
            raise FormatError(f"{where} is in the file twice.", "Give each image an id of its own.")
        index = _optional(value, "frame_index" if "frame_index" in value else "frame_id", place)
        seconds = value.get("timestamp_s")
        width, height = (_optional(value, name, place) for name in ("width", "height"))
        time_s = None if seconds is None else _number(seconds, f"{place}.timestamp_s")
        picture = Picture(
            key, where, -1, index, time_s, width, height, _attributes(value, place), _file_name(value), _source(value)
        )
        video = value.get("video_id")
        self._images[key] = (picture, video if video is None else self._key(value, "video_id", place))

    def _annotation(self, value: Mapping[str, Any], place: str) -> None:
        named = "id" in value
        identity = _integer(value["id"], f"{place}.id") if named else len(self._boxes)
        where = f"Annotation {identity}" if named else place
        for name in ("image_id", "category_id", "bbox"):
            if name not in value:
                raise FormatError(f"{where} has no {name}.", _WHAT_IS_READ)
        if named:
            if identity in self._seen:
                raise FormatError(f"{where} is in the file twice.", "Give each annotation an id of its own.")
            self._seen.add(identity)
        x, y, width, height = _bbox(value["bbox"], place)
        check_box(x, y, width, height, where)
        flags = {name: _flag(value[name], f"{place}.{name}") for name in _FLAGS & value.keys()}
        image, category = self._key(value, "image_id", place), self._key(value, "category_id", place)
        row = BoxRow(
            self._image_ids.setdefault(image, len(self._image_ids)),
            self._category_ids.setdefault(category, len(self._category_ids)),
            x,
            y,
            width,
            height,
            _track(value, place),
            area=_area(value["area"], place) if "area" in value else UNKNOWN,
            occlusion=_occlusion(value, place),
            truncation=_truncation(value, flags, place),
            level=0 if flags.get("occluded") is False else -1,
            occluded=flags.get("occluded", False),
            truncated=flags.get("truncated", False),
            ignore=flags.get("ignore", False),
            crowd=flags.get("iscrowd", False),
            distance=_distance(value["distance_m"], place) if "distance_m" in value else UNKNOWN,
        )
        self._boxes.add(row, identity, named=named)

    def finish(self) -> Annotations:
        """Join annotations, images and categories."""
        for name in _LISTS:
            if name in self._missing:
                raise _bad(name, "Field required")
        pictures, sequences = self._pictures()
        boxes = self._boxes
        positions = {key: position for position, key in enumerate(self._images)}
        names = list(dict.fromkeys(_unique_names(self._labels.values())))
        labels = {key: _place(name, names) for key, name in self._labels.items()}
        notes = [f"{' and '.join(of)} are taken as one class." for of in _spellings(self._labels)]
        to_picture = [positions.get(key, -1) for key in self._image_ids]
        to_label = [labels.get(key, -1) for key in self._category_ids]
        images, categories = list(self._image_ids), list(self._category_ids)
        if -1 in to_picture or -1 in to_label:
            self._refuse(boxes, to_picture, to_label, images, categories)
        boxes.picture = array("q", map(to_picture.__getitem__, boxes.picture))
        boxes.label = array("q", map(to_label.__getitem__, boxes.label))
        source, approved_by = _provenance(self._info)
        return Annotations(
            "coco",
            names,
            labels,
            pictures,
            sequences,
            boxes,
            list(self._videos.values()),
            source=source,
            approved_by=approved_by,
            declared=bool(self._videos) or any(video is not None for _, video in self._images.values()),
            notes=notes,
        )

    def _refuse(
        self, boxes: Boxes, to_picture: list[int], to_label: list[int], images: list[Key], categories: list[Key]
    ) -> None:
        """Name the first annotation of an image or a category that is not there."""
        for position in range(len(boxes)):
            image, category = boxes.picture[position], boxes.label[position]
            if to_picture[image] < 0:
                raise FormatError(
                    f"{boxes.where(position)} is in image {images[image]}, which is not in the file.",
                    "Add the image, or remove it.",
                )
            if to_label[category] < 0:
                raise FormatError(
                    f"{boxes.where(position)} is of category {categories[category]}, which is not in the file.",
                    "Add the category.",
                )

    def _pictures(self) -> tuple[list[Picture], list[str]]:
        """The pictures, each in the sequence of its video; one without a video is a sequence of its own."""
        numbers: dict[object, int] = {}
        names: list[str] = []
        # The ids of a file with one video need not say which.
        only = next(iter(self._videos)) if len(self._videos) == 1 else None
        pictures = []
        for picture, video in self._images.values():
            video = only if video is None else video
            if video is not None and self._videos and video not in self._videos:
                raise FormatError(f"{picture.where} is of video {video}, which is not in the file.", "Add the video.")
            owner: object = ("video", video) if video is not None else ("image", picture.key)
            if owner not in numbers:
                numbers[owner] = len(names)
                names.append(str(picture.key) if video is None else self._video_names.get(video, str(video)))
            inherited = {} if video is None else self._video_attributes.get(video, {})
            attributes = {**inherited, **picture.attributes}
            pictures.append(replace(picture, sequence=numbers[owner], attributes=attributes))
        return pictures, names


def _unique_names(names: Iterable[str]) -> list[str]:
    """The names, those that differ in upper and lower case alone as the first of them."""
    first: dict[str, str] = {}
    return [first.setdefault(name.lower(), name) for name in names]


def _place(name: str, names: Sequence[str]) -> int:
    return [known.lower() for known in names].index(name.lower())


def _spellings(labels: Mapping[Key, str]) -> list[list[str]]:
    """Names that differ in upper and lower case alone."""
    found: dict[str, list[str]] = {}
    for name in labels.values():
        of = found.setdefault(name.lower(), [])
        if name not in of:
            of.append(name)
    return [of for of in found.values() if len(of) > 1]


def _file_name(value: Mapping[str, Any]) -> str:
    """The image's file; Roboflow keeps the name before its own renaming."""
    extra = value.get("extra")
    original = extra.get("name") if isinstance(extra, dict) else None
    name = original if isinstance(original, str) and original else value.get("file_name")
    return name if isinstance(name, str) else ""


def _source(value: Mapping[str, Any]) -> str | None:
    """The video, scene or sequence that an image says it is from, in whichever field."""
    for name in ("video", "video_name", "sequence", "sequence_name", "scene", "scene_name"):
        found = value.get(name)
        if isinstance(found, str) and found:
            return found
    return None


def _track(value: Mapping[str, Any], place: str) -> int | None:
    """The track's id; CVAT writes it among the attributes."""
    attributes = value.get("attributes")
    inner = attributes.get("track_id") if isinstance(attributes, dict) else None
    track = value.get("track_id") if value.get("track_id") is not None else inner
    return None if track is None else _integer(track, f"{place}.track_id")


def _truncation(value: Mapping[str, Any], flags: Mapping[str, bool], place: str) -> float:
    if "truncation" in value:
        return _share(value["truncation"], f"{place}.truncation")
    # A box that is said not to be cut off has no share outside; one that is, has one that nobody knows.
    return 0.0 if flags.get("truncated") is False else UNKNOWN


def _integer(value: object, place: str) -> int:
    try:
        return integer(value, place)
    except FormatError as error:
        raise FormatError(f"This is no COCO file: {error.message}", _WHAT_IS_READ) from None


def _number(value: object, place: str) -> float:
    try:
        return number(value, place)
    except FormatError as error:
        raise FormatError(f"This is no COCO file: {error.message}", _WHAT_IS_READ) from None


def _optional(value: Mapping[str, Any], name: str, place: str) -> int | None:
    return None if value.get(name) is None else _integer(value[name], f"{place}.{name}")


def _flag(value: object, place: str) -> bool:
    if value in (0, 1):
        return bool(value)
    raise _bad(place, f"{value!r} is neither 0 nor 1")


def _share(value: object, place: str) -> float:
    share = _number(value, place)
    if not 0 <= share <= 1:
        raise _bad(place, f"{share:g} is no share from 0 to 1")
    return share


def _provenance(info: Mapping[str, Any]) -> tuple[str, str | None]:
    """The source, and who approved it."""
    source: str | None = info.get("source")
    for name in ("source", "approved_by"):
        if not isinstance(info.get(name), str | None):
            raise _bad(f"info.{name}", "Input should be text")
    return source or "", (info["approved_by"] or "") if "approved_by" in info else None


def _distance(value: object, place: str) -> float:
    distance = _number(value, f"{place}.distance_m")
    if distance < 0:
        raise _bad(f"{place}.distance_m", f"{distance:g} is below 0")
    return distance


def _attributes(value: Mapping[str, Any], place: str) -> dict[str, str]:
    """Texts by name. What else an image's attributes may hold (numbers, lists) makes no slices, and is left out."""
    attributes = value.get("attributes", {})
    if not isinstance(attributes, dict):
        raise _bad(f"{place}.attributes", "Input should be an object")
    return {name: text for name, text in attributes.items() if isinstance(text, str) and text}


def _area(value: object, place: str) -> float:
    area = _number(value, f"{place}.area")
    if area < 0:
        raise _bad(f"{place}.area", f"{area:g} is below 0")
    return area


def _occlusion(value: Mapping[str, Any], place: str) -> float:
    if "occlusion" in value:
        return _share(value["occlusion"], f"{place}.occlusion")
    return 1 - _share(value["vis_ratio"], f"{place}.vis_ratio") if "vis_ratio" in value else UNKNOWN


def _bbox(value: object, place: str) -> tuple[float, float, float, float]:
    if not isinstance(value, list) or len(value) != 4:
        raise _bad(f"{place}.bbox", "Input should be a list of four numbers")
    x, y, width, height = value
    if all(type(side) is float or type(side) is int for side in value) and abs(sum(value)) < float("inf"):
        return float(x), float(y), float(width), float(height)
    x, y, width, height = (_number(side, f"{place}.bbox[{position}]") for position, side in enumerate(value))
    return x, y, width, height


def read_coco_results(stream: BinaryIO, truth: Annotations) -> Boxes:
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
            raise FormatError(f"{place} is no object.", _WHAT_IS_READ)
        missing = [name for name in ("image_id", "category_id", "bbox", "score") if name not in value]
        if missing:
            raise FormatError(f"{place} has no {missing[0]}.", _WHAT_IS_READ)
        image, category = value["image_id"], value["category_id"]
        if not isinstance(image, int | str) or isinstance(image, bool):
            raise FormatError(f"{place}: image_id is {image!r}.", _WHAT_IS_READ)
        if not isinstance(category, int | str) or isinstance(category, bool):
            raise FormatError(f"{place}: category_id is {category!r}.", _WHAT_IS_READ)
        if image not in images:
            images[image] = len(images)
            first.append(place)
        if category not in labels:
            if own_labels is not None and category not in own_labels:
                raise FormatError(f"{place} is of category {category!r}, which its file does not list.", _WHAT_IS_READ)
            labels[category] = truth.label_of(own_labels[category] if own_labels is not None else category, place)
        x, y, width, height = _bbox(value["bbox"], place)
        check_box(x, y, width, height, place, truth=False)
        boxes.add(
            BoxRow(
                images[image],
                labels[category],
                x,
                y,
                width,
                height,
                _track(value, place),
                check_score(_number(value["score"], f"{place}.score"), place),
            ),
            position,
        )
    if not listed:
        raise FormatError("This is no list of COCO results.", _WHAT_IS_READ)
    pictures = pictures_of(images, first, own, truth, boxes.notes)
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
            own.images[value["id"]] = _file_name(value)
        elif key == "categories" and isinstance(value.get("name"), str):
            own.labels[value["id"]] = value["name"]
    return own


def pictures_of(
    images: Mapping[Key, int], first: Sequence[str], own: Names, truth: Annotations, notes: list[str]
) -> list[int]:
    """The truth's pictures, by the number that each image of the detections was given.

    Raises:
        FormatError: the truth does not have one; the message names the ``first`` place that does.
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
    for image, place in zip(images, first, strict=True):
        if image not in known:
            raise FormatError(
                f"{place} is about image {image!r}, which the truth does not have.",
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
        stem = PurePosixPath(picture.name).stem
        if not (stem.isdecimal() and len(stem) < 16 and isinstance(picture.key, int)):
            return known
        stems[int(stem)] = place
    if not images or not images.keys() <= stems.keys() or all(stems[key] == known.get(key) for key in images):
        return known
    if images.keys() <= known.keys():
        raise FormatError(
            "The image ids of the detections fit the truth's ids as well as the numbers of its files, which differ.",
            "Write the file names as image_id, or a whole COCO file with its images.",
        )
    notes.append("The image ids of the detections are the numbers of the truth's files, and were joined by these.")
    return stems


def write_coco(annotations: Annotations, out: TextIO) -> None:
    """Write ground truth, with what other formats know besides: tracks, occlusion, truncation, frame and time."""
    categories = [{"id": position + 1, "name": name} for position, name in enumerate(annotations.labels)]
    videos = [{"id": position + 1, "name": name} for position, name in enumerate(annotations.sequences)]
    info: dict[str, Any] = {"source": annotations.source} if annotations.source else {}
    if annotations.approved_by is not None:
        info["approved_by"] = annotations.approved_by or None
    out.write(f'{{"info": {json.dumps(info)}, "licenses": [], "videos": ' + json.dumps(videos) + ', "categories": ')
    out.write(json.dumps(categories) + ', "images": [')
    for position, picture in enumerate(annotations.pictures):
        image = {"id": position + 1, "file_name": str(picture.key), "video_id": picture.sequence + 1}
        named = {
            "frame_index": picture.frame_index,
            "timestamp_s": picture.time_s,
            "width": picture.width,
            "height": picture.height,
        }
        image |= {name: value for name, value in named.items() if value is not None}
        image |= {"attributes": dict(picture.attributes)} if picture.attributes else {}
        out.write((",\n" if position else "\n") + json.dumps(image))
    out.write('], "annotations": [')
    for position, row in enumerate(annotations.boxes.rows()):
        out.write((",\n" if position else "\n") + json.dumps(_written(position, row)))
    out.write("]}\n")


def _written(position: int, row: BoxRow) -> dict[str, Any]:
    annotation: dict[str, Any] = {
        "id": position + 1,
        "image_id": row.picture + 1,
        "category_id": row.label + 1,
        "bbox": [row.x, row.y, row.width, row.height],
        "area": row.width * row.height if row.area != row.area else row.area,
        "iscrowd": int(row.crowd),
        "ignore": int(row.ignore),
    }
    # Silence says that nobody knows.
    annotation |= {"occluded": int(row.occluded)} if row.occluded or row.level == 0 else {}
    annotation |= {"truncated": int(row.truncated)} if row.truncated or row.truncation == 0 else {}
    shares = {"occlusion": row.occlusion, "truncation": row.truncation, "distance_m": row.distance}
    annotation |= {name: share for name, share in shares.items() if share == share}
    return annotation | ({} if row.track is None else {"track_id": row.track})
