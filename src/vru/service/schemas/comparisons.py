"""Comparisons of two runs over the same data."""

import uuid
from typing import Literal

from pydantic import ConfigDict, Field

from vru.domain import Verdict, VruClass
from vru.service.schemas.base import Schema


class MarginBody(Schema):
    """By how much a figure of the newer run may be worse, in its own unit, to be called not inferior."""

    metric: str
    margin: float = Field(ge=0, le=1e9)
    slice: str = "all"
    confidence_level: float = Field(0.95, gt=0.5, lt=1)


class ComparisonRequest(Schema):
    """Two completed runs over the same version of a data set, and what the second must not lose."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "before": "6f1c1f0e-3d0e-4f0a-9d5c-0d9c3c7e8a11",
                    "after": "0b8f0a52-6a51-4d0e-8a53-2f0c0b6f5a77",
                    "margins": [{"metric": "recall", "margin": 0.02}],
                }
            ]
        }
    )

    before: uuid.UUID
    after: uuid.UUID
    margins: list[MarginBody] = Field(default_factory=list, max_length=200)


class DifferenceBody(Schema):
    """A figure of both runs, and the second less the first with its paired two-sided 95 % interval."""

    metric: str
    slice: str
    before: float
    after: float
    difference: float
    low: float | None
    high: float | None
    n: int
    units: str
    mark: Literal["better", "worse", ""] = Field(description="where it is proven")


class NamedTrack(Schema):
    """A road user of a recording."""

    recording: str
    track_id: int
    road_user: VruClass


class MarginResultBody(MarginBody):
    """How a margin came out, and why."""

    verdict: Verdict
    reason: str
    more_needed: int | None


class ComparisonBody(Schema):
    """What changed from one run to the other. ``newly_missed`` are road users that only the second missed."""

    recordings: int = Field(description="that were measured in both")
    left_out: list[str] = Field(description="recordings that failed in one of them")
    differences: list[DifferenceBody]
    newly_missed: list[NamedTrack]
    newly_found: list[NamedTrack]
    verdict: Verdict | None = Field(description="over all margins; null without any")
    margins: list[MarginResultBody]
