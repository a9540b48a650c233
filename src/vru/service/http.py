"""The HTTP client that services call each other with."""

import aiohttp
from aiohttp import ClientHandlerType, ClientMiddlewareType, ClientRequest, ClientResponse

from vru.service.assertions import Signer
from vru.service.requests import REQUEST_ID_HEADER, request_id


async def _forward_request_id(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
    request.headers.setdefault(REQUEST_ID_HEADER, request_id())
    return await handler(request)


def _asserting(signer: Signer) -> ClientMiddlewareType:
    async def assert_caller(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        audience = signer.addresses.get(request.url.origin())
        if audience is not None:
            request.headers.update(signer.headers(audience))
        return await handler(request)

    return assert_caller


def create_session(
    *, signer: Signer | None = None, read_timeout_s: float = 60.0, total_timeout_s: float | None = None
) -> aiohttp.ClientSession:
    """A session that carries the current request's id along. Call it in a running event loop; close it at the end.

    Args:
        signer: asserts to the services that it knows who calls, for no user.
        read_timeout_s: the longest silence, in seconds. An event stream must send something more often.
        total_timeout_s: the longest a whole exchange may take; None for streams and uploads.
    """
    return aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=total_timeout_s, sock_connect=5.0, sock_read=read_timeout_s),
        # A connection for each exchange: one that is kept could be closed by the other side, which was just replaced,
        # at the very moment when the next request is sent on it.
        connector=aiohttp.TCPConnector(limit=200, limit_per_host=100, force_close=True),
        middlewares=(_forward_request_id, *((_asserting(signer),) if signer else ())),
        cookie_jar=aiohttp.DummyCookieJar(),
    )
