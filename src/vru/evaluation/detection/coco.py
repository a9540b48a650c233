"""COCO's twelve numbers, per class and per view, with precision over recall behind them.

Source: ``pycocotools.cocoeval`` (Lin et al., Microsoft COCO, ECCV 2014; https://cocodataset.org/#detection-eval). The
figures equal it to 1e-9.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vru.evaluation.core.tables import Bools, DataSet, Floats, Ints
from vru.evaluation.detection.outcomes import TRUE_POSITIVE, Outcomes, View, match_all
from vru.evaluation.detection.unseen_unit import UnseenDetections

OVERLAPS = tuple(np.linspace(0.5, 0.95, 10).tolist())
RECALLS = np.linspace(0.0, 1.0, 101)
MAX_DETECTIONS = (1, 10, 100)
# Square pixels, both ends included, as in pycocotools: an area at the border is in both ranges.
AREAS: Mapping[str, tuple[float, float]] = {
    "all": (0.0, 1e10),
    "small": (0.0, 32.0**2),
    "medium": (32.0**2, 96.0**2),
    "large": (96.0**2, 1e10),
}
NAMES = (
    "ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large",
    "ar_1", "ar_10", "ar_100", "ar_small", "ar_medium", "ar_large",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class CocoMetrics:
    """Average precision and recall for every class, overlap and view.

    ``precision`` is views x classes x overlaps (the mean over 101 recalls), ``recall`` is views x classes x overlaps x
    ``MAX_DETECTIONS``. NaN where a class has no truth box in the view.
    """

    views: tuple[str, ...]
    labels: tuple[str, ...]
    overlaps: tuple[float, ...]
    precision: Floats
    recall: Floats

    def average_precision(self, view: str = "all", *, overlap: float | None = None) -> float | None:
        """Mean over the classes and the overlaps (or at one); None if there is no truth box."""
        values = self.precision[self.views.index(view)]
        return _mean(values if overlap is None else values[:, self._at(overlap)])

    def summary(self, label: str | None = None) -> dict[str, float | None]:
        """COCO's twelve numbers, for all classes or for one."""
        mine = slice(None) if label is None else [self.labels.index(label)]
        return {name: _mean(values[mine]) for name, values in self._twelve().items()}

    def summaries(self) -> dict[str, list[float | None]]:
        """COCO's twelve numbers of each class."""
        # A class has a truth box in a view, or none, at all overlaps.
        means = {name: values.mean(axis=1).tolist() for name, values in self._twelve().items()}
        return {name: [None if math.isnan(value) else value for value in of] for name, of in means.items()}

    def _twelve(self) -> dict[str, Floats]:
        """What each of the twelve numbers is the mean of: classes x overlaps."""
        precision, recall = (dict(zip(self.views, of, strict=True)) for of in (self.precision, self.recall))
        everything, sizes = precision["all"], ("small", "medium", "large")
        return {
            "ap": everything,
            "ap50": everything[:, self._at(0.5)],
            "ap75": everything[:, self._at(0.75)],
            **{f"ap_{size}": precision[size] for size in sizes},
            **{f"ar_{limit}": recall["all"][..., place] for place, limit in enumerate(MAX_DETECTIONS)},
            **{f"ar_{size}": recall[size][..., -1] for size in sizes},
        }

    def _at(self, overlap: float) -> list[int]:
        """The position of the overlap next to this one."""
        return [int(np.argmin(np.abs(np.array(self.overlaps) - overlap)))]


def area_views(data: DataSet, ignored: Bools | None = None) -> tuple[View, ...]:
    """COCO's four ranges of area. ``ignored`` truth boxes count in none of them."""
    counted = np.ones(len(data.truth), dtype=bool) if ignored is None else ~ignored
    return tuple(
        View(
            name,
            counted & (data.truth.area >= low) & (data.truth.area <= high),
            (data.found.area >= low) & (data.found.area <= high),
        )
        for name, (low, high) in AREAS.items()
    )


