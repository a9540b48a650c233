"""The HTTP client that services call each other with."""

import aiohttp
from aiohttp import ClientHandlerType, ClientMiddlewareType, ClientRequest, ClientResponse

from vru.service.assertions import Asserter
from vru.service.requests import REQUEST_ID_HEADER, request_id


async def _forward_request_id(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
    request.headers.setdefault(REQUEST_ID_HEADER, request_id())
    return await handler(request)


def _asserting(asserter: Asserter) -> ClientMiddlewareType:
    async def assert_caller(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        audience = asserter.addresses.get(request.url.origin())
        if audience is not None:
            request.headers.update(asserter.headers(audience))
        return await handler(request)

    return assert_caller


def create_session(
    *,
    asserter: Asserter | None = None,
    read_timeout_s: float = 60.0,
    total_timeout_s: float | None = None,
    connections: int = 100,
) -> aiohttp.ClientSession:
    """A session that carries the current request's id along. Call it in a running event loop; close it at the end.

    Args:
        asserter: asserts to the services that it knows who calls, for no user.
        read_timeout_s: the longest silence, in seconds. An event stream must send something more often.
        total_timeout_s: the longest a whole exchange may take; None for streams and uploads.
        connections: the most at once to one service; who comes later waits.
    """
    return aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=total_timeout_s, sock_connect=5.0, sock_read=read_timeout_s),
        # A connection for each exchange: one that is kept could be closed by the other side, which was just replaced,
        # at the very moment when the next request is sent on it.
        connector=aiohttp.TCPConnector(limit=2 * connections, limit_per_host=connections, force_close=True),
        middlewares=(_forward_request_id, *((_asserting(asserter),) if asserter else ())),
        cookie_jar=aiohttp.DummyCookieJar(),
    )
