"""Ground truth and detections in, measurements and a verdict out. Pure functions; usable as a library.

    evaluation = evaluate(ground_truth, detections, {0: 0.0, 1: 0.04}, EvaluationSettings(model="my-model"))
    report = judge(evaluation, DEFAULT_CRITERIA)

What each figure means, with formula, unit and source: ``docs/measuring.md``.
"""

import importlib
from typing import TYPE_CHECKING, Any

from vru.domain.slices import SLICES

if TYPE_CHECKING:
    from vru.evaluation.core.frames import Frames
    from vru.evaluation.core.settings import EvaluationSettings, UnseenUnit
    from vru.evaluation.verdict.judge import check_criteria, judge
    from vru.evaluation.video.evaluate import (
        Evaluation,
        Evaluator,
        SliceEvaluation,
        check_independent,
        evaluate,
    )
    from vru.evaluation.video.latency import Outcome, TrackOutcome
    from vru.evaluation.video.metrics import METRICS
    from vru.evaluation.video.slice_log import Roster

# Imported when they are first used: a command line's --help does not wait for numpy.
_MODULES = {
    "METRICS": "video.metrics",
    "Evaluation": "video.evaluate",
    "EvaluationSettings": "core.settings",
    "Evaluator": "video.evaluate",
    "Frames": "core.frames",
    "Outcome": "video.latency",
    "Roster": "video.slice_log",
    "SliceEvaluation": "video.evaluate",
    "TrackOutcome": "video.latency",
    "UnseenUnit": "core.settings",
    "check_criteria": "verdict.judge",
    "check_independent": "video.evaluate",
    "evaluate": "video.evaluate",
    "judge": "verdict.judge",
}

__all__ = [
    "METRICS",
    "SLICES",
    "Evaluation",
    "EvaluationSettings",
    "Evaluator",
    "Frames",
    "Outcome",
    "Roster",
    "SliceEvaluation",
    "TrackOutcome",
    "UnseenUnit",
    "check_criteria",
    "check_independent",
    "evaluate",
    "judge",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
