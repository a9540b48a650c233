"""Everything that the validation engine and its workers ask of the database."""

import uuid
from collections.abc import AsyncIterator, Sequence
from typing import Any

from sqlalchemy import delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import undefer

from vru.domain import Box, GroundTruth, RunState, ShardState, Track, TruthBox, VruClass
from vru.domain.boxes import Detection
from vru.evaluation import Roster
from vru.service.database.sessions import ReadSession, WriteSession
from vru.service.database.tables import (
    DetectionRow,
    GroundTruthSet,
    Project,
    Run,
    Seal,
    Shard,
    SignalRecording,
    TruthBoxRow,
    Video,
)
from vru.service.queue import driver_connection
from vru.service.schemas import DetectionBody, RunEvent

# Rows that are in memory at a time while many are read.
_AT_ONCE = 2000
_ACTIVE = [str(state) for state in RunState if not state.is_final]


async def find_run(session: ReadSession, run_id: uuid.UUID) -> Run | None:
    """One run."""
    return await session.get(Run, run_id)


async def list_runs(
    session: ReadSession, project_id: uuid.UUID | None, limit: int, offset: int
) -> tuple[Sequence[Run], int]:
    """Runs, newest first, and how many there are in all."""
    chosen = select(Run)
    if project_id:
        chosen = chosen.where(Run.project_id == project_id)
    total = await session.scalar(select(func.count()).select_from(chosen.subquery()))
    page = await session.scalars(chosen.order_by(Run.created_at.desc(), Run.id).limit(limit).offset(offset))
    return page.all(), total or 0


async def run_event(session: ReadSession, run_id: uuid.UUID) -> RunEvent | None:
    """Where a run stands."""
    set_aside = select(func.count()).where(Shard.run_id == run_id, Shard.state == ShardState.FAILED)
    columns = select(
        *(Run.state, Run.frames_done, Run.frames_total, Run.verdict, Run.error, Run.revision, Run.priority),
        Run.paused_at.is_not(None).label("paused"),
        set_aside.scalar_subquery().label("set_aside"),
    ).where(Run.id == run_id)
    row = (await session.execute(columns)).one_or_none()
    return RunEvent(run_id=run_id, **row._mapping) if row else None


async def inputs(
    session: ReadSession, project_id: uuid.UUID, video_id: uuid.UUID | None, truth_id: uuid.UUID | None
) -> tuple[Project | None, Video | None, GroundTruthSet | None]:
    """What a run is about to refer to."""
    return (
        await session.get(Project, project_id),
        await session.get(Video, video_id) if video_id else None,
        await session.get(GroundTruthSet, truth_id) if truth_id else None,
    )


async def recording(session: ReadSession, run: Run) -> SignalRecording | None:
    """The recording of signals that a camera run is made of."""
    return await session.get(SignalRecording, run.signals_id) if run.signals_id else None


async def detections(
    session: ReadSession, run_id: uuid.UUID, first_frame: int, last_frame: int, recording: int | None = None
) -> Sequence[DetectionRow]:
    """A run's detections in a range of frames, both ends included, by frame and falling score; with ``recording``
    those in that one of a data set.
    """
    chosen = select(DetectionRow).where(DetectionRow.frame_index.between(first_frame, last_frame))
    if recording is None:
        chosen = chosen.where(DetectionRow.run_id == run_id)
    else:
        within = select(Shard.id).where(Shard.run_id == run_id, Shard.recording == recording)
        chosen = chosen.where(DetectionRow.shard_id.in_(within))
    order = (DetectionRow.frame_index, DetectionRow.score.desc(), DetectionRow.id)
    return (await session.scalars(chosen.order_by(*order))).all()


async def detected(session: ReadSession, run_id: uuid.UUID, first_frame: int, last_frame: int) -> list[Detection]:
    """A run's detections in a range of frames, both ends included, by frame. Ties of score keep the model's order."""
    columns = (
        select(
            *(DetectionRow.frame_index, DetectionRow.time_s, DetectionRow.road_user, DetectionRow.score),
            *(DetectionRow.x, DetectionRow.y, DetectionRow.width, DetectionRow.height),
        )
        .where(DetectionRow.run_id == run_id, DetectionRow.frame_index.between(first_frame, last_frame))
        .order_by(DetectionRow.frame_index, DetectionRow.id)
    )
    rows = await session.stream(columns.execution_options(yield_per=_AT_ONCE))
    return [Detection(frame, time, VruClass(kind), score, Box(*box)) async for frame, time, kind, score, *box in rows]


async def detected_in(session: ReadSession, shard_id: uuid.UUID) -> list[Detection]:
    """What was found in one shard, by frame. Ties of score keep the model's order."""
    columns = (
        select(
            *(DetectionRow.frame_index, DetectionRow.time_s, DetectionRow.road_user, DetectionRow.score),
            *(DetectionRow.x, DetectionRow.y, DetectionRow.width, DetectionRow.height),
        )
        .where(DetectionRow.shard_id == shard_id)
        .order_by(DetectionRow.frame_index, DetectionRow.id)
    )
    rows = await session.stream(columns.execution_options(yield_per=_AT_ONCE))
    return [Detection(frame, time, VruClass(kind), score, Box(*box)) async for frame, time, kind, score, *box in rows]


