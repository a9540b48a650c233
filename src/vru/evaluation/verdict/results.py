"""What ``vru evaluate`` says: figures, criteria and verdict as one JSON document, and in words."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from vru.domain import Criterion, CriterionResult, Measurement, VerdictReport, VruError
from vru.domain.slices import ALL
from vru.evaluation.dataset.evaluate import DatasetEvaluation
from vru.evaluation.dataset.protocol import Protocol
from vru.evaluation.statistics.estimates import Estimate
from vru.evaluation.verdict.judge import combine, condition, decide, enough, holm, too_few
from vru.evaluation.video.latency import TrackOutcome
from vru.evaluation.video.metrics import unit_of

CONFIDENCE_LEVEL = 0.95


def measurement(metric: str, estimate: Estimate, slice_: str = ALL, level: float = CONFIDENCE_LEVEL) -> Measurement:
    """An estimate with its two-sided interval; what no data bound is None."""
    low, high = estimate.bounds((1 + level) / 2) if estimate.n else (-math.inf, math.inf)
    known = estimate.value is not None
    return Measurement(
        metric,
        estimate.value,
        low if known and math.isfinite(low) else None,
        high if known and math.isfinite(high) else None,
        estimate.n,
        unit_of(metric),
        level,
        slice_,
    )


def judge_metrics(
    metrics: DatasetEvaluation, criteria: Sequence[Criterion], approved: bool | None = None
) -> VerdictReport:
    """Hold the figures against the criteria, each bound one-sided at the criterion's confidence level. Reasons say so
    where the truth is known not to be ``approved``.

    Raises:
        VruError: a criterion names a slice or a metric that was not measured.
    """
    chosen = []
    for criterion in criteria:
        estimates = metrics.slices.get(criterion.slice)
        if estimates is None:
            raise VruError(f"There is no slice {criterion.slice!r} here.", f"Use one of: {', '.join(metrics.slices)}.")
        if criterion.metric not in estimates:
            raise VruError(
                f"There is no metric {criterion.metric!r} in slice {criterion.slice!r}.",
                f"Use one of: {', '.join(estimates)}; or another protocol.",
            )
        chosen.append(estimates[criterion.metric])
    results = []
    families = holm(enough(chosen, criteria, metrics.smallest_n), criteria)
    for criterion, estimate, family in zip(criteria, chosen, families, strict=True):
        verdict, reason, more = decide(estimate, criterion, family, metrics.smallest_n)
        reason += condition(verdict, estimate, criterion.metric, metrics.unseen)
        level = 2 * criterion.confidence_level - 1
        measured = measurement(criterion.metric, estimate, criterion.slice, level)
        marked = f" {metrics.assumption}" if metrics.assumption else ""
        marked += " The ground truth is not approved." if approved is False else ""
        results.append(CriterionResult(criterion, measured, verdict, reason + marked, more))
    return combine(results, metrics.notes)


def deciding_levels(report: VerdictReport | None) -> dict[tuple[str, str], float]:
    """The level of the two-sided interval that decides, by slice and metric, where a criterion asks for it: one number
    has one interval. Of several criteria on a figure, that of the highest confidence.
    """
    levels: dict[tuple[str, str], float] = {}
    for result in report.results if report else ():
        measured = result.measurement
        key = measured.slice, measured.metric
        levels[key] = max(measured.confidence_level, levels.get(key, 0.0))
    return levels


def worst_first(metrics: DatasetEvaluation) -> list[str]:
    """The slices without "all", the one with the worst figure first; those where it is not determined come last.

    The figure is the first of ``ap``, ``mota``, ``lamr`` and ``recall`` that all slices have. The worst of many
    slices is partly so by chance: its order says where to look, only a criterion on it says what is proven.
    """
    names = [name for name in metrics.slices if name != ALL]

    def badness(name: str) -> tuple[bool, float]:
        metric, estimate = headline(metrics, name)
        if estimate is None or estimate.value is None:
            return True, 0.0
        return False, -estimate.value if metric == "lamr" else estimate.value

    return sorted(names, key=badness)


def headline(metrics: DatasetEvaluation, slice_: str) -> tuple[str, Estimate | None]:
    """The metric by which slices are ordered, and the slice's estimate of it; None if it has none."""
    # Slices of occlusion have recall and no precision: figures of one kind only can be put in order.
    known = [part for part in metrics.slices.values() if _determined(part, "recall")]
    names = [item for item in ("ap", "mota", "lamr", "recall") if item in metrics.slices[ALL]]
    metric = next((item for item in names if all(_determined(part, item) for part in known)), "recall")
    return metric, metrics.slices[slice_].get(metric)


