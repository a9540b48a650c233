"""What moves a run on: jobs for the steps it needs, and its clips coming to an end, one way or the other.

All of it happens in the transaction of the caller: a state and the jobs that it needs are stored together.
"""

import uuid
from collections.abc import Sequence

from procrastinate import App
from procrastinate.jobs import Job
from sqlalchemy import func, select, text, update

from vru.domain import RunState, ShardState
from vru.service.database.sessions import WriteSession
from vru.service.database.tables import Run, Shard
from vru.service.queue import defer
from vru.validation_engine import jobs, repository

# Steps of active runs that no waiting or running job will do. A worker that was stopped and woken may mark another's
# job as finished, so a missing job is possible; a doubled one is harmless, for the fence stands behind it.
_MISSING = text(
    """
    WITH live AS (
        SELECT task_name, args FROM procrastinate_jobs WHERE status IN ('todo', 'doing')
    ), active AS (
        SELECT id, state, priority FROM runs
        WHERE state IN ('queued', 'preparing', 'running', 'analysing') AND paused_at IS NULL
          AND (CAST(:run_id AS uuid) IS NULL OR id = CAST(:run_id AS uuid))
    ), wanted AS (
        SELECT id AS run_id, priority, NULL::uuid AS shard_id, 0 AS number, false AS suspect,
               CAST(:prepare AS text) AS task
            FROM active WHERE state IN ('queued', 'preparing')
        UNION ALL
        SELECT active.id, priority, shards.id, shards.number, attempts + deaths > 0, :shard
            FROM active JOIN shards ON shards.run_id = active.id
            WHERE active.state = 'running' AND shards.state IN ('queued', 'running')
        UNION ALL
        SELECT id, priority, NULL, 0, false, :analyse FROM active WHERE state = 'analysing'
    )
    SELECT wanted.task, wanted.run_id, wanted.shard_id, wanted.priority, wanted.suspect FROM wanted
    WHERE NOT EXISTS (
        SELECT 1 FROM live
        WHERE live.task_name = wanted.task
          AND live.args ->> 'run_id' = wanted.run_id::text
          AND (wanted.shard_id IS NULL OR live.args ->> 'shard_id' = wanted.shard_id::text)
    )
    ORDER BY wanted.suspect, wanted.run_id, wanted.number
    """
)
_TASKS = {"prepare": jobs.PREPARE_RUN, "shard": jobs.RUN_SHARD, "analyse": jobs.ANALYSE_RUN}


async def defer_missing(queue: App, session: WriteSession, run_id: uuid.UUID | None = None) -> int:
    """Defer a job for each step of the run (of all active runs, without one) that has none. How many.

    A paused run needs no step.
    """
    missing = (await session.execute(_MISSING, _TASKS | {"run_id": run_id})).all()
    for task, of_run, shard_id, priority, suspect in missing:
        arguments = {"run_id": str(of_run)} | ({"shard_id": str(shard_id)} if shard_id else {})
        lock = jobs.SUSPECTS if suspect else None
        await defer(queue, session, task, [arguments], priority=priority, lock=lock)
    return len(missing)


async def defer_shard(queue: App, session: WriteSession, shard: Shard, *, suspect: bool, delay_s: float) -> None:
    """Defer the next try of one shard."""
    priority = await session.scalar(select(Run.priority).where(Run.id == shard.run_id))
    await defer(
        queue,
        session,
        jobs.RUN_SHARD,
        [{"run_id": str(shard.run_id), "shard_id": str(shard.id)}],
        delay_s=delay_s,
        priority=priority or 0,
        lock=jobs.SUSPECTS if suspect else None,
    )


async def settle(queue: App, session: WriteSession, run_id: uuid.UUID, frames: int) -> bool:
    """Count ``frames`` that were done, and send a run whose clips have all come to an end to its analysis; a run that
    has no clip left fails. False, and nothing changed, if the run is not running.

    Locks the run's row, so that of two clips that end together one sees the other: one is the last.
    """
    running = (RunState.RUNNING,)
    if not await repository.enter(session, run_id, running, frames_done=Run.frames_done + frames):
        return False
    to_do, done = await repository.unsettled(session, run_id)
    if to_do:
        return True
    if not done:
        last = await session.scalar(
            select(Shard.error).where(Shard.run_id == run_id).order_by(Shard.number.desc()).limit(1)
        )
        await repository.end_run(session, run_id, RunState.FAILED, f"No clip of the run could be processed. {last}")
        return True
    await repository.enter(session, run_id, running, state=RunState.ANALYSING, paused_at=None)
    await defer_missing(queue, session, run_id)
    return True


