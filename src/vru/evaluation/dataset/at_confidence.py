"""What is measured of the detections above a confidence: precision, recall, F1, false positives and calibration."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from vru.domain.slices import ALL
from vru.evaluation.core.tables import Floats
from vru.evaluation.dataset.collector import MOST_CLASSES, EstimateCollector
from vru.evaluation.detection.calibration import calibration_of, error_replicates
from vru.evaluation.detection.operating_point import Counts, contributing, counts_at, rates, unseen_counts
from vru.evaluation.detection.outcomes import Outcomes
from vru.evaluation.statistics.estimates import Resampled
from vru.evaluation.statistics.resampling import PointEstimate, resampled


def point_metrics(
    collector: EstimateCollector, outcomes: Outcomes, view: int, overlap: int, slice_: str, *, by_class: bool
) -> None:
    """Precision, recall, F1 and false positives per image, of all classes and with ``by_class`` of each."""
    labels: list[tuple[str, int | None]] = [(slice_, None)]
    if by_class and len(outcomes.data.labels) > 1:
        labels += [(f"class:{label}", number) for number, label in enumerate(outcomes.data.labels)]
    counts = {
        name: counts_at(outcomes, view, overlap, collector.protocol.score_threshold, label) for name, label in labels
    }
    few = len(counts) <= MOST_CLASSES + 1
    put_counts(collector, counts if few else {slice_: counts.pop(slice_)}, collector.sums())
    if not few:
        put_counts(collector, counts, 0)


def put_counts(collector: EstimateCollector, counts: Mapping[str, Counts], resamples: int) -> None:
    """The figures of several slices at once: they share their resamples."""
    tables = [collector.units.sums(of.table()) for of in counts.values()]
    unseen = [unseen_counts(table, collector.unseen) for table in tables]
    found = resampled(collector.draws(resamples), np.hstack(tables), _rates_of(list(counts)), np.hstack(unseen))
    metrics = _per_slice(found)
    for name, table in zip(counts, tables, strict=True):
        resting = contributing(table)
        for metric, figure in metrics[name].items():
            collector.put(name, metric, figure, resting[metric])


def _rates_of(names: Sequence[str]) -> Callable[[Floats], dict[str, Floats]]:
    """The figures of several slices, whose four columns each stand side by side."""

    def of(sums: Floats) -> dict[str, Floats]:
        parts = zip(names, np.split(sums, len(names), axis=1), strict=True)
        return {f"{name}/{metric}": values for name, part in parts for metric, values in rates(part).items()}

    return of


def _per_slice(metrics: Mapping[str, PointEstimate]) -> dict[str, dict[str, PointEstimate]]:
    result: dict[str, dict[str, PointEstimate]] = {}
    for key, figure in metrics.items():
        slice_, _, metric = key.rpartition("/")
        result.setdefault(slice_, {})[metric] = figure
    return result


def calibration_metrics(collector: EstimateCollector, outcomes: Outcomes, view: int, overlap: int) -> None:
    """Calibration errors, if the confidences are from 0 to 1."""
    score = outcomes.data.found.score
    if len(score) and not (score.min() >= 0 and score.max() <= 1):
        collector.notes.append(
            "The confidences are not from 0 to 1: there is no calibration error, and precision and recall count "
            f"detections from {collector.protocol.score_threshold:g} on (--score)."
        )
        return
    draws = collector.draws(collector.sums())
    found = outcomes.data.found
    counted = outcomes.kept[outcomes.outcome(view, overlap) >= 0]
    unit = collector.units.of_picture[found.picture[counted]]
    false_positives = collector.unseen.false_positives(
        np.bincount(unit, minlength=collector.units.count).astype(np.float64), collector.frames()
    )
    for name, adaptive in (("ece", False), ("ece_adaptive", True)):
        of = calibration_of(outcomes, view, overlap, bins=collector.protocol.bins, adaptive=adaptive)
        replicates = error_replicates(of, unit, draws, false_positives)
        collector.slices[ALL][name] = Resampled(
            of.error, int(np.count_nonzero(np.bincount(unit))), replicates, collector.units.name
        )