def evaluate_coco(data: DataSet, more: Iterable[View] = (), *, ignored: Bools | None = None) -> CocoMetrics:
    """Match and measure: COCO's four views, and ``more``. ``ignored`` truth boxes (not crowds) are set aside.

    ``AP`` is the mean of the precision at 101 recalls, over overlaps 0.5 to 0.95 and all classes that have truth boxes.
    """
    return measure(match_coco(data, more, ignored=ignored))


def match_coco(data: DataSet, more: Iterable[View] = (), *, ignored: Bools | None = None) -> Outcomes:
    """COCO's matching: ten overlaps, the hundred surest detections, crowds as regions."""
    views = (*area_views(data, ignored), *more)
    return match_all(data, OVERLAPS, views, regions=data.truth.crowd, max_detections=MAX_DETECTIONS[-1])


def measure(outcomes: Outcomes, weights: Floats | None = None) -> CocoMetrics:
    """Average precision and recall from the outcomes.

    ``weights`` has one entry per picture: how much it counts. None is once each.
    """
    return measure_with(outcomes, weights, (None,))[0]


def measure_with(
    outcomes: Outcomes, weights: Floats | None, unseen_detections: Sequence[UnseenDetections | None]
) -> list[CocoMetrics]:
    """The figures with each of the ``unseen_detections`` (None: without one), which share the weighted detections."""
    data = outcomes.data
    views, overlaps, labels = len(outcomes.views), len(outcomes.overlaps), len(data.labels)
    precision = np.full((len(unseen_detections), views, labels, overlaps), np.nan)
    recall = np.full((len(unseen_detections), views, labels, overlaps, len(MAX_DETECTIONS)), np.nan)
    truths = truth_counts(outcomes, weights)
    for label in range(labels):
        there = np.flatnonzero(truths[:, label] > 0)
        if not len(there):
            continue
        seen = _true_positives_of(outcomes, there, label, weights)
        for number, unseen in enumerate(unseen_detections):
            hits, false_positives, found = seen.true_positives, seen.false_positives, seen.found
            total = truths[there, label]
            if unseen is not None:
                first = unseen.true_positives[there, label]
                hits = _after(first, hits)
                false_positives = _after(unseen.false_positives[there, label], false_positives)
                found, total = found + first[:, None, None], total + unseen.truths[there, label]
            precision[number, there, label] = _precision_at_recalls(hits, false_positives, total)
            recall[number, there, label] = found / total[:, None, None]
    names = tuple(view.name for view in outcomes.views)
    return [
        CocoMetrics(names, data.labels, outcomes.overlaps, precision[number], recall[number])
        for number in range(len(unseen_detections))
    ]


class _TruePositives(NamedTuple):
    """One class's true positives by falling score: how many true and false positives there are up to each and with
    it, views x overlaps x the most that a view has at an overlap; beyond those of a view at an overlap
    ``true_positives`` is infinite. ``found`` is how many there are among the ``MAX_DETECTIONS`` surest detections of
    each picture.
    """

    true_positives: Floats
    false_positives: Floats
    found: Floats


