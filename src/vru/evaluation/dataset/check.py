"""Do the detections fit the truth as they were read? Boxes in another form, and frames counted from another number,
give figures near zero that look like a bad detector.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from vru.domain import VruError
from vru.evaluation.core.tables import Bools, DataSet, Floats, Ints

# Detections that are looked at; those with a truth box in their picture.
_MOST = 5000
_OVERLAP = 0.5
# Read otherwise so many of them must fit the truth, and so many times as many as do as they stand.
_FITTING, _TIMES = 0.3, 2.0
# Of few detections nearly all must; fewer yet could do so by chance.
_FEW, _NEARLY_ALL, _FEWEST = 20, 0.8, 5
# Frames that are moved by one still overlap where nobody is fast: then the boxes must fit much better when moved back.
_CLOSE = 0.8


def check_fit(data: DataSet, *, frames: bool = True) -> None:
    """Do nothing unless the detections clearly fit the truth in another form: corners, shares, or (with ``frames``)
    frames moved by one.

    Raises:
        VruError: they do; with what to do about it.
    """
    found = data.found
    if len(found) < _FEWEST or not len(data.truth):
        return
    chosen = np.linspace(0, len(found) - 1, min(len(found), _MOST)).astype(np.int64)
    boxes, picture = found.boxes[chosen], found.picture[chosen]
    as_read = _fitting(data, boxes, picture)
    _check_form(data, boxes, picture, as_read)
    if frames and len(data.sequences) < data.pictures:
        _check_frames(data, boxes, picture)


def _clearly(other: float, as_read: float, count: int) -> bool:
    """Whether so many more fit than do as they stand that it is no chance."""
    return other >= (_FITTING if count >= _FEW else _NEARLY_ALL) and other >= _TIMES * as_read


def _check_form(data: DataSet, boxes: Floats, picture: Ints, as_read: float) -> None:
    def clearly(other: float) -> bool:
        return _clearly(other, as_read, len(boxes))

    corners = np.column_stack([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]])
    if (corners[:, 2:] > 0).mean() > 0.9 and clearly(other := _fitting(data, corners, picture)):
        raise VruError(
            f"{as_read:.0%} of the detections lie on a truth box as they stand, {other:.0%} if their boxes are "
            "corners: x1, y1, x2, y2.",
            "Write x, y, width and height.",
        )
    if boxes.max() <= 2.0 and data.size is not None:
        shares = np.nan_to_num(boxes * np.tile(data.size[picture], (1, 2)))
        centred = shares - np.column_stack([shares[:, 2:] / 2, np.zeros((len(shares), 2))])
        if clearly(other := max(_fitting(data, shares, picture), _fitting(data, centred, picture))):
            raise VruError(
                f"{as_read:.0%} of the detections lie on a truth box as they stand, {other:.0%} if they are shares of "
                "the picture's size.",
                "Write pixels.",
            )


def _check_frames(data: DataSet, boxes: Floats, picture: Ints) -> None:
    for overlap, said in ((_OVERLAP, "on"), (_CLOSE, "closely on")):
        as_read = _fitting(data, boxes, picture, overlap)
        for shift in (-1, 1):
            moved = _moved(data, picture, shift)
            there = moved >= 0
            other = _fitting(data, boxes[there], moved[there], overlap)
            if _clearly(other, as_read, len(boxes)):
                raise VruError(
                    f"{as_read:.0%} of the detections lie {said} a truth box as they stand, {other:.0%} if they are "
                    f"moved by {shift} frame: do both count frames from the same number?",
                    f"Number the frames alike, or say --shift-frames {shift}; 0 measures them as they stand.",
                )


def shifted(data: DataSet, frames: int) -> DataSet:
    """The data set with its detections moved by so many frames; those that leave their sequence are left out."""
    moved = _moved(data, data.found.picture, frames)
    found = data.found.take(moved >= 0)
    return replace(data, found=replace(found, picture=moved[moved >= 0]))


def _moved(data: DataSet, picture: Ints, frames: int) -> Ints:
    """The pictures so many places further on in their sequence, -1 where there is none."""
    order = np.lexsort((data.frame, data.sequence))
    place = np.empty(data.pictures, dtype=np.int64)
    place[order] = np.arange(data.pictures)
    target = place[picture] + frames
    inside = (target >= 0) & (target < data.pictures)
    result = np.full(len(picture), -1, dtype=np.int64)
    result[inside] = order[target[inside]]
    same = result >= 0
    same[same] = data.sequence[result[same]] == data.sequence[picture[same]]
    return np.where(same, result, -1)


def _fitting(data: DataSet, boxes: Floats, picture: Ints, overlap: float = _OVERLAP) -> float:
    """The share of the boxes that so overlap a truth box of their picture, of those whose picture has one."""
    truth = data.truth
    order = np.argsort(truth.picture, kind="stable")
    first = np.searchsorted(truth.picture[order], np.arange(data.pictures + 1))
    start, end = first[picture], first[picture + 1]
    looked: Bools = end > start
    if not looked.any():
        return 0.0
    best = np.zeros(len(boxes))
    for step in range(int((end - start).max())):
        here = start + step < end
        own = truth.boxes[order[(start + step)[here]]]
        best[here] = np.maximum(best[here], _overlap(boxes[here], own))
    return float((best[looked] >= overlap).mean())


def _overlap(a: Floats, b: Floats) -> Floats:
    shared = np.minimum(a[:, :2] + a[:, 2:], b[:, :2] + b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
    area: Callable[[Floats], Floats] = lambda box: np.clip(box[:, 2], 0, None) * np.clip(box[:, 3], 0, None)  # noqa: E731
    both = np.clip(shared, 0, None).prod(axis=1)
    whole = area(a) + area(b) - both
    return np.asarray(np.divide(both, whole, out=np.zeros(len(a)), where=whole > 0))
