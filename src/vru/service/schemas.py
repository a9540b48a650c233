"""What services say to each other and to clients: the JSON that more than one service reads or writes."""

import re
import uuid
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AliasChoices, BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from vru.domain import Comparator, Criterion, RunKind, RunState, Severity, Verdict, VruClass, VruError
from vru.domain.metrics import check_decidable
from vru.domain.slices import check_slices
from vru.domain.texts import check_name

_SURROGATE = re.compile("[\ud800-\udfff]")


def is_text(value: str) -> bool:
    """Whether UTF-8 and PostgreSQL can hold ``value``."""
    return "\0" not in value and not _SURROGATE.search(value)


class Schema(BaseModel):
    """Base of all bodies: unknown keys are refused, so that a typo is an error and not a silent default.

    So are NaN and infinity, which JSON and PostgreSQL's jsonb do not have: what is not known is null. So is text that
    neither UTF-8 nor PostgreSQL has: the character NUL, and halves of surrogate pairs.
    """

    model_config = ConfigDict(extra="forbid", from_attributes=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _only_text(cls, data: Any) -> Any:
        # Each model looks at its own level; what is below are models, too.
        for key, value in data.items() if isinstance(data, dict) else ():
            for text in (key, *(value if isinstance(value, list) else (value,))):
                if isinstance(text, str) and not is_text(text):
                    place = key if isinstance(key, str) and is_text(key) else "a key"
                    raise ValueError(f"{place} must not contain the character NUL or half a surrogate pair")
        return data


class Problem(BaseModel):
    """An error as application/problem+json (RFC 9457). ``detail`` is one sentence; ``fix`` says what to do."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    fix: str | None = None
    instance: str | None = None
    request_id: str | None = None


def _name(text: str) -> str:
    try:
        check_name(text)
    except VruError as error:
        raise ValueError(error.message.rstrip(".")) from error
    return text


# What people call something.
Name = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_name)]


class CriterionBody(Schema):
    """One requirement on one metric. See ``vru.domain.Criterion``."""

    metric: str
    comparator: Comparator
    threshold: float
    confidence_level: float = Field(0.95, gt=0.5, lt=1)
    slice: str = "all"
    severity: Severity = Severity.REQUIRED


class MeasurementBody(Schema):
    """A metric's value with its interval; null where the data do not determine it."""

    metric: str
    value: float | None
    low: float | None
    high: float | None
    n: int
    unit: str = ""
    confidence_level: float = 0.95
    slice: str = "all"


def _decidable(body: CriterionBody) -> CriterionBody:
    try:
        check_slices([body.slice])
        check_decidable(Criterion(**body.model_dump()))
    except VruError as error:
        raise ValueError(f"{error.message} {error.fix}".rstrip(". ")) from error
    return body


# What is stored may be older than what is asked of new criteria.
NewCriterion = Annotated[CriterionBody, AfterValidator(_decidable)]
# JSON's true is no number.
Whole = Annotated[int, Field(strict=True)]


class CriterionResultBody(Schema):
    """How one criterion came out, and why."""

    criterion: CriterionBody
    measurement: MeasurementBody
    verdict: Verdict
    reason: str
    more_needed: int | None = None


_SEED = "of the resampling behind the confidence intervals"
# PostgreSQL's and many programs' largest.
_LARGEST_SEED = 2**63 - 1


class RunSettings(Schema):
    """Everything that decides the outcome of a model run, besides its inputs."""

    score_threshold: float = Field(0.5, description="detections below this confidence do not count")
    iou_threshold: float = Field(0.5, gt=0, le=1, description="overlap from which a detection matches a truth box")
    frame_stride: int = Field(1, ge=1, le=1000, description="every n-th frame is evaluated")
    seed: int = Field(0, description=_SEED)


class NewRunSettings(RunSettings):
    """The settings of a new run; those that are stored may be older than these limits."""

    score_threshold: float = Field(
        0.5, ge=0, le=1, strict=True, description="detections below this confidence do not count"
    )
    iou_threshold: float = Field(
        0.5, gt=0, lt=1, strict=True, description="overlap from which a detection matches a truth box"
    )
    frame_stride: Whole = Field(1, ge=1, le=1000, description="every n-th frame is evaluated")
    seed: Whole = Field(0, ge=0, le=_LARGEST_SEED, description=_SEED)


Priority = Annotated[Whole, Field(ge=-100, le=100, description="clips of runs with a higher one are done first")]


class CameraRunSettings(Schema):
    """Everything that decides the outcome of a camera run, besides its inputs. See ``vru.evaluation.camera``."""

    tolerance_ms: float = Field(
        100.0, ge=0, le=60_000, description="how long after it was last visible a road user may still be signalled"
    )
    early_ms: float = Field(
        1000.0,
        ge=0,
        le=600_000,
        description="a false signal so long before somebody becomes visible counts as early",
    )
    start: Literal["visible", "reasonable"] = Field(
        "visible", description="windows begin with the first box, or with the first of reasonable height"
    )
    reasonable_height: float = Field(50.0, gt=0, description="pixels from which a box is of reasonable height")
    seed: Whole = Field(0, ge=0, le=_LARGEST_SEED, description=_SEED)


class _RunRequest(Schema):
    project_id: uuid.UUID
    video_id: uuid.UUID
    ground_truth_id: uuid.UUID
    criteria: list[NewCriterion] | None = Field(None, max_length=200)
    priority: Priority = 0


class RunCreate(_RunRequest):
    """A request for a validation run of a model. Without ``criteria`` the project's apply."""

    model: str
    model_version: str | None = Field(None, description="the newest, if not given")
    settings: NewRunSettings = Field(default_factory=lambda: NewRunSettings())
    kind: Literal[RunKind.MODEL] = RunKind.MODEL


class CameraRunCreate(_RunRequest):
    """A request for a validation run of a camera: recorded signals against ground truth in time.

    Without ``criteria`` those of the project apply that a camera run measures, ``recall`` being that of tracks.
    """

    kind: Literal[RunKind.CAMERA]
    signals_id: uuid.UUID = Field(description="the recording; its clock must be joined with the video's")
    settings: CameraRunSettings = Field(default_factory=lambda: CameraRunSettings())


def _kind(body: object) -> str:
    # What is neither is a model run: its schema says what is wrong.
    kind = body.get("kind") if isinstance(body, dict) else getattr(body, "kind", None)
    return RunKind.CAMERA if kind == RunKind.CAMERA else RunKind.MODEL


AnyRunCreate = Annotated[
    Annotated[RunCreate, Tag(RunKind.MODEL)] | Annotated[CameraRunCreate, Tag(RunKind.CAMERA)], Discriminator(_kind)
]


class RunChange(Schema):
    """What can be changed about a run that is under way."""

    priority: Priority


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


class SetAsideClip(Schema):
    """A clip that could not be processed: its frames count nowhere. Both ends are included; seconds of media time."""

    number: int
    first_frame: int
    last_frame: int
    first_s: float | None
    last_s: float | None
    reason: str | None = Field(validation_alias=AliasChoices("reason", "error"), description="the last one")

    @property
    def name(self) -> str:
        """The clip as messages name it."""
        times = "" if self.first_s is None else f", {self.first_s:.3f} to {self.last_s:.3f} s"
        return f"Clip {self.number} (frames {self.first_frame} to {self.last_frame}{times})"


class RunBody(Schema):
    """A validation run as clients see it."""

    id: uuid.UUID
    project_id: uuid.UUID
    kind: RunKind
    video_id: uuid.UUID
    ground_truth_id: uuid.UUID
    signals_id: uuid.UUID | None = Field(description="of a camera run, which has no model: the recording")
    model: str | None
    model_version: str | None
    model_sha256: str | None = Field(description="digest of the model version's files when the run was started")
    settings: RunSettings | CameraRunSettings
    criteria: list[CriterionBody]
    state: RunState
    error: str | None
    frames_total: int
    frames_done: int
    priority: int
    paused_at: datetime | None
    set_aside: list[SetAsideClip] = Field(description="clips that could not be processed")
    metrics: RunMetrics | CameraRunMetrics | None
    verdict: Verdict | None
    verdict_reasons: list[CriterionResultBody] | None
    notes: list[str] | None = Field(description="what limits the figures")
    created_by: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class RunEvent(Schema):
    """One server-sent event of a run: its state and progress at that moment.

    ``revision`` grows with each pause, resume, retry, change of priority and clip that is set aside.
    """

    run_id: uuid.UUID
    state: RunState
    frames_done: int
    frames_total: int
    revision: int = 0
    paused: bool = False
    priority: int = 0
    set_aside: int = Field(0, description="number of clips that could not be processed")
    verdict: Verdict | None = None
    error: str | None = None


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


class ModelBody(Schema):
    """One version of a model in the repository, from its ``model.yaml``."""

    name: str
    version: str
    runtime: str
    description: str
    classes: list[VruClass]
    source: str
    licence: str
    sha256: str = Field(description="digest of the version's folder: names the exact model in evidence")
    parameters: dict[str, Any] = Field(default_factory=dict)
    provider: str | None = Field(None, description="what runs it in this ML engine, such as CPUExecutionProvider")


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


class SealBody(Schema):
    """A seal as the signer gives it out: what it signed, and the signature in hexadecimal.

    ``statement`` is the same as an in-toto statement in a DSSE envelope; null if the key was replaced since.
    """

    document: str
    signature: str
    statement: str | None = None


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
