"""The metrics that a criterion may name: units, and between which values a threshold can decide."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf, isfinite

from vru.domain.criteria import Comparator, Criterion
from vru.domain.errors import VruError


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric's ``unit``, "" if it has none, and the values that it can have: from ``least`` to ``most``."""

    unit: str = ""
    least: float = 0.0
    most: float = inf


_SHARE = Metric(most=1.0)
_TIME = Metric("ms")
_SIGNALS = Metric("signals")

# Those of model runs.
MODEL_METRICS: Mapping[str, Metric] = {
    "precision": _SHARE,
    "recall": _SHARE,
    "f1": _SHARE,
    "ap50": _SHARE,
    "track_recall": _SHARE,
    "latency_median_ms": _TIME,
    "latency_p95_ms": _TIME,
    "latency_resolution_ms": _TIME,
    "latency_reasonable_median_ms": _TIME,
    "latency_reasonable_p95_ms": _TIME,
    "longest_gap_median_ms": _TIME,
    "longest_gap_p95_ms": _TIME,
    "reacquisition_median_ms": _TIME,
    "reacquisition_p95_ms": _TIME,
    "false_alarms_per_minute": Metric("1/min"),
    "tracks_not_evaluated": Metric("tracks"),
}

# Those that only camera runs have.
CAMERA_METRICS: Mapping[str, Metric] = {
    "latency_jitter_ms": _TIME,
    "latency_drift_ppm": Metric("ppm", least=-inf),
    "latency_uncertainty_ms": _TIME,
    "false_alarm_signals": _SIGNALS,
    "early_signals": _SIGNALS,
    "duplicate_signals": _SIGNALS,
    "ambiguous_detections": Metric("tracks"),
    "offset_ms": Metric("ms", least=-inf),
    "offset_drift_ppm": Metric("ppm", least=-inf),
    "offset_jitter_ms": _TIME,
}


def check_decidable(criterion: Criterion) -> None:
    """Do nothing if data can decide a criterion, one way and the other.

    Raises:
        VruError: there is no such metric, or its values clear the threshold always or never.
    """
    metric = MODEL_METRICS.get(criterion.metric) or CAMERA_METRICS.get(criterion.metric)
    if metric is None:
        names = ", ".join((*MODEL_METRICS, *CAMERA_METRICS))
        raise VruError(f"There is no metric {criterion.metric!r}.", f"Use one of: {names}.")
    wanted = f"{criterion.metric} {criterion.comparator} {criterion.threshold:g}"
    least, most = metric.least, metric.most
    if not isfinite(criterion.threshold):
        raise VruError(f"{wanted} decides nothing.", "Give a finite number.")
    # A bound never reaches the end of the range: what was not seen can still happen. Counts do: they are no estimates.
    at_least = criterion.comparator == Comparator.AT_LEAST
    counted = metric.unit in ("signals", "tracks")
    if at_least:
        always, never = criterion.threshold <= least, criterion.threshold >= most
    else:
        always = criterion.threshold >= most
        never = criterion.threshold < least if counted else criterion.threshold <= least
    if always or never:
        between = f"above {least:g}" + (f" and below {most:g}" if isfinite(most) else "")
        raise VruError(
            f"{wanted} decides nothing: it holds {'always' if always else 'never'}.",
            f"Give a threshold {between}.",
        )
