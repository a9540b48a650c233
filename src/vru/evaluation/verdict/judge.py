"""From measurements to a verdict."""

import math
from collections.abc import Iterable, Sequence

from vru.domain import Comparator, Criterion, CriterionResult, Measurement, Severity, Verdict, VerdictReport
from vru.domain.slices import ALL, check_slices
from vru.evaluation.core.settings import UnseenUnit
from vru.evaluation.statistics.estimates import Estimate
from vru.evaluation.video.evaluate import Evaluation, check_metric
from vru.evaluation.video.metrics import METRICS, unit_of

# Units some of which were not seen.
_DRAWN = {"clips", "recordings", "sequences", "images"}


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
    for criterion in criteria:
        check_metric(criterion.metric)
        if criterion.slice not in evaluation.slices:
            # Slices of conditions exist where recordings have them.
            check_slices([criterion.slice])
    parts = [evaluation.slices.get(criterion.slice) for criterion in criteria]
    estimates = [
        None if part is None else part.estimates[criterion.metric]
        for part, criterion in zip(parts, criteria, strict=True)
    ]
    least = evaluation.settings.smallest_n
    families = holm(enough(estimates, criteria, least), criteria)
    return combine(
        [_judge_one(evaluation, item, family) for item, family in zip(criteria, families, strict=True)],
        evaluation.notes,
    )


def enough(
    estimates: Sequence[Estimate | None], criteria: Sequence[Criterion], smallest_n: int
) -> list[Estimate | None]:
    """The estimates, None for those of slices that too few units show to decide anything."""
    return [
        None if estimate is None or too_few(estimate, criterion.slice, smallest_n) else estimate
        for estimate, criterion in zip(estimates, criteria, strict=True)
    ]


def too_few(estimate: Estimate, slice_: str, smallest_n: int) -> bool:
    """Whether a slice's figure rests on fewer units than a slice must have. The whole is no slice."""
    return slice_ != ALL and 0 < estimate.n < smallest_n


def holm(estimates: Sequence[Estimate | None], criteria: Sequence[Criterion]) -> list[int]:
    """By how much the error of a FAIL of each criterion is divided, so that FAILs of several are not found by chance.

    A system that meets every criterion must seldom FAIL one of them, however many there are: Holm's procedure (A Simple
    Sequentially Rejective Multiple Test Procedure, 1979) keeps the chance of any false FAIL at the criteria's level.
    Required and advisory criteria are two families. A false PASS needs no correction: the run passes only if all
    required criteria do, which is Berger's intersection-union test (Multiparameter Hypothesis Testing and Acceptance
    Sampling, 1982). None among the ``estimates`` was not measured, and fails nothing.
    """
    divisors = [1] * len(criteria)
    for severity in Severity:
        left = [number for number, criterion in enumerate(criteria) if criterion.severity == severity]
        while left:
            failing = [
                number
                for number in left
                if (estimate := estimates[number]) is not None and _misses(estimate, criteria[number], len(left))
            ]
            for number in left:
                divisors[number] = len(left)
            if not failing:
                break
            left = [number for number in left if number not in failing]
    return divisors


def _misses(estimate: Estimate, criterion: Criterion, family: int) -> bool:
    """Whether even the better bound misses the threshold, where the error is divided by ``family``."""
    low, high = estimate.bounds(_divided(criterion, family))
    if not estimate.n:
        return False
    return high < criterion.threshold if criterion.comparator == Comparator.AT_LEAST else low > criterion.threshold


def _divided(criterion: Criterion, family: int) -> float:
    return 1 - (1 - criterion.confidence_level) / family


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


def _judge_one(evaluation: Evaluation, criterion: Criterion, family: int) -> CriterionResult:
    level = 2 * criterion.confidence_level - 1
    part = evaluation.slices.get(criterion.slice)
    if part is None:
        empty = Measurement(criterion.metric, None, None, None, 0, METRICS[criterion.metric], level, criterion.slice)
        reason = f"The slice {criterion.slice} was not measured: name it in the settings' slices."
        return CriterionResult(criterion, empty, Verdict.INCONCLUSIVE, reason)
    estimate = part.estimates[criterion.metric]
    verdict, why, more = decide(estimate, criterion, family, evaluation.settings.smallest_n)
    why += condition(verdict, estimate, criterion.metric, evaluation.settings.unseen)
    marked = "" if evaluation.approved else " The ground truth is not approved."
    return CriterionResult(criterion, part.measurement(criterion.metric, level), verdict, why + marked, more)


def condition(verdict: Verdict, estimate: Estimate, metric: str, assumed: UnseenUnit) -> str:
    """What a PASS or a FAIL rests on, to follow its reason."""
    resting = verdict != Verdict.INCONCLUSIVE and estimate.units in _DRAWN
    return f" {assumed.condition(metric, estimate.units)}" if resting else ""


