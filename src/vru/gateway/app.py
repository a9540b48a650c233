"""The gateway's application."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import structlog
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from fastapi.routing import APIRoute
from redis.exceptions import RedisError
from sqlalchemy.exc import InterfaceError, OperationalError, ProgrammingError
from starlette.exceptions import HTTPException

from vru.domain import VruError
from vru.gateway import cameras, health, models, runs, signal_sources
from vru.gateway.auth import endpoints as auth
from vru.gateway.auth.current import is_logged_in, nobody_is_logged_in, session_store
from vru.gateway.auth.sessions import SessionStore
from vru.gateway.auth.users import ensure_admin
from vru.gateway.data_sets import endpoints as data_sets
from vru.gateway.docs import add_docs
from vru.gateway.ground_truths import endpoints as ground_truths
from vru.gateway.live_runs import advancing
from vru.gateway.live_runs import endpoints as live_runs
from vru.gateway.openapi import describe
from vru.gateway.predictions import endpoints as predictions
from vru.gateway.projects import endpoints as projects
from vru.gateway.resources import Resources, open_resources
from vru.gateway.settings import GatewaySettings
from vru.gateway.signals import endpoints as signals
from vru.gateway.videos import endpoints as videos
from vru.gateway.videos.store import MediaStore
from vru.service.app import create_app
from vru.service.errors import http_error, is_broken_json, validation_error, vru_error
from vru.service.requests import REQUEST_ID_HEADER

PREFIX = "/api/v1"
START_TIMEOUT_S = 60.0
_DESCRIPTION = """\
Proves, with evidence, whether an AI model or a vehicle camera detects vulnerable road users well and soon enough.

Log in with `POST /api/v1/auth/login`, then send the token as `Authorization: Bearer TOKEN`. Lists are
`{"items": [...], "total": n}` and take `limit` and `offset`. Errors are `application/problem+json`: `detail` says what
is wrong, `fix` what to do, `request_id` where to look in the logs.
"""

log = structlog.get_logger("vru.gateway")


def _operation_id(route: APIRoute) -> str:
    # The function's name: generated clients get list_projects instead of list_projects_api_v1_projects_get.
    return route.name


async def _begin(opened: Resources) -> None:
    """Make the administrator exist. After a reboot the database may still be starting: wait for it.

    Raises:
        VruError: the database or Redis does not answer in time, or the database has no tables yet.
    """
    sessions = SessionStore(opened.redis, opened.settings)
    end = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            await ensure_admin(opened.database, sessions, opened.settings)
        except (OperationalError, InterfaceError, RedisError) as error:
            reason = str(error).strip().partition("\n")[0]
            if time.monotonic() > end:
                raise VruError(
                    f"The gateway cannot start: {reason}", "Check VRU_DATABASE_* and VRU_REDIS_*, and their servers."
                ) from error
            log.warning("waiting for the database and Redis", reason=reason)
            await asyncio.sleep(1)
        except ProgrammingError as error:
            raise VruError("The database has no tables yet.", "Run: python -m vru.service.database.migrate") from error
        else:
            return


def _authenticate_first(app: FastAPI) -> None:
    """Tell nobody who is not logged in what is wrong with a body: it is parsed before a route asks who sends it."""

    def after(handle: Callable[[Request, Exception], Response]) -> Callable[[Request, Exception], Awaitable[Response]]:
        async def answer(request: Request, error: Exception) -> Response:
            if is_broken_json(error) and request.url.path != f"{PREFIX}/auth/login":
                sessions = session_store(request.app.state.resources)
                if not await is_logged_in(request, sessions):
                    return vru_error(request, nobody_is_logged_in())
            return handle(request, error)

        return answer

    app.add_exception_handler(HTTPException, after(http_error))
    app.add_exception_handler(RequestValidationError, after(validation_error))


def create_gateway(settings: GatewaySettings) -> FastAPI:
    """The gateway, ready for ``vru.service.app.serve``."""

    def resources() -> Resources:
        found: Resources = app.state.resources
        return found

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        removed = MediaStore(settings.media_dir).prepare()
        if removed:
            log.info("removed what aborted uploads left", files=removed)
        async with open_resources(app, settings) as opened:
            await _begin(opened)
            caretaker = asyncio.create_task(advancing.run(opened))
            yield
            caretaker.cancel()
            with suppress(asyncio.CancelledError):
                await caretaker

    async def check_database() -> None:
        await resources().database.check()

    async def check_redis() -> None:
        await health.ping_redis(resources())

    async def check_media() -> None:
        await asyncio.to_thread(MediaStore(settings.media_dir).check)

    app = create_app(
        title="VRU Platform API",
        service="api_gateway",
        description=_DESCRIPTION,
        settings=settings,
        lifespan=lifespan,
        checks={"database": check_database, "redis": check_redis, "media": check_media},
        health=False,
        public=True,
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=_operation_id,
        openapi_tags=[
            {"name": "auth", "description": "Logging in and out"},
            {"name": "projects", "description": "One model or camera under validation each"},
            {"name": "videos", "description": "Recordings with exact frame times"},
            {"name": "ground truth", "description": "Who is really visible in a video, where and when"},
            {"name": "signals", "description": "What a device under test said while a video was shown to it"},
            {"name": "data sets", "description": "Lists of recordings, in versions that runs freeze"},
            {"name": "predictions", "description": "Boxes of detectors that ran elsewhere"},
            {"name": "models", "description": "What can be validated"},
            {"name": "runs", "description": "Validation runs, their metrics and verdicts"},
            {"name": "cameras", "description": "Devices under test and picture sources"},
            {"name": "signal sources", "description": "Devices that the platform listens to"},
            {"name": "live runs", "description": "Camera runs that are made while the signals come"},
            {"name": "service", "description": "Health and readiness"},
        ],
    )
    app.state.latest_health = health.LatestHealth()
    api = APIRouter(prefix=PREFIX)
    recorded = (videos, ground_truths, signals, data_sets, predictions)
    for module in (auth, projects, *recorded, models, runs, cameras, signal_sources, live_runs):
        api.include_router(module.router)
    api.include_router(runs.keys)
    api.include_router(runs.comparisons)
    app.include_router(api)
    app.include_router(health.router)
    _authenticate_first(app)
    add_docs(app)
    describe(app)
    if settings.cors_origin_list:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origin_list,
            allow_credentials=True,
            allow_methods=["GET", "POST", "PATCH", "DELETE"],
            allow_headers=["Authorization", "Content-Type", REQUEST_ID_HEADER],
            expose_headers=[REQUEST_ID_HEADER],
            max_age=600,
        )
    return app
