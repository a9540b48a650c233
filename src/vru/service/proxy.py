"""Passing a request on to another service, with both bodies streamed."""

from collections.abc import AsyncIterator, Mapping

import aiohttp
from fastapi import Request
from fastapi.responses import StreamingResponse
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from yarl import URL

from vru.service.ending import Ending
from vru.service.errors import UnavailableError

# RFC 9110, 7.6.1: these are about one connection, not about the message.
_HOP_BY_HOP = {
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}
# The session decodes bodies, so the service is asked for plain ones; credentials are for the gateway alone.
_NOT_FORWARDED = _HOP_BY_HOP | {"host", "accept-encoding", "authorization", "cookie", "expect"}
_NOT_RETURNED = _HOP_BY_HOP | {"server", "date", "x-request-id"}


def _has_body(request: Request) -> bool:
    return request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers


def _listed_in_connection(headers: Mapping[str, str]) -> set[str]:
    return {name.strip().lower() for name in headers.get("connection", "").split(",") if name.strip()}


async def forward(
    request: Request,
    session: aiohttp.ClientSession,
    base_url: str,
    path: str,
    *,
    service: str,
    headers: Mapping[str, str] | None = None,
) -> StreamingResponse:
    """Send ``request`` to ``base_url + path`` with its query, and answer with what comes back, as it comes.

    Args:
        request: the client's request; its body must not have been read.
        session: from ``vru.service.http.create_session``.
        base_url: the service's address, without a path.
        path: begins with a slash; already percent-encoded where needed.
        service: the service's name, for the error.
        headers: added to the client's, or replacing them.

    Raises:
        UnavailableError: the service cannot be reached, or says nothing within the session's time limit.
        ClientDisconnect: the client went away while sending its body.
        HTTPException: the body is above its limit.
    """
    dropped = _NOT_FORWARDED | _listed_in_connection(request.headers)
    sent = {name: value for name, value in request.headers.items() if name not in dropped}
    sent |= headers or {}
    query = f"?{request.url.query}" if request.url.query else ""
    failures: list[Exception] = []

    async def sending() -> AsyncIterator[bytes]:
        # The HTTP client would report these as its own: a body above its limit, a client that went away.
        try:
            async for chunk in request.stream():
                yield chunk
        except (HTTPException, ClientDisconnect) as error:
            failures.append(error)
            raise

    try:
        upstream = await session.request(
            request.method,
            # The string is already encoded: yarl must not encode it again.
            URL(base_url.rstrip("/") + path + query, encoded=True),
            headers=sent,
            data=sending() if _has_body(request) else None,
            allow_redirects=False,
            skip_auto_headers=("Accept-Encoding", "User-Agent", "Content-Type"),
        )
    except (aiohttp.ClientError, TimeoutError, HTTPException, ClientDisconnect) as error:
        if failures:
            raise failures[0] from None
        raise UnavailableError(
            f"The service {service} does not answer.", "Try again in a moment; /health shows what is down."
        ) from error

    ending: Ending = request.app.state.ending
    chunks: AsyncIterator[bytes] = upstream.content.iter_any()
    if upstream.content_type == "text/event-stream":
        # It would hold this process for ever; whoever follows it connects again.
        chunks = ending.cut(chunks)

    async def body() -> AsyncIterator[bytes]:
        try:
            async for chunk in chunks:
                yield chunk
        finally:
            upstream.close()

    dropped = _NOT_RETURNED | _listed_in_connection(upstream.headers)
    answer = StreamingResponse(body(), status_code=upstream.status, background=BackgroundTask(upstream.close))
    # Built by hand: the class would add a content type of its own, and repeated headers must stay repeated.
    answer.raw_headers = [
        (name.lower().encode("latin-1"), value.encode("latin-1"))
        for name, value in upstream.headers.items()
        if name.lower() not in dropped
    ]
    return answer
