"""Validation runs: asked for, changed, shown, followed. A run's ``kind`` says which settings and metrics it has."""

import uuid
from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import AliasChoices, ConfigDict, Discriminator, Field, Tag, TypeAdapter, model_validator

from vru.domain import RunKind, RunState, Verdict
from vru.service.schemas.base import Schema, Whole
from vru.service.schemas.criteria import CriterionBody, CriterionResultBody, NewCriterion
from vru.service.schemas.data_sets import DataSetCriterion, DataSetRunMetrics, DataSetVersionRef
from vru.service.schemas.run_metrics import CameraRunMetrics, RunMetrics
from vru.service.schemas.run_settings import CameraRunSettings, NewRunSettings, RunSettings

Priority = Annotated[Whole, Field(ge=-100, le=100, description="clips of runs with a higher one are done first")]


class _RunRequest(Schema):
    project_id: uuid.UUID
    video_id: uuid.UUID
    ground_truth_id: uuid.UUID
    criteria: list[NewCriterion] | None = Field(None, max_length=200)
    priority: Priority = 0


class _Detector(Schema):
    """What is under test: a model of the ML engine, or predictions that were imported."""

    model: str | None = Field(None, description="a model of the ML engine")
    model_version: str | None = Field(None, description="the newest, if not given")
    predictions_id: uuid.UUID | None = Field(None, description="imported predictions, instead of a model")

    @model_validator(mode="after")
    def _one_detector(self) -> Self:
        if (self.model is None) == (self.predictions_id is None):
            raise ValueError("a run is of a model or of imported predictions: name one of the two")
        return self


class RunCreate(_RunRequest, _Detector):
    """A request for a validation run over one video. Without ``criteria`` the project's apply."""

    settings: NewRunSettings = Field(default_factory=lambda: NewRunSettings())
    kind: Literal[RunKind.MODEL] = RunKind.MODEL


class CameraRunCreate(_RunRequest):
    """A request for a validation run of a camera: recorded signals against ground truth in time.

    Without ``criteria`` those of the project apply that a camera run measures, ``recall`` being that of tracks.
    """

    kind: Literal[RunKind.CAMERA]
    signals_id: uuid.UUID = Field(description="the recording; its clock must be joined with the video's")
    settings: CameraRunSettings = Field(default_factory=lambda: CameraRunSettings())


