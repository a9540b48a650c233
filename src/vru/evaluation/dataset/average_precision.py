"""Average precision and recall of a data set, as COCO has them, of classes and of slices."""

from collections.abc import Mapping

import numpy as np

from vru.domain.slices import ALL
from vru.evaluation.core.tables import Floats
from vru.evaluation.dataset.collector import MOST_CLASSES, EstimateCollector
from vru.evaluation.detection.coco import CocoMetrics, measure, measure_with
from vru.evaluation.detection.operating_point import counts_at
from vru.evaluation.detection.outcomes import Outcomes
from vru.evaluation.detection.unseen_unit import UnseenDetections
from vru.evaluation.statistics.estimates import Replicates
from vru.evaluation.statistics.resampling import PointEstimate, resampled_rows


def coco_metrics(collector: EstimateCollector, outcomes: Outcomes) -> None:
    """COCO's twelve numbers, of all classes and, if these are not too many, of each."""
    metrics = measure(outcomes)
    labels = list(metrics.labels) if len(metrics.labels) > 1 else []
    with_intervals = labels if len(labels) <= MOST_CLASSES else []

    def summaries(of: CocoMetrics) -> dict[str, dict[str, float | None]]:
        return {ALL: of.summary()} | {f"class:{label}": of.summary(label) for label in with_intervals}

    unseen_detections = unseen_detections_of(collector, outcomes) if collector.resamples != 0 else ()

    def of_row(seen: Floats, unseen: float) -> list[dict[str, float | None]]:
        weighted = seen[collector.units.of_picture]
        parts = measure_with(outcomes, weighted, (None, *(part * unseen for part in unseen_detections)))
        return [_flat(summaries(part)) for part in parts]

    count = collector.affordable(lambda: of_row(np.ones(collector.units.count), 1.0), outcomes.size)
    if not count and collector.resamples is None:
        collector.notes.append(
            "The data set is too large for intervals of average precision in the time; --resamples has them."
        )
    drawn = resampled_rows(collector.draws(count), of_row)
    collector.put_coco(outcomes, metrics, drawn, np.arange(len(labels)))


def precision_of_slices(collector: EstimateCollector, matched: Outcomes) -> None:
    """Average precision of each slice."""
    names = [view.name for view in matched.views]

    def metrics(of: CocoMetrics) -> dict[str, float | None]:
        return {
            f"{name}/{metric}": of.average_precision(name, overlap=overlap)
            for name in names
            for metric, overlap in (("ap", None), ("ap50", 0.5))
        }

    unseen_detections = unseen_detections_of(collector, matched)

    def of_row(seen: Floats, unseen: float) -> list[dict[str, float | None]]:
        parts = measure_with(
            matched, seen[collector.units.of_picture], (None, *(part * unseen for part in unseen_detections))
        )
        return [metrics(part) for part in parts]

    count = collector.affordable(lambda: of_row(np.ones(collector.units.count), 1.0), matched.size)
    drawn = resampled_rows(collector.draws(count), of_row)
    for key, value in metrics(measure(matched)).items():
        name, _, metric = key.rpartition("/")
        replicates = drawn.get(key, Replicates())
        collector.put(
            name,
            metric,
            PointEstimate(value, replicates),
            int(collector.units_with_truth(matched, matched.view(name))[-1]),
        )


def _flat(summaries: Mapping[str, Mapping[str, float | None]]) -> dict[str, float | None]:
    return {f"{name}/{metric}": value for name, summary in summaries.items() for metric, value in summary.items()}


def unseen_detections_of(collector: EstimateCollector, outcomes: Outcomes) -> tuple[UnseenDetections, UnseenDetections]:
    """The worst unit that may not have been seen (all missed, and false boxes before all others), and the best."""
    views, labels = len(outcomes.views), len(outcomes.data.labels)
    truths = collector.unseen.truth * np.array([collector.most_truth(outcomes, view) for view in range(views)])
    truths = truths.reshape(views, labels)
    nothing = np.zeros((views, labels))
    found = counts_at(outcomes, 0, 0, collector.protocol.score_threshold)
    hits, wrong, *_ = collector.units.sums(found.table()).T
    frames = collector.frames()
    false_positives = np.full((views, labels), collector.unseen.false_positives(wrong, frames, hits))
    pictures = float(frames.max())
    return UnseenDetections(nothing, false_positives, truths, pictures), UnseenDetections(
        truths, nothing, truths, pictures
    )
