"""COCO files as tools usually write them, straight to columns.

A typed decoder takes a tenth of the time of reading object by object. What it does not know, or would refuse, it leaves
to ``vru.formats.coco``, which names the place: the two give the same where both read a file.
"""

import math
import mmap
import re
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from vru.formats.annotations import (
    CROWD,
    HAS_TRACK,
    IGNORE,
    LARGEST,
    NAMED,
    OCCLUDED,
    TRUNCATED,
    Annotations,
    Boxes,
    FormatError,
    Key,
)
from vru.formats.coco import CocoReader, NoNames, describe, describe_result, pictures_of

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Bytes that are decoded at a time; an object is never cut.
_CHUNK = 8 << 20
_NEXT = re.compile(rb"\s*,\s*\{")
_UNKNOWN = math.nan


class _Attributes(msgspec.Struct, gc=False):
    track_id: int | None = None


class _Annotation(msgspec.Struct, gc=False):
    image_id: int | str
    category_id: int | str
    bbox: tuple[float, float, float, float]
    id: int | None = None
    area: float = _UNKNOWN
    iscrowd: int = 0
    ignore: int = 0
    occluded: int = -1
    truncated: int = -1
    occlusion: float = _UNKNOWN
    truncation: float = _UNKNOWN
    vis_ratio: float = _UNKNOWN
    distance_m: float = _UNKNOWN
    track_id: int | None = None
    attributes: _Attributes | None = None


class _Document(msgspec.Struct, gc=False):
    images: list[dict[str, Any]]
    annotations: list[_Annotation]
    categories: list[dict[str, Any]]
    videos: list[dict[str, Any]] = []
    info: Any = None


class _Result(msgspec.Struct, gc=False):
    image_id: int | str
    category_id: int | str
    bbox: tuple[float, float, float, float]
    score: float
    track_id: int | None = None
    attributes: _Attributes | None = None


class _UnusualError(Exception):
    """The careful reader has to look at it."""


def read_coco_columns(path: Path) -> Annotations | None:
    """The truth; None if the file is not as usual.

    Raises:
        FormatError: an image, a category or a video is wrong.
    """
    try:
        document = msgspec.json.decode(path.read_bytes(), type=_Document)
        reader = CocoReader()
        for key in ("info", "videos", "categories", "images"):
            value = getattr(document, key)
            if key == "info":
                reader.take_info(value)
                continue
            for position, item in enumerate(value):
                reader.take_object(key, position, item)
        reader.take_boxes(*_truth_columns(document.annotations))
    except (msgspec.MsgspecError, RecursionError, _UnusualError):
        return None
    return reader.finish()


def _truth_columns(rows: Sequence[_Annotation]) -> tuple[Boxes, dict[Key, int], dict[Key, int]]:
    boxes, count = Boxes(describe), len(rows)
    identities = [row.id for row in rows]
    named = sum(identity is not None for identity in identities)
    if named not in (0, count) or len(set(identities)) < named:
        raise _UnusualError
    sides = _sides(rows)
    tracks, tracked = _tracks(rows)
    crowd, ignore, occluded, truncated = (
        np.fromiter((getattr(row, name) for row in rows), np.int64, count)
        for name in ("iscrowd", "ignore", "occluded", "truncated")
    )
    area, occlusion, truncation, visible, distance = (
        np.fromiter((getattr(row, name) for row in rows), np.float64, count)
        for name in ("area", "occlusion", "truncation", "vis_ratio", "distance_m")
    )
    flags_known = all(((column >= 0) & (column <= 1)).all() for column in (crowd, ignore))
    flags_known &= all(((column >= -1) & (column <= 1)).all() for column in (occluded, truncated))
    shares = (occlusion, truncation, visible)
    if not flags_known or any(((share < 0) | (share > 1)).any() for share in shares):
        raise _UnusualError
    if (sides[:, 2:] <= 0).any() or (area < 0).any() or np.isinf(area).any() or (distance < 0).any():
        raise _UnusualError
    images, image = _numbered([row.image_id for row in rows])
    categories, category = _numbered([row.category_id for row in rows])
    unknown = np.isnan(truncation) & (truncated == 0)
    boxes.take_columns(
        picture=image,
        label=category,
        track=tracks,
        place=np.array(identities if named else range(count), dtype=np.int64),
        sides=sides,
        flags=(occluded == 1) * OCCLUDED
        | (truncated == 1) * TRUNCATED
        | ignore * IGNORE
        | crowd * CROWD
        | tracked * HAS_TRACK
        | (NAMED if named else 0),
        area=area,
        occlusion=np.where(np.isnan(occlusion), 1 - visible, occlusion),
        truncation=np.where(unknown, 0.0, truncation),
        distance=distance,
        level=np.where(occluded == 0, 0, -1),
    )
    return boxes, images, categories


