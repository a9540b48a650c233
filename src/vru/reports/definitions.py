"""What each figure means, in one line. docs/measuring.md has them at length, with their sources."""

import re
from collections.abc import Iterable

_EXACT = {
    "precision": "share of the detections at or above the confidence threshold that are right: TP / (TP + FP)",
    "recall": "share of the truth boxes found at the confidence threshold: TP / (TP + FN)",
    "f1": "harmonic mean of precision and recall: 2 TP / (2 TP + FP + FN)",
    "ap": "average precision: area under precision over recall, mean over the protocol's overlaps and classes",
    "fppi": "false positives per image at the confidence threshold",
    "lamr": "log-average miss rate: geometric mean of the miss rate at 9 rates of false positives per image, 0.01 to 1",
    "ece": "expected calibration error: mean gap between confidence and precision over bins of equal width",
    "ece_adaptive": "the same over bins with equally many detections",
    "track_recall": "share of road users (tracks) found in at least one frame",
    "latency_median_ms": "time from becoming visible within which half of all road users are found; a miss is never",
    "latency_p95_ms": "time from becoming visible within which 95 % of all road users are found; a miss is never",
    "latency_resolution_ms": "longest time between two evaluated frames: latencies are too long by up to this",
    "latency_reasonable_median_ms": "as the median latency, from the first box of reasonable height on",
    "latency_reasonable_p95_ms": "as the 95 % latency, from the first box of reasonable height on",
    "longest_gap_median_ms": "median over road users of the longest time visible without being detected",
    "longest_gap_p95_ms": "95 % quantile over road users of the longest time visible without being detected",
    "reacquisition_median_ms": "median over road users who were lost of the slowest time until found again",
    "reacquisition_p95_ms": "95 % quantile over road users who were lost of the slowest time until found again",
    "false_alarms_per_minute": "false alarms per minute of evaluated video",
    "tracks_not_evaluated": "road users whom no evaluated frame shows",
    "mota": "1 - (misses + false positives + identity switches) / truth boxes",
    "motp": "mean overlap of the matched boxes",
    "id_switches": "how often a road user goes on under another identity",
    "fragmentations": "how often a road user is found again after a gap",
    "mostly_tracked": "share of road users found in more than 80 % of their frames",
    "partly_tracked": "share of road users found in 20 to 80 % of their frames",
    "mostly_lost": "share of road users found in less than 20 % of their frames",
    "idf1": "F1 of boxes with the right identity",
    "idp": "precision of boxes with the right identity",
    "idr": "recall of boxes with the right identity",
    "hota": "higher-order tracking accuracy: geometric mean of detection and association, mean over 19 overlaps",
    "deta": "detection accuracy of HOTA",
    "assa": "association accuracy of HOTA",
    "loca": "mean overlap of the matches of HOTA",
    "detre": "detection recall of HOTA",
    "detpr": "detection precision of HOTA",
    "assre": "association recall of HOTA",
    "asspr": "association precision of HOTA",
    "latency_jitter_ms": "standard deviation of the latencies about their trend",
    "latency_drift_ppm": "how latency changes over the run, microseconds a second",
    "latency_uncertainty_ms": "uncertainty of a latency by the join of the two clocks",
    "false_alarm_signals": "signals at which nobody was visible",
    "early_signals": "signals shortly before a road user became visible",
    "duplicate_signals": "signals of a road user already signalled",
    "ambiguous_detections": "road users whose signal might be that of another one",
    "offset_ms": "what the signals' clock shows at media time 0",
    "offset_drift_ppm": "how much faster the signals' clock runs than the video's",
    "offset_jitter_ms": "scatter of a single marker about the join of the clocks",
}
_AREAS = {"small": "smaller than 32 x 32 pixels", "medium": "of 32 x 32 to 96 x 96 pixels", "large": "larger than that"}
# Whole names with parts that vary.
_PATTERNS = (
    (re.compile(r"ap(\d\d)"), "average precision at an overlap of 0.{0}, mean over the classes"),
    (re.compile(r"ap_(small|medium|large)"), "average precision of boxes {area}"),
    (re.compile(r"ar_(\d+)"), "mean recall of the {0} surest detections of a class in an image, over the overlaps"),
    (re.compile(r"ar_(small|medium|large)"), "mean recall of boxes {area}, of the 100 surest detections"),
    (re.compile(r"lamr_(.+)"), "log-average miss rate of the setup {0}"),
    (re.compile(r"ap11_(.+)"), "KITTI's average precision over 11 recalls: {0}"),
    (re.compile(r"ap_(.+)"), "KITTI's average precision over 40 recalls: {0}"),
)


def definition_of(metric: str) -> str | None:
    """One line; None for a metric that is not known here."""
    if metric in _EXACT:
        return _EXACT[metric]
    for pattern, text in _PATTERNS:
        found = pattern.fullmatch(metric)
        if found:
            name = found[1]
            return text.format(name.replace("_", ", "), area=_AREAS.get(name, ""))
    return None


def definitions_of(metrics: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Each metric once with its definition."""
    return tuple((name, definition_of(name) or "see docs/measuring.md") for name in dict.fromkeys(metrics))
