"""Bodies of imported predictions."""

import uuid
from datetime import datetime

from pydantic import Field

from vru.service.schemas import Schema


class PredictionsBody(Schema):
    """Imported predictions as clients see them."""

    id: uuid.UUID
    project_id: uuid.UUID
    name: str = Field(description="of the detector")
    version: str
    made_by: str = Field(description="who ran it")
    format: str
    file_name: str
    sha256: str = Field(description="of the file as it was uploaded")
    size_bytes: int
    box_count: int
    notes: list[str] = Field(description="how the file was read")
    created_by: str
    created_at: datetime


class PredictionsList(Schema):
    """One page of a project's predictions, newest first, and how many there are in all."""

    items: list[PredictionsBody]
    total: int


class PredictedRecordingBody(Schema):
    """What predictions say about one recording."""

    video_id: uuid.UUID
    name: str
    box_count: int
    sha256: str = Field(description="over its boxes, a line of JSON each")


class PredictedRecordingList(Schema):
    """The recordings that predictions are about, in the order of the data set."""

    items: list[PredictedRecordingBody]
    total: int
