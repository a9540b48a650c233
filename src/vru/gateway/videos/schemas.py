"""Bodies of videos."""

import uuid
from datetime import datetime

from vru.service.schemas import Schema


class VideoBody(Schema):
    """A video as clients see it. ``duration_s`` is media time, from the first frame's start to the last one's end."""

    id: uuid.UUID
    project_id: uuid.UUID
    name: str
    sha256: str
    size_bytes: int
    codec: str
    width: int
    height: int
    frame_count: int
    duration_s: float
    created_at: datetime


class VideoList(Schema):
    """One page of videos, newest first, and how many there are in all."""

    items: list[VideoBody]
    total: int


class UploadLimits(Schema):
    """The largest files that are taken, in bytes. Markers are as ground truth."""

    video_bytes: int
    ground_truth_bytes: int
    signals_bytes: int


class FrameTimes(Schema):
    """Seconds of media time of each frame, in presentation order: ``pts * time_base``, never ``index / fps``."""

    items: list[float]
    total: int
