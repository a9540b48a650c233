"""The frame that every service stands in: health, readiness, metrics, request ids, errors, graceful end."""

import asyncio
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib.metadata import version
from typing import Any, Literal, NoReturn

import structlog
import uvicorn
from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, ValidationError

from vru.domain import VruError
from vru.service import errors, logs
from vru.service.access import AccessMiddleware
from vru.service.assertions import secret_of
from vru.service.ending import Ending
from vru.service.requests import RequestMiddleware
from vru.service.settings import ServiceSettings

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]
Check = Callable[[], Awaitable[None]]

CHECK_TIMEOUT_S = 3.0
# What open requests get after SIGTERM; containers are killed a little later (stop_grace_period).
DRAIN_S = 125
# uvicorn's own exit code for an application that did not start.
_NOT_STARTED = 3
# Networks whose X-Forwarded-* headers are believed: loopback and the private ones where nginx lives.
_TRUSTED_PROXIES = ["127.0.0.1", "::1", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fd00::/8"]

log = structlog.get_logger("vru.app")


class Health(BaseModel):
    """That the process answers."""

    status: Literal["ok"] = "ok"
    service: str
    version: str


class Readiness(BaseModel):
    """Whether the service can work: for each thing that it needs, "ok" or why not."""

    status: Literal["ok", "unavailable"]
    checks: dict[str, str]


@asynccontextmanager
async def _no_lifespan(_: FastAPI) -> AsyncIterator[None]:
    yield


async def run_check(check: Check, timeout_s: float = CHECK_TIMEOUT_S) -> str:
    """Return "ok", or one line that says why ``check`` failed."""
    try:
        async with asyncio.timeout(timeout_s):
            await check()
    except TimeoutError:
        return f"no answer within {timeout_s:g} s"
    except Exception as error:  # noqa: BLE001 - whatever a check raises is the reason it reports
        return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return "ok"


def create_app(
    *,
    title: str,
    settings: ServiceSettings,
    lifespan: Lifespan | None = None,
    checks: Mapping[str, Check] | None = None,
    service: str | None = None,
    description: str = "",
    health: bool = True,
    max_body_size: int | None = 1024 * 1024,
    public: bool = False,
    **fastapi_arguments: Any,
) -> FastAPI:
    """A FastAPI application with ``/health``, ``/ready`` and ``/metrics``, request ids, metrics and problem+json.

    Args:
        title: what people read; in lower case with underscores it is also the service's name in logs.
        settings: kept as ``app.state.settings``.
        lifespan: opens and closes what the service uses.
        checks: by name, coroutines that raise if something the service needs is missing; ``/ready`` runs them.
        service: the service's name, if it does not follow from the title.
        description: for the API's documentation.
        health: False if the service brings its own ``/health``.
        max_body_size: bytes of a request's body, unless a route says otherwise; None for no limit.
        public: True for a service that people reach; any other answers only services that show an assertion, besides
            ``/health``, ``/ready`` and ``/metrics``.
        fastapi_arguments: passed on to ``FastAPI``.

    Raises:
        VruError: the secret of an internal service's callers is not set.
    """
    name = service or title.lower().replace(" ", "_").replace("-", "_")
    app = FastAPI(
        title=title,
        description=description,
        version=version("vru-platform"),
        lifespan=lifespan or _no_lifespan,
        **fastapi_arguments,
    )
    app.state.settings = settings
    app.state.service = name
    app.state.ending = Ending()
    secret = None if public else secret_of(settings, name)
    app.add_middleware(AccessMiddleware, service=name, names=settings.host_names, secret=secret)
    app.add_middleware(RequestMiddleware, max_body_size=max_body_size)
    errors.install(app)

    if health:

        @app.get("/health", tags=["service"], summary="Whether the process answers")
        async def answer_health() -> Health:
            """Asks nothing of anything else."""
            return Health(service=name, version=app.version)

    @app.get("/ready", tags=["service"], summary="Whether the service can work", responses={503: {"model": Readiness}})
    async def answer_ready() -> Response:
        """200, or 503 with what is missing and why."""
        names = list(checks or {})
        outcomes = await asyncio.gather(*(run_check(check) for check in (checks or {}).values()))
        body = Readiness(
            status="ok" if all(outcome == "ok" for outcome in outcomes) else "unavailable",
            checks=dict(zip(names, outcomes, strict=True)),
        )
        return JSONResponse(body.model_dump(), status_code=200 if body.status == "ok" else 503)

    @app.get("/metrics", include_in_schema=False)
    async def answer_metrics() -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return app


def fail(error: VruError | ValidationError) -> NoReturn:
    """End the process with one readable line for an error in what the operator set.

    Values are left out: a setting may be a secret.
    """
    if isinstance(error, ValidationError):
        places = [f"VRU_{'.'.join(map(str, item['loc'])).upper()}: {item['msg']}" for item in error.errors()]
        error = VruError(f"The environment is not right: {'; '.join(places)}.", "See .env.production.example.")
    sys.stderr.write(f"error: {error}\n")
    sys.exit(1)


class _Server(uvicorn.Server):
    """Tells the application that the end has come before it waits for open requests."""

    def __init__(self, config: uvicorn.Config, ending: Ending) -> None:
        super().__init__(config)
        self._ending = ending

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._ending.begin()
        await super().shutdown(sockets)


def serve(app_factory: Callable[[], FastAPI], port: int) -> None:
    """Run the application until SIGTERM or SIGINT; then end event streams, and finish open requests.

    Requests, such as uploads, get 125 seconds at most; who was following a stream connects again, elsewhere.

    ``VRU_BIND_HOST`` says where it listens. Returns at a graceful end; exits with 1 if the settings are wrong or the
    application does not start, with uvicorn's own code (3) if its lifespan fails.
    """
    try:
        app = app_factory()
    except (VruError, ValidationError) as error:
        fail(error)
    settings: ServiceSettings = app.state.settings
    logs.configure(app.state.service, settings.log_level)
    log.info("starting", host=settings.bind_host, port=port, version=app.version)
    config = uvicorn.Config(
        app,
        host=settings.bind_host,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=True,
        forwarded_allow_ips=_TRUSTED_PROXIES,
        timeout_graceful_shutdown=DRAIN_S,
        timeout_keep_alive=75,
    )
    server = _Server(config, app.state.ending)
    try:
        server.run()
    except KeyboardInterrupt:
        # SIGINT was obeyed already; uvicorn hands it on at the end.
        return
    if not server.started:
        sys.exit(_NOT_STARTED)
