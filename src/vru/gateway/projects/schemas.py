"""Bodies of projects."""

import uuid
from datetime import datetime
from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic.config import JsonDict

from vru.domain import DEFAULT_CRITERIA
from vru.gateway.parameters import CleanText
from vru.service.schemas import CriterionBody, Name, NewCriterion, Schema

ProjectState = Literal["draft", "active", "testing", "analysis", "completed", "archived"]
ShortText = Annotated[Name, Field(max_length=200)] | Literal[""]
LongText = Annotated[CleanText, Field(max_length=10_000)]
Resolution = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,4}x[1-9][0-9]{0,4}$", examples=["1920x1080"])]
FrameRate = Annotated[float, Field(strict=True, gt=0, le=1000, description="frames a second")]
Criteria = Annotated[list[NewCriterion], Field(min_length=1, max_length=200)]

_EXAMPLE: JsonDict = {
    "name": "Front camera, type A",
    "description": "Type approval tests, autumn",
    "camera_model": "A-100",
    "lens": "6 mm",
    "resolution": "1920x1080",
    "frame_rate": 30,
    "signal_type": "can",
}


def default_criteria() -> list[CriterionBody]:
    """The platform's default criteria."""
    return [CriterionBody.model_validate(criterion, from_attributes=True) for criterion in DEFAULT_CRITERIA]


class ProjectCreate(Schema):
    """A new project. Without ``criteria`` the platform's defaults apply."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    name: Name
    description: LongText = ""
    camera_model: ShortText | None = None
    lens: ShortText | None = None
    resolution: Resolution | None = None
    frame_rate: FrameRate | None = None
    signal_type: ShortText | None = None
    criteria: Criteria = Field(default_factory=default_criteria)
    state: ProjectState = "draft"


class ProjectUpdate(Schema):
    """What to change; what is not given stays as it is."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"state": "active"}]})

    name: Name = ""
    description: LongText = ""
    camera_model: ShortText | None = None
    lens: ShortText | None = None
    resolution: Resolution | None = None
    frame_rate: FrameRate | None = None
    signal_type: ShortText | None = None
    criteria: Criteria = Field(default_factory=default_criteria)
    state: ProjectState = "draft"


class ProjectBody(Schema):
    """A project as clients see it."""

    id: uuid.UUID
    name: str
    description: str
    camera_model: str | None
    lens: str | None
    resolution: str | None
    frame_rate: float | None
    signal_type: str | None
    criteria: list[CriterionBody]
    state: ProjectState
    created_at: datetime


class ProjectList(Schema):
    """One page of projects, newest first, and how many there are in all."""

    items: list[ProjectBody]
    total: int
