"""From annotation files to tables, and from a data set to what a protocol counts of it."""

import numpy as np
from numpy.typing import NDArray

from vru.domain import VruError
from vru.evaluation.core.tables import Bools, DataSet, Floats, Found, Ints, Truth
from vru.evaluation.dataset.protocol import Protocol, Setup
from vru.evaluation.detection.outcomes import View
from vru.formats.annotations import CROWD, IGNORE, OCCLUDED, TRUNCATED, Annotations, Boxes


def to_dataset(truth: Annotations, found: Boxes) -> DataSet:
    """The tables of annotations and of the detections that were read about them."""
    flags = np.frombuffer(bytes(truth.boxes.flags), dtype=np.uint8)
    boxes = _corners(truth.boxes)
    area = _floats(truth.boxes.area)
    level = np.frombuffer(truth.boxes.level, dtype=np.int8).astype(np.int64) if len(flags) else np.zeros(0, np.int64)
    sequence = np.array([picture.sequence for picture in truth.pictures], dtype=np.int64)
    known = any(picture.width is not None for picture in truth.pictures)
    sizes = [(picture.width, picture.height) for picture in truth.pictures] if known else None
    return DataSet(
        size=None if sizes is None else np.array(sizes, dtype=np.float64),
        labels=tuple(truth.labels),
        sequences=tuple(truth.sequences),
        sequence=sequence,
        frame=_frames(truth, sequence),
        truth=Truth(
            picture=_ints(truth.boxes.picture),
            label=_ints(truth.boxes.label),
            boxes=boxes,
            area=np.where(np.isnan(area), boxes[:, 2] * boxes[:, 3], area),
            track=_ints(truth.boxes.track),
            crowd=(flags & CROWD).astype(bool),
            ignore=(flags & IGNORE).astype(bool),
            occlusion=_floats(truth.boxes.occlusion),
            truncation=_floats(truth.boxes.truncation),
            occlusion_level=np.where((level < 0) & (flags & OCCLUDED > 0), 1, level),
            truncated=(flags & TRUNCATED).astype(bool),
            distance=_floats(truth.boxes.distance),
        ),
        found=Found(
            picture=_ints(found.picture),
            label=_ints(found.label),
            boxes=_corners(found),
            score=_floats(found.score),
            track=_ints(found.track),
        ),
    )


def _floats(column: object) -> Floats:
    # The column itself and no copy: nothing is added to it any more.
    return np.asarray(column, dtype=np.float64)


def _ints(column: object) -> Ints:
    return np.asarray(column, dtype=np.int64)


def _corners(boxes: Boxes) -> Floats:
    return np.column_stack([_floats(side) for side in (boxes.x, boxes.y, boxes.width, boxes.height)]).reshape(-1, 4)


def _frames(truth: Annotations, sequence: Ints) -> Ints:
    """The frame of each picture; its place in the file where the file does not number frames."""
    own = [picture.frame_index for picture in truth.pictures]
    if all(index is not None for index in own):
        return np.array(own, dtype=np.int64)
    order = np.argsort(sequence, kind="stable")
    starts = np.searchsorted(sequence[order], np.arange(len(truth.sequences)))
    frames = np.empty(len(sequence), dtype=np.int64)
    frames[order] = np.arange(len(sequence)) - starts[sequence[order]]
    return frames


def evaluated_labels(data: DataSet, protocol: Protocol) -> tuple[str, ...]:
    """The classes that the protocol evaluates, as the data set calls them.

    Raises:
        VruError: the data set has none of them.
    """
    beside = {name.lower() for name in protocol.ignored_classes | protocol.region_classes | protocol.distractors}
    if not protocol.classes:
        return tuple(name for name in data.labels if name.lower() not in beside)
    wanted = {name.lower() for name in protocol.classes}
    chosen = tuple(name for name in data.labels if name.lower() in wanted)
    if not chosen:
        raise VruError(
            f"The protocol {protocol.name} evaluates {', '.join(protocol.classes)}; the truth has "
            f"{', '.join(data.labels) or 'no class'}.",
            "Use another protocol, or name the classes in one of your own.",
        )
    return chosen


