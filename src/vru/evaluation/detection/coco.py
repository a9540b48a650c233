"""COCO's twelve numbers, per class and per view, with precision over recall behind them.

Source: ``pycocotools.cocoeval`` (Lin et al., Microsoft COCO, ECCV 2014; https://cocodataset.org/#detection-eval). The
figures equal it to 1e-9.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vru.evaluation.core.tables import Bools, DataSet, Floats
from vru.evaluation.detection.lead import Lead
from vru.evaluation.detection.outcomes import TRUE_POSITIVE, Outcomes, View, match_all

OVERLAPS = tuple(np.linspace(0.5, 0.95, 10).tolist())
RECALLS = np.linspace(0.0, 1.0, 101)
MOST = (1, 10, 100)
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
class CocoFigures:
    """Average precision and recall for every class, overlap and view.

    ``precision`` is views x classes x overlaps (the mean over 101 recalls), ``recall`` is views x classes x overlaps x
    ``MOST``. NaN where a class has no truth box in the view.
    """

    views: tuple[str, ...]
    labels: tuple[str, ...]
    overlaps: tuple[float, ...]
    precision: Floats
    recall: Floats

    def average_precision(
        self, view: str = "all", *, overlap: float | None = None, label: str | None = None
    ) -> float | None:
        """Mean over the classes (or of one) and the overlaps (or at one); None if there is no truth box."""
        return _mean(self._chosen(self.precision, view, overlap, label))

    def average_recall(self, view: str = "all", *, most: int = 100, label: str | None = None) -> float | None:
        """Mean recall over classes and overlaps, of the ``most`` surest detections of each class in each picture."""
        return _mean(self._chosen(self.recall[..., MOST.index(most)], view, None, label))

    def summary(self, label: str | None = None) -> dict[str, float | None]:
        """COCO's twelve numbers, for all classes or for one."""
        return {
            "ap": self.average_precision(label=label),
            "ap50": self.average_precision(overlap=0.5, label=label),
            "ap75": self.average_precision(overlap=0.75, label=label),
            **{f"ap_{size}": self.average_precision(size, label=label) for size in ("small", "medium", "large")},
            **{f"ar_{most}": self.average_recall(most=most, label=label) for most in MOST},
            **{f"ar_{size}": self.average_recall(size, label=label) for size in ("small", "medium", "large")},
        }

    def _chosen(self, values: Floats, view: str, overlap: float | None, label: str | None) -> Floats:
        chosen: Floats = values[self.views.index(view)]
        if label is not None:
            chosen = chosen[[self.labels.index(label)]]
        if overlap is not None:
            chosen = chosen[:, [int(np.argmin(np.abs(np.array(self.overlaps) - overlap)))]]
        return np.asarray(chosen)


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


def evaluate_coco(data: DataSet, more: Iterable[View] = (), *, ignored: Bools | None = None) -> CocoFigures:
    """Match and measure: COCO's four views, and ``more``. ``ignored`` truth boxes (not crowds) are set aside.

    ``AP`` is the mean of the precision at 101 recalls, over overlaps 0.5 to 0.95 and all classes that have truth boxes.
    """
    return measure(match_coco(data, more, ignored=ignored))


def match_coco(data: DataSet, more: Iterable[View] = (), *, ignored: Bools | None = None) -> Outcomes:
    """COCO's matching: ten overlaps, the hundred surest detections, crowds as regions."""
    views = (*area_views(data, ignored), *more)
    return match_all(data, OVERLAPS, views, regions=data.truth.crowd, most=MOST[-1])


def measure(outcomes: Outcomes, weights: Floats | None = None) -> CocoFigures:
    """Average precision and recall from the outcomes.

    ``weights`` has one entry per picture: how much it counts. None is once each.
    """
    return measure_after(outcomes, weights, (None,))[0]


