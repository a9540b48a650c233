"""COCO JSON: images, categories, annotations; and COCO's results, a list of detections.

Beside COCO's own fields, an image may carry ``video_id``, ``frame_index`` (or ``frame_id``) and ``timestamp_s``; an
annotation may carry ``track_id``, ``occluded``, ``truncated`` and ``ignore`` (0 or 1), ``occlusion`` and ``truncation``
(shares from 0 to 1), ``vis_ratio`` (the share that is visible) and ``distance_m`` (metres). Images and videos may carry
``attributes``, texts by name, such as ``{"light": "night"}``; an image's own come before its video's. ``bbox`` is
``[x, y, width, height]`` in pixels. ``info`` may say the ``source`` (``manual``, ``synthetic``, ``model:NAME``) and who
vouches for the truth, ``approved_by`` (null: nobody).
"""

from array import array
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, BinaryIO, NamedTuple

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
    brief,
    check_box,
)
from vru.formats.builder import turned
from vru.formats.coco_fields import (
    FLAGS,
    WHAT_IS_READ,
    area,
    attributes,
    bad,
    bbox,
    coco_integer,
    coco_number,
    distance,
    file_name,
    flag,
    occlusion,
    optional,
    provenance,
    rotation,
    source,
    track,
    truncation,
    usual_integer,
)
from vru.formats.json_stream import Piece, pieces

_LISTS = ("images", "annotations", "categories")


class _Image(NamedTuple):
    """What is known of a picture before all videos were read."""

    where: str
    video: Key | None
    frame_index: int | None
    time_s: float | None
    width: float | None
    height: float | None
    attributes: Mapping[str, str]
    name: str
    source: str | None


