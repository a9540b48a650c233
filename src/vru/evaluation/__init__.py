"""Ground truth and detections in, measurements and a verdict out. Pure functions; usable as a library.

    evaluation = evaluate(ground_truth, detections, {0: 0.0, 1: 0.04}, EvaluationSettings(model="my-model"))
    report = judge(evaluation, DEFAULT_CRITERIA)

What each figure means, with formula, unit and source: ``docs/measuring.md``.
"""

from vru.evaluation.evaluate import Evaluation, Evaluator, Roster, SliceEvaluation, check_independent, evaluate
from vru.evaluation.frames import Frames
from vru.evaluation.judging import check_criteria, judge
from vru.evaluation.latency import Outcome, TrackOutcome
from vru.evaluation.measuring import METRICS
from vru.evaluation.settings import EvaluationSettings
from vru.evaluation.slices import SLICES

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
