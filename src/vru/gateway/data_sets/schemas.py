"""Bodies of data sets."""

import uuid
from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field
from pydantic.config import JsonDict

from vru.domain import Verdict, VruError
from vru.domain.texts import check_name
from vru.evaluation.dataset.conditions import RESERVED
from vru.gateway.parameters import CleanText
from vru.service.schemas import Name, Schema

MOST_RECORDINGS = 5000
MOST_ATTRIBUTES = 50
_OWN = "slices have this name already"
_RESERVED = (*RESERVED, "tag")


def _attribute(name: str) -> str:
    if name.lower() in _RESERVED:
        raise ValueError(f"an attribute cannot be called {name!r}: {_OWN}")
    return name


def _readable(text: str) -> str:
    try:
        check_name(text)
    except VruError as error:
        raise ValueError(error.message.rstrip(".")) from error
    return text


AttributeName = Annotated[
    str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_. -]{0,48}[A-Za-z0-9]?$"), AfterValidator(_attribute)
]
AttributeValue = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_readable)]
Attributes = Annotated[dict[AttributeName, AttributeValue], Field(max_length=MOST_ATTRIBUTES)]
Tags = Annotated[list[AttributeValue], Field(max_length=MOST_ATTRIBUTES)]
Note = Annotated[CleanText, Field(max_length=1000)]

_VIDEO, _TRUTH = "6f1c1f0e-3d0e-4f0a-9d5c-0d9c3c7e8a11", "0b8f0a52-6a51-4d0e-8a53-2f0c0b6f5a77"
_RECORDING: JsonDict = {
    "video_id": _VIDEO,
    "ground_truth_id": _TRUTH,
    "name": "CPNA-25-night-01",
    "attributes": {"light": "night", "scenario": "CPNA", "site": "track A", "split": "test"},
    "tags": ["rain"],
}


class Calibration(Schema):
    """Where the camera stood over flat ground, for slices by distance. See ``vru.evaluation.dataset.conditions``."""

    focal_px: float = Field(gt=0, le=1e6, description="focal length in pixels")
    principal_row_px: float = Field(ge=-1e6, le=1e6, description="row of the optical axis in pixels")
    height_m: float = Field(gt=0, le=1000, description="of the camera above the ground")
    pitch_deg: float = Field(0.0, gt=-90, lt=90, description="how far it looks down")


class NewRecording(Schema):
    """A recording to add. Its ground truth must be approved; without one the newest approved is taken."""

    video_id: uuid.UUID
    ground_truth_id: uuid.UUID | None = None
    name: Name | None = Field(None, description="the video's, if not given")
    attributes: Attributes = Field(default_factory=dict)
    tags: Tags = Field(default_factory=list)
    calibration: Calibration | None = None


class ChangedRecording(Schema):
    """What changes about a recording; what is not given stays. An attribute that is null goes."""

    name: str = Field(max_length=200, description="the recording")
    ground_truth_id: uuid.UUID | None = None
    attributes: dict[AttributeName, AttributeValue | None] = Field(default_factory=dict, max_length=MOST_ATTRIBUTES)
    tags: Tags | None = None
    calibration: Calibration | None = None


class DataSetCreate(Schema):
    """A new data set, with its first version."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "Night tests", "recordings": [_RECORDING]}]})

    name: Name
    description: CleanText = Field("", max_length=10_000)
    recordings: list[NewRecording] = Field(min_length=1, max_length=MOST_RECORDINGS)


class DataSetUpdate(Schema):
    """What to change; what is not given stays as it is."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"description": "Track A, autumn"}]})

    name: Name = ""
    description: CleanText = Field("", max_length=10_000)


class VersionChange(Schema):
    """What differs from the version before."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "note": "Rain added, a clip with a broken camera taken out",
                    "add": [_RECORDING],
                    "remove": ["CPNA-25-day-07"],
                    "change": [{"name": "CPNA-25-day-01", "attributes": {"weather": "rain"}}],
                }
            ]
        }
    )

    note: Note = ""
    add: list[NewRecording] = Field(default_factory=list, max_length=MOST_RECORDINGS)
    remove: list[Annotated[str, Field(max_length=200)]] = Field(default_factory=list, max_length=MOST_RECORDINGS)
    change: list[ChangedRecording] = Field(default_factory=list, max_length=MOST_RECORDINGS)


class VersionBody(Schema):
    """A version as clients see it. From ``frozen_at`` on, its first run, nothing of it changes."""

    id: uuid.UUID
    number: int
    note: str
    sha256: str = Field(description="over its recordings: their digests, attributes, tags and calibrations")
    recording_count: int
    frame_count: int
    duration_s: float
    frozen_at: datetime | None
    created_by: str
    created_at: datetime


class DataSetBody(Schema):
    """A data set as clients see it, with its newest version."""

    id: uuid.UUID
    project_id: uuid.UUID
    name: str
    description: str
    newest: VersionBody
    created_by: str
    created_at: datetime


class DataSetList(Schema):
    """One page of a project's data sets, newest first, and how many there are in all."""

    items: list[DataSetBody]
    total: int


class VersionList(Schema):
    """The versions of a data set, newest first."""

    items: list[VersionBody]
    total: int


class RecordingBody(Schema):
    """A recording of a version. The digests name the video and the annotation file."""

    number: int
    name: str
    video_id: uuid.UUID
    ground_truth_id: uuid.UUID
    video_sha256: str
    ground_truth_sha256: str
    attributes: dict[str, str]
    tags: list[str]
    calibration: Calibration | None
    frame_count: int
    duration_s: float
    track_count: int
    box_count: int


class RecordingList(Schema):
    """One page of a version's recordings, in their order, and how many there are in all."""

    items: list[RecordingBody]
    total: int


class SliceCount(Schema):
    """A slice that a version has, such as ``light:night``, and how many recordings are in it."""

    slice: str
    recordings: int


class SliceList(Schema):
    """The slices that attributes and tags make of a version."""

    items: list[SliceCount]
    total: int


class FieldChange(Schema):
    """One thing that differs: ``ground_truth``, ``video``, ``tags``, ``calibration``, or ``attributes.NAME``."""

    field: str
    before: Any
    after: Any


class RecordingChange(Schema):
    """A recording that two versions have, and what differs."""

    name: str
    fields: list[FieldChange]


class VersionDiff(Schema):
    """What changed from one version to another, by the recordings' names."""

    before: int
    after: int
    added: list[str]
    removed: list[str]
    changed: list[RecordingChange]
    unchanged: int


class ChangedVersion(Schema):
    """A version that was just made or changed, and what changed."""

    version: VersionBody
    changes: VersionDiff


class EntryFigure(Schema):
    """A figure of a run over all recordings, with its interval."""

    metric: str
    value: float | None
    low: float | None
    high: float | None
    n: int


class Entry(Schema):
    """One completed run over a version. Runs with different settings do not measure the same."""

    run_id: uuid.UUID
    detector: str
    version: str
    imported: bool = Field(description="whether its boxes were made elsewhere")
    score_threshold: float
    iou_threshold: float
    frame_stride: int
    verdict: Verdict
    failed_recordings: int
    figures: list[EntryFigure]
    finished_at: datetime


class Leaderboard(Schema):
    """The completed runs over a version, the highest F1 first."""

    items: list[Entry]
    total: int