def measure_after(outcomes: Outcomes, weights: Floats | None, leads: Sequence[Lead | None]) -> list[CocoFigures]:
    """The figures with each of the ``leads`` (None: without one), which share the weighted detections."""
    data = outcomes.data
    views, overlaps, labels = len(outcomes.views), len(outcomes.overlaps), len(data.labels)
    precision = np.full((len(leads), views, labels, overlaps), np.nan)
    recall = np.full((len(leads), views, labels, overlaps, len(MOST)), np.nan)
    truths = truth_counts(outcomes, weights)
    drawn = None if weights is None else weights[data.found.picture[outcomes.kept]]
    counted_truth = [outcomes.counted_truth(view) for view in range(views)]
    for label in range(labels):
        there = np.flatnonzero(truths[:, label] > 0)
        if not len(there):
            continue
        mine, which = outcomes.of_label(label), outcomes.overlapping_of(label)
        places = outcomes.overlapping[which] - mine.start
        taken = outcomes.taken[there, :, which]
        matched = taken >= 0
        hit = matched & np.stack([counted_truth[view][taken[place]] for place, view in enumerate(there)])
        wrong = np.stack([outcomes.unmatched(view, label) for view in there])
        weight = None if drawn is None else drawn[mine]
        weight_here = None if weight is None else weight[places]
        hits: Floats = np.cumsum(_counted(hit, weight_here), axis=-1)
        # False positives so far, here and among the detections that overlap nothing, less those that took a box.
        spared = np.cumsum(_counted(matched & wrong[:, None, places], weight_here), axis=-1)
        wrongs = np.cumsum(_counted(wrong, weight), axis=-1)[:, None, places] - spared
        ranks = outcomes.rank[mine][places]
        found = np.stack([_counted(hit, weight_here)[..., ranks < most].sum(axis=-1) for most in MOST], axis=-1)
        for number, lead in enumerate(leads):
            total = truths[there, label]
            if lead is None:
                precision[number, there, label] = _precision_at_recalls(hits, wrongs, total)
                recall[number, there, label] = found / total[:, None, None]
                continue
            first, first_wrong = lead.hits[there, label], lead.wrong[there, label]
            total = total + lead.truths[there, label]
            precision[number, there, label] = _precision_at_recalls(
                _after(first, hits), _after(first_wrong, wrongs), total
            )
            recall[number, there, label] = (found + first[:, None, None]) / total[:, None, None]
    names = tuple(view.name for view in outcomes.views)
    return [
        CocoFigures(names, data.labels, outcomes.overlaps, precision[number], recall[number])
        for number in range(len(leads))
    ]


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
    hits = np.cumsum(outcome[counted] == TRUE_POSITIVE)
    total = float(truth_counts(outcomes)[view, label])
    recall = hits / total if total else np.full(len(hits), np.nan)
    return hits / np.arange(1, len(hits) + 1), recall, outcomes.data.found.score[outcomes.kept[mine]][counted]


def _counted(flags: Bools, weight: Floats | None) -> NDArray[np.int32] | Floats:
    return flags.astype(np.int32) if weight is None else flags * weight


def _precision_at_recalls(hits: Floats, wrongs: Floats, total: Floats) -> Floats:
    """Mean of the best precision at or beyond each of 101 recalls, from running sums: views x overlaps.

    The sums are those at the detections that overlap something: between two of them, precision only falls.
    """
    if not hits.shape[-1]:
        return np.zeros(hits.shape[:2])
    precision = hits / (hits + wrongs + np.spacing(1))
    best = np.maximum.accumulate(precision[..., ::-1], axis=-1)[..., ::-1]
    recall = hits / total[:, None, None]
    sums = np.empty(hits.shape[:2])
    for view, overlap in np.ndindex(*hits.shape[:2]):
        at = recall[view, overlap].searchsorted(RECALLS, side="left")
        sums[view, overlap] = best[view, overlap][at[at < hits.shape[-1]]].sum()
    return np.asarray(sums / len(RECALLS))


def _mean(values: Floats) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else None
