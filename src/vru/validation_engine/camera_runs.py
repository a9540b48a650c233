"""Runs of kind "camera": from a recording of signals and ground truth to metrics and verdict."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from vru.domain import GroundTruth, Track, VruError
from vru.evaluation.camera import (
    CAMERA_METRICS,
    CameraEvaluation,
    CameraSettings,
    Clocks,
    RoadUsers,
    SignalOutcome,
    SignalTable,
    evaluate_camera,
)
from vru.evaluation.camera.files import clocks_of as join_files
from vru.evaluation.camera.files import to_metrics
from vru.evaluation.camera.pairing import ANY
from vru.evaluation.core.tables import CLASSES
from vru.evaluation.verdict.results import judge_metrics, measurement
from vru.formats import read_signals
from vru.service.database.tables import SignalRecording
from vru.service.opened import opened
from vru.service.schemas import (
    CameraRunMetrics,
    CameraRunSettings,
    CameraTrackResult,
    ClockBody,
    CriterionBody,
    CriterionResultBody,
    MeasurementBody,
    Schema,
    SignalBody,
    SignalList,
)
from vru.validation_engine.analysis import Analysis, to_criterion

# What a run stores of each kind of signal; the evidence holds them all.
LISTED = 1000
_SLICES = ("all", *(f"class:{name}" for name in CLASSES))
# A signal finds a road user, and no boxes: what is asked of boxes is asked of tracks.
_MEANS = {"recall": "track_recall"}
_UNAPPROVED = " The ground truth is not approved."


class RecordingFacts(Schema):
    """What is stored about a recording besides its files, and what evidence says of it."""

    name: str
    sha256: str
    signal_count: int
    poll_ms: float
    markers_sha256: str | None
    marker_count: int | None
    offset_ns: int | None
    offset_uncertainty_ms: float | None

    @classmethod
    def of(cls, recording: SignalRecording) -> "RecordingFacts":
        """Those of a stored recording."""
        return cls(**{name: getattr(recording, name) for name in cls.model_fields})


@dataclass(frozen=True, slots=True)
class Recorded:
    """A recording, read, with its clock joined. ``poll_s`` is the period of polling in seconds."""

    signals: SignalTable
    clocks: Clocks
    poll_s: float


def fitting(criteria: Sequence[CriterionBody]) -> list[CriterionBody]:
    """Those of a project's criteria that a camera run measures; ``recall`` becomes that of tracks."""
    meant = [item.model_copy(update={"metric": _MEANS.get(item.metric, item.metric)}) for item in criteria]
    return [item for item in meant if item.metric in CAMERA_METRICS and item.slice in _SLICES]


def check_criteria(criteria: Sequence[CriterionBody]) -> None:
    """Do nothing if every criterion names a metric and a slice of camera runs.

    Raises:
        VruError: one does not.
    """
    for criterion in criteria:
        if criterion.metric not in CAMERA_METRICS:
            raise VruError(
                f"A camera run does not measure {criterion.metric!r}.", f"Use one of: {', '.join(CAMERA_METRICS)}."
            )
        if criterion.slice not in _SLICES:
            raise VruError(f"A camera run has no slice {criterion.slice!r}.", f"Use one of: {', '.join(_SLICES)}.")


def files_of(recording: SignalRecording, media_dir: Path) -> tuple[Path, Path | None]:
    """Where a recording's signals and markers are.

    Raises:
        VruError: one of the files is missing.
    """
    paths = [media_dir / path for path in (recording.path, recording.markers_path) if path is not None]
    for path in paths:
        if not path.is_file():
            raise VruError(
                f"A file of recording {recording.name} is missing in the media store: {path.relative_to(media_dir)}.",
                "Restore it from a backup.",
            )
    return paths[0], paths[1] if len(paths) > 1 else None


def clocks_of(recording: SignalRecording, media_dir: Path) -> Clocks:
    """How a recording's clock is joined with the video's.

    Raises:
        VruError: it is not, or its markers contradict each other.
    """
    _, markers = files_of(recording, media_dir)
    return _clocks(RecordingFacts.of(recording), markers)


def _clocks(facts: RecordingFacts, markers: Path | None) -> Clocks:
    if markers is None and facts.offset_ns is None:
        raise VruError(
            f"The clock of recording {facts.name} is not joined with the video's.",
            "Upload its markers (POST /signals/{signals_id}/markers), or upload it with offset_ns and its uncertainty.",
        )
    return join_files(markers, facts.offset_ns, facts.offset_uncertainty_ms)


def read_recording(facts: RecordingFacts, signals: Path, markers: Path | None) -> Recorded:
    """Read a recording's files. Takes seconds for a million signals: call it outside of the event loop.

    Raises:
        VruError: a file is not the one that was uploaded, or the clocks are not or cannot be joined.
    """
    with ExitStack() as stack:
        files = [stack.enter_context(opened(path)) if path else None for path in (signals, markers)]
        # What is hashed is what is read: both read the file that is open.
        for file, expected in zip(files, (facts.sha256, facts.markers_sha256), strict=True):
            if file and file.sha256() != expected:
                raise VruError(
                    f"A file of recording {facts.name} is not the one that was uploaded: its SHA-256 differs.",
                    "Restore it from a backup.",
                )
        recorded, clock = ((file.path if file else None) for file in files)
        found = read_signals(recorded or signals, name=facts.name)
        clocks = _clocks(facts, clock)
        for file in filter(None, files):
            file.check_unchanged()
    table = SignalTable(np.array(found.time_ns, dtype=np.int64), np.array(found.road_user, dtype=np.int64))
    return Recorded(table, clocks, facts.poll_ms / 1000)


