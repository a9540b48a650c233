"""Errors with an HTTP status, and how every error becomes application/problem+json (RFC 9457)."""

from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any, cast

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException
from starlette.routing import Match

from vru.domain import VruError
from vru.service.schemas import Problem

PROBLEM_JSON = "application/problem+json"

# FastAPI's words.
_UNREADABLE = "There was an error parsing the body"

log = structlog.get_logger("vru.errors")


class NotFoundError(VruError):
    """What was asked for does not exist."""

    status = HTTPStatus.NOT_FOUND


class UnauthorizedError(VruError):
    """Nobody is logged in."""

    status = HTTPStatus.UNAUTHORIZED


class ForbiddenError(VruError):
    """Who is logged in may not do this."""

    status = HTTPStatus.FORBIDDEN


class ConflictError(VruError):
    """The request contradicts what is stored."""

    status = HTTPStatus.CONFLICT


class TooLargeError(VruError):
    """The body is above its size limit."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE


class UnprocessableError(VruError):
    """The body is well formed but cannot be used."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY


class TooManyRequestsError(VruError):
    """The client must wait. ``retry_after_s``: seconds until the next try may succeed."""

    status = HTTPStatus.TOO_MANY_REQUESTS

    def __init__(self, message: str, fix: str = "", *, retry_after_s: int) -> None:
        super().__init__(message, fix)
        self.retry_after_s = retry_after_s


class TooBusyError(VruError):
    """As much is being done as may be. ``retry_after_s``: seconds until the next try may succeed."""

    status = HTTPStatus.SERVICE_UNAVAILABLE

    def __init__(self, message: str, fix: str = "", *, retry_after_s: int) -> None:
        super().__init__(message, fix)
        self.retry_after_s = retry_after_s


class RangeNotSatisfiableError(VruError):
    """No part that was asked for lies inside of the file. ``size``: the file's, in bytes."""

    status = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE

    def __init__(self, size: int) -> None:
        super().__init__(f"The file has {size} bytes: nothing of what was asked for is in it.", "Ask for less.")
        self.size = size


class InsufficientStorageError(VruError):
    """The disk is full."""

    status = HTTPStatus.INSUFFICIENT_STORAGE


class UnavailableError(VruError):
    """A part that this request needs does not answer."""

    status = HTTPStatus.SERVICE_UNAVAILABLE


def problem(
    request: Request, status: int, detail: str, fix: str = "", headers: dict[str, str] | None = None
) -> Response:
    """The response that tells the client what went wrong and what to do."""
    body = Problem(
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail.encode("utf-8", "backslashreplace").decode(),
        fix=fix or None,
        instance=request.url.path,
        request_id=structlog.contextvars.get_contextvars().get("request_id"),
    )
    return Response(body.model_dump_json(), status_code=status, headers=headers, media_type=PROBLEM_JSON)


def vru_error(request: Request, error: Exception) -> Response:
    """The problem that says so."""
    error = cast(VruError, error)
    headers = {}
    if isinstance(error, TooManyRequestsError | TooBusyError):
        headers["Retry-After"] = str(error.retry_after_s)
    if isinstance(error, RangeNotSatisfiableError):
        headers["Content-Range"] = f"bytes */{error.size}"
    if isinstance(error, UnauthorizedError):
        headers["WWW-Authenticate"] = "Bearer"
    return problem(request, getattr(error, "status", HTTPStatus.BAD_REQUEST), error.message, error.fix, headers)


def http_error(request: Request, error: Exception) -> Response:
    """The problem that says so."""
    error = cast(HTTPException, error)
    detail, headers = str(error.detail), dict(error.headers or {})
    if detail == _UNREADABLE:
        return _unreadable(request, error)
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        # The router names the methods of one route; others of the same path have more.
        headers["Allow"] = allowed = ", ".join(_methods(request))
        if request.method == "OPTIONS":
            return Response(status_code=HTTPStatus.NO_CONTENT, headers=headers)
        detail = f"{request.method} is not possible at {request.url.path}; {allowed} is."
    if error.status_code == HTTPStatus.NOT_FOUND and detail == HTTPStatus.NOT_FOUND.phrase:
        detail = f"There is nothing at {request.url.path}."
    return problem(request, error.status_code, detail, headers=headers)


def _methods(request: Request) -> list[str]:
    def takes(method: str) -> bool:
        scope = {**request.scope, "method": method}
        return any(route.matches(scope)[0] is Match.FULL for route in request.app.routes)

    return [method for method in ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT") if takes(method)]


def _unreadable(request: Request, error: HTTPException) -> Response:
    """A body that the JSON parser gave up on: no text, too deep, or a number that is too long for it."""
    if isinstance(error.__cause__, ValueError) and "integer string conversion" in str(error.__cause__):
        too_long = "A number in the body has thousands of digits."
        return problem(request, HTTPStatus.UNPROCESSABLE_ENTITY, too_long, "Send a number that fits into 64 bits.")
    return problem(request, HTTPStatus.BAD_REQUEST, "The body is no JSON that can be read.", "Send JSON in UTF-8.")


def is_broken_json(error: Exception) -> bool:
    """Whether a request failed because its body is no JSON, before anybody looked at what it says."""
    if isinstance(error, RequestValidationError):
        return any(item["type"] == "json_invalid" for item in error.errors())
    return isinstance(error, HTTPException) and error.detail == _UNREADABLE


def _describe(details: Sequence[Any]) -> str:
    """One sentence from pydantic's list of errors: at most the first five, each with its place."""
    parts = [f"{'.'.join(str(step) for step in item['loc'])}: {item['msg']}" for item in details[:5]]
    if len(details) > len(parts):
        parts.append(f"and {len(details) - len(parts)} more")
    return "; ".join(parts) + "."


def validation_error(request: Request, error: Exception) -> Response:
    """The problem that says so."""
    error = cast(RequestValidationError, error)
    details = error.errors()
    if is_broken_json(error):
        reason = "; ".join(str(item.get("ctx", {}).get("error", item["msg"])) for item in details)
        place = details[0]["loc"][-1]
        return problem(
            request, HTTPStatus.BAD_REQUEST, f"The body is no JSON: {reason}, at character {place}.", "Send JSON."
        )
    return problem(request, HTTPStatus.UNPROCESSABLE_ENTITY, _describe(details), "See /docs for what is accepted.")


def _lost(part: str) -> Callable[[Request, Exception], Response]:
    def handle(request: Request, error: Exception) -> Response:
        log.error("lost a part", part=part, reason=str(error).strip().partition("\n")[0])
        return problem(
            request, HTTPStatus.SERVICE_UNAVAILABLE, f"The {part} does not answer.", "Try again in a moment."
        )

    return handle


def install(app: FastAPI) -> None:
    """Make ``app`` answer every error that it raises as a problem."""
    for error in (OperationalError, InterfaceError, PoolTimeoutError):
        app.add_exception_handler(error, _lost("database"))
    for redis_error in (RedisConnectionError, RedisTimeoutError):
        app.add_exception_handler(redis_error, _lost("Redis server"))
    app.add_exception_handler(VruError, vru_error)
    app.add_exception_handler(HTTPException, http_error)
    app.add_exception_handler(RequestValidationError, validation_error)
