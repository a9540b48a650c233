"""What the gateway keeps open while it runs, and how endpoints get at it."""

from collections.abc import AsyncIterator
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
from vru.service.database.sessions import Database
from vru.service.http import create_session


@dataclass
class Resources:
    """Connections of one gateway process."""

    settings: GatewaySettings
    database: Database
    redis: Redis
    http: aiohttp.ClientSession
    login_limiter: LoginLimiter
    sandbox: Sandbox


@asynccontextmanager
async def open_resources(app: FastAPI, settings: GatewaySettings) -> AsyncIterator[Resources]:
    """Open everything, put it into ``app.state``, and close it at the end."""
    database, redis, http = Database(settings), cache.connect(settings), create_session()
    app.state.database = database
    sandbox = Sandbox(READERS, children=3)  # two videos at once, and one more file
    app.state.resources = Resources(settings, database, redis, http, LoginLimiter(redis), sandbox)
    try:
        yield app.state.resources
    finally:
        sandbox.close()
        await http.close()
        await redis.aclose()
        await database.close()


def _resources(request: Request) -> Resources:
    found: Resources = request.app.state.resources
    return found


Gateway = Annotated[Resources, Depends(_resources)]