async def shards(session: ReadSession, run_id: uuid.UUID) -> Sequence[Shard]:
    """A run's shards, in their order."""
    return (await session.scalars(select(Shard).where(Shard.run_id == run_id).order_by(Shard.number))).all()


async def roster(session: ReadSession, truth: GroundTruthSet) -> Roster:
    """A ground truth without its boxes."""
    columns = (
        select(TruthBoxRow.track_id, TruthBoxRow.road_user)
        .where(TruthBoxRow.ground_truth_id == truth.id)
        .group_by(TruthBoxRow.track_id, TruthBoxRow.road_user)
        .order_by(TruthBoxRow.track_id, TruthBoxRow.road_user)
    )
    found = tuple((track_id, VruClass(kind)) for track_id, kind in await session.execute(columns))
    return Roster(found, truth.source, truth.approved_by)


async def tracks(
    session: ReadSession, truth: GroundTruthSet, first_frame: int, last_frame: int
) -> AsyncIterator[Track]:
    """The tracks of a ground truth by id, with their boxes in a range of frames, both ends included, one at a time.

    A track without a box there is left out.
    """
    # Columns and not rows of the mapper, which would take several times the memory.
    columns = (
        select(
            *(TruthBoxRow.track_id, TruthBoxRow.road_user, TruthBoxRow.frame_index, TruthBoxRow.time_s),
            *(TruthBoxRow.occluded, TruthBoxRow.truncated, TruthBoxRow.ignore),
            *(TruthBoxRow.x, TruthBoxRow.y, TruthBoxRow.width, TruthBoxRow.height),
        )
        .where(TruthBoxRow.ground_truth_id == truth.id, TruthBoxRow.frame_index.between(first_frame, last_frame))
        .order_by(TruthBoxRow.track_id, TruthBoxRow.road_user, TruthBoxRow.frame_index)
    )
    rows = await session.stream(columns.execution_options(yield_per=_AT_ONCE))
    now: tuple[int, str] | None = None
    boxes: list[TruthBox] = []
    async for track, kind, frame, time, occluded, truncated, ignore, *box in rows:
        if now is not None and now != (track, kind):
            yield Track(now[0], VruClass(now[1]), tuple(boxes))
            boxes = []
        now = track, kind
        boxes.append(TruthBox(frame, time, Box(*box), occluded, truncated, ignore))
    if now is not None:
        yield Track(now[0], VruClass(now[1]), tuple(boxes))


async def ground_truth(
    session: ReadSession, truth: GroundTruthSet, video: Video, first_frame: int = 0, last_frame: int | None = None
) -> GroundTruth:
    """A ground truth on its video, cut to a range of frames, both ends included."""
    last = video.frame_count - 1 if last_frame is None else last_frame
    found = tuple([track async for track in tracks(session, truth, first_frame, last)])
    return GroundTruth(video.width, video.height, video.frame_count, found, truth.source, truth.approved_by)


async def frame_times(session: ReadSession, video_id: uuid.UUID) -> list[float]:
    """Media seconds of each frame of a video."""
    return list(await session.scalar(select(Video.frame_times).where(Video.id == video_id)) or ())


async def video_with_times(session: ReadSession, video_id: uuid.UUID) -> Video | None:
    """A video with its frame times loaded."""
    return await session.scalar(select(Video).where(Video.id == video_id).options(undefer(Video.frame_times)))


async def enter(
    session: WriteSession, run_id: uuid.UUID, before: Sequence[RunState], *, paused: bool | None = None, **values: Any
) -> bool:
    """Change a run if its state is among ``before``, and if it is ``paused`` or not where that is given.

    Returns whether it was so. The row stays locked until the commit.
    """
    chosen = update(Run).where(Run.id == run_id, Run.state.in_(before))
    if paused is not None:
        chosen = chosen.where(Run.paused_at.is_not(None) if paused else Run.paused_at.is_(None))
    changed = await session.execute(chosen.values(**values))
    return bool(changed.rowcount)  # type: ignore[attr-defined]


async def end_run(session: WriteSession, run_id: uuid.UUID, state: RunState, error: str | None) -> bool:
    """Make a run that is not over ``failed`` or ``cancelled``; whether it was not over."""
    active = [RunState(value) for value in _ACTIVE]
    changes: dict[str, Any] = {"state": state, "error": error, "finished_at": func.now(), "paused_at": None}
    return await enter(session, run_id, active, **changes)


# A recording's number (None of a single video), and the first and the last frame of a shard of it.
Part = tuple[int | None, int, int]


