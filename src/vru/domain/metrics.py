"""The metrics that a criterion may name: what they mean, and between which values a threshold can decide."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf, isfinite

from vru.domain.criteria import Comparator, Criterion
from vru.domain.errors import VruError


@dataclass(frozen=True, slots=True)
class Metric:
    """What is to be said of a metric: its ``label``, its ``meaning`` in one line, its ``unit`` ("" for none), with how
    many ``decimals`` it is shown, which direction is ``better``, and the values that it can have, from ``least`` to
    ``most``. An ``exact`` one is a count or a property of the run, no estimate: it has no interval.
    """

    label: str
    meaning: str
    unit: str = ""
    decimals: int = 0
    better: Comparator = Comparator.AT_MOST
    least: float = 0.0
    most: float = inf
    exact: bool = False


def _share(label: str, meaning: str) -> Metric:
    return Metric(label, meaning, decimals=3, better=Comparator.AT_LEAST, most=1.0)


# Those of model runs. The page and the reports take theirs from here.
MODEL_METRICS: Mapping[str, Metric] = {
    "precision": _share(
        "Precision", "share of the detections at or above the confidence threshold that are right: TP / (TP + FP)"
    ),
    "recall": _share("Recall", "share of the truth boxes found at the confidence threshold: TP / (TP + FN)"),
    "f1": _share("F1", "harmonic mean of precision and recall: 2 TP / (2 TP + FP + FN)"),
    "ap50": _share("AP50", "average precision at an overlap of 0.5, mean over the classes"),
    "track_recall": _share("Track recall", "share of road users (tracks) found in at least one frame"),
    "latency_median_ms": Metric(
        "Median detection latency",
        "time from becoming visible within which half of all road users are found; a miss counts as never",
        unit="ms",
    ),
    "latency_p95_ms": Metric(
        "95th percentile latency",
        "time from becoming visible within which 95 % of all road users are found; a miss counts as never",
        unit="ms",
    ),
    "latency_resolution_ms": Metric(
        "Latency resolution",
        "longest time between two evaluated frames: latencies are too long by up to this",
        unit="ms",
        decimals=1,
        exact=True,
    ),
    "latency_reasonable_median_ms": Metric(
        "Median latency from reasonable size",
        "as the median latency, from the first box of reasonable height on",
        unit="ms",
    ),
    "latency_reasonable_p95_ms": Metric(
        "95th percentile latency from reasonable size",
        "as the 95 % latency, from the first box of reasonable height on",
        unit="ms",
    ),
    "longest_gap_median_ms": Metric(
        "Median longest gap", "median over road users of the longest time visible without being detected", unit="ms"
    ),
    "longest_gap_p95_ms": Metric(
        "95th percentile longest gap",
        "95 % quantile over road users of the longest time visible without being detected",
        unit="ms",
    ),
    "reacquisition_median_ms": Metric(
        "Median re-acquisition", "median over road users who were lost of the slowest time until found again", unit="ms"
    ),
    "reacquisition_p95_ms": Metric(
        "95th percentile re-acquisition",
        "95 % quantile over road users who were lost of the slowest time until found again",
        unit="ms",
    ),
    "false_alarms_per_minute": Metric(
        "False alarms", "false alarms per minute of evaluated video", unit="1/min", decimals=2
    ),
    "tracks_not_evaluated": Metric(
        "Tracks not evaluated", "road users whom no evaluated frame shows", unit="tracks", exact=True
    ),
}

# Those that only camera runs have.
CAMERA_METRICS: Mapping[str, Metric] = {
    "latency_jitter_ms": Metric(
        "Latency jitter", "standard deviation of the latencies about their trend", unit="ms", decimals=2
    ),
    "latency_drift_ppm": Metric(
        "Latency drift", "how latency changes over the run, microseconds a second", unit="ppm", decimals=1, least=-inf
    ),
    "latency_uncertainty_ms": Metric(
        "Latency uncertainty",
        "uncertainty of a latency by the join of the two clocks",
        unit="ms",
        decimals=2,
        exact=True,
    ),
    "false_alarm_signals": Metric("False signals", "signals at which nobody was visible", unit="signals", exact=True),
    "early_signals": Metric(
        "Early signals", "signals shortly before a road user became visible", unit="signals", exact=True
    ),
    "duplicate_signals": Metric(
        "Duplicate signals", "signals of a road user already signalled", unit="signals", exact=True
    ),
    "ambiguous_detections": Metric(
        "Ambiguous detections", "road users whose signal might be that of another one", unit="tracks", exact=True
    ),
    "offset_ms": Metric(
        "Clock offset", "what the signals' clock shows at media time 0", unit="ms", decimals=2, least=-inf
    ),
    "offset_drift_ppm": Metric(
        "Clock drift", "how much faster the signals' clock runs than the video's", unit="ppm", decimals=2, least=-inf
    ),
    "offset_jitter_ms": Metric(
        "Marker jitter", "scatter of a single marker about the join of the clocks", unit="ms", decimals=2
    ),
}

METRICS: Mapping[str, Metric] = {**MODEL_METRICS, **CAMERA_METRICS}


def check_decidable(criterion: Criterion) -> None:
    """Do nothing if data can decide a criterion, one way and the other.

    Raises:
        VruError: there is no such metric, or its values clear the threshold always or never.
    """
    metric = METRICS.get(criterion.metric)
    if metric is None:
        names = ", ".join(METRICS)
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
