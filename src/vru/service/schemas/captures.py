"""Captures: what a signal source says over a time, with or without the virtual rig that plays for it."""

import uuid
from typing import Any, Literal

from pydantic import Field

from vru.domain import VruClass
from vru.service.schemas.base import Schema


class RigBody(Schema):
    """How the virtual device behaves. docs/cameras.md says what ``device``, ``clock`` and ``faults`` hold."""

    scenario: str | None = Field(None, description="one that comes with the rig: its device, clock and faults")
    device: dict[str, Any] | None = Field(None, description="instead of the scenario's")
    clock: dict[str, Any] | None = Field(None, description="instead of the scenario's")
    faults: list[dict[str, Any]] | None = Field(None, description="instead of the scenario's", max_length=100)
    seed: int | None = Field(None, ge=0, le=2**31 - 1)


class RoadUserTimes(Schema):
    """When somebody is visible, seconds of media time: in any box, and in boxes that count (null: in none)."""

    track_id: int
    road_user: VruClass
    shown_s: float
    gone_s: float
    first_s: float | None
    last_s: float | None


class CaptureCreate(Schema):
    """A request to the camera service. With ``rig`` it ends with the play, without when it is stopped."""

    source_id: uuid.UUID
    rig: RigBody | None = None
    road_users: list[RoadUserTimes] = Field([], max_length=100_000)
    end_s: float = Field(0.0, ge=0, description="end of the video's last frame")
    tolerance_ms: float = Field(100.0, ge=0, le=60_000)


class PlayTable(Schema):
    """What a camera run must report of the signals that the rig has sent."""

    road_users: int
    detections: int
    misses: int
    false_positives: int
    duplicates: int


class MarkerBody(Schema):
    """Shown at ``media_s`` on the screen's clock, seen at ``time_ns`` on the receiver's."""

    media_s: float
    time_ns: int


class CaptureBody(Schema):
    """A capture. Once it has ended, PostgreSQL has its records: those of ``spool`` after ``first`` up to ``last``."""

    id: uuid.UUID
    source_id: uuid.UUID
    state: Literal["recording", "storing", "ended", "failed"]
    error: str | None
    stopped: bool
    media_s: float
    end_s: float
    signals: int = Field(description="events of the source since the capture began")
    spool: uuid.UUID
    first: int
    last: int | None
    markers: list[MarkerBody]
    table: PlayTable | None
