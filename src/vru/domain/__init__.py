"""The shared language: road users, boxes, tracks, criteria, runs and verdicts. No I/O, no framework."""

from vru.domain.boxes import Box, Detection, TruthBox, iou
from vru.domain.classes import VruClass, parse_class
from vru.domain.criteria import DEFAULT_CRITERIA, Comparator, Criterion, Severity
from vru.domain.errors import VruError
from vru.domain.runs import RunKind, RunState, ShardState, check_transition
from vru.domain.signals import FEWEST_MARKERS, Signal, SignalKind
from vru.domain.tracks import GroundTruth, Track
from vru.domain.verdicts import CriterionResult, Measurement, Verdict, VerdictReport

__all__ = [
    "DEFAULT_CRITERIA",
    "FEWEST_MARKERS",
    "Box",
    "Comparator",
    "Criterion",
    "CriterionResult",
    "Detection",
    "GroundTruth",
    "Measurement",
    "RunKind",
    "RunState",
    "Severity",
    "ShardState",
    "Signal",
    "SignalKind",
    "Track",
    "TruthBox",
    "Verdict",
    "VerdictReport",
    "VruClass",
    "VruError",
    "check_transition",
    "iou",
    "parse_class",
]
