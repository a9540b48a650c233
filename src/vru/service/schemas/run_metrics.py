"""What a completed run measured: of each kind of run one."""

from typing import Literal

from pydantic import Field

from vru.domain import VruClass
from vru.service.schemas.base import Schema
from vru.service.schemas.criteria import MeasurementBody


class TrackResult(Schema):
    """What became of one ground-truth track. ``latency_ms`` is null for a miss, which is censored, not zero."""

    track_id: int
    road_user: VruClass
    first_visible_s: float
    last_visible_s: float
    first_detected_s: float | None
    latency_ms: float | None


class CurveBody(Schema):
    """One line of a chart. See ``vru.evaluation``'s ``Curve``."""

    chart: Literal["precision_recall", "miss_rate", "detected_in_time"]
    series: str
    points: list[tuple[float, float]]


class RunMetrics(Schema):
    """What a completed run measured."""

    measurements: list[MeasurementBody]
    tracks: list[TrackResult]
    true_positives: int
    false_positives: int
    false_negatives: int
    ground_truth_approved: bool
    curves: list[CurveBody] = Field(default_factory=list, description="none in runs of platform versions before them")


class CameraTrackResult(TrackResult):
    """What became of one track in a camera run. Visible from the window's start; times are media seconds."""

    latency_uncertainty_ms: float | None = Field(description="standard uncertainty of latency_ms")


class ClockBody(Schema):
    """How well the signals' clock is joined with the video's. Standard uncertainties, unless it says otherwise.

    What was given and not estimated is null, as are the parts that only markers have.
    """

    offset_ms: float = Field(description="what the signals' clock shows at media time 0")
    offset_uncertainty_ms: float
    drift_ppm: float | None
    drift_uncertainty_ppm: float | None
    jitter_ms: float | None = Field(description="of a single marker, and so of a single event")
    frame_ms: float = Field(description="of becoming visible: the frame period / √12")
    poll_ms: float = Field(description="of being received: the polling period / √12")
    expanded_ms: float = Field(description="of the join at the end of the video where it is larger, 95 %")
    markers: int
    outliers: int


class SignalBody(Schema):
    """One signal: nanoseconds of its own clock, and the media second that this is."""

    time_ns: int
    media_s: float
    road_user: VruClass | None


class SignalList(Schema):
    """Signals of one kind: how many, and the first 1,000 of them in order of time."""

    count: int
    first: list[SignalBody]


class CameraRunMetrics(Schema):
    """What a completed camera run measured. See docs/measuring.md, "Camera runs"."""

    measurements: list[MeasurementBody]
    tracks: list[CameraTrackResult]
    clocks: ClockBody
    signals: int
    detections: int
    early: SignalList
    duplicates: SignalList
    false_alarms: SignalList
    set_aside_signals: int = Field(description="signals where somebody is visible who does not count (yet)")
    outside: int = Field(description="signals before or after the video")
    ground_truth_approved: bool
