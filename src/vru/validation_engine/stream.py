"""Following a run: what Redis tells at once, and what the database tells in any case."""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass

import structlog
from pydantic import ValidationError
from redis.asyncio import Redis
from redis.exceptions import RedisError
from sqlalchemy.exc import InterfaceError, OperationalError

from vru.domain import RunState
from vru.service.database.sessions import Database
from vru.service.schemas import RunEvent
from vru.validation_engine import repository
from vru.validation_engine.events import channel

log = structlog.get_logger("vru.events")

# How often the database is asked: as the safety net, and where Redis does not answer.
_POLL_S = 5.0
_POLL_WITHOUT_REDIS_S = 1.0

_STATES = list(RunState)


@dataclass(frozen=True, order=True)
class Position:
    """How far a run had come at an event: the id of that event in the stream. Later events have greater ones.

    A run that is retried goes back in its states: its revision tells that from an event that comes late.
    """

    revision: int
    state: int
    frames_done: int
    frames_total: int

    @classmethod
    def of(cls, event: RunEvent) -> "Position":
        """The position of an event."""
        return cls(event.revision, _STATES.index(event.state), event.frames_done, event.frames_total)

    @classmethod
    def parse(cls, text: str) -> "Position | None":
        """Read an id; None for what is none, as nothing is known then of what the client has seen."""
        found = re.fullmatch(r"(\d{1,9})\.(\d{1,2})\.(\d{1,18})\.(\d{1,18})", text, re.ASCII)
        return cls(*map(int, found.groups())) if found else None

    def __str__(self) -> str:
        return f"{self.revision}.{self.state}.{self.frames_done}.{self.frames_total}"


async def follow(
    database: Database, redis: Redis, first: RunEvent, seen: Position | None = None
) -> AsyncIterator[RunEvent]:
    """The state of a run now, then each change of it, until it is over or gone. Progress never goes backwards.

    ``first`` is where the run stood before; it is sent at once, and looked up again after listening began, so that
    nothing is missed between the two. What a client has ``seen`` over an earlier connection is not sent again.
    """
    last: RunEvent | None = None
    async for event in _from(first, _changes(database, redis, first)):
        if last is not None and last.state.is_final:
            return
        done = max(event.frames_done, last.frames_done if last else 0, seen.frames_done if seen else 0)
        if event.frames_done < done:
            event = event.model_copy(update={"frames_done": done})
        position = Position.of(event)
        unseen = seen is None or position > seen
        new = unseen and (last is None or (event != last and position >= Position.of(last)))
        if new:
            yield event
        if last is None or new:
            last = event


async def _from(first: RunEvent, rest: AsyncIterator[RunEvent]) -> AsyncIterator[RunEvent]:
    yield first
    async for event in rest:
        yield event


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