def outline(track: Track, settings: CameraRunSettings) -> Track:
    """A track with the few boxes that ``analyse_signals`` asks for: its first and last, the last that counts, and the
    first that counts and is high enough.
    """
    counted = [box for box in track.boxes if not box.ignore]
    tall = [box for box in counted if settings.start == "visible" or box.box.height >= settings.reasonable_height]
    kept = {box.frame_index: box for box in (track.boxes[0], *tall[:1], *counted[-1:], track.boxes[-1])}
    return replace(track, boxes=tuple(kept[index] for index in sorted(kept)))


def analyse_signals(
    truth: GroundTruth,
    recorded: Recorded,
    frame_times: Sequence[float],
    settings: CameraRunSettings,
    criteria: Sequence[CriterionBody],
) -> Analysis:
    """Evaluate and judge. ``frame_times`` are the media seconds of every frame of the video.

    Raises:
        VruError: the inputs contradict each other, or a criterion is about a class that the truth does not hold.
    """
    height = settings.reasonable_height if settings.start == "reasonable" else None
    road_users = RoadUsers.of(truth, height)
    evaluation = evaluate_camera(
        recorded.signals,
        road_users,
        frame_times,
        recorded.clocks,
        CameraSettings(
            tolerance_s=settings.tolerance_ms / 1000,
            early_s=settings.early_ms / 1000,
            reasonable_height=height,
            poll_s=recorded.poll_s,
            seed=settings.seed,
        ),
    )
    report = judge_metrics(to_metrics(evaluation), [to_criterion(criterion) for criterion in criteria])
    approved = truth.approved_by is not None
    reasons = [CriterionResultBody.model_validate(result).model_dump(mode="json") for result in report.results]
    for reason in reasons:
        reason["reason"] += "" if approved else _UNAPPROVED
    metrics = _metrics(evaluation, recorded, road_users, approved)
    return Analysis(metrics.model_dump(mode="json"), report.verdict, reasons, list(evaluation.notes))


def _metrics(
    evaluation: CameraEvaluation, recorded: Recorded, road_users: RoadUsers, approved: bool
) -> CameraRunMetrics:
    counts = np.bincount(evaluation.matches.outcome, minlength=len(SignalOutcome)).tolist()
    return CameraRunMetrics(
        measurements=[
            MeasurementBody(**asdict(measurement(metric, estimate, name)))
            for name, estimates in evaluation.slices.items()
            for metric, estimate in estimates.items()
        ],
        tracks=_tracks(evaluation, road_users),
        clocks=_clock(evaluation, recorded),
        signals=len(evaluation.matches.outcome),
        detections=counts[SignalOutcome.DETECTION],
        early=_list(evaluation, recorded, SignalOutcome.EARLY),
        duplicates=_list(evaluation, recorded, SignalOutcome.DUPLICATE),
        false_alarms=_list(evaluation, recorded, SignalOutcome.FALSE_ALARM),
        set_aside_signals=counts[SignalOutcome.SET_ASIDE],
        outside=counts[SignalOutcome.OUTSIDE],
        ground_truth_approved=approved,
    )


def _tracks(evaluation: CameraEvaluation, road_users: RoadUsers) -> list[CameraTrackResult]:
    """The tracks that count, as the truth orders them."""
    matches = evaluation.matches
    detected = np.append(matches.media_s, np.nan)[matches.signal]
    return [
        CameraTrackResult(
            track_id=int(road_users.track_id[number]),
            road_user=CLASSES[int(road_users.road_user[number])],
            first_visible_s=float(road_users.first_s[number]),
            last_visible_s=float(road_users.last_s[number]),
            first_detected_s=_known(detected[number]),
            latency_ms=_known(evaluation.latency_s[number] * 1000),
            latency_uncertainty_ms=_known(evaluation.latency_u_s[number] * 1000),
        )
        for number in np.flatnonzero(matches.counted).tolist()
    ]


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _clock(evaluation: CameraEvaluation, recorded: Recorded) -> ClockBody:
    clocks = evaluation.clocks
    estimated = clocks.markers > 0
    # Rectangular: period / √12 (GUM 4.3.7).
    return ClockBody(
        offset_ms=clocks.offset_ms,
        offset_uncertainty_ms=clocks.offset_u_ms,
        drift_ppm=clocks.drift_ppm if estimated else None,
        drift_uncertainty_ppm=clocks.drift_u_ppm if estimated else None,
        jitter_ms=clocks.jitter_s * 1000 if estimated else None,
        frame_ms=evaluation.frame_s * 1000 / 12**0.5,
        poll_ms=recorded.poll_s * 1000 / 12**0.5,
        expanded_ms=evaluation.reach_s * 1000,
        markers=clocks.markers,
        outliers=clocks.outliers,
    )


def _list(evaluation: CameraEvaluation, recorded: Recorded, outcome: SignalOutcome) -> SignalList:
    matches = evaluation.matches
    places = np.flatnonzero(matches.outcome == outcome)
    return SignalList(
        count=len(places),
        first=[
            SignalBody(
                time_ns=int(recorded.signals.time_ns[matches.order[place]]),
                media_s=float(matches.media_s[place]),
                road_user=None if matches.road_user[place] == ANY else CLASSES[int(matches.road_user[place])],
            )
            for place in places[:LISTED].tolist()
        ],
    )
