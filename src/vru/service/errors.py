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

from vru.domain import VruError
from vru.service.schemas import Problem

_SANE_JSON = "Write it in UTF-8, with numbers of at most 4,300 digits and not nested deeply."
PROBLEM_JSON = "application/problem+json"

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


def _vru_error(request: Request, error: Exception) -> Response:
    error = cast(VruError, error)
    headers = {}
    if isinstance(error, TooManyRequestsError):
        headers["Retry-After"] = str(error.retry_after_s)
    if isinstance(error, UnauthorizedError):
        headers["WWW-Authenticate"] = "Bearer"
    return problem(request, getattr(error, "status", HTTPStatus.BAD_REQUEST), error.message, error.fix, headers)


def _http_error(request: Request, error: Exception) -> Response:
    error = cast(HTTPException, error)
    if isinstance(error.__cause__, ValueError | RecursionError):
        # FastAPI's answer to what Python's JSON refuses: a number of thousands of digits, lists in lists in lists.
        return problem(request, HTTPStatus.UNPROCESSABLE_ENTITY, "The body's JSON cannot be read.", _SANE_JSON)
    detail = str(error.detail)
    if error.status_code == HTTPStatus.NOT_FOUND and detail == HTTPStatus.NOT_FOUND.phrase:
        detail = f"There is nothing at {request.url.path}."
    return problem(request, error.status_code, detail, headers=dict(error.headers or {}))


def _describe(details: Sequence[Any]) -> str:
    """One sentence from pydantic's list of errors: at most the first five, each with its place."""
    parts = [f"{'.'.join(str(step) for step in item['loc'])}: {item['msg']}" for item in details[:5]]
    if len(details) > len(parts):
        parts.append(f"and {len(details) - len(parts)} more")
    return "; ".join(parts) + "."


def _validation_error(request: Request, error: Exception) -> Response:
    error = cast(RequestValidationError, error)
    return problem(
        request, HTTPStatus.UNPROCESSABLE_ENTITY, _describe(error.errors()), "See /docs for what is accepted."
    )


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
    app.add_exception_handler(VruError, _vru_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
