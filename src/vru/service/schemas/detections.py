"""Detections, and how they are asked of the ML engine."""

from typing import Literal

from pydantic import Field

from vru.domain import VruClass
from vru.service.schemas.base import Schema


class DetectionBody(Schema):
    """One detected box. Pixels, origin top left; seconds of media time."""

    frame_index: int
    time_s: float
    road_user: VruClass
    score: float
    x: float
    y: float
    width: float
    height: float


class VideoDetectionRequest(Schema):
    """Detect in the frames ``first_frame`` to ``last_frame`` (both included), every ``frame_stride``-th by index.

    The answer is NDJSON: for each evaluated frame one ``FrameDetections``; the last line is a ``StreamEnd``. An
    answer without that last line was cut short and must not be used.
    """

    path: str = Field(description="the video, below the media directory")
    first_frame: int = Field(0, ge=0)
    last_frame: int = Field(ge=0)
    frame_stride: int = Field(1, ge=1)
    score_threshold: float = 0.0


class FrameDetections(Schema):
    """All detections in one frame; empty if there are none."""

    frame_index: int
    time_s: float
    detections: list[DetectionBody]


class StreamEnd(Schema):
    """The last line of a stream of detections. ``error`` is set if detection stopped early.

    The digests are those of the files that the engine itself opened for it.
    """

    end: Literal[True] = True
    frames: int
    error: str | None = None
    video_sha256: str | None = None
    model_sha256: str | None = None
    image: str | None = Field(None, description="the image that the engine runs in; null outside of images")
    provider: str | None = Field(None, description="what ran the model, such as CPUExecutionProvider")
