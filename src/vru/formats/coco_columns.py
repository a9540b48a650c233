"""COCO files as tools usually write them, straight to columns.

A typed decoder takes a tenth of the time of reading object by object. What it does not know, or would refuse, it leaves
to ``vru.formats.coco``, which names the place: the two give the same where both read a file.
"""

import math
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, count
from operator import attrgetter
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
from vru.formats.coco import CocoReader, describe
from vru.formats.coco_results import NoNames, describe_result, pictures_of
from vru.formats.collection import no_collection

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Bytes that are decoded at a time; an object is never cut. More would take memory, and no less time.
_CHUNK = 1 << 20
# An object that is longer than this is none of COCO's results.
_LONGEST = 16 << 20
# What parts two objects of a list. It may stand in a text or within an object, too: what is cut there is no JSON.
_BETWEEN = re.compile(rb"\}\s*,\s*\{")
_BEGINNING = re.compile(rb"\s*\[")
_UNKNOWN = math.nan


class _Attributes(msgspec.Struct, gc=False):
    track_id: int | None = None
    rotation: float = 0.0


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


_Rows = Sequence[_Annotation] | Sequence[_Result]


class _UnusualError(Exception):
    """The careful reader has to look at it."""


def read_coco_columns(path: Path) -> Annotations | None:
    """The truth; None if the file is not as usual.

    Raises:
        FormatError: an image, a category or a video is wrong.
    """
    try:
        with no_collection():
            document = msgspec.json.decode(path.read_bytes(), type=_Document)
            reader = CocoReader()
            reader.take_info(document.info)
            for key in ("videos", "categories", "images"):
                for position, item in enumerate(getattr(document, key)):
                    reader.take_object(key, position, item)
            reader.take_boxes(*_truth_columns(document.annotations))
    except (msgspec.MsgspecError, RecursionError, OverflowError, _UnusualError):
        return None
    return reader.finish()


