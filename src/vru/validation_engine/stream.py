"""Following a run: what Redis tells at once, and what the database tells in any case."""

import asyncio
from collections.abc import AsyncIterator

import structlog
from pydantic import ValidationError
from redis.asyncio import Redis
from redis.exceptions import RedisError
from sqlalchemy.exc import InterfaceError, OperationalError

from vru.service.database.sessions import Database
from vru.service.schemas import RunEvent
from vru.validation_engine import repository
from vru.validation_engine.events import channel

log = structlog.get_logger("vru.events")

# How often the database is asked: as the safety net, and where Redis does not answer.
_POLL_S = 5.0
_POLL_WITHOUT_REDIS_S = 1.0


async def follow(database: Database, redis: Redis, first: RunEvent) -> AsyncIterator[RunEvent]:
    """The state of a run now, then each change of it, until it is over or gone. Progress never goes backwards.

    ``first`` is where the run stood before; it is sent at once, and looked up again after listening began, so that
    nothing is missed between the two.
    """
    yield first
    last = first
    async for event in _changes(database, redis, first):
        if last.state.is_final:
            return
        if event.frames_done < last.frames_done:
            event = event.model_copy(update={"frames_done": last.frames_done})
        if event != last and list(type(last.state)).index(event.state) >= list(type(last.state)).index(last.state):
            yield event
            last = event


async def _changes(database: Database, redis: Redis, first: RunEvent) -> AsyncIterator[RunEvent]:
    run_id, over = first.run_id, first.state.is_final
    while not over:
        try:
            async with redis.pubsub(ignore_subscribe_messages=True) as listener:
                await listener.subscribe(channel(run_id))
                while not over:
                    stored = await _stored(database, first)
                    if stored is None:
                        return
                    yield stored
                    over = stored.state.is_final
                    end = asyncio.get_running_loop().time() + _POLL_S
                    while not over and (left := end - asyncio.get_running_loop().time()) > 0:
                        message = await listener.get_message(timeout=left)
                        if message is None:
                            continue
                        event = RunEvent.model_validate_json(message["data"])
                        yield event
                        over = event.state.is_final
        except RedisError as error:
            log.warning("following a run without Redis", run_id=str(run_id), reason=str(error))
        except ValidationError as error:
            log.warning("event not understood", run_id=str(run_id), reason=str(error))
        if not over:
            await asyncio.sleep(_POLL_WITHOUT_REDIS_S)
            stored = await _stored(database, first)
            if stored is None:
                return
            yield stored
            over = stored.state.is_final


async def _stored(database: Database, unknown: RunEvent) -> RunEvent | None:
    """Where the run stands; ``unknown`` while the database is away; None if the run is gone."""
    try:
        async with database.read() as session:
            return await repository.run_event(session, unknown.run_id)
    except (OperationalError, InterfaceError, OSError) as error:
        log.warning("following a run without the database", run_id=str(unknown.run_id), reason=str(error)[:200])
        return unknown
