"""COCO JSON for video: ``images`` with ``frame_index``, ``annotations`` with ``track_id``.

Beside COCO's own fields: an image carries ``frame_index`` (from 0) and may carry ``timestamp_s``; an annotation
carries ``track_id`` and may carry ``occluded``, ``truncated``, ``ignore`` (0 or 1). ``bbox`` is
``[x, y, width, height]`` in pixels. Every frame of the video is listed, also those without anybody: a frame that is
not listed could as well be one that nobody looked at.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from vru.domain import GroundTruth
from vru.gateway.ground_truths.timeline import RawBox, Timeline, TrackCollector
from vru.service.errors import UnprocessableError

_WHAT_IS_READ = "docs/api.md describes the fields that are read."


class _Reader(BaseModel):
    # What is not named here (segmentations, licences, ...) is skipped while parsing and takes no memory.
    model_config = ConfigDict(extra="ignore", frozen=True)


class _Video(_Reader):
    id: int
    width: int | None = None
    height: int | None = None
    frame_count: int | None = None


class _Category(_Reader):
    id: int
    name: str


class _Image(TypedDict, total=False):
    id: int
    video_id: int | None
    width: int
    height: int
    frame_index: int
    timestamp_s: FiniteFloat | None


class _Annotation(TypedDict, total=False):
    id: int
    image_id: int
    category_id: int
    track_id: int
    bbox: Annotated[list[FiniteFloat], Field(min_length=4, max_length=4)]
    iscrowd: bool
    occluded: bool
    truncated: bool
    ignore: bool


class _File(_Reader):
    videos: list[_Video] = []
    categories: list[_Category]
    images: list[_Image]
    annotations: list[_Annotation]


_adapter = TypeAdapter(_File)


def parse_coco(data: bytes, timeline: Timeline, source: str = "manual") -> GroundTruth:
    """Read a COCO file about the video that ``timeline`` describes.

    Raises:
        UnprocessableError: it is no such file, or about another video; the sentence names the id.
    """
    try:
        file = _adapter.validate_json(data)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in first["loc"]).lstrip(".")
        raise UnprocessableError(
            f"This is no COCO file: {place + ': ' if place else ''}{first['msg']}.", _WHAT_IS_READ
        ) from None
    _check_video(file, timeline)
    frames = _frames(file, timeline)
    names = {category.id: category.name for category in file.categories}
    collector = TrackCollector(timeline)
    for position, annotation in enumerate(file.annotations):
        collector.add(_raw_box(annotation, position, frames, names))
    return collector.build(source)


def _check_video(file: _File, timeline: Timeline) -> None:
    if len(file.videos) > 1:
        raise UnprocessableError(f"The file is about {len(file.videos)} videos.", "Make one file for each video.")
    for video in file.videos:
        where = f"Video {video.id} of the file"
        if video.width is not None and video.height is not None:
            timeline.check_size(video.width, video.height, where)
        if video.frame_count is not None:
            timeline.check_frame_count(video.frame_count, where)


def _frames(file: _File, timeline: Timeline) -> dict[int, int]:
    """Frame index by image id, each image checked."""
    frames: dict[int, int] = {}
    seen: set[int] = set()
    for position, image in enumerate(file.images):
        if "id" not in image:
            raise UnprocessableError(f"images[{position}] has no id.", _WHAT_IS_READ)
        where = f"Image {image['id']}"
        missing = [name for name in ("frame_index", "width", "height") if name not in image]
        if missing:
            raise UnprocessableError(f"{where} has no {missing[0]}.", _WHAT_IS_READ)
        timeline.check_size(image["width"], image["height"], where)
        index = image["frame_index"]
        timeline.check_frame(index, where)
        if image["id"] in frames or index in seen:
            raise UnprocessableError(f"{where} (frame {index}) is in the file twice.", "List each frame once.")
        seconds = image.get("timestamp_s")
        if seconds is not None:
            timeline.check_time(index, seconds, where)
        frames[image["id"]] = index
        seen.add(index)
    if len(seen) != timeline.frame_count:
        raise UnprocessableError(
            f"The file lists {len(seen)} frames, but the video has {timeline.frame_count}.",
            "List every frame that was looked at, also those without anybody; and annotate the whole video.",
        )
    return frames


def _raw_box(annotation: _Annotation, position: int, frames: dict[int, int], names: dict[int, str]) -> RawBox:
    where = f"Annotation {annotation['id']}" if "id" in annotation else f"annotations[{position}]"
    missing = [name for name in ("image_id", "category_id", "track_id", "bbox") if name not in annotation]
    if missing:
        raise UnprocessableError(f"{where} has no {missing[0]}.", _WHAT_IS_READ)
    if annotation["image_id"] not in frames:
        raise UnprocessableError(
            f"{where} is in image {annotation['image_id']}, which is not in the file.", "Add the image, or remove it."
        )
    if annotation["category_id"] not in names:
        raise UnprocessableError(
            f"{where} is of category {annotation['category_id']}, which is not in the file.", "Add the category."
        )
    x, y, width, height = annotation["bbox"]
    return RawBox(
        where=where,
        track_id=annotation["track_id"],
        label=names[annotation["category_id"]],
        frame_index=frames[annotation["image_id"]],
        x=x,
        y=y,
        width=width,
        height=height,
        occluded=annotation.get("occluded", False),
        truncated=annotation.get("truncated", False),
        # COCO's crowd regions score neither a hit nor a miss, which is what "ignore" means here.
        ignore=annotation.get("ignore", False) or annotation.get("iscrowd", False),
    )