async def set_aside(queue: App, session: WriteSession, shard: Shard, reason: str) -> None:
    """Leave a shard out of its run, which goes on without it. The caller has fenced the shard's row."""
    values = {"state": ShardState.FAILED, "error": reason, "finished_at": func.now()}
    await session.execute(update(Shard).where(Shard.id == shard.id).values(**values))
    await session.execute(update(Run).where(Run.id == shard.run_id).values(revision=Run.revision + 1))
    await settle(queue, session, shard.run_id, 0)


async def bury(queue: App, session: WriteSession, job: Job, tries: int) -> uuid.UUID | None:
    """Take a job from a worker that is silent, and count that against its clip or run; the run, or None if the job is
    not this worker's any more. The step itself is deferred again by ``defer_missing``.

    The clip that took ``tries`` workers with it is set aside.
    """
    taken = await session.execute(
        text(
            "DELETE FROM procrastinate_jobs WHERE id = :id AND status = 'doing' "
            "AND worker_id IS NOT DISTINCT FROM CAST(:worker AS bigint) RETURNING id"
        ),
        {"id": job.id, "worker": job.worker_id},
    )
    if taken.first() is None:
        return None
    run_id = uuid.UUID(str(job.task_kwargs["run_id"]))
    if job.task_name == jobs.RUN_SHARD:
        # Only what had begun: a job whose worker died before it began does not blame its clip.
        died = (
            update(Shard)
            .where(Shard.id == uuid.UUID(str(job.task_kwargs["shard_id"])), Shard.state == ShardState.RUNNING)
            .values(deaths=Shard.deaths + 1, state=ShardState.QUEUED)
            .returning(Shard)
            .execution_options(synchronize_session=False, populate_existing=True)
        )
        shard = (await session.scalars(died)).one_or_none()
        if shard and shard.deaths >= tries:
            await set_aside(
                queue, session, shard, f"{shard.deaths} workers died or fell silent while they worked on it."
            )
    else:
        counted = update(Run).where(Run.id == run_id).values(deaths=Run.deaths + 1).returning(Run.deaths)
        deaths = await session.scalar(counted)
        if deaths and deaths >= jobs.MAX_DEATHS:
            reason = f"{deaths} workers died while they prepared or analysed the run. Their logs say more."
            await repository.end_run(session, run_id, RunState.FAILED, reason)
    return run_id


async def drop_waiting(session: WriteSession, run_id: uuid.UUID) -> None:
    """Take a run's waiting jobs out of the queue."""
    await session.execute(
        text("DELETE FROM procrastinate_jobs WHERE status = 'todo' AND args ->> 'run_id' = :run_id"),
        {"run_id": str(run_id)},
    )


async def reorder(session: WriteSession, run_id: uuid.UUID, priority: int) -> None:
    """Give a run's waiting jobs another priority."""
    await session.execute(
        text(
            "UPDATE procrastinate_jobs SET priority = :priority WHERE status = 'todo' AND args ->> 'run_id' = :run_id"
        ),
        {"run_id": str(run_id), "priority": priority},
    )


async def start_over(session: WriteSession, run_id: uuid.UUID) -> Sequence[ShardState]:
    """Give each clip of a run that is not done its tries back. The states of all clips of the run."""
    undone = update(Shard).where(Shard.run_id == run_id, Shard.state != ShardState.DONE)
    fresh = {"state": ShardState.QUEUED, "attempts": 0, "deaths": 0, "waits": 0, "error": None, "finished_at": None}
    await session.execute(undone.values(**fresh).execution_options(synchronize_session=False))
    states = await session.scalars(select(Shard.state).where(Shard.run_id == run_id))
    return [ShardState(state) for state in states]
