"""Live events of a run, over Redis. They are a convenience: what counts stands in the database."""

import time
import uuid

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from vru.service.database.sessions import Database
from vru.service.schemas import RunEvent
from vru.validation_engine import repository

log = structlog.get_logger("vru.events")

_KEPT_S = 3600
_INTERVAL_S = 0.5


def channel(run_id: uuid.UUID) -> str:
    """The Redis channel with a run's events."""
    return f"vru:run:{run_id}"


async def publish(redis: Redis, event: RunEvent) -> None:
    """Tell whoever listens. If Redis does not answer, listeners find the change in the database a little later."""
    try:
        await redis.publish(channel(event.run_id), event.model_dump_json())
    except RedisError as error:
        log.warning("event not published", run_id=str(event.run_id), reason=str(error))


async def announce(redis: Redis, database: Database, run_id: uuid.UUID) -> None:
    """Tell whoever listens where the run stands in the database."""
    async with database.read() as session:
        event = await repository.run_event(session, run_id)
    if event:
        await publish(redis, event)


class Progress:
    """Publishes how far a shard has come, together with what the run's other shards reported, twice a second."""

    def __init__(self, redis: Redis, run_id: uuid.UUID, shard_number: int) -> None:
        self._redis, self._run_id, self._number = redis, run_id, shard_number
        self._next = 0.0

    async def report(self, event: RunEvent, frames: int) -> None:
        """Publish ``event`` with the frames of all shards, of which this one has done ``frames``."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + _INTERVAL_S
        key = f"vru:run:{self._run_id}:frames"
        try:
            async with self._redis.pipeline(transaction=False) as pipeline:
                pipeline.hset(key, str(self._number), str(frames))
                pipeline.expire(key, _KEPT_S)
                pipeline.hvals(key)
                *_, done = await pipeline.execute()
        except RedisError as error:
            log.warning("progress not published", run_id=str(self._run_id), reason=str(error))
            return
        total = max(event.frames_done, min(event.frames_total, sum(map(int, done))))
        await publish(self._redis, event.model_copy(update={"frames_done": total}))
