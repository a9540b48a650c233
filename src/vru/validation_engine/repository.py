"""Everything that the validation engine and its workers ask of the database."""

import uuid
from collections.abc import Sequence
from typing import Any

from procrastinate import App
from sqlalchemy import func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import undefer

from vru.domain import Box, GroundTruth, RunState, ShardState, Track, TruthBox, VruClass
from vru.domain.boxes import Detection
from vru.service.database.sessions import ReadSession, WriteSession
from vru.service.database.tables import DetectionRow, GroundTruthSet, Project, Run, Shard, TruthBoxRow, Video
from vru.service.queue import defer, driver_connection
from vru.service.schemas import DetectionBody, RunEvent
from vru.validation_engine import jobs

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
    columns = select(Run.state, Run.frames_done, Run.frames_total, Run.verdict, Run.error).where(Run.id == run_id)
    row = (await session.execute(columns)).one_or_none()
    return RunEvent(run_id=run_id, **row._mapping) if row else None


async def inputs(
    session: ReadSession, project_id: uuid.UUID, video_id: uuid.UUID, truth_id: uuid.UUID
) -> tuple[Project | None, Video | None, GroundTruthSet | None]:
    """What a run is about to refer to."""
    return (
        await session.get(Project, project_id),
        await session.get(Video, video_id),
        await session.get(GroundTruthSet, truth_id),
    )


async def detections(
    session: ReadSession, run_id: uuid.UUID, first_frame: int, last_frame: int
) -> Sequence[DetectionRow]:
    """A run's detections in a range of frames, both ends included, by frame and falling score."""
    chosen = (
        select(DetectionRow)
        .where(DetectionRow.run_id == run_id, DetectionRow.frame_index.between(first_frame, last_frame))
        .order_by(DetectionRow.frame_index, DetectionRow.score.desc(), DetectionRow.id)
    )
    return (await session.scalars(chosen)).all()


async def all_detections(session: ReadSession, run_id: uuid.UUID) -> list[Detection]:
    """A run's detections, by frame. Ties of score keep the model's order."""
    columns = (
        select(
            *(DetectionRow.frame_index, DetectionRow.time_s, DetectionRow.road_user, DetectionRow.score),
            *(DetectionRow.x, DetectionRow.y, DetectionRow.width, DetectionRow.height),
        )
        .where(DetectionRow.run_id == run_id)
        .order_by(DetectionRow.frame_index, DetectionRow.id)
    )
    rows = await session.execute(columns)
    return [Detection(frame, time, VruClass(kind), score, Box(*box)) for frame, time, kind, score, *box in rows]


async def ground_truth(session: ReadSession, truth: GroundTruthSet, video: Video) -> GroundTruth:
    """The tracks of a ground truth on its video."""
    rows = await session.scalars(
        select(TruthBoxRow)
        .where(TruthBoxRow.ground_truth_id == truth.id)
        .order_by(TruthBoxRow.track_id, TruthBoxRow.frame_index)
    )
    boxes: dict[tuple[int, str], list[TruthBox]] = {}
    for row in rows:
        box = Box(row.x, row.y, row.width, row.height)
        boxes.setdefault((row.track_id, row.road_user), []).append(
            TruthBox(row.frame_index, row.time_s, box, row.occluded, row.truncated, row.ignore)
        )
    tracks = tuple(Track(number, VruClass(kind), tuple(found)) for (number, kind), found in boxes.items())
    return GroundTruth(video.width, video.height, video.frame_count, tracks, truth.source, truth.approved_by)


async def video_with_times(session: ReadSession, video_id: uuid.UUID) -> Video | None:
    """A video with its frame times loaded."""
    return await session.scalar(select(Video).where(Video.id == video_id).options(undefer(Video.frame_times)))


