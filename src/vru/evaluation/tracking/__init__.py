"""Figures of multi-object tracking: CLEAR MOT, identity and HOTA. Equal to TrackEval."""

from vru.evaluation.tracking.clear import ClearCounts, Switch, clear
from vru.evaluation.tracking.hota import ALPHAS, HotaCounts, hota
from vru.evaluation.tracking.identity import IdentityCounts, identity
from vru.evaluation.tracking.sequences import Frame, Sequence, TrackingRules, sequences_of

__all__ = [
    "ALPHAS",
    "ClearCounts",
    "Frame",
    "HotaCounts",
    "IdentityCounts",
    "Sequence",
    "Switch",
    "TrackingRules",
    "clear",
    "hota",
    "identity",
    "sequences_of",
]