async def add_shards(session: WriteSession, run_id: uuid.UUID, parts: Sequence[Part]) -> list[uuid.UUID]:
    """Store a run's shards, with the media time of their ends. Their ids, in order."""
    rows = [
        {"id": uuid.uuid4(), "run_id": run_id, "number": number}
        | {"recording": recording, "first_frame": first, "last_frame": last}
        for number, (recording, first, last) in enumerate(parts)
    ]
    fresh = {"state": ShardState.QUEUED, "token": 0, "attempts": 0, "deaths": 0, "waits": 0}
    await session.execute(insert(Shard).values(**fresh), rows)
    await session.execute(_SHARD_TIMES, {"run_id": run_id})
    return [row["id"] for row in rows]  # type: ignore[misc]


# The array of a long video's times is unpacked once, and never leaves the database. 0 is the number of a single video.
_SHARD_TIMES = text(
    """
    WITH times AS MATERIALIZED (
        SELECT coalesce(recordings.number, 0) AS recording, frame - 1 AS frame, seconds
        FROM runs
        LEFT JOIN data_set_recordings AS recordings ON recordings.version_id = runs.data_set_version_id
        JOIN videos ON videos.id = coalesce(runs.video_id, recordings.video_id),
            unnest(videos.frame_times) WITH ORDINALITY AS listed (seconds, frame)
        WHERE runs.id = :run_id
    )
    UPDATE shards SET first_s = first.seconds, last_s = last.seconds FROM times AS first, times AS last
    WHERE shards.run_id = :run_id AND first.frame = shards.first_frame AND last.frame = shards.last_frame
        AND first.recording = coalesce(shards.recording, 0) AND last.recording = first.recording
    """
)


async def start_shard(session: WriteSession, shard_id: uuid.UUID) -> Shard | None:
    """Take a shard: its row with a new token, which outdates all before. None if there is nothing left to do."""
    started = (
        update(Shard)
        .where(
            Shard.id == shard_id,
            Shard.state.in_([ShardState.QUEUED, ShardState.RUNNING]),
            Shard.run_id == Run.id,
            Run.state == RunState.RUNNING,
            Run.paused_at.is_(None),
        )
        .values(token=Shard.token + 1, state=ShardState.RUNNING, started_at=func.now())
        .returning(Shard)
        .execution_options(synchronize_session=False)
    )
    return (await session.scalars(started)).one_or_none()


async def fenced(session: WriteSession, shard_id: uuid.UUID, token: int, **values: Any) -> bool:
    """Change a shard if ``token`` is still its newest and it is running; whether it was."""
    changed = await session.execute(
        update(Shard)
        .where(Shard.id == shard_id, Shard.token == token, Shard.state == ShardState.RUNNING)
        .values(**values)
    )
    return bool(changed.rowcount == 1)  # type: ignore[attr-defined]


async def forget_prepared(session: WriteSession, run_id: uuid.UUID) -> None:
    """Forget what waits for its seal: the run is done again."""
    await session.execute(delete(Seal).where(Seal.run_id == run_id, Seal.document.is_(None)))


_COLUMNS = ("run_id", "shard_id", "frame_index", "time_s", "road_user", "score", "x", "y", "width", "height")


async def store_detections(
    session: WriteSession, run_id: uuid.UUID, shard_id: uuid.UUID, found: Sequence[DetectionBody]
) -> None:
    """Store a shard's detections by COPY, in the session's transaction."""
    connection = await driver_connection(session)
    async with (
        connection.cursor() as cursor,
        cursor.copy(f"COPY detections ({', '.join(_COLUMNS)}) FROM STDIN") as copy,
    ):
        for one in found:
            await copy.write_row(
                (
                    *(run_id, shard_id, one.frame_index, one.time_s, str(one.road_user), one.score),
                    *(one.x, one.y, one.width, one.height),
                )
            )


async def unsettled(session: ReadSession, run_id: uuid.UUID) -> tuple[int, int]:
    """How many of a run's shards are still to be done, and how many are done."""
    counted = select(
        func.count().filter(Shard.state.in_([ShardState.QUEUED, ShardState.RUNNING])),
        func.count().filter(Shard.state == ShardState.DONE),
    ).where(Shard.run_id == run_id)
    to_do, done = (await session.execute(counted)).one()
    return to_do, done


async def waiting(session: ReadSession) -> tuple[int, float]:
    """How many jobs wait to be taken, and for how many seconds the first of them has."""
    row = await session.execute(
        text(
            """
            SELECT count(DISTINCT jobs.id), extract(epoch FROM now() - min(greatest(events.at, jobs.scheduled_at)))
            FROM procrastinate_jobs AS jobs JOIN procrastinate_events AS events ON events.job_id = jobs.id
            WHERE jobs.status = 'todo' AND (jobs.scheduled_at IS NULL OR jobs.scheduled_at <= now())
            """
        )
    )
    depth, age = row.one()
    return depth, float(age or 0.0)
