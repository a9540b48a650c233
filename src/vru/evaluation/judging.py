"""From measurements to a verdict."""

import math
from collections.abc import Iterable, Sequence

from vru.domain import Comparator, Criterion, CriterionResult, Measurement, Severity, Verdict, VerdictReport
from vru.evaluation.estimates import Estimate
from vru.evaluation.evaluate import Evaluation, check_metric
from vru.evaluation.measuring import METRICS, unit_of
from vru.evaluation.slices import check_slices


def check_criteria(criteria: Iterable[Criterion]) -> None:
    """Do nothing if every criterion names a metric and a slice that exist.

    Raises:
        VruError: one does not.
    """
    for criterion in criteria:
        check_metric(criterion.metric)
        check_slices([criterion.slice])


def judge(evaluation: Evaluation, criteria: Sequence[Criterion]) -> VerdictReport:
    """Hold the evaluation against the criteria.

    A criterion passes if the interval's worse bound clears the threshold, fails if even the better bound misses it,
    and is inconclusive otherwise, or where the data do not determine the metric. Each bound holds by itself with the
    criterion's confidence level: 59 of 59 tracks detected prove a track recall of 0.95 with 95 % confidence. Equality
    clears a threshold. A quantile that too many misses keep out of reach has no value; it fails if the share of misses
    proves that it lies beyond the threshold.

    The run fails if a required criterion fails, else it is inconclusive if a required one is (or if none is required),
    else it passes. Advisory criteria are reported, and decide nothing.

    Raises:
        VruError: a criterion names a metric or a slice that does not exist.
    """
    check_criteria(criteria)
    return combine([_judge_one(evaluation, criterion) for criterion in criteria], evaluation.notes)


def combine(results: Sequence[CriterionResult], notes: Sequence[str]) -> VerdictReport:
    """The verdict over all criteria, with the reasons of those that made it, then the ``notes``."""
    required = [result.verdict for result in results if result.criterion.severity == Severity.REQUIRED]
    if Verdict.FAIL in required:
        verdict = Verdict.FAIL
    elif Verdict.INCONCLUSIVE in required or not required:
        verdict = Verdict.INCONCLUSIVE
    else:
        verdict = Verdict.PASS
    reasons = [result.reason for result in results if result.verdict == verdict or not required]
    if not required:
        reasons.append("No criterion is required, so nothing was decided.")
    return VerdictReport(verdict, tuple(results), (*reasons, *notes))


def _judge_one(evaluation: Evaluation, criterion: Criterion) -> CriterionResult:
    level = 2 * criterion.confidence_level - 1
    part = evaluation.slices.get(criterion.slice)
    if part is None:
        empty = Measurement(criterion.metric, None, None, None, 0, METRICS[criterion.metric], level, criterion.slice)
        reason = f"The slice {criterion.slice} was not measured: name it in the settings' slices."
        return CriterionResult(criterion, empty, Verdict.INCONCLUSIVE, reason)
    verdict, why, more = decide(part.estimates[criterion.metric], criterion)
    marked = "" if evaluation.approved else " The ground truth is not approved."
    return CriterionResult(criterion, part.measurement(criterion.metric, level), verdict, why + marked, more)


def decide(estimate: Estimate, criterion: Criterion) -> tuple[Verdict, str, int | None]:
    """The verdict on one criterion, why, and how many more units would decide it if they looked like those seen."""
    low, high = estimate.bounds(criterion.confidence_level)
    threshold, at_least = criterion.threshold, criterion.comparator == Comparator.AT_LEAST
    worse, better = (low, high) if at_least else (high, low)
    figure, limit = _figure(criterion, estimate), _number(threshold, criterion.metric)
    sure = f"with {criterion.confidence_level:.0%} confidence"
    if estimate.n:
        if estimate.value is not None and (worse >= threshold if at_least else worse <= threshold):
            side = "at least" if at_least else "at most"
            bound = _number(worse, criterion.metric)
            return Verdict.PASS, f"{figure}; {sure} it is {side} {bound}, which clears {limit}.", None
        if better < threshold if at_least else better > threshold:
            side = "at most" if at_least else "at least"
            bound = (
                "beyond any measured time, for too many tracks were missed"
                if math.isinf(better)
                else (f"{side} {_number(better, criterion.metric)}")
            )
            return Verdict.FAIL, f"{figure}; {sure} it is {bound}, which misses {limit}.", None
    more = estimate.more_needed(threshold, at_least, criterion.confidence_level)
    between = f"; {sure} it may lie anywhere from {_number(low, criterion.metric)} to {_number(high, criterion.metric)}"
    enough = (
        f" About {more} more {estimate.units} like these would decide it."
        if more
        else " More of the same would not decide it: it is too close to the threshold, or not defined here."
    )
    return Verdict.INCONCLUSIVE, f"{figure}{between if estimate.n else ''}, against {limit}.{enough}", more or None


def _figure(criterion: Criterion, estimate: Estimate) -> str:
    name = criterion.metric if criterion.slice == "all" else f"{criterion.metric} ({criterion.slice})"
    if estimate.n == 0:
        return f"{name} is not determined: there are no {estimate.units} to measure it on"
    if estimate.value is None:
        return f"{name} is not determined by {estimate.n} {estimate.units}"
    return f"{name} is {_number(estimate.value, criterion.metric)} from {estimate.n} {estimate.units}"


def _number(value: float, metric: str) -> str:
    if math.isinf(value):
        return "no limit"
    unit = unit_of(metric)
    if unit == "ms":
        return f"{value:.1f} ms"
    if unit == "1/min":
        return f"{value:.3g} a minute"
    if unit == "ppm":
        return f"{value:.3g} ppm"
    return f"{value:.0f}" if unit else f"{value:.4f}"