def _determined(estimates: Mapping[str, Estimate], metric: str) -> bool:
    return metric in estimates and estimates[metric].value is not None


def document(
    metrics: DatasetEvaluation,
    protocol: Protocol,
    inputs: Mapping[str, Any],
    report: VerdictReport | None,
) -> dict[str, Any]:
    """Everything, ready for JSON. ``report`` is None where there are no criteria; then so is the verdict."""
    levels = deciding_levels(report)
    result: dict[str, Any] = {
        "protocol": {"name": protocol.name, "title": protocol.title, "source": protocol.source},
        **inputs,
        "units": metrics.units.name,
        "confidence_level": CONFIDENCE_LEVEL,
        "resamples": metrics.resamples,
        "smallest_n": metrics.smallest_n,
        "metrics": _metrics(metrics, ALL, levels),
        "slices": {name: _metrics(metrics, name, levels) for name in worst_first(metrics)},
        "notes": list(metrics.notes),
        "criteria": [_criterion(item) for item in report.results] if report else [],
        "verdict": report.verdict.value if report else None,
        "tracks": [_track(track) for track in metrics.tracks],
        "curves": [asdict(curve) for curve in metrics.curves],
    }
    if metrics.tide is not None:
        result["errors"] = {
            kind.value: {"count": metrics.tide.counts[kind], "ap_gained": metrics.tide.cost[kind]}
            for kind in metrics.tide.counts
        }
    return result


def _metrics(metrics: DatasetEvaluation, slice_: str, levels: Mapping[tuple[str, str], float]) -> dict[str, Any]:
    """``confidence_level`` stands where the interval is the one that decides."""
    return {
        metric: _measured(
            measurement(metric, estimate, slice_, levels.get((slice_, metric), CONFIDENCE_LEVEL)), estimate
        )
        | ({"confidence_level": round(levels[slice_, metric], 12)} if (slice_, metric) in levels else {})
        | ({"too_few": True} if too_few(estimate, slice_, metrics.smallest_n) else {})
        for metric, estimate in metrics.slices[slice_].items()
    }


def _measured(measured: Measurement, estimate: Estimate) -> dict[str, Any]:
    values = {"value": measured.value, "low": measured.low, "high": measured.high, "n": measured.n}
    return values | {"units": estimate.units} | ({"unit": measured.unit} if measured.unit else {})


def _track(track: TrackOutcome) -> dict[str, Any]:
    return {
        "track_id": track.track_id,
        "road_user": str(track.road_user),
        "first_visible_s": track.first_visible_s,
        "last_visible_s": track.last_visible_s,
        "first_detected_s": track.first_detected_s,
        "latency_ms": track.latency_ms,
        "outcome": track.outcome.value,
        **({"recording": track.recording} if track.recording else {}),
    }


def _criterion(result: CriterionResult) -> dict[str, Any]:
    criterion, measured = result.criterion, result.measurement
    return {
        "metric": criterion.metric,
        "comparator": criterion.comparator.value,
        "threshold": criterion.threshold,
        "confidence_level": criterion.confidence_level,
        "slice": criterion.slice,
        "severity": criterion.severity.value,
        "value": measured.value,
        "low": measured.low,
        "high": measured.high,
        "n": measured.n,
        "verdict": result.verdict.value,
        "reason": result.reason,
        "more_needed": result.more_needed,
    }