def _truth_columns(rows: Sequence[_Annotation]) -> tuple[Boxes, dict[Key, int], dict[Key, int]]:
    boxes = Boxes(describe)
    identities = [row.id for row in rows]
    named = sum(identity is not None for identity in identities)
    if named not in (0, len(rows)) or len(set(identities)) < named:
        raise _UnusualError
    # The careful reader turns boxes.
    _usual(not any(row.attributes.rotation % 360 for row in rows if row.attributes is not None))
    sides = _sides(rows)
    tracks, tracked = _tracks(rows)
    crowd, ignore, occluded, truncated = (
        _whole_numbers(rows, name) for name in ("iscrowd", "ignore", "occluded", "truncated")
    )
    area, occlusion, truncation, visible, distance = (
        _numbers(rows, name) for name in ("area", "occlusion", "truncation", "vis_ratio", "distance_m")
    )
    flags_known = all(((column >= 0) & (column <= 1)).all() for column in (crowd, ignore))
    flags_known &= all(((column >= -1) & (column <= 1)).all() for column in (occluded, truncated))
    shares = (occlusion, truncation, visible)
    if not flags_known or any(((share < 0) | (share > 1)).any() for share in shares):
        raise _UnusualError
    if (area < 0).any() or np.isinf(area).any() or (distance < 0).any():
        raise _UnusualError
    images, categories = _numbering(), _numbering()
    image, category = _numbered(rows, "image_id", images), _numbered(rows, "category_id", categories)
    unknown = np.isnan(truncation) & (truncated == 0)
    boxes.take_columns(
        picture=image,
        label=category,
        track=tracks,
        place=np.array(identities if named else range(len(rows)), dtype=np.int64),
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
    return boxes, dict(images), dict(categories)


def read_results_columns(path: Path, truth: Annotations) -> Boxes | None:
    """Detections from a list of results; None if the file is not as usual.

    Raises:
        FormatError: they are about other images.
    """
    boxes = Boxes(describe_result)
    images, categories = _numbering(), _numbering()
    labels: dict[Key, int] = {}
    done = 0
    try:
        with no_collection():
            for rows in _results(path):
                sides, score = _sides(rows), _numbers(rows, "score")
                _usual(bool(np.isfinite(score).all()))
                tracks, tracked = _tracks(rows)
                category = _numbered(rows, "category_id", categories)
                labels.update((key, truth.label_of(key, "")) for key in categories if key not in labels)
                boxes.take_columns(
                    picture=_numbered(rows, "image_id", images),
                    label=np.array(list(labels.values()), dtype=np.int64)[category],
                    track=tracks,
                    place=np.arange(done, done + len(rows), dtype=np.int64),
                    sides=sides,
                    flags=tracked * HAS_TRACK,
                    score=score,
                )
                done += len(rows)
    except (msgspec.MsgspecError, RecursionError, OverflowError, FormatError, _UnusualError):
        return None
    numbers = np.asarray(boxes.picture)
    pictures = pictures_of(
        images, lambda number: f"results[{np.argmax(numbers == number)}]", NoNames, truth, boxes.notes
    )
    if done:
        boxes.replace_pictures(np.array(pictures, dtype=np.int64)[numbers])
    return boxes


def _usual(whether: bool) -> None:
    if not whether:
        raise _UnusualError


def _results(path: Path) -> Iterator[list[_Result]]:
    """The rows of a list, a megabyte at a time."""
    decoder = msgspec.json.Decoder(list[_Result])
    with path.open("rb") as stream:
        text = stream.read(_CHUNK)
        beginning = _BEGINNING.match(text)
        if not beginning:
            raise _UnusualError
        rest = text[beginning.end() :]
        while more := stream.read(_CHUNK):
            rest += more
            cut = _last_cut(rest)
            if cut >= 0:
                yield decoder.decode(b"[" + rest[: cut + 1] + b"]")
                rest = rest[rest.index(b"{", cut) :]
            elif len(rest) > _LONGEST:
                raise _UnusualError
        # The list's own end closes the last piece.
        yield decoder.decode(b"[" + rest)


def _last_cut(text: bytes) -> int:
    """Where the last object ends that another follows; -1 where none does."""
    place = len(text)
    while (place := text.rfind(b"}", 0, place)) >= 0 and not _BETWEEN.match(text, place):
        pass
    return place


def _numbers(rows: _Rows, name: str) -> Floats:
    return np.fromiter(map(attrgetter(name), rows), np.float64, len(rows))


def _whole_numbers(rows: _Rows, name: str) -> Ints:
    return np.fromiter(map(attrgetter(name), rows), np.int64, len(rows))


def _sides(rows: _Rows) -> Floats:
    """x, y, width, height; n x 4."""
    flat = np.fromiter(chain.from_iterable(map(attrgetter("bbox"), rows)), np.float64, 4 * len(rows))
    _usual(bool(np.isfinite(flat).all()))
    return flat.reshape(-1, 4)


def _tracks(rows: _Rows) -> tuple[Ints, Ints]:
    """The track of each, -1 for none, and 1 where there is one."""
    found = [
        row.track_id if row.track_id is not None or row.attributes is None else row.attributes.track_id for row in rows
    ]
    known = [track for track in found if track is not None]
    if not known:
        return np.full(len(found), -1, dtype=np.int64), np.zeros(len(found), dtype=np.int64)
    _usual(max(known) < LARGEST and min(known) > -LARGEST)
    tracked = np.array([track is not None for track in found], dtype=np.int64)
    return np.array([-1 if track is None else track for track in found], dtype=np.int64), tracked


def _numbering() -> dict[Key, int]:
    """Gives each key that it is asked for the first time the next number."""
    return defaultdict(count().__next__)


def _numbered(rows: _Rows, name: str, numbers: Mapping[Key, int]) -> Ints:
    """The number of each row's key."""
    return np.fromiter(map(numbers.__getitem__, map(attrgetter(name), rows)), np.int64, len(rows))
