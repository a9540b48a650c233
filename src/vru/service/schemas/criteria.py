"""Criteria, what was measured of them, and how they came out."""

from typing import Annotated

from pydantic import AfterValidator, Field

from vru.domain import Comparator, Criterion, Severity, Verdict, VruError
from vru.domain.metrics import check_decidable
from vru.domain.slices import check_slices
from vru.service.schemas.base import Schema


class CriterionBody(Schema):
    """One requirement on one metric. See ``vru.domain.Criterion``."""

    metric: str
    comparator: Comparator
    threshold: float
    confidence_level: float = Field(0.95, gt=0.5, lt=1)
    slice: str = "all"
    severity: Severity = Severity.REQUIRED


class MeasurementBody(Schema):
    """A metric's value with its interval; null where the data do not determine it."""

    metric: str
    value: float | None
    low: float | None
    high: float | None
    n: int
    unit: str = ""
    confidence_level: float = 0.95
    slice: str = "all"


def _decidable(body: CriterionBody) -> CriterionBody:
    try:
        check_slices([body.slice])
        check_decidable(Criterion(**body.model_dump()))
    except VruError as error:
        raise ValueError(f"{error.message} {error.fix}".rstrip(". ")) from error
    return body


# What is stored may be older than what is asked of new criteria.
NewCriterion = Annotated[CriterionBody, AfterValidator(_decidable)]


class CriterionResultBody(Schema):
    """How one criterion came out, and why."""

    criterion: CriterionBody
    measurement: MeasurementBody
    verdict: Verdict
    reason: str
    more_needed: int | None = None
