"""Finding the work of dead workers. Procrastinate puts nothing back by itself.

This is a loop in every worker and not a job: a job would wait for its turn behind the very work that is stuck.
"""

import asyncio
import uuid

import structlog
from procrastinate import App
from procrastinate.exceptions import ConnectorException
from procrastinate.jobs import Job, Status
from redis.asyncio import Redis
from sqlalchemy.exc import InterfaceError, OperationalError

from vru.domain import RunState
from vru.service.database.sessions import Database
from vru.validation_engine import events, jobs, metrics, repository

log = structlog.get_logger("vru.recovery")

_TIDY_EVERY_S = 3600.0
_KEEP_HOURS = 72


async def sweep(queue: App, database: Database, redis: Redis, stalled_after_s: float) -> int:
    """Put the jobs of workers that have been silent for ``stalled_after_s`` back into the queue, and defer a job for
    each step that has none. How many.
    """
    stalled = list(await queue.job_manager.get_stalled_jobs(seconds_since_heartbeat=stalled_after_s))
    found = 0
    for job in stalled:
        found += await _put_back(queue, database, redis, job)
    async with database.write() as session:
        orphans = await repository.adopt_orphans(queue, session)
    if stalled or orphans:
        log.warning("recovered jobs", stalled=len(stalled), orphans=orphans)
    metrics.recovered.inc(found + orphans)
    return found + orphans


async def _put_back(queue: App, database: Database, redis: Redis, job: Job) -> bool:
    try:
        if job.attempts < jobs.MAX_STALLS:
            await queue.job_manager.retry_job(job)
            return True
        await queue.job_manager.finish_job(job, Status.FAILED, delete_job=False)
    except ConnectorException as error:
        # Another worker's sweep was first, or the worker woke up and finished: then the job is not "doing" any more.
        if "not found" not in str(error.__cause__):
            raise
        return False
    run_id = uuid.UUID(str(job.task_kwargs["run_id"]))
    async with database.write() as session:
        reason = f"The job {job.task_name} was begun {job.attempts} times, and each time its worker died."
        await repository.end_run(session, run_id, RunState.FAILED, reason)
        event = await repository.run_event(session, run_id)
    if event:
        await events.publish(redis, event)
    return False


async def sweep_forever(
    queue: App, database: Database, redis: Redis, *, stalled_after_s: float, every_s: float
) -> None:
    """Sweep again and again; outlives times without a database. Ends when cancelled."""
    loop = asyncio.get_running_loop()
    tidy_at = loop.time()
    while True:
        try:
            await sweep(queue, database, redis, stalled_after_s)
            if loop.time() >= tidy_at:
                await queue.job_manager.delete_old_jobs(
                    _KEEP_HOURS, include_failed=True, include_cancelled=True, include_aborted=True
                )
                await queue.job_manager.prune_stalled_workers(_TIDY_EVERY_S)
                tidy_at = loop.time() + _TIDY_EVERY_S
        except (OperationalError, InterfaceError, ConnectorException, OSError) as error:
            log.warning("cannot look for stalled jobs", reason=str(error).strip().splitlines()[:1])
        await asyncio.sleep(every_s)