class DataSetRunCreate(_Detector):
    """A request for a validation run over all recordings of a data set. Its version is frozen from then on.

    Without ``criteria`` the project's apply. They may name slices of the version's attributes and tags, such as
    ``light:night`` or ``tag:rain``.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "project_id": "6f1c1f0e-3d0e-4f0a-9d5c-0d9c3c7e8a11",
                    "data_set_id": "0b8f0a52-6a51-4d0e-8a53-2f0c0b6f5a77",
                    "data_set_version": 3,
                    "model": "opencv-hog",
                    "criteria": [
                        {"metric": "recall", "comparator": ">=", "threshold": 0.9, "slice": "light:night"},
                    ],
                }
            ]
        }
    )

    project_id: uuid.UUID
    data_set_id: uuid.UUID
    data_set_version: int | None = Field(None, ge=1, le=2**31 - 1, description="the newest, if not given")
    settings: NewRunSettings = Field(default_factory=lambda: NewRunSettings())
    criteria: list[DataSetCriterion] | None = Field(None, max_length=200)
    priority: Priority = 0
    kind: Literal[RunKind.MODEL] = RunKind.MODEL


_DATA_SET = "data_set"


def _kind(body: object) -> str:
    # What is neither is a model run: its schema says what is wrong.
    if isinstance(body, DataSetRunCreate) or (isinstance(body, dict) and "data_set_id" in body):
        return _DATA_SET
    kind = body.get("kind") if isinstance(body, dict) else getattr(body, "kind", None)
    return RunKind.CAMERA if kind == RunKind.CAMERA else RunKind.MODEL


AnyRunCreate = Annotated[
    Annotated[RunCreate, Tag(RunKind.MODEL)]
    | Annotated[CameraRunCreate, Tag(RunKind.CAMERA)]
    | Annotated[DataSetRunCreate, Tag(_DATA_SET)],
    Discriminator(_kind),
]


class RunChange(Schema):
    """What can be changed about a run that is under way."""

    priority: Priority


class SetAsideClip(Schema):
    """A clip that could not be processed: its frames count nowhere. Both ends are included; seconds of media time."""

    number: int
    recording: int | None = Field(None, description="of a run over a data set: the number of its recording")
    first_frame: int
    last_frame: int
    first_s: float | None
    last_s: float | None
    reason: str | None = Field(validation_alias=AliasChoices("reason", "error"), description="the last one")

    @property
    def name(self) -> str:
        """The clip as messages name it."""
        times = "" if self.first_s is None else f", {self.first_s:.3f} to {self.last_s:.3f} s"
        return f"Clip {self.number} (frames {self.first_frame} to {self.last_frame}{times})"


class _Run(Schema):
    """What runs of both kinds have. ``settings`` and ``metrics`` are those of the kind."""

    id: uuid.UUID
    project_id: uuid.UUID
    kind: RunKind
    video_id: uuid.UUID | None = Field(description="null for a run over a data set")
    ground_truth_id: uuid.UUID | None = Field(description="null for a run over a data set")
    data_set_version: DataSetVersionRef | None = Field(None, description="of a run over a data set")
    predictions_id: uuid.UUID | None = Field(None, description="of a run of imported predictions")
    signals_id: uuid.UUID | None = Field(description="of a camera run, which has no model: the recording")
    model: str | None
    model_version: str | None
    model_sha256: str | None = Field(description="digest of the model version's files when the run was started")
    settings: RunSettings | CameraRunSettings
    criteria: list[CriterionBody]
    state: RunState
    error: str | None
    frames_total: int
    frames_done: int
    priority: int
    paused_at: datetime | None
    set_aside: list[SetAsideClip] = Field(description="clips that could not be processed")
    metrics: RunMetrics | DataSetRunMetrics | CameraRunMetrics | None
    verdict: Verdict | None
    verdict_reasons: list[CriterionResultBody] | None
    notes: list[str] | None = Field(description="what limits the figures")
    created_by: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class ModelRunBody(_Run):
    """A validation run of a model as clients see it."""

    kind: Literal[RunKind.MODEL]
    settings: RunSettings
    metrics: RunMetrics | DataSetRunMetrics | None


class CameraRunBody(_Run):
    """A validation run of a camera as clients see it."""

    kind: Literal[RunKind.CAMERA]
    settings: CameraRunSettings
    metrics: CameraRunMetrics | None


RunBody = Annotated[ModelRunBody | CameraRunBody, Field(discriminator="kind")]
_RUN_BODY: TypeAdapter[ModelRunBody | CameraRunBody] = TypeAdapter(RunBody)
# The names of what a run's body holds, whatever its kind.
RUN_FIELDS = tuple(_Run.model_fields)


def run_body(run: object) -> ModelRunBody | CameraRunBody:
    """The body of a run: of a row of the database, or of what was parsed from JSON.

    Raises:
        pydantic.ValidationError: it is none.
    """
    return _RUN_BODY.validate_python(run, from_attributes=True)


class RunEvent(Schema):
    """One server-sent event of a run: its state and progress at that moment.

    ``revision`` grows with each pause, resume, retry, change of priority and clip that is set aside.
    """

    run_id: uuid.UUID
    state: RunState
    frames_done: int
    frames_total: int
    revision: int = 0
    paused: bool = False
    priority: int = 0
    set_aside: int = Field(0, description="number of clips that could not be processed")
    verdict: Verdict | None = None
    error: str | None = None
