"""The figures of benchmarks that have setups of their own: miss rates, and KITTI's average precision."""

import numpy as np

from vru.domain.slices import ALL
from vru.evaluation.core.tables import Bools, DataSet, Floats
from vru.evaluation.dataset.at_confidence import point_metrics
from vru.evaluation.dataset.average_precision import unseen_detections_of
from vru.evaluation.dataset.collector import EstimateCollector
from vru.evaluation.dataset.prepare import evaluated_labels, setup_view
from vru.evaluation.detection.kitti import kitti
from vru.evaluation.detection.miss_rate import miss_rate
from vru.evaluation.detection.outcomes import Outcomes, View, match_all
from vru.evaluation.detection.unseen_unit import UnseenDetections
from vru.evaluation.statistics.estimates import Replicates, Unbounded
from vru.evaluation.statistics.resampling import PointEstimate, resampled_rows


def setup_metrics(collector: EstimateCollector, seen: DataSet, ignored: Bools) -> Outcomes:
    """Each setup matched by itself; the headline's outcomes. Without setups there is one, of everything."""
    protocol = collector.protocol
    views = [setup_view(seen, name, setup, ignored, protocol.expand) for name, setup in protocol.setups.items()]
    whole = not views
    if whole:
        views = [View(ALL, ~ignored, np.ones(len(seen.found), dtype=bool))]
    result = None
    for view in views:
        regions = seen.truth.crowd
        if protocol.ignored_truth == "regions":
            regions = regions | ~view.truth_counts
        outcomes = match_all(seen, (protocol.overlap,), (view,), regions=regions, max_detections=protocol.most)
        # A setup may be called "all", too.
        slice_ = ALL if whole else f"setup:{view.name}"
        if "miss_rate" in protocol.figures:
            miss_rate_metrics(collector, outcomes, 0, 0, slice_)
            if not whole:
                collector.slices[ALL][f"lamr_{view.name}"] = collector.slices[slice_]["lamr"]
        if "point" in protocol.figures:
            point_metrics(collector, outcomes, 0, 0, slice_, by_class=whole)
        if whole or view.name == protocol.headline:
            result = outcomes
            collector.slices[ALL] = {**collector.slices[slice_], **collector.slices[ALL]}
    assert result is not None  # noqa: S101 - the headline is one of the setups
    return result


def miss_rate_metrics(
    collector: EstimateCollector,
    outcomes: Outcomes,
    view: int,
    overlap: int,
    slice_: str,
    pictures: Floats | None = None,
) -> None:
    """The mean over the classes that have truth. ``pictures`` are those of the slice; all if it is None."""
    belonging = np.ones(collector.data.pictures) if pictures is None else pictures
    unseen_detections = unseen_detections_of(collector, outcomes)

    def mean(weights: Floats, unseen: UnseenDetections | None = None) -> float:
        points = collector.protocol.fppi_points
        rates = [
            miss_rate(outcomes, view, overlap, label, points, weights * belonging, unseen).log_average
            for label in range(len(outcomes.data.labels))
        ]
        known = [rate for rate in rates if rate is not None]
        return float(np.mean(known)) if known else np.nan

    def of_row(seen: Floats, unseen: float) -> list[dict[str, float | None]]:
        weights = seen[collector.units.of_picture]
        return [{"lamr": mean(weights, one)} for one in (None, *(part * unseen for part in unseen_detections))]

    value = mean(np.ones(collector.data.pictures))
    count = collector.affordable(
        lambda: of_row(np.ones(collector.units.count), 1.0), outcomes.size // len(outcomes.views)
    )
    drawn = resampled_rows(collector.draws(count), of_row)
    figure = PointEstimate(None if np.isnan(value) else value, drawn.get("lamr", Replicates()))
    collector.put(slice_, "lamr", figure, int(collector.units_with_truth(outcomes, view)[-1]))


def kitti_metrics(collector: EstimateCollector) -> None:
    """KITTI's average precision of each class and difficulty."""
    protocol = collector.protocol
    labels = evaluated_labels(collector.data, protocol)
    region = next(iter(protocol.region_classes), "DontCare")
    means: dict[str, list[float]] = {}
    truth = collector.data.truth
    for label in labels:
        shown = collector.units.showing(truth.picture[truth.label == collector.data.labels.index(label)])
        for name, difficulty in protocol.difficulties.items():
            metrics = kitti(
                collector.data,
                label,
                difficulty,
                overlap=protocol.overlap_of.get(label, protocol.overlap),
                neighbours=protocol.neighbours.get(label, frozenset()),
                regions=region,
            )
            for prefix, value in (("ap", metrics.ap_40), ("ap11", metrics.ap_11)):
                estimate = Unbounded(value, shown, collector.units.name)
                collector.slices[ALL][f"{prefix}_{label.lower()}_{name}"] = estimate
                collector.slices.setdefault(f"class:{label}", {})[f"{prefix}_{name}"] = estimate
                if value is not None:
                    means.setdefault(f"{prefix}_{name}", []).append(value)
    averages = {
        f"{prefix}_{name}": float(np.mean(means[f"{prefix}_{name}"])) if f"{prefix}_{name}" in means else None
        for prefix in ("ap", "ap11")
        for name in protocol.difficulties
    }
    averages["ap"] = averages[f"ap_{protocol.headline}"]
    own = {metric: Unbounded(value, collector.units.count, collector.units.name) for metric, value in averages.items()}
    collector.slices[ALL] = {**dict(reversed(own.items())), **collector.slices[ALL]}
    collector.notes.append("KITTI's average precision depends on where all confidences lie; it has no interval here.")