async def enter(session: WriteSession, run_id: uuid.UUID, before: Sequence[RunState], **values: Any) -> bool:
    """Change a run if its state is among ``before``; whether it was. The row stays locked until the commit."""
    changed = await session.execute(update(Run).where(Run.id == run_id, Run.state.in_(before)).values(**values))
    return bool(changed.rowcount)  # type: ignore[attr-defined]


async def end_run(session: WriteSession, run_id: uuid.UUID, state: RunState, error: str | None) -> bool:
    """Make a run that is not over ``failed`` or ``cancelled``; whether it was not over."""
    active = [RunState(value) for value in _ACTIVE]
    return await enter(session, run_id, active, state=state, error=error, finished_at=func.now())


async def add_shards(session: WriteSession, run_id: uuid.UUID, parts: Sequence[tuple[int, int]]) -> list[uuid.UUID]:
    """Store a run's shards. Their ids, in order; none if the run has shards already."""
    rows = [
        {"id": uuid.uuid4(), "run_id": run_id, "number": number, "first_frame": first, "last_frame": last}
        for number, (first, last) in enumerate(parts)
    ]
    await session.execute(insert(Shard).values(state=ShardState.QUEUED, token=0, attempts=0), rows)
    return [row["id"] for row in rows]  # type: ignore[misc]


async def start_shard(session: WriteSession, shard_id: uuid.UUID) -> Shard | None:
    """Take a shard: its row with a new token, which outdates all before. None if there is nothing left to do."""
    started = (
        update(Shard)
        .where(
            Shard.id == shard_id,
            Shard.state.in_([ShardState.QUEUED, ShardState.RUNNING]),
            Shard.run_id == Run.id,
            Run.state == RunState.RUNNING,
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


async def shards_left(session: ReadSession, run_id: uuid.UUID) -> int:
    """How many of a run's shards are not done."""
    left = select(func.count()).where(Shard.run_id == run_id, Shard.state != ShardState.DONE)
    return await session.scalar(left) or 0


# Steps of active runs that no waiting or running job will do. A worker that was stopped and woken may mark another's
# job as finished, so a missing job is possible; a doubled one is harmless, for the fence stands behind it.
_ORPHANS = text(
    """
    WITH live AS (
        SELECT task_name, args FROM procrastinate_jobs WHERE status IN ('todo', 'doing')
    ), wanted AS (
        SELECT runs.id AS run_id, NULL::uuid AS shard_id, CAST(:prepare AS text) AS task
            FROM runs WHERE state IN ('queued', 'preparing')
        UNION ALL
        SELECT runs.id, shards.id, :shard FROM runs JOIN shards ON shards.run_id = runs.id
            WHERE runs.state = 'running' AND shards.state IN ('queued', 'running')
        UNION ALL
        SELECT runs.id, NULL, :analyse FROM runs WHERE state = 'analysing'
    )
    SELECT wanted.task, wanted.run_id, wanted.shard_id FROM wanted
    WHERE NOT EXISTS (
        SELECT 1 FROM live
        WHERE live.task_name = wanted.task
          AND live.args ->> 'run_id' = wanted.run_id::text
          AND (wanted.shard_id IS NULL OR live.args ->> 'shard_id' = wanted.shard_id::text)
    )
    """
)
# Any constant does; it only has to be the same in every worker.
_SWEEP_LOCK = 7_665_002


async def adopt_orphans(queue: App, session: WriteSession) -> int:
    """Defer a job for each step of an active run that has none. How many; 0 also while another worker looks."""
    if not await session.scalar(text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": _SWEEP_LOCK}):
        return 0
    names = {"prepare": jobs.PREPARE_RUN, "shard": jobs.RUN_SHARD, "analyse": jobs.ANALYSE_RUN}
    orphans = (await session.execute(_ORPHANS, names)).all()
    for task, run_id, shard_id in orphans:
        arguments = {"run_id": str(run_id)} | ({"shard_id": str(shard_id)} if shard_id else {})
        await defer(queue, session, task, [arguments])
    return len(orphans)


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
