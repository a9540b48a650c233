"""What the gateway keeps open while it runs, and how endpoints get at it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated

import aiohttp
from fastapi import Depends, FastAPI, Request
from redis.asyncio import Redis

from vru.gateway.auth.rate_limit import LoginLimiter
from vru.gateway.settings import GatewaySettings
from vru.gateway.uploads import READERS
from vru.sandbox.pool import Sandbox
from vru.service import cache
from vru.service.assertions import Asserter
from vru.service.database.sessions import Database
from vru.service.errors import TooBusyError
from vru.service.http import create_session

# Streams end with their runs.
_RETRY_S = 10


@dataclass
class EventStreams:
    """Connections for streams that last for minutes, apart from those that every request needs; ``most`` at once."""

    http: aiohttp.ClientSession
    most: int
    open: int = 0

    def enter(self) -> Callable[[], None]:
        """Count one more stream in. Call what this returns at its end; a second call does nothing.

        Raises:
            TooBusyError: there are as many as may be.
        """
        if self.open >= self.most:
            raise TooBusyError(
                f"{self.most} runs are being followed already, which is as many as may be.",
                "Close other pages, or ask for the run itself now and then: GET /api/v1/runs/{run_id}.",
                retry_after_s=_RETRY_S,
            )
        self.open += 1
        ended = False

        def leave() -> None:
            nonlocal ended
            self.open -= not ended
            ended = True

        return leave


@dataclass
class Resources:
    """Connections of one gateway process."""

    settings: GatewaySettings
    database: Database
    redis: Redis
    http: aiohttp.ClientSession
    streams: EventStreams
    login_limiter: LoginLimiter
    asserter: Asserter
    sandbox: Sandbox
    # Decoding takes whole cores: more videos at once would only starve everything else.
    probing: asyncio.Semaphore


@asynccontextmanager
async def open_resources(app: FastAPI, settings: GatewaySettings) -> AsyncIterator[Resources]:
    """Open everything, put it into ``app.state``, and close it at the end."""
    database, redis, http = Database(settings), cache.connect(settings), create_session()
    streams = EventStreams(create_session(connections=settings.max_event_streams), settings.max_event_streams)
    app.state.database = database
    asserter = Asserter.of(settings, "api_gateway", ("ml_engine", "camera_service", "validation_engine"))
    sandbox = Sandbox(READERS, children=3)  # two videos at once, and one more file
    limiter = LoginLimiter(redis)
    app.state.resources = Resources(
        settings, database, redis, http, streams, limiter, asserter, sandbox, asyncio.Semaphore(2)
    )
    try:
        yield app.state.resources
    finally:
        sandbox.close()
        await streams.http.close()
        await http.close()
        await redis.aclose()
        await database.close()


def _resources(request: Request) -> Resources:
    found: Resources = request.app.state.resources
    return found


Gateway = Annotated[Resources, Depends(_resources)]
