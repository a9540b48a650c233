"""The queue of jobs in PostgreSQL: Procrastinate, on the platform's own database.

Whoever defers a job does it in the transaction that changes the rows which the job is about: either both are there
afterwards or neither is.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from procrastinate import App, PsycopgConnector
from sqlalchemy.ext.asyncio import AsyncSession

from vru.service.settings import ServiceSettings

RUNS_QUEUE = "runs"


def create_queue(settings: ServiceSettings, *, pool_size: int = 4) -> App:
    """Procrastinate's App. A worker opens it (``async with queue.open_async()``); deferring needs no opening."""
    return App(
        connector=PsycopgConnector(
            conninfo=settings.database_conninfo,
            min_size=1,
            max_size=pool_size,
            kwargs={"connect_timeout": 5, "application_name": "vru-queue"},
        )
    )


async def driver_connection(session: AsyncSession) -> "psycopg.AsyncConnection[Any]":
    """The psycopg connection in the middle of ``session``'s transaction."""
    raw = await (await session.connection()).get_raw_connection()
    connection = raw.driver_connection
    if not isinstance(connection, psycopg.AsyncConnection):
        raise TypeError(f"The database driver is {type(connection).__name__}, not psycopg.")
    return connection


async def defer(
    queue: App,
    session: AsyncSession,
    task: str,
    arguments: Sequence[dict[str, Any]],
    *,
    delay_s: float = 0.0,
    priority: int = 0,
    lock: str | None = None,
) -> None:
    """Defer one job of ``task`` for each of ``arguments``, as part of ``session``'s transaction.

    A worker sees the jobs when the transaction commits, ``delay_s`` seconds later at the earliest. Of waiting jobs
    those with the highest ``priority`` are next. Jobs with the same ``lock`` are done one after the other.
    """
    await session.flush()
    at = datetime.now(UTC) + timedelta(seconds=delay_s) if delay_s > 0 else None
    deferrer = queue.configure_task(
        task,
        queue=RUNS_QUEUE,
        schedule_at=at,
        priority=priority,
        lock=lock,
        connection=await driver_connection(session),
    )
    await deferrer.batch_defer_async(*arguments)
