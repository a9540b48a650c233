"""Bodies of recordings of signals."""

import uuid
from datetime import datetime

from pydantic import Field

from vru.service.schemas import Schema


class SignalsBody(Schema):
    """A recording of a device's signals as clients see it.

    Its clock is joined with the video's by markers (``marker_count``) or by an offset; with neither, no run can be
    made with it.
    """

    id: uuid.UUID
    video_id: uuid.UUID
    name: str
    sha256: str
    signal_count: int
    first_ns: int = Field(description="monotonic nanoseconds of the first signal")
    last_ns: int
    poll_ms: float = Field(description="period in which the receiver looked for signals")
    marker_count: int | None
    markers_sha256: str | None
    offset_ns: int | None = Field(description="what the signals' clock shows at media time 0")
    offset_uncertainty_ms: float | None = Field(description="standard uncertainty of offset_ns")
    created_at: datetime


class SignalsList(Schema):
    """One page of a video's recordings, newest first, and how many there are in all."""

    items: list[SignalsBody]
    total: int
