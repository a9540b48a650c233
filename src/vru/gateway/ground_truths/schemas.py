"""Bodies of ground truth."""

import uuid
from datetime import datetime

from vru.domain import VruClass
from vru.service.schemas import Schema


class GroundTruthBody(Schema):
    """An annotation file as clients see it. Without ``approved_by`` every figure made with it is marked."""

    id: uuid.UUID
    video_id: uuid.UUID
    name: str
    format: str
    sha256: str
    source: str
    track_count: int
    box_count: int
    approved_by: str | None
    approved_at: datetime | None
    created_at: datetime


class GroundTruthList(Schema):
    """One page of a video's ground truth, newest first, and how many there are in all."""

    items: list[GroundTruthBody]
    total: int


class TruthBoxBody(Schema):
    """One box. Pixels, origin top left, right and bottom edges exclusive; seconds of media time."""

    track_id: int
    frame_index: int
    time_s: float
    road_user: VruClass
    x: float
    y: float
    width: float
    height: float
    occluded: bool
    truncated: bool
    ignore: bool


class TruthBoxList(Schema):
    """The boxes of the asked frames, in frame order."""

    items: list[TruthBoxBody]