def decide(
    estimate: Estimate, criterion: Criterion, family: int = 1, smallest_n: int = 1
) -> tuple[Verdict, str, int | None]:
    """The verdict on one criterion, why, and how many more units would decide it if they looked like those seen.

    ``family`` divides the error of a FAIL (see ``holm``). With so many more units the chance that it is decided is
    about even, for the new units differ from those seen. A slice that fewer than ``smallest_n`` units show is
    inconclusive whatever its figures.
    """
    low, high = estimate.bounds(criterion.confidence_level)
    threshold, at_least = criterion.threshold, criterion.comparator == Comparator.AT_LEAST
    worse = low if at_least else high
    figure, limit = _figure(criterion, estimate), _number(threshold, criterion.metric)
    sure = f"with {criterion.confidence_level:.0%} confidence"
    strict = _divided(criterion, family)
    few = too_few(estimate, criterion.slice, smallest_n)
    if estimate.n and not few:
        if estimate.value is not None and (worse >= threshold if at_least else worse <= threshold):
            side = "at least" if at_least else "at most"
            bound = _number(worse, criterion.metric)
            return Verdict.PASS, f"{figure}; {sure} it is {side} {bound}, which clears {limit}.", None
        if _misses(estimate, criterion, family):
            side = "at most" if at_least else "at least"
            better = estimate.bounds(strict)[1 if at_least else 0]
            bound = (
                "beyond any measured time, for too many tracks were missed"
                if math.isinf(better)
                else (f"{side} {_number(better, criterion.metric)}")
            )
            among = f" (one of {family} criteria: each at {strict:.2%})" if family > 1 else ""
            return Verdict.FAIL, f"{figure}; {sure}{among} it is {bound}, which misses {limit}.", None
    # What clears the threshold so far would pass, at the criterion's own level; what misses it would fail.
    value = estimate.value
    failing = estimate.n > 0 and (value is None or (value < threshold if at_least else value > threshold))
    more = estimate.more_needed(threshold, at_least, strict if failing else criterion.confidence_level)
    if few:
        more = max(more or 0, smallest_n - estimate.n)
        why = f"{figure}, fewer than the {smallest_n} that a slice must have: {more_of(more, estimate.units)} needed"
        return Verdict.INCONCLUSIVE, f"{why}, against {limit}.", more
    why = f"{figure}{_between(low, high, criterion) if estimate.n else ''}, against {limit}."
    if _misses(estimate, criterion, 1):
        why += f" By itself it would fail; as one of {family} criteria it has to miss at {strict:.2%} confidence."
    return Verdict.INCONCLUSIVE, f"{why} {_help(estimate, more, low, high)}", more or None


def _between(low: float, high: float, criterion: Criterion) -> str:
    """What the bounds say, to follow the figure."""
    least, most = _number(low, criterion.metric), _number(high, criterion.metric)
    sure = f"with {criterion.confidence_level:.0%} confidence"
    if math.isinf(low) and math.isinf(high):
        return "; it has no interval"
    if math.isinf(high):
        return f"; {sure} it is at least {least}, and nothing bounds it from above"
    if math.isinf(low):
        return f"; {sure} it is at most {most}, and nothing bounds it from below"
    return f"; {sure} on either side it lies between {least} and {most}"


def _help(estimate: Estimate, more: int | None, low: float, high: float) -> str:
    """How much more evidence would decide a criterion that is not decided."""
    unbounded = math.isinf(low) and math.isinf(high)
    if more and unbounded and estimate.n:
        return f"So few do not show how much they differ: at least {more_of(more, estimate.units)} needed."
    if more:
        return f"About {more_of(more, estimate.units, ' like these' if estimate.n else '')} would decide it."
    if estimate.value is None:
        return f"More {estimate.units} of this kind would not decide it: they do not determine the figure."
    if unbounded:
        return "So it can be reported, but not decided."
    return "More of the same would not decide it: it is too close to the threshold."


def count_of(count: int, units: str) -> str:
    """A number of units in words: "1 track", "12 tracks"."""
    return f"{count} {units.removesuffix('s') if count == 1 else units}"


def more_of(count: int, units: str, like: str = "") -> str:
    """So many further units in words: "1 more track", "12 more tracks like these"."""
    return count_of(count, units).replace(" ", " more ", 1) + like


def _figure(criterion: Criterion, estimate: Estimate) -> str:
    name = criterion.metric if criterion.slice == "all" else f"{criterion.metric} ({criterion.slice})"
    if estimate.n == 0:
        return f"{name} is not determined: there are no {estimate.units} to measure it on"
    if estimate.value is None:
        return f"{name} is not determined by {count_of(estimate.n, estimate.units)}"
    return f"{name} is {_number(estimate.value, criterion.metric)} from {count_of(estimate.n, estimate.units)}"


def _number(value: float, metric: str) -> str:
    unit = unit_of(metric)
    if unit == "ms":
        return f"{value:.1f} ms"
    if unit == "1/min":
        return f"{value:.3g} a minute"
    if unit == "ppm":
        return f"{value:.3g} ppm"
    # Counts have no fractions; 0 and 1 may be shares as well.
    whole = unit or (float(value).is_integer() and abs(value) >= 2)
    return f"{value:.0f}" if whole else f"{value:.4f}"
