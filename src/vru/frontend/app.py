"""The frontend service: the page at ``/``, and the gateway behind ``/api`` where no nginx stands before it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.responses import Response, StreamingResponse
from pydantic import Field

from vru.frontend.site import Site
from vru.service.app import create_app
from vru.service.http import create_session
from vru.service.proxy import forward
from vru.service.settings import ServiceSettings

STATIC = Path(__file__).parent / "static"


class FrontendSettings(ServiceSettings):
    """What the frontend reads from the environment."""

    frontend_static_dir: str = Field("", description="where the built page is; empty: beside this code")


def _to_gateway(request: Request) -> dict[str, str]:
    """The headers that the gateway needs besides the ordinary ones: who asks, and how they reached us."""
    headers = {name: request.headers[name] for name in ("authorization", "cookie") if name in request.headers}
    if request.client:
        headers["x-forwarded-for"] = request.client.host
    headers["x-forwarded-proto"] = request.url.scheme
    headers["x-forwarded-host"] = request.headers.get("host", "")
    return headers


def create_frontend(settings: FrontendSettings | None = None) -> FastAPI:
    """The frontend's application.

    Raises:
        VruError: the page was not built.
    """
    settings = settings or FrontendSettings()
    site = Site(Path(settings.frontend_static_dir or STATIC))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with create_session() as session:
            app.state.session = session
            yield

    # The gateway limits uploads; documentation of the API is the gateway's too.
    app = create_app(
        title="VRU Platform frontend",
        service="frontend",
        settings=settings,
        lifespan=lifespan,
        max_body_size=None,
        public=True,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )

    async def pass_on(request: Request) -> StreamingResponse:
        raw_path: bytes = request.scope.get("raw_path") or request.url.path.encode()
        path = raw_path.split(b"?", 1)[0].decode("latin-1")
        return await forward(
            request,
            request.app.state.session,
            settings.api_gateway_url,
            path,
            service="api_gateway",
            headers=_to_gateway(request),
        )

    async def answer_page(path: str, request: Request) -> Response:
        return site.answer(path, request.headers)

    everything = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
    app.add_api_route("/api/{path:path}", pass_on, methods=everything, include_in_schema=False)
    for path in ("/openapi.json", "/docs", "/docs/{path:path}"):
        app.add_api_route(path, pass_on, methods=["GET", "HEAD"], include_in_schema=False)
    app.add_api_route("/{path:path}", answer_page, methods=["GET", "HEAD"], include_in_schema=False)
    return app
