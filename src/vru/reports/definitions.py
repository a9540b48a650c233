"""What each figure means, in one line. docs/measuring.md has them at length, with their sources."""

import re
from collections.abc import Iterable

from vru.domain.metrics import METRICS

# Of metrics that only evaluations of files have; those of runs say themselves what they mean.
_EXACT = {
    "ap": "average precision: area under precision over recall, mean over the protocol's overlaps and classes",
    "fppi": "false positives per image at the confidence threshold",
    "lamr": "log-average miss rate: geometric mean of the miss rate at 9 rates of false positives per image, 0.01 to 1",
    "ece": "expected calibration error: mean gap between confidence and precision over bins of equal width",
    "ece_adaptive": "the same over bins with equally many detections",
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
    if metric in METRICS:
        return METRICS[metric].meaning
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
