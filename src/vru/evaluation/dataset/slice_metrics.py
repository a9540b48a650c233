"""What is measured of the slices that somebody asked for."""

from collections.abc import Sequence

import numpy as np

from vru.evaluation.dataset.at_confidence import put_counts
from vru.evaluation.dataset.average_precision import precision_of_slices
from vru.evaluation.dataset.benchmarks import miss_rate_metrics
from vru.evaluation.dataset.collector import EstimateCollector
from vru.evaluation.dataset.slice_views import SliceView
from vru.evaluation.detection.coco import MAX_DETECTIONS, OVERLAPS
from vru.evaluation.detection.operating_point import counts_at
from vru.evaluation.detection.outcomes import Outcomes, match_all
from vru.evaluation.statistics.estimates import Unbounded


def slice_metrics(
    collector: EstimateCollector, outcomes: Outcomes, base: int, chosen: Sequence[SliceView], notes: Sequence[str]
) -> None:
    """The figures of each slice of what the view ``base`` counts; those that count false positives only where one can
    tell which belong to it.
    """
    collector.notes += notes
    protocol, averaged = collector.protocol, "coco" in collector.protocol.figures
    overlaps = OVERLAPS if averaged else (protocol.overlap,)
    views = [part.view for part in chosen]
    max_detections = MAX_DETECTIONS[-1] if averaged else protocol.most
    matched = match_all(outcomes.data, overlaps, views, regions=outcomes.regions, max_detections=max_detections)
    overlap = int(np.argmin(np.abs(np.array(overlaps) - protocol.overlap)))
    if averaged:
        precision_of_slices(collector, matched)
    counts = {
        part.view.name: counts_at(matched, view, overlap, protocol.score_threshold, pictures=part.pictures)
        for view, part in enumerate(chosen)
    }
    put_counts(collector, counts, collector.sums())
    for view, part in enumerate(chosen):
        if "miss_rate" in protocol.figures:
            miss_rate_metrics(collector, matched, view, overlap, part.view.name, part.pictures)
        mine = collector.slices[part.view.name]
        for metric in () if part.false_positives else [name for name in mine if name != "recall"]:
            mine[metric] = Unbounded(None, mine[metric].n, collector.units.name)
