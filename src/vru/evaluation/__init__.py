"""Ground truth and detections in, measurements and a verdict out. Pure functions; usable as a library.

    evaluation = evaluate(ground_truth, detections, {0: 0.0, 1: 0.04}, EvaluationSettings(model="my-model"))
    report = judge(evaluation, DEFAULT_CRITERIA)

What each figure means, with formula, unit and source: ``docs/measuring.md``.
"""

from vru.evaluation.core.frames import Frames
from vru.evaluation.core.settings import EvaluationSettings
from vru.evaluation.core.slices import SLICES
from vru.evaluation.verdict.judge import check_criteria, judge
from vru.evaluation.video.evaluate import Evaluation, Evaluator, Roster, SliceEvaluation, check_independent, evaluate
from vru.evaluation.video.latency import Outcome, TrackOutcome
from vru.evaluation.video.metrics import METRICS

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
    "check_criteria",
    "check_independent",
    "evaluate",
    "judge",
]
