"""What a model or a camera must reach to pass."""

from dataclasses import dataclass
from enum import StrEnum


class Comparator(StrEnum):
    """How a metric compares to its threshold."""

    AT_LEAST = ">="
    AT_MOST = "<="


class Severity(StrEnum):
    """Whether missing a criterion fails the run or is only noted."""

    REQUIRED = "required"
    ADVISORY = "advisory"


@dataclass(frozen=True, slots=True)
class Criterion:
    """One requirement on one metric.

    ``metric`` is a name from ``vru.evaluation``; ``threshold`` is in that metric's unit; ``confidence_level`` is
    the confidence at which the interval's worse bound must clear the threshold; ``slice`` names the subset it is
    about ("all" for everything).
    """

    metric: str
    comparator: Comparator
    threshold: float
    confidence_level: float = 0.95
    slice: str = "all"
    severity: Severity = Severity.REQUIRED


DEFAULT_CRITERIA: tuple[Criterion, ...] = (
    Criterion("precision", Comparator.AT_LEAST, 0.90),
    Criterion("recall", Comparator.AT_LEAST, 0.95),
    Criterion("f1", Comparator.AT_LEAST, 0.92),
    Criterion("latency_median_ms", Comparator.AT_MOST, 50.0),
    Criterion("latency_p95_ms", Comparator.AT_MOST, 100.0),
    Criterion("false_alarms_per_minute", Comparator.AT_MOST, 0.1),
)