def _true_positives_of(outcomes: Outcomes, views: Ints, label: int, weights: Floats | None) -> _TruePositives:
    """Only true positives matter: from one to the next recall stays as it is, and precision falls."""
    mine, which = outcomes.of_label(label), outcomes.overlapping_of(label)
    places = outcomes.overlapping[which] - mine.start
    drawn = None if weights is None else weights[outcomes.data.found.picture[outcomes.kept[mine]]]
    weight = np.ones(len(places)) if drawn is None else drawn[places]
    taken = outcomes.taken.everywhere(slice(None), slice(None), which)[views]
    matched = taken >= 0
    is_hit = matched & np.stack([outcomes.counted_truth(view)[taken[place]] for place, view in enumerate(views)])
    false_positives = np.stack([outcomes.unmatched(view, label) for view in views])
    # False positives so far, among those that overlap nothing, too, less those that took a box.
    spared = np.cumsum(
        _weighted(matched & false_positives[:, None, places], None if drawn is None else weight), axis=-1
    )
    false_positives_so_far = np.cumsum(_weighted(false_positives, drawn), axis=-1)[:, places]

    shape = is_hit.shape[:2]
    flat = np.flatnonzero(is_hit)
    row, column = np.divmod(flat, max(len(places), 1))
    size = np.bincount(row, minlength=shape[0] * shape[1])
    nth = np.arange(len(flat)) - np.repeat(np.cumsum(size) - size, size)
    hit_at, wrong_at = np.zeros((2, len(size), size.max(initial=0)))
    hit_at[row, nth] = weight[column]
    hit_at = np.cumsum(hit_at, axis=1)
    hit_at[np.arange(hit_at.shape[1]) >= size[:, None]] = np.inf
    wrong_at[row, nth] = false_positives_so_far[row // shape[1], column] - spared.reshape(len(size), -1)[row, column]
    ranks = outcomes.rank[mine][places][column]
    found = [np.bincount(row, weight[column] * (ranks < limit), len(size)) for limit in MAX_DETECTIONS]
    return _TruePositives(
        hit_at.reshape(*shape, -1),
        wrong_at.reshape(*shape, -1),
        np.array(found, dtype=np.float64).T.reshape(*shape, len(MAX_DETECTIONS)),
    )


def _after(first: Floats, sums: Floats) -> Floats:
    """Running sums (views x overlaps x detections) that begin with what comes ``first``."""
    start = np.broadcast_to(first[:, None, None], (*sums.shape[:2], 1))
    return np.concatenate([start, sums + first[:, None, None]], axis=-1)


def truth_counts(outcomes: Outcomes, weights: Floats | None = None) -> Floats:
    """Truth boxes that count: views x classes."""
    truth, labels = outcomes.data.truth, len(outcomes.data.labels)
    drawn = np.ones(len(truth)) if weights is None else weights[truth.picture]
    counted = [drawn * outcomes.counted_truth(view) for view in range(len(outcomes.views))]
    return np.array([np.bincount(truth.label, weights=weight, minlength=labels) for weight in counted]).reshape(
        -1, labels
    )


def precision_recall(outcomes: Outcomes, view: int, overlap: int, label: int) -> tuple[Floats, Floats, Floats]:
    """Precision, recall and score after each detection of one class, in falling order of score."""
    mine = outcomes.of_label(label)
    outcome = outcomes.outcome(view, overlap, label)
    counted = outcome >= 0
    true_positives = np.cumsum(outcome[counted] == TRUE_POSITIVE)
    total = float(truth_counts(outcomes)[view, label])
    recall = true_positives / total if total else np.full(len(true_positives), np.nan)
    return (
        true_positives / np.arange(1, len(true_positives) + 1),
        recall,
        outcomes.data.found.score[outcomes.kept[mine]][counted],
    )


def _weighted(flags: Bools, weight: Floats | None) -> NDArray[np.int32] | Floats:
    return flags.astype(np.int32) if weight is None else flags * weight


def _precision_at_recalls(true_positives: Floats, false_positives_so_far: Floats, total: Floats) -> Floats:
    """Mean of the best precision at or beyond each of 101 recalls, from running sums (views x overlaps x n; infinite
    hits are none): views x overlaps.
    """
    shape, rows = true_positives.shape[:2], true_positives.shape[0] * true_positives.shape[1]
    known = np.isfinite(true_positives)
    precision = np.divide(
        true_positives,
        true_positives + false_positives_so_far + np.spacing(1),
        out=np.zeros_like(true_positives),
        where=known,
    )
    best = np.maximum.accumulate(precision[..., ::-1], axis=-1)[..., ::-1].reshape(rows, true_positives.shape[2])
    # How many true positives do not reach each of the recalls: there stands the first that does.
    below = np.searchsorted(RECALLS, true_positives / total[:, None, None], side="right").reshape(
        rows, true_positives.shape[2]
    )
    width = len(RECALLS) + 1
    count = np.bincount((np.arange(rows)[:, None] * width + below).ravel(), minlength=rows * width)
    first = np.cumsum(count.reshape(rows, width), axis=1)[:, :-1]
    # Where none does, precision is 0.
    best = np.concatenate([best, np.zeros((rows, 1))], axis=1)
    return np.asarray(np.take_along_axis(best, first, axis=1).sum(axis=1) / len(RECALLS)).reshape(shape)


def _mean(values: Floats) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else None
