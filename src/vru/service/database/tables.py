"""Every table of the platform. Procrastinate keeps its own beside these; a migration creates both.

Who writes what: the gateway writes users, projects, videos, ground truth, signals, data sets and imported predictions;
the validation engine and its workers write runs, shards, detections and results; the camera service what signal
sources say.
"""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    DateTime,
    Float,
    ForeignKey,
    Index,
    MetaData,
    Text,
    UniqueConstraint,
    func,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from vru.domain import RunKind, RunState, ShardState, Verdict, VruClass

Timestamp = DateTime(timezone=True)


def _one_of(column: str, values: type[RunState | ShardState | RunKind | Verdict | VruClass]) -> CheckConstraint:
    allowed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({allowed})", name=column)


class Table(DeclarativeBase):
    """Base of all tables."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012
        dict[str, Any]: JSONB,
        list[dict[str, Any]]: JSONB,
        list[str]: JSONB,
        datetime: Timestamp,
        str: Text,
    }


class User(Table):
    """Someone who may log in."""

    __tablename__ = "users"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    email: Mapped[str] = mapped_column(unique=True)
    password_hash: Mapped[str]
    role: Mapped[str]  # "admin" or "engineer"
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Project(Table):
    """One model or camera under validation."""

    __tablename__ = "projects"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    name: Mapped[str] = mapped_column(unique=True)
    description: Mapped[str] = mapped_column(default="")
    camera_model: Mapped[str | None]
    lens: Mapped[str | None]
    resolution: Mapped[str | None]  # "1920x1080"
    frame_rate: Mapped[float | None]
    signal_type: Mapped[str | None]
    criteria: Mapped[list[dict[str, Any]]]
    state: Mapped[str] = mapped_column(default="draft")
    created_by: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Video(Table):
    """A recording with exact frame timestamps."""

    __tablename__ = "videos"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    project_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"), index=True)
    name: Mapped[str]
    path: Mapped[str]  # below the media directory
    sha256: Mapped[str]
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    codec: Mapped[str]
    width: Mapped[int]
    height: Mapped[int]
    frame_count: Mapped[int]
    duration_s: Mapped[float]
    # Seconds of each frame, pts * time_base, in presentation order. Long videos make this large: loaded on demand.
    frame_times: Mapped[list[float]] = mapped_column(ARRAY(Float(53)), deferred=True)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class GroundTruthSet(Table):
    """One uploaded annotation file: tracks of boxes on a video."""

    __tablename__ = "ground_truths"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    video_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("videos.id", ondelete="CASCADE"), index=True)
    name: Mapped[str]
    format: Mapped[str]  # "coco" or "cvat"
    sha256: Mapped[str]
    source: Mapped[str]  # "manual", "synthetic" or "model:NAME"
    track_count: Mapped[int]
    box_count: Mapped[int]
    approved_by: Mapped[str | None]
    approved_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class TruthBoxRow(Table):
    """One box of one ground-truth track in one frame. Pixels."""

    __tablename__ = "truth_boxes"
    __table_args__ = (
        _one_of("road_user", VruClass),
        Index("ix_truth_boxes_ground_truth_id_frame_index", "ground_truth_id", "frame_index"),
    )
    ground_truth_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("ground_truths.id", ondelete="CASCADE"), primary_key=True
    )
    track_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    frame_index: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    time_s: Mapped[float]
    road_user: Mapped[str]
    x: Mapped[float]
    y: Mapped[float]
    width: Mapped[float]
    height: Mapped[float]
    occluded: Mapped[bool] = mapped_column(default=False)
    truncated: Mapped[bool] = mapped_column(default=False)
    ignore: Mapped[bool] = mapped_column(default=False)


class SignalRecording(Table):
    """One uploaded recording of a device's signals, made while a video was shown to it.

    The files stay as they were uploaded, in the media store. Its clock is joined with the video's by markers, or by an
    offset with its standard uncertainty; while there is neither, no run can be made with it.
    """

    __tablename__ = "signal_recordings"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    video_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("videos.id", ondelete="CASCADE"), index=True)
    name: Mapped[str]
    path: Mapped[str]  # below the media directory
    sha256: Mapped[str]
    signal_count: Mapped[int]
    # Monotonic nanoseconds of the device's side.
    first_ns: Mapped[int] = mapped_column(BigInteger)
    last_ns: Mapped[int] = mapped_column(BigInteger)
    # Period in which the receiver looked for signals.
    poll_ms: Mapped[float]
    markers_path: Mapped[str | None]
    markers_sha256: Mapped[str | None]
    marker_count: Mapped[int | None]
    # What the signals' clock shows at media time 0.
    offset_ns: Mapped[int | None] = mapped_column(BigInteger)
    offset_uncertainty_ms: Mapped[float | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class DataSet(Table):
    """A named list of recordings, in versions."""

    __tablename__ = "data_sets"
    __table_args__ = (UniqueConstraint("project_id", "name"),)
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    project_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"))
    name: Mapped[str]
    description: Mapped[str] = mapped_column(default="")
    created_by: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class DataSetVersion(Table):
    """One state of a data set. From the first run on nothing of it changes: a trigger keeps it and its recordings."""

    __tablename__ = "data_set_versions"
    __table_args__ = (UniqueConstraint("data_set_id", "number"),)
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    data_set_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("data_sets.id", ondelete="CASCADE"))
    number: Mapped[int]  # from 1
    note: Mapped[str] = mapped_column(default="")
    # Of its recordings, with all that is said about them.
    sha256: Mapped[str]
    recording_count: Mapped[int]
    frame_count: Mapped[int] = mapped_column(BigInteger)
    duration_s: Mapped[float]
    frozen_at: Mapped[datetime | None]
    created_by: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    data_set: Mapped[DataSet] = relationship(lazy="joined", viewonly=True)

    @property
    def name(self) -> str:
        """That of its data set."""
        return self.data_set.name


class DataSetRecording(Table):
    """One recording of a version: a video and its ground truth by reference and digest, and its conditions."""

    __tablename__ = "data_set_recordings"
    __table_args__ = (UniqueConstraint("version_id", "name"), UniqueConstraint("version_id", "video_sha256"))
    version_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("data_set_versions.id", ondelete="CASCADE"), primary_key=True
    )
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)  # from 1
    name: Mapped[str]
    video_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("videos.id", ondelete="RESTRICT"), index=True)
    ground_truth_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("ground_truths.id", ondelete="RESTRICT"), index=True)
    video_sha256: Mapped[str]
    ground_truth_sha256: Mapped[str]
    # Texts by name, such as light: night.
    attributes: Mapped[dict[str, Any]]
    tags: Mapped[list[str]]
    # Where the camera stood; see vru.evaluation.dataset.conditions.
    calibration: Mapped[dict[str, Any] | None]


class PredictionSet(Table):
    """Boxes of a detector that ran elsewhere, as they were uploaded."""

    __tablename__ = "prediction_sets"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    project_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"), index=True)
    # The detector's name and version, and who ran it.
    name: Mapped[str]
    version: Mapped[str]
    made_by: Mapped[str]
    format: Mapped[str]
    file_name: Mapped[str]
    sha256: Mapped[str]
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    box_count: Mapped[int] = mapped_column(BigInteger)
    # Sentences on how the file was read.
    notes: Mapped[list[str]]
    created_by: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class PredictedRecording(Table):
    """What a prediction set says about one video: the boxes from ``first_position`` on, and their SHA-256."""

    __tablename__ = "predicted_recordings"
    prediction_set_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("prediction_sets.id", ondelete="CASCADE"), primary_key=True
    )
    video_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("videos.id", ondelete="RESTRICT"), primary_key=True, index=True
    )
    name: Mapped[str]
    first_position: Mapped[int] = mapped_column(BigInteger)
    box_count: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str]


class PredictedBox(Table):
    """One imported box. Pixels; the boxes of one video stand together, in order of frames."""

    __tablename__ = "predicted_boxes"
    __table_args__ = (_one_of("road_user", VruClass),)
    prediction_set_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("prediction_sets.id", ondelete="CASCADE"), primary_key=True
    )
    position: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    frame_index: Mapped[int]
    road_user: Mapped[str]
    score: Mapped[float]
    x: Mapped[float]
    y: Mapped[float]
    width: Mapped[float]
    height: Mapped[float]


class Run(Table):
    """One evaluation, from its request to its verdict: of one video, or of a version of a data set."""

    __tablename__ = "runs"
    __table_args__ = (
        _one_of("kind", RunKind),
        _one_of("state", RunState),
        _one_of("verdict", Verdict),
        CheckConstraint(
            "(data_set_version_id IS NULL) = (video_id IS NOT NULL) AND (video_id IS NULL) = (ground_truth_id IS NULL)",
            name="about",
        ),
    )
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    project_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"), index=True)
    kind: Mapped[str] = mapped_column(default=RunKind.MODEL)
    # What it is about: these, or all recordings of a data set's version.
    video_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("videos.id", ondelete="RESTRICT"), index=True)
    ground_truth_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("ground_truths.id", ondelete="RESTRICT"))
    data_set_version_id: Mapped[uuid.UUID | None] = mapped_column(
        ForeignKey("data_set_versions.id", ondelete="RESTRICT"), index=True
    )
    # Where the boxes are from that nothing here detected; ``model`` is then the name of their detector.
    predictions_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("prediction_sets.id", ondelete="RESTRICT"))
    # Of runs of kind "camera", which have no model.
    signals_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("signal_recordings.id", ondelete="RESTRICT"))
    model: Mapped[str | None]
    model_version: Mapped[str | None]
    # Digests of the version's files and of the video when the run was started: nothing else may be processed for it.
    model_sha256: Mapped[str | None]
    video_sha256: Mapped[str | None]
    # What the model's card said then.
    model_card: Mapped[dict[str, Any] | None]
    # score_threshold, iou_threshold, frame_stride, ... : everything that decides the outcome.
    settings: Mapped[dict[str, Any]]
    criteria: Mapped[list[dict[str, Any]]]
    state: Mapped[str] = mapped_column(default=RunState.QUEUED, index=True)
    error: Mapped[str | None]
    frames_total: Mapped[int] = mapped_column(default=0)
    frames_done: Mapped[int] = mapped_column(default=0)
    # Among waiting clips those of the highest priority are next.
    priority: Mapped[int] = mapped_column(default=0)
    # While it is set no clip is started.
    paused_at: Mapped[datetime | None]
    # Counts what people and the recovery did to the run (pause, retry, ...): orders the events of a run that goes back.
    revision: Mapped[int] = mapped_column(default=0)
    # Workers that died while they prepared or analysed the run.
    deaths: Mapped[int] = mapped_column(default=0)
    metrics: Mapped[dict[str, Any] | None]
    verdict: Mapped[str | None]
    verdict_reasons: Mapped[list[dict[str, Any]] | None]
    # Sentences on what limits the figures.
    notes: Mapped[list[str] | None]
    created_by: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    data_set_version: Mapped[DataSetVersion | None] = relationship(lazy="joined", viewonly=True)
    # The clips that could not be processed.
    set_aside: Mapped[list["Shard"]] = relationship(
        primaryjoin="and_(Run.id == Shard.run_id, Shard.state == 'failed')",
        order_by="Shard.number",
        lazy="selectin",
        viewonly=True,
    )


class Shard(Table):
    """A clip, a run's part that one worker takes: frames ``first_frame`` to ``last_frame``, both included.

    Starting a shard increments ``token``. Finishing it is one transaction that updates the row where id, token and
    ``state = 'running'`` still hold, and stores the results only if exactly one row changed: a worker that was
    stopped, and whose shard went to another, can store nothing.
    """

    __tablename__ = "shards"
    __table_args__ = (_one_of("state", ShardState), Index("ix_shards_run_id_number", "run_id", "number", unique=True))
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    run_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"))
    number: Mapped[int]
    # Of runs over a data set: the number of the recording in its version.
    recording: Mapped[int | None]
    first_frame: Mapped[int]
    last_frame: Mapped[int]
    # Media time of the first and the last frame.
    first_s: Mapped[float | None]
    last_s: Mapped[float | None]
    state: Mapped[str] = mapped_column(default=ShardState.QUEUED)
    token: Mapped[int] = mapped_column(default=0)
    # Tries that ended in a failure; in the death of the worker; in the ML engine being away.
    attempts: Mapped[int] = mapped_column(default=0)
    deaths: Mapped[int] = mapped_column(default=0)
    waits: Mapped[int] = mapped_column(default=0)
    error: Mapped[str | None]
    # What the ML engine said that it opened, in which image it runs, and what ran the model.
    video_sha256: Mapped[str | None]
    model_sha256: Mapped[str | None]
    engine_image: Mapped[str | None]
    engine_provider: Mapped[str | None]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class Seal(Table):
    """That a run's evidence is signed. It outlives its run: the next seal carries its hash.

    A worker prepares it with the digest of the manifest; the signer reads that and nothing else. With a ``document``
    the row does not change any more.
    """

    __tablename__ = "seals"
    run_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    manifest_sha256: Mapped[str]
    prepared_at: Mapped[datetime] = mapped_column(server_default=func.now())
    # Place in the ledger, from 1.
    position: Mapped[int | None] = mapped_column(unique=True)
    # What was signed, as it was signed, and the signature in hexadecimal.
    document: Mapped[str | None]
    signature: Mapped[str | None]


class SignalEvent(Table):
    """One record of a signal source: a signal, or a change of the source's state. Kept for 30 days.

    ``position`` orders the records of a spool, which is the camera service's own: what it has stored of it is known
    from here. ``time_ns`` is the monotonic clock of that machine, ``received_at`` its wall clock at the same moment.
    """

    __tablename__ = "signal_events"
    __table_args__ = (
        Index("ix_signal_events_source_id_received_at", "source_id", "received_at"),
        Index("ix_signal_events_received_at", "received_at", postgresql_using="brin"),
    )
    spool: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    id: Mapped[str] = mapped_column(unique=True)
    source_id: Mapped[uuid.UUID]
    source: Mapped[str]
    type: Mapped[str]  # "event" or "state"
    time_ns: Mapped[int] = mapped_column(BigInteger)
    kind: Mapped[str]
    # The device's own clock.
    device_ns: Mapped[int | None] = mapped_column(BigInteger)
    road_user: Mapped[str | None]
    value: Mapped[str]
    received_at: Mapped[datetime]


class LiveRun(Table):
    """A camera run that is made while its signals come: the capture of a source, its recording, and then its run."""

    __tablename__ = "live_runs"
    __table_args__ = (
        CheckConstraint("state IN ('recording', 'recorded', 'started', 'failed', 'cancelled')", name="state"),
    )
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    project_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"), index=True)
    video_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("videos.id", ondelete="CASCADE"))
    ground_truth_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("ground_truths.id", ondelete="CASCADE"))
    # The camera service's.
    source_id: Mapped[uuid.UUID]
    capture_id: Mapped[uuid.UUID]
    # As it was asked for.
    request: Mapped[dict[str, Any]]
    state: Mapped[str] = mapped_column(default="recording", index=True)
    error: Mapped[str | None]
    # What the rig has sent, as a truth table.
    played: Mapped[dict[str, Any] | None]
    signals_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("signal_recordings.id", ondelete="SET NULL"))
    run_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("runs.id", ondelete="SET NULL"))
    created_by: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class DetectionRow(Table):
    """One box that the model under test found. Pixels; score from the model."""

    __tablename__ = "detections"
    __table_args__ = (
        Index("ix_detections_run_id_frame_index", "run_id", "frame_index"),
        _one_of("road_user", VruClass),
    )
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    run_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"))
    shard_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("shards.id", ondelete="CASCADE"), index=True)
    frame_index: Mapped[int]
    time_s: Mapped[float]
    road_user: Mapped[str]
    score: Mapped[float]
    x: Mapped[float]
    y: Mapped[float]
    width: Mapped[float]
    height: Mapped[float]
