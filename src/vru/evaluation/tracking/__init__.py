"""Metrics of multi-object tracking: CLEAR MOT, identity and HOTA. Equal to TrackEval."""

from vru.evaluation.tracking.clear import ClearCounts, Switch, clear, clear_rates, unseen_clear
from vru.evaluation.tracking.hota import ALPHAS, HotaCounts, hota, hota_rates, unseen_hota
from vru.evaluation.tracking.identity import IdentityCounts, identity, identity_rates
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
    "clear_rates",
    "hota",
    "hota_rates",
    "identity",
    "identity_rates",
    "sequences_of",
    "unseen_clear",
    "unseen_hota",
]