def read_results_columns(path: Path, truth: Annotations) -> Boxes | None:
    """Detections from a list of results; None if the file is not as usual."""
    boxes = Boxes(describe_result)
    images: dict[Key, int] = {}
    labels: dict[Key, int] = {}
    first: list[str] = []
    done = 0
    try:
        for rows in _results(path):
            count = len(rows)
            sides, score = _sides(rows), np.fromiter((row.score for row in rows), np.float64, count)
            _usual(bool((sides[:, 2:] >= 0).all() and np.isfinite(score).all()))
            tracks, tracked = _tracks(rows)
            image = _joined([row.image_id for row in rows], images, first, done)
            boxes.take_columns(
                picture=image,
                label=_labels([row.category_id for row in rows], labels, truth),
                track=tracks,
                place=np.arange(done, done + count, dtype=np.int64),
                sides=sides,
                flags=tracked * HAS_TRACK,
                score=score,
            )
            done += count
    except (msgspec.MsgspecError, RecursionError, FormatError, _UnusualError):
        return None
    pictures = np.array(pictures_of(images, first, NoNames, truth, boxes.notes), dtype=np.int64)
    if done:
        boxes.replace_pictures(pictures[np.frombuffer(boxes.picture, dtype=np.int64)])
    return boxes


def _usual(whether: bool) -> None:
    if not whether:
        raise _UnusualError


def _results(path: Path) -> Iterator[list[_Result]]:
    """The rows of a list, some megabytes at a time."""
    decoder = msgspec.json.Decoder(list[_Result])
    if path.stat().st_size <= _CHUNK:
        yield decoder.decode(path.read_bytes())
        return
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as text:
        begin = text.find(b"[", 0, 64) + 1
        if not begin or text[: begin - 1].strip():
            raise _UnusualError
        while True:
            end = _cut(text, begin)
            if end is None:
                # The list's own end closes the last piece.
                yield decoder.decode(b"[" + text[begin:])
                return
            yield decoder.decode(b"[" + text[begin:end] + b"]")
            begin = text.find(b"{", end)


def _cut(text: mmap.mmap, begin: int) -> int | None:
    """Where the piece that begins here may end: after an object that another follows. None if it goes to the end."""
    place = begin + _CHUNK
    if place >= len(text):
        return None
    while True:
        place = text.rfind(b"}", begin, place)
        if place < 0:
            raise _UnusualError
        if _NEXT.match(text[place + 1 : place + 65]):
            return place + 1


def _sides(rows: Sequence[_Annotation] | Sequence[_Result]) -> Floats:
    """x, y, width, height; n x 4."""
    flat = np.fromiter(chain.from_iterable(row.bbox for row in rows), np.float64, 4 * len(rows))
    if not np.isfinite(flat).all():
        raise _UnusualError
    return flat.reshape(-1, 4)


def _tracks(rows: Sequence[_Annotation] | Sequence[_Result]) -> tuple[Ints, Ints]:
    """The track of each, -1 for none, and 1 where there is one."""
    found = [
        row.track_id if row.track_id is not None or row.attributes is None else row.attributes.track_id for row in rows
    ]
    if not any(track is not None for track in found):
        return np.full(len(found), -1, dtype=np.int64), np.zeros(len(found), dtype=np.int64)
    known = [track for track in found if track is not None]
    if max(known) >= LARGEST or min(known) <= -LARGEST:
        raise _UnusualError
    tracked = np.array([track is not None for track in found], dtype=np.int64)
    return np.array([-1 if track is None else track for track in found], dtype=np.int64), tracked


def _numbered(keys: Sequence[Key]) -> tuple[dict[Key, int], Ints]:
    """The different keys in the order of their first, numbered, and the number of each."""
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    return numbers, np.array([numbers[key] for key in keys], dtype=np.int64)


def _joined(keys: Sequence[Key], numbers: dict[Key, int], first: list[str], done: int) -> Ints:
    """The number of each key; new ones are added with the place that named them first."""
    for position, key in enumerate(keys):
        if key not in numbers:
            numbers[key] = len(numbers)
            first.append(f"results[{done + position}]")
    return np.array([numbers[key] for key in keys], dtype=np.int64)


def _labels(keys: Sequence[Key], labels: dict[Key, int], truth: Annotations) -> Ints:
    for key in dict.fromkeys(keys):
        if key not in labels:
            labels[key] = truth.label_of(key, "")
    return np.array([labels[key] for key in keys], dtype=np.int64)
