"""Cameras."""

import uuid
from datetime import datetime
from typing import Literal

from pydantic import Field

from vru.service.schemas.base import Name, Schema


class CameraCreate(Schema):
    """A camera: a picture source. ``kind`` decides what ``source`` means: a file's name, or a scene's."""

    name: Name = Field(max_length=100)
    kind: Literal["file", "virtual"]
    source: str = Field(description="file: path below the media directory; virtual: name of a synthetic scene")
    loop: bool = True


class CameraBody(CameraCreate):
    """A camera and what it is doing. The three times of the newest frame are media, monotonic and wall clock."""

    id: uuid.UUID
    state: Literal["stopped", "starting", "running", "failed", "ended"]
    error: str | None
    width: int | None
    height: int | None
    frames_read: int
    last_frame_media_s: float | None
    last_frame_monotonic_ns: int | None
    last_frame_at: datetime | None