def read_coco(stream: BinaryIO) -> Annotations:
    """Read ground truth.

    Raises:
        FormatError: it is no such file; the message names the id or the position.
    """
    reader = CocoReader()
    for piece in pieces(stream):
        reader.take(piece)
    return reader.finish()


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
        self._images: dict[Key, _Image] = {}
        self._boxes = Boxes(describe)
        # Ids are kept as small numbers until all images and categories are known.
        self._image_ids: dict[Key, int] = {}
        self._category_ids: dict[Key, int] = {}
        self._seen: set[Key] = set()
        self._turned = 0
        self._info: Mapping[str, Any] = {}

    def take(self, piece: Piece) -> None:
        """One piece of the document."""
        key, position, value = piece
        if key == "info" and position is None:
            self.take_info(value)
            return
        if key not in (*_LISTS, "videos"):
            if not key and position is not None:
                raise FormatError("This is a list, not a COCO file with images and annotations.", WHAT_IS_READ)
            return
        if position is None:
            raise bad(key, "Input should be a valid list")
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
            raise bad(place, "Input should be an object")
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
            raise FormatError(f"{place} has no {name}.", WHAT_IS_READ)
        key = value[name]
        return key if isinstance(key, str) or usual_integer(key) else coco_integer(key, f"{place}.{name}")

    def _video(self, value: Mapping[str, Any], place: str) -> None:
        key = self._key(value, "id", place)
        if key in self._videos:
            raise FormatError(f"Video {brief(key)} is in the file twice.", "Give each video an id of its own.")
        sizes = [optional(value, name, place) for name in ("width", "height", "frame_count")]
        self._videos[key] = Video(f"Video {brief(key)} of the file", *sizes)
        self._video_attributes[key] = attributes(value, place)
        self._video_names[key] = str(value.get("name") or value.get("file_name") or key)

    def _category(self, value: Mapping[str, Any], place: str) -> None:
        key = self._key(value, "id", place)
        if not isinstance(value.get("name"), str):
            raise bad(f"{place}.name", "Input should be text")
        if key in self._labels:
            raise FormatError(f"Category {brief(key)} is in the file twice.", "Give each category an id of its own.")
        self._labels[key] = value["name"]

    def _image(self, value: Mapping[str, Any], place: str) -> None:
        key = self._key(value, "id", place)
        where = f"Image {brief(key)}"
        if key in self._images:
            raise FormatError(f"{where} is in the file twice.", "Give each image an id of its own.")
        index = optional(value, "frame_index" if "frame_index" in value else "frame_id", place)
        seconds = value.get("timestamp_s")
        time_s = None if seconds is None else coco_number(seconds, f"{place}.timestamp_s")
        video = value.get("video_id")
        self._images[key] = _Image(
            where,
            video if video is None else self._key(value, "video_id", place),
            index,
            time_s,
            optional(value, "width", place),
            optional(value, "height", place),
            attributes(value, place),
            file_name(value),
            source(value),
        )

    def _annotation(self, value: Mapping[str, Any], place: str) -> None:
        named = "id" in value
        identity = coco_integer(value["id"], f"{place}.id") if named else len(self._boxes)
        where = f"Annotation {identity}" if named else place
        for name in ("image_id", "category_id", "bbox"):
            if name not in value:
                raise FormatError(f"{where} has no {name}.", WHAT_IS_READ)
        if named:
            if identity in self._seen:
                raise FormatError(f"{where} is in the file twice.", "Give each annotation an id of its own.")
            self._seen.add(identity)
        x, y, width, height = bbox(value["bbox"], place)
        check_box(x, y, width, height, where)
        degrees = rotation(value, place)
        if degrees:
            self._turned += 1
            x, y, width, height = turned((x, y, width, height), degrees)
        flags = {name: flag(value[name], f"{place}.{name}") for name in FLAGS & value.keys()}
        image, category = self._key(value, "image_id", place), self._key(value, "category_id", place)
        row = BoxRow(
            self._image_ids.setdefault(image, len(self._image_ids)),
            self._category_ids.setdefault(category, len(self._category_ids)),
            x,
            y,
            width,
            height,
            track(value, place),
            area=area(value["area"], place) if "area" in value else UNKNOWN,
            occlusion=occlusion(value, place),
            truncation=truncation(value, flags, place),
            level=0 if flags.get("occluded") is False else -1,
            occluded=flags.get("occluded", False),
            truncated=flags.get("truncated", False),
            ignore=flags.get("ignore", False),
            crowd=flags.get("iscrowd", False),
            distance=distance(value["distance_m"], place) if "distance_m" in value else UNKNOWN,
        )
        self._boxes.add(row, identity, named=named)

    def finish(self) -> Annotations:
        """Join annotations, images and categories."""
        for name in _LISTS:
            if name in self._missing:
                raise bad(name, "Field required")
        pictures, sequences = self._pictures()
        boxes = self._boxes
        positions = {key: position for position, key in enumerate(self._images)}
        names = list(dict.fromkeys(_unique_names(self._labels.values())))
        labels = {key: _place(name, names) for key, name in self._labels.items()}
        notes = [f"{' and '.join(of)} are taken as one class." for of in _spellings(self._labels)]
        if self._turned:
            notes.append(f"{self._turned} boxes are rotated, and were read as the upright box around each.")
        to_picture = [positions.get(key, -1) for key in self._image_ids]
        to_label = [labels.get(key, -1) for key in self._category_ids]
        images, categories = list(self._image_ids), list(self._category_ids)
        if -1 in to_picture or -1 in to_label:
            self._refuse(boxes, to_picture, to_label, images, categories)
        boxes.picture = array("q", map(to_picture.__getitem__, boxes.picture))
        boxes.label = array("q", map(to_label.__getitem__, boxes.label))
        source, approved_by = provenance(self._info)
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
            declared=len(self._videos) == 1 or all(image.video is not None for image in self._images.values()),
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
                    f"{boxes.where(position)} is in image {brief(images[image])}, which is not in the file.",
                    "Add the image, or remove it.",
                )
            if to_label[category] < 0:
                raise FormatError(
                    f"{boxes.where(position)} is of category {brief(categories[category])}, which is not in the file.",
                    "Add the category.",
                )

    def _pictures(self) -> tuple[list[Picture], list[str]]:
        """The pictures, each in the sequence of its video; one without a video is a sequence of its own."""
        numbers: dict[object, int] = {}
        names: list[str] = []
        # The ids of a file with one video need not say which.
        only = next(iter(self._videos)) if len(self._videos) == 1 else None
        pictures = []
        for key, image in self._images.items():
            video = only if image.video is None else image.video
            if video is not None and self._videos and video not in self._videos:
                raise FormatError(
                    f"{image.where} is of video {brief(video)}, which is not in the file.", "Add the video."
                )
            owner: object = ("video", video) if video is not None else ("image", key)
            if owner not in numbers:
                numbers[owner] = len(names)
                names.append(str(key) if video is None else self._video_names.get(video, str(video)))
            inherited = {} if video is None else self._video_attributes.get(video, {})
            pictures.append(
                Picture(
                    key,
                    image.where,
                    numbers[owner],
                    image.frame_index,
                    image.time_s,
                    image.width,
                    image.height,
                    {**inherited, **image.attributes},
                    image.name,
                    # Where other images say nothing of their video, this one's is its source.
                    image.source if video is None else names[numbers[owner]],
                )
            )
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
