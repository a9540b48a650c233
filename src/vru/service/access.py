"""Whom a service answers: at which names, and which other services."""

import ipaddress
from collections.abc import Collection
from http import HTTPStatus
from typing import Annotated

import structlog
from fastapi import Depends, Request
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from vru.service import assertions
from vru.service.assertions import Caller
from vru.service.errors import ForbiddenError, problem

# Docker, nginx and Prometheus ask these; they tell nothing about anybody's data.
OPEN_PATHS = frozenset({"/health", "/ready", "/metrics"})

log = structlog.get_logger("vru.access")


def host_name(header: str) -> str:
    """The name or address in a Host header, without its port."""
    name = header.strip().lower()
    if name.startswith("["):
        return name[1:].partition("]")[0]
    return name.partition(":")[0].rstrip(".")


def is_own_name(header: str, names: Collection[str]) -> bool:
    """Whether a Host header is one of ``names``, or an address.

    A page of another site that has its own name lead here (DNS rebinding) sends that name; an address cannot be led
    elsewhere. Browsers always send a Host.
    """
    name = host_name(header)
    if not name or name in names:
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


class AccessMiddleware:
    """Refuse what comes for another name, and for an internal service whatever no other service has signed.

    Args:
        app: what answers the rest.
        service: this service's name: the audience of assertions.
        names: the names under which it is reached.
        secret: of its callers; None for a service that people reach, which asks them to log in.
    """

    def __init__(self, app: ASGIApp, service: str, names: Collection[str], secret: str | None) -> None:
        self.app = app
        self.service = service
        self.names = frozenset(names)
        self.secret = secret

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if not is_own_name(host, self.names):
            answer = problem(
                Request(scope),
                HTTPStatus.MISDIRECTED_REQUEST,
                f"This platform is not called {host_name(host)!r}.",
                "Use its address, or add the name to VRU_ALLOWED_HOSTS.",
            )
            await answer(scope, receive, send)
            return
        if self.secret is not None and scope["path"] not in OPEN_PATHS:
            try:
                caller = assertions.read(headers.get("authorization", ""), self.service, self.secret)
            except assertions.RefusedError as error:
                log.warning("refused a caller", path=scope["path"], reason=str(error))
                answer = problem(
                    Request(scope),
                    HTTPStatus.UNAUTHORIZED,
                    f"The {self.service} answers other services of the platform only: no valid assertion.",
                    "Use the API, at the gateway.",
                    {"WWW-Authenticate": "Bearer"},
                )
                await answer(scope, receive, send)
                return
            scope.setdefault("state", {})["caller"] = caller
        await self.app(scope, receive, send)


def _calling_user(request: Request) -> str:
    caller: Caller = request.state.caller
    if caller.user is None:
        raise ForbiddenError("This is done for a user, and the caller names none.", "Use the API, at the gateway.")
    return caller.user


CallingUser = Annotated[str, Depends(_calling_user)]
"""The user for whom another service calls, as that service has signed."""