def prepared(data: DataSet, protocol: Protocol) -> tuple[DataSet, Bools]:
    """The data set as the protocol sees it, and which of its truth boxes do not count.

    Classes that are set aside turn into boxes (or regions) that do not count, of each evaluated class; detections of
    other classes take no part. With ``aspect`` every box gets that width, around its centre.
    """
    labels = evaluated_labels(data, protocol)
    names = [name.lower() for name in data.labels]
    number = np.array([labels.index(name) if name in labels else -1 for name in data.labels], dtype=np.int64)
    aside = np.array([name in {item.lower() for item in protocol.ignored_classes} for name in names], dtype=bool)
    region = np.array([name in {item.lower() for item in protocol.region_classes} for name in names], dtype=bool)
    truth, found = data.truth, data.found
    own = np.flatnonzero(number[truth.label] >= 0) if len(names) else np.zeros(0, dtype=np.int64)
    others = np.flatnonzero((aside | region)[truth.label]) if len(names) else np.zeros(0, dtype=np.int64)
    # One copy for each class that is evaluated: boxes of different classes never meet.
    copies = np.tile(others, len(labels))
    which = np.concatenate([own, copies])
    label = np.concatenate([number[truth.label[own]], np.repeat(np.arange(len(labels)), len(others))])
    order = np.argsort(which, kind="stable")
    which, label = which[order], label[order]
    picked = truth.take(which)
    ignored = np.zeros(len(which), dtype=bool)
    if "ignore" in protocol.ignore_marks:
        ignored |= picked.ignore
    crowd = picked.crowd & ("crowd" in protocol.ignore_marks) | region[truth.label[which]]
    ignored |= aside[truth.label[which]]
    if protocol.ignored_truth == "regions":
        crowd, ignored = crowd | ignored, np.zeros(len(which), dtype=bool)
    mine, found_label = found, found.label
    # What needs no change is not copied: a large data set's detections take most of the memory.
    if (number < 0).any() and len(found):
        mine = found.take(number[found.label] >= 0)
    if not np.array_equal(number, np.arange(len(number))):
        found_label = number[mine.label]
    changed = DataSet(
        labels,
        data.sequences,
        data.sequence,
        data.frame,
        Truth(
            picked.picture,
            label,
            _standard(picked.boxes, protocol.aspect),
            picked.area,
            picked.track,
            crowd,
            ignored,
            picked.occlusion,
            picked.truncation,
            picked.occlusion_level,
            picked.truncated,
            picked.distance,
        ),
        Found(mine.picture, found_label, _standard(mine.boxes, protocol.aspect), mine.score, mine.track),
    )
    return changed, ignored


def _standard(boxes: Floats, aspect: float | None) -> Floats:
    if aspect is None:
        return boxes
    width = boxes[:, 3] * aspect
    return np.column_stack([boxes[:, 0] + (boxes[:, 2] - width) / 2, boxes[:, 1], width, boxes[:, 3]])


def setup_view(data: DataSet, name: str, setup: Setup, ignored: Bools, expand: float | None) -> View:
    """A protocol's setup as a view. Boxes whose occlusion or truncation is not known count as if it were 0."""
    truth, found = data.truth, data.found
    counts = ~ignored
    for value, wanted in (
        (truth.boxes[:, 3], setup.height),
        (truth.boxes[:, 2], setup.width),
        (truth.area, setup.area),
        (np.nan_to_num(truth.occlusion), setup.occlusion),
        (np.nan_to_num(truth.truncation), setup.truncation),
    ):
        if wanted is not None:
            counts = counts & _within(value, wanted)
    inside = np.ones(len(found), dtype=bool)
    factor = expand or 1.0
    for value, wanted, power in (
        (found.boxes[:, 3], setup.height, 1),
        (found.boxes[:, 2], setup.width, 1),
        (found.area, setup.area, 2),
    ):
        if wanted is not None:
            inside &= _within(value, (wanted[0] / factor**power, wanted[1] * factor**power))
    # With ``expand`` they take no part; without, a match counts and a false positive outside does not.
    return View(name, counts, inside, inside if expand else None)


def _within(values: Floats, wanted: tuple[float, float]) -> NDArray[np.bool_]:
    return np.asarray((values >= wanted[0]) & (values <= wanted[1]))
