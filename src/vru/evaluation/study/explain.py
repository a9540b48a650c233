"""Why average precision differs from tool to tool: each tool's rules, and what every difference is worth.

Sources: COCO: ``pycocotools.cocoeval`` (Lin et al., ECCV 2014). VOC: Everingham et al., The PASCAL Visual Object
Classes Challenge, IJCV 2010, and its development kit (11 points until 2009, all points since). The "YOLO style" is what
training frameworks of that family report as mAP50: a confidence cut of 0.001, 300 detections a picture, crowds dropped,
each detection held against the truth box that it overlaps most, and the area below the envelope read at 101 recalls.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from vru.evaluation.core.assignment import overlaps
from vru.evaluation.core.tables import Bools, DataSet, Floats, Ints

OVERLAP = 0.5


@dataclass(frozen=True, slots=True)
class Rules:
    """How average precision at an overlap of 0.5 is computed.

    ``crowds``: "regions" excuse detections, "boxes" count like any other, "dropped" are not there. ``difficult`` (truth
    that is marked to be ignored): "counted" or "excused". ``matching``: "coco" takes the best truth box that is free,
    "voc" the best of all, and is wrong if that is taken.
    ``most_per_class`` and ``most_per_picture`` are the surest detections of each picture that take part.
    ``empty_pictures``: whether those without truth of the class count. ``absent``: classes without truth are "left out"
    of the mean, or count as "zero". ``interpolation``: "101", "11" or "all" points of the envelope, or "trapezoid".
    """

    confidence: float = -np.inf
    most_per_class: int | None = 100
    most_per_picture: int | None = None
    crowds: str = "regions"
    difficult: str = "counted"
    matching: str = "coco"
    empty_pictures: bool = True
    absent: str = "left out"
    interpolation: str = "101"


COCO = Rules()
TOOLS = {
    "pycocotools": COCO,
    "VOC, 11 points": Rules(
        most_per_class=None, crowds="boxes", difficult="excused", matching="voc", interpolation="11"
    ),
    "VOC, all points": Rules(
        most_per_class=None, crowds="boxes", difficult="excused", matching="voc", interpolation="all"
    ),
    "YOLO style": Rules(
        confidence=0.001,
        most_per_class=None,
        most_per_picture=300,
        crowds="dropped",
        matching="voc",
        interpolation="trapezoid",
    ),
}
# Habits of home-made scripts, each by itself.
HABITS = {
    "pictures without truth left out": replace(COCO, empty_pictures=False),
    "classes without truth count as 0": replace(COCO, absent="zero"),
    "confidence cut at 0.25": replace(COCO, confidence=0.25),
}


@dataclass(frozen=True, slots=True)
class Step:
    """One rule changed: what, to what, and the average precision (None without truth) after it."""

    rule: str
    value: str
    ap: float | None


def steps(data: DataSet, rules: Rules) -> list[Step]:
    """From COCO's rules to others, one rule after the other in the order of ``Rules``. The order matters: what a change
    is worth depends on those before it.
    """
    now, found = COCO, []
    for field in fields(Rules):
        wanted = getattr(rules, field.name)
        if wanted != getattr(now, field.name):
            now = replace(now, **{field.name: wanted})
            found.append(Step(field.name, _said(wanted), average_precision(data, now)))
    return found


def _said(value: object) -> str:
    return "no limit" if value is None else str(value)


def average_precision(data: DataSet, rules: Rules) -> float | None:
    """The mean over classes at an overlap of 0.5; None if no class counts."""
    found = _taking_part(data, rules)
    values: list[float] = []
    for label in range(len(data.labels)):
        value = _of_class(data, found[data.found.label[found] == label], label, rules)
        if value is not None:
            values.append(value)
        elif rules.absent == "zero":
            values.append(0.0)
    return float(np.mean(values)) if values else None


def _taking_part(data: DataSet, rules: Rules) -> Ints:
    """Detections that take part, by falling score; equal ones by picture, as pycocotools has them, then by the file."""
    score, picture, label = data.found.score, data.found.picture, data.found.label
    order = np.lexsort((picture, -score))
    order = order[score[order] >= rules.confidence]
    if rules.most_per_class is not None:
        order = order[_place(picture[order] * max(len(data.labels), 1) + label[order]) < rules.most_per_class]
    if rules.most_per_picture is not None:
        order = order[_place(picture[order]) < rules.most_per_picture]
    return order


def _place(cell: Ints) -> Ints:
    """Place of each entry among those of its cell."""
    order = np.argsort(cell, kind="stable")
    starts = np.flatnonzero(np.diff(cell[order], prepend=-1))
    place = np.empty(len(cell), dtype=np.int64)
    place[order] = np.arange(len(cell)) - np.repeat(starts, np.diff(np.append(starts, len(cell))))
    return place


def _of_class(data: DataSet, found: Ints, label: int, rules: Rules) -> float | None:
    truth = data.truth
    own = truth.label == label
    if rules.crowds == "dropped":
        own = own & ~truth.crowd
    regions = truth.crowd & (rules.crowds == "regions")
    excused = regions | (truth.ignore & (rules.difficult == "excused"))
    total = int((own & ~excused).sum())
    if not total:
        return None
    outcome = np.zeros(len(found), dtype=np.int64)
    for places, boxes in _cells(data, found, np.flatnonzero(own)):
        outcome[places] = _matched(data, found[places], boxes, excused, regions, rules)
    if not rules.empty_pictures:
        there = np.isin(data.found.picture[found], truth.picture[own])
        outcome[~there] = -1
    counted = outcome >= 0
    return _area(outcome[counted] == 1, total, rules.interpolation)


def _cells(data: DataSet, found: Ints, boxes: Ints) -> Iterator[tuple[Ints, Ints]]:
    """Per picture: places among the detections, and truth boxes."""
    by_picture = np.argsort(data.found.picture[found], kind="stable")
    of_found = data.found.picture[found][by_picture]
    of_truth = data.truth.picture[boxes]
    order = np.argsort(of_truth, kind="stable")
    for picture in np.unique(of_found).tolist():
        first, last = np.searchsorted(of_found, [picture, picture + 1])
        begin, end = np.searchsorted(of_truth[order], [picture, picture + 1])
        yield by_picture[first:last], boxes[order[begin:end]]


def _matched(data: DataSet, found: Ints, boxes: Ints, excused: Bools, regions: Bools, rules: Rules) -> list[int]:
    """1 for each detection that is right, 0 for wrong, -1 for one that does not count."""
    if not len(boxes):
        return [0] * len(found)
    shared = overlaps(data.found.boxes[found], data.truth.boxes[boxes], regions[boxes])
    if rules.matching == "voc":
        return _voc(shared, excused[boxes])
    return _coco(shared, excused[boxes], regions[boxes])


def _coco(shared: Floats, excused: Bools, regions: Bools) -> list[int]:
    needed, taken, result = min(OVERLAP, 1 - 1e-10), np.zeros(len(excused), dtype=bool), []
    for row in shared:
        fitting = (row >= needed) & (~taken | regions)
        counted = np.flatnonzero(fitting & ~excused)
        if len(counted):
            # The last of equal ones, as pycocotools does.
            best = counted[len(counted) - 1 - int(np.argmax(row[counted][::-1]))]
            taken[best] = True
            result.append(1)
        elif fitting.any():
            others = np.flatnonzero(fitting)
            taken[others[len(others) - 1 - int(np.argmax(row[others][::-1]))]] = True
            result.append(-1)
        else:
            result.append(0)
    return result


def _voc(shared: Floats, excused: Bools) -> list[int]:
    taken, result = np.zeros(len(excused), dtype=bool), []
    for row in shared:
        best = int(np.argmax(row))
        if row[best] < OVERLAP:
            result.append(0)
        elif excused[best]:
            result.append(-1)
        else:
            result.append(0 if taken[best] else 1)
            taken[best] = True
    return result


def _area(right: Bools, total: int, interpolation: str) -> float:
    true_positives = np.cumsum(right)
    recall, precision = true_positives / total, true_positives / np.arange(1, len(true_positives) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    if interpolation == "all":
        return float((np.diff(recall, prepend=0.0) * envelope).sum())
    if interpolation == "trapezoid":
        ends = np.concatenate([[0.0], recall, [1.0]]), np.concatenate([[1.0], envelope, [0.0]])
        at = np.linspace(0, 1, 101)
        return float(np.trapezoid(np.interp(at, *ends), at))
    points: Sequence[float] = np.linspace(0, 1, int(interpolation)).tolist()
    where = np.searchsorted(recall, points, side="left")
    return float(sum(envelope[place] for place in where if place < len(envelope)) / len(points))
