"""Do the detections fit the truth as they were read? Boxes in another form, and frames counted from another number,
give figures near zero that look like a bad detector.
"""

from collections.abc import Callable, Iterator
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
# Shares of a picture's size, of boxes that may reach out of it.
_SHARES = 2.0


def check_fit(data: DataSet, *, frames: bool = True) -> None:
    """Do nothing unless the detections clearly fit the truth in another form: corners, centres, shares, or (with
    ``frames``) frames moved by one.

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
    for name, form, fix in _forms(data, boxes, picture):
        if _clearly(other := _fitting(data, form, picture), as_read, len(boxes)):
            raise VruError(
                f"{as_read:.0%} of the detections lie on a truth box as they stand, {other:.0%} if {name}.", fix
            )


def _forms(data: DataSet, boxes: Floats, picture: Ints) -> Iterator[tuple[str, Floats, str]]:
    """The boxes as they would be if they were in another form: what it is, in words, and what to do."""
    yield "their boxes are corners: x1, y1, x2, y2", _from_corners(boxes), "Write x, y, width and height."
    yield (
        "their boxes are corners: y1, x1, y2, x2",
        _from_corners(boxes[:, [1, 0, 3, 2]]),
        "Write x, y, width and height.",
    )
    centres = "Write the top-left corner: x, y, width, height."
    yield "their boxes begin with the centre: x, y, width, height", _from_centres(boxes), centres
    if boxes.max() > _SHARES or data.size is None:
        return
    shares = np.nan_to_num(boxes * np.tile(data.size[picture], (1, 2)))
    rows = np.nan_to_num(boxes * np.tile(data.size[picture][:, ::-1], (1, 2)))[:, [1, 0, 3, 2]]
    for form in (shares, _from_centres(shares), _from_corners(shares), _from_corners(rows)):
        yield "they are shares of the picture's size", form, "Write pixels: x, y, width, height."


def _from_corners(boxes: Floats) -> Floats:
    return np.column_stack([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]])


def _from_centres(boxes: Floats) -> Floats:
    return np.column_stack([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, 2:]])


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
