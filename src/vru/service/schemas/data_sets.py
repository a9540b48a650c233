"""Runs over data sets: criteria on conditions, and what was measured in all recordings and in each."""

import uuid
from typing import Annotated

from pydantic import AfterValidator, Field

from vru.domain import Criterion, VruError
from vru.domain.metrics import check_decidable
from vru.service.schemas.base import Schema
from vru.service.schemas.criteria import CriterionBody
from vru.service.schemas.run_metrics import RunMetrics, TrackResult


def _decidable(body: CriterionBody) -> CriterionBody:
    try:
        check_decidable(Criterion(**body.model_dump()))
    except VruError as error:
        raise ValueError(f"{error.message} {error.fix}".rstrip(". ")) from error
    return body


# Conditions are slices, too: the validation engine knows which there are.
DataSetCriterion = Annotated[CriterionBody, AfterValidator(_decidable)]


class DataSetVersionRef(Schema):
    """The version of a data set that a run is about."""

    id: uuid.UUID
    data_set_id: uuid.UUID
    name: str
    number: int
    recording_count: int


class DataSetTrackResult(TrackResult):
    """What became of one track of a data set. Its id and times are those of its recording."""

    recording: str


class RecordingResult(Schema):
    """What was measured in one recording of a data set; figures are null where nothing determines them."""

    number: int
    name: str
    failed: str | None = Field(description="why it counts nowhere; null if it does count")
    frames: int = Field(description="evaluated ones")
    minutes: float
    true_positives: int
    false_positives: int
    false_negatives: int
    tracks: int
    tracks_missed: int
    false_alarms: int
    recall: float | None
    precision: float | None
    f1: float | None


class DataSetRunMetrics(RunMetrics):
    """What a completed run over a data set measured: all recordings together, and each of them."""

    tracks: list[DataSetTrackResult]  # type: ignore[assignment] # of each recording
    recordings: list[RecordingResult] = Field(description="those that failed first, then by rising F1")
