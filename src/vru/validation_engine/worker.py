"""The worker: takes jobs from the queue and does them. ``python -m vru.validation_engine.worker``."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from typing import Any

import structlog
from aiohttp import web
from procrastinate import App
from procrastinate.exceptions import ProcrastinateException
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from psycopg import Error as PsycopgError
from psycopg_pool import PoolTimeout
from pydantic import ValidationError
from redis.asyncio import Redis
from sqlalchemy.exc import SQLAlchemyError

from vru.domain import VruError
from vru.service import cache, logs
from vru.service.app import fail, run_check
from vru.service.assertions import Asserter
from vru.service.database.sessions import Database
from vru.service.http import create_session
from vru.service.queue import RUNS_QUEUE, create_queue
from vru.validation_engine import metrics, repository
from vru.validation_engine.recovery import sweep_forever
from vru.validation_engine.settings import WorkerSettings
from vru.validation_engine.steps import Steps

log = structlog.get_logger("vru.worker")

_NAME = "validation_worker"
_SWEEP_EVERY_S = 3.0
_RETRY_S = 1.0


def status_app(database: Database, redis: Redis) -> web.Application:
    """``/health``, ``/ready`` and ``/metrics`` of the worker."""

    async def health(_: web.Request) -> web.Response:
        return web.json_response({"status": "ok", "service": _NAME})

    async def ready(_: web.Request) -> web.Response:
        async def ping() -> None:
            await redis.ping()

        checks = {"database": await run_check(database.check), "redis": await run_check(ping)}
        good = all(outcome == "ok" for outcome in checks.values())
        body = {"status": "ok" if good else "unavailable", "checks": checks}
        return web.json_response(body, status=200 if good else 503)

    async def measure() -> None:
        async with database.read() as session:
            depth, age = await repository.waiting(session)
        metrics.queue_jobs.set(depth)
        metrics.queue_age.set(age)

    async def answer_metrics(_: web.Request) -> web.Response:
        if await run_check(measure) != "ok":
            metrics.queue_jobs.set(float("nan"))
            metrics.queue_age.set(float("nan"))
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.add_routes([web.get("/health", health), web.get("/ready", ready), web.get("/metrics", answer_metrics)])
    return app


@contextlib.asynccontextmanager
async def _serving(app: web.Application, host: str, port: int) -> AsyncIterator[None]:
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        yield
    finally:
        await runner.cleanup()


async def _work(queue: App, settings: WorkerSettings) -> None:
    """Take jobs until cancelled. Procrastinate's worker ends when the database goes away: then start another."""
    while True:
        try:
            await queue.run_worker_async(
                queues=[RUNS_QUEUE],
                name=_NAME,
                concurrency=settings.worker_concurrency,
                install_signal_handlers=False,
                fetch_job_polling_interval=2.0,
                shutdown_graceful_timeout=settings.worker_grace_s,
                update_heartbeat_interval=settings.heartbeat_s,
                stalled_worker_timeout=settings.stalled_after_s,
                delete_jobs="successful",
            )
            log.warning("worker ended by itself, starting again")
        except (ProcrastinateException, PsycopgError, PoolTimeout, OSError) as error:
            log.warning("worker lost the database, starting again", reason=str(error.__cause__ or error))
        await asyncio.sleep(_RETRY_S)


async def run(settings: WorkerSettings, asserter: Asserter) -> None:
    """Work until SIGTERM or SIGINT. Then finish what can be finished within the grace time, give back the rest."""
    database, redis = Database(settings), cache.connect(settings)
    queue = create_queue(settings, pool_size=settings.worker_concurrency + 3)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(database.close)
        stack.push_async_callback(redis.aclose)
        # A shard's stream may be silent while the model loads; a whole shard may take long.
        http = await stack.enter_async_context(create_session(asserter=asserter, read_timeout_s=300.0))
        await stack.enter_async_context(
            _serving(status_app(database, redis), settings.bind_host, settings.worker_metrics_port)
        )
        stack.push_async_callback(queue.close_async)
        opening, stopping = asyncio.create_task(_open(queue, database)), asyncio.create_task(stop.wait())
        stack.push_async_callback(_end, opening, stopping)
        await asyncio.wait((opening, stopping), return_when=asyncio.FIRST_COMPLETED)
        if not opening.done():
            return
        opening.result()
        Steps(settings, database, queue, redis, http).register()
        log.info("working", concurrency=settings.worker_concurrency, ml_engine=settings.ml_engine_url)
        working = asyncio.create_task(_work(queue, settings))
        sweeping = asyncio.create_task(
            sweep_forever(
                queue,
                database,
                redis,
                stalled_after_s=settings.stalled_after_s,
                # A dead worker is noticed soon after its time is over.
                every_s=min(_SWEEP_EVERY_S, settings.stalled_after_s / 2),
                clip_tries=settings.clip_tries,
            )
        )
        await asyncio.wait((working, sweeping, stopping), return_when=asyncio.FIRST_COMPLETED)
        log.info("stopping")
        for outcome in await _end(sweeping, working):
            if isinstance(outcome, Exception):
                raise outcome


async def _end(*tasks: "asyncio.Task[Any]") -> list[Any]:
    """Cancel tasks and wait until they have ended."""
    for task in tasks:
        task.cancel()
    return await asyncio.gather(*tasks, return_exceptions=True)


async def _open(queue: App, database: Database) -> None:
    """Open the queue's pool once the database answers."""
    while True:
        try:
            # Asked first, because the pool itself gives up only after half a minute.
            await database.check()
            await queue.open_async()
        except (SQLAlchemyError, ProcrastinateException, PsycopgError, PoolTimeout, OSError) as error:
            log.warning("waiting for the database", reason=str(error.__cause__ or error).strip().splitlines()[:1])
            # A pool that gave up is closed for good: forget it.
            await queue.close_async()
            await asyncio.sleep(_RETRY_S)
        else:
            return


def main() -> None:
    """Run one worker."""
    try:
        settings = WorkerSettings()
        asserter = Asserter.of(settings, _NAME, ("ml_engine", "signer"))
        logs.configure(_NAME, settings.log_level)
    except (VruError, ValidationError) as error:
        fail(error)
    asyncio.run(run(settings, asserter))


if __name__ == "__main__":
    main()
