"""Clients that call an internal service as the gateway does: with a fresh assertion on each request."""

from collections.abc import Generator

import aiohttp
import httpx2
from tests.service_secrets import SECRETS

from vru.service.assertions import Asserter

USER = "engineer@example.org"


def asserter(service: str = "api_gateway", secrets: dict[str, str] = SECRETS) -> Asserter:
    """Makes assertions of ``service`` for the tests' services."""
    return Asserter(service, secrets, {})


class Calling(httpx2.Auth):
    """``httpx2.Client(auth=Calling("ml_engine"))``."""

    def __init__(self, audience: str, user: str | None = USER) -> None:
        self.audience, self.user = audience, user

    def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
        request.headers.update(asserter().headers(self.audience, self.user))
        yield request


def calling(audience: str) -> aiohttp.ClientMiddlewareType:
    """``aiohttp.ClientSession(middlewares=(calling("ml_engine"),))``."""

    async def assert_caller(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        request.headers.update(asserter().headers(audience, USER))
        return await handler(request)

    return assert_caller
