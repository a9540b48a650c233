"""What happens around every request: its id, its size limit, its log line, its metrics, the last catch for errors."""

import re
import time
import uuid
from http import HTTPStatus

import structlog
from fastapi import Request
from prometheus_client import Counter, Gauge, Histogram
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware.body_limit import MAX_BODY_SIZE_SCOPE_KEY
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vru.service.errors import problem

REQUEST_ID_HEADER = "X-Request-ID"
_SANE_ID = re.compile(r"[A-Za-z0-9_.:-]{1,100}")
_QUIET = {"/health", "/ready", "/metrics"}
_CLIENT_CLOSED_REQUEST = 499

_requests = Counter("vru_http_requests_total", "HTTP requests answered", ["method", "route", "status"])
_seconds = Histogram(
    "vru_http_request_seconds",
    "From the request's arrival to the response's last byte",
    ["method", "route"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120),
)
_in_progress = Gauge("vru_http_requests_in_progress", "HTTP requests being answered now")
_METHODS = {"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"}

log = structlog.get_logger("vru.requests")


def request_id() -> str:
    """The id of the request that this code works for, or a new one outside of any request."""
    current: str | None = structlog.contextvars.get_contextvars().get("request_id")
    return current or uuid.uuid4().hex


def _route(scope: Scope) -> str:
    """The route's template (``/runs/{run_id}``), so that ids do not make a time series each."""
    context = scope.get("fastapi", {}).get("effective_route_context") or scope.get("route")
    template: str | None = getattr(context, "path_format", None) or getattr(context, "path", None)
    return template or "unmatched"


class RequestMiddleware:
    """Give each request an id, limit, log and count it, and answer 500 for what nobody else caught.

    ``max_body_size``: bytes; None for no limit. A route with a ``max_body_size`` of its own is left to that.
    """

    def __init__(self, app: ASGIApp, max_body_size: int | None = None) -> None:
        self.app = app
        self.max_body_size = max_body_size

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = Headers(scope=scope).get(REQUEST_ID_HEADER, "")
        identity = given if _SANE_ID.fullmatch(given) else uuid.uuid4().hex
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = int(message["status"])
                MutableHeaders(scope=message)[REQUEST_ID_HEADER] = identity
            await send(message)

        received = 0

        async def receive_limited() -> Message:
            # FastAPI's own limit for a whole application would answer in plain text. It is asked for only when a
            # body is read, so that by now the route has said whether it has a limit of its own.
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            limited = self.max_body_size is not None and MAX_BODY_SIZE_SCOPE_KEY not in scope
            if limited and received > (self.max_body_size or 0):
                raise HTTPException(413, f"The request's body is larger than {self.max_body_size} bytes.")
            return message

        began = time.perf_counter()
        _in_progress.inc()
        with structlog.contextvars.bound_contextvars(request_id=identity):
            try:
                await self.app(scope, receive_limited, send_with_id)
            except ClientDisconnect:
                status = status or _CLIENT_CLOSED_REQUEST
            except Exception:
                # The boundary of the process: whatever is not expected is logged whole and told without details.
                log.exception("unexpected error", method=scope["method"], path=scope["path"])
                if status:  # The response has begun: cutting the connection is the only way to say that it failed.
                    raise
                answer = problem(
                    Request(scope),
                    HTTPStatus.INTERNAL_SERVER_ERROR,
                    "The server made an error.",
                    f"Look for request id {identity} in the logs.",
                )
                await answer(scope, receive, send_with_id)
            finally:
                _in_progress.dec()
                self._record(scope, status or _CLIENT_CLOSED_REQUEST, time.perf_counter() - began)

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        method = scope["method"] if scope["method"] in _METHODS else "other"
        route = _route(scope)
        _requests.labels(method, route, str(status)).inc()
        _seconds.labels(method, route).observe(seconds)
        quiet = scope["path"] in _QUIET and status < HTTPStatus.BAD_REQUEST
        (log.debug if quiet else log.info)(
            "request",
            method=method,
            path=scope["path"],
            route=route,
            status=status,
            duration_ms=round(seconds * 1000, 2),
            client=(scope.get("client") or ("",))[0],
        )
