"""Finding the work of dead workers. Procrastinate puts nothing back by itself.

This is a loop in every worker and not a job: a job would wait for its turn behind the very work that is stuck.
"""

import asyncio
import uuid

import structlog
from procrastinate import App
from procrastinate.exceptions import ConnectorException
from redis.asyncio import Redis
from sqlalchemy import text
from sqlalchemy.exc import InterfaceError, OperationalError

from vru.service.database.sessions import Database
from vru.validation_engine import events, metrics, workflow

log = structlog.get_logger("vru.recovery")

# Any constant does; it only has to be the same in every worker.
_SWEEP_LOCK = 7_665_002
_TIDY_EVERY_S = 3600.0
_KEEP_HOURS = 72


async def sweep(queue: App, database: Database, redis: Redis, *, stalled_after_s: float, clip_tries: int) -> int:
    """Take the jobs of workers that have been silent for ``stalled_after_s``, and defer a job for each step that has
    none. How many were deferred; 0 also while another worker looks.
    """
    touched: set[uuid.UUID] = set()
    async with database.write() as session:
        if not await session.scalar(text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": _SWEEP_LOCK}):
            return 0
        stalled = list(await queue.job_manager.get_stalled_jobs(seconds_since_heartbeat=stalled_after_s))
        for job in stalled:
            run_id = await workflow.bury(queue, session, job, clip_tries)
            if run_id:
                touched.add(run_id)
        deferred = await workflow.defer_missing(queue, session)
    if stalled or deferred:
        log.warning("recovered jobs", stalled=len(stalled), deferred=deferred)
    metrics.recovered.inc(deferred)
    for run_id in touched:
        await events.announce(redis, database, run_id)
    return deferred


async def sweep_forever(
    queue: App, database: Database, redis: Redis, *, stalled_after_s: float, every_s: float, clip_tries: int
) -> None:
    """Sweep again and again; outlives times without a database. Ends when cancelled."""
    loop = asyncio.get_running_loop()
    tidy_at = loop.time()
    while True:
        pause_s = every_s
        try:
            await sweep(queue, database, redis, stalled_after_s=stalled_after_s, clip_tries=clip_tries)
            if loop.time() >= tidy_at:
                await queue.job_manager.delete_old_jobs(
                    _KEEP_HOURS, include_failed=True, include_cancelled=True, include_aborted=True
                )
                await queue.job_manager.prune_stalled_workers(_TIDY_EVERY_S)
                tidy_at = loop.time() + _TIDY_EVERY_S
        except (OperationalError, InterfaceError, ConnectorException, OSError) as error:
            log.warning("cannot look for stalled jobs", reason=str(error).strip().splitlines()[:1])
            # While the database was away no worker could say that it lives: they get the time to say it.
            pause_s = stalled_after_s
        await asyncio.sleep(pause_s)
