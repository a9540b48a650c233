"""What a run says in the end, and why."""

from dataclasses import dataclass
from enum import StrEnum

from vru.domain.criteria import Criterion


class Verdict(StrEnum):
    """The outcome of a run or of one criterion."""

    PASS = "PASS"  # noqa: S105 - a verdict, not a password
    FAIL = "FAIL"
    INCONCLUSIVE = "INCONCLUSIVE"


@dataclass(frozen=True, slots=True)
class Measurement:
    """A metric's value with its confidence interval.

    ``value``, ``low`` and ``high`` are None where the data do not determine them (never 0 instead). ``n`` is the
    number of independent samples (tracks, clips) behind it. ``confidence_level`` is that of ``low`` to ``high``.
    """

    metric: str
    value: float | None
    low: float | None
    high: float | None
    n: int
    unit: str = ""
    confidence_level: float = 0.95
    slice: str = "all"


@dataclass(frozen=True, slots=True)
class CriterionResult:
    """One criterion, what was measured for it, and one sentence that says why it came out so."""

    criterion: Criterion
    measurement: Measurement
    verdict: Verdict
    reason: str
    more_needed: int | None = None


@dataclass(frozen=True, slots=True)
class VerdictReport:
    """The verdict of a run: FAIL if a required criterion fails, else INCONCLUSIVE if one is, else PASS."""

    verdict: Verdict
    results: tuple[CriterionResult, ...]
    reasons: tuple[str, ...]
