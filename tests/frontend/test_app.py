import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse
from fastapi.testclient import TestClient

from vru.domain import VruError
from vru.frontend.app import FrontendSettings, create_frontend


class _Server(uvicorn.Server):
    """uvicorn in a thread: a real server for the frontend to talk to."""

    def install_signal_handlers(self) -> None:  # signals belong to the main thread
        pass


def _upstream() -> FastAPI:
    app = FastAPI(openapi_url=None)

    @app.get("/api/v1/stream")
    async def stream() -> StreamingResponse:
        async def events() -> AsyncIterator[bytes]:
            for number in range(3):
                yield f"event: run\ndata: {number}\n\n".encode()
                await asyncio.sleep(0.01)

        return StreamingResponse(events(), media_type="text/event-stream")

    @app.api_route("/{path:path}", methods=["GET", "POST"])
    async def echo(path: str, request: Request) -> dict[str, Any]:
        size = 0
        async for chunk in request.stream():
            size += len(chunk)
        return {
            "raw": request.scope["raw_path"].decode(),
            "query": request.url.query,
            "size": size,
            "headers": dict(request.headers),
        }

    return app


@pytest.fixture
def upstream() -> Iterator[str]:
    """Address of a server in the gateway's place that tells what it was sent."""
    server = _Server(uvicorn.Config(_upstream(), host="127.0.0.1", port=0, log_config=None, access_log=False))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    for _ in range(1000):
        if server.started:
            break
        threading.Event().wait(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(10)


def _client(built: Path, gateway: str = "http://127.0.0.1:9") -> TestClient:
    settings = FrontendSettings(frontend_static_dir=str(built), api_gateway_url=gateway)
    return TestClient(create_frontend(settings), base_url="http://localhost")


def test_it_does_not_start_without_the_page(tmp_path: Path) -> None:
    with pytest.raises(VruError, match="was not built"):
        create_frontend(FrontendSettings(frontend_static_dir=str(tmp_path)))


def test_it_serves_the_page_and_its_files(built: Path, script: str) -> None:
    with _client(built) as client:
        assert client.get("/projects/new").headers["content-type"].startswith("text/html")
        assert client.get(f"/{script}").headers["content-type"].startswith("text/javascript")
        assert client.head("/").status_code == 200
        missing = client.get("/assets/index-00000000.js")
        assert missing.status_code == 404
        assert missing.headers["content-type"] == "application/problem+json"
        assert missing.json()["fix"]


def test_it_is_healthy_by_itself(built: Path) -> None:
    with _client(built) as client:
        assert client.get("/health").json()["status"] == "ok"
        assert client.get("/ready").status_code == 200
        assert "text/plain" in client.get("/metrics").headers["content-type"]


def test_the_api_is_passed_on_with_credentials_and_the_clients_address(built: Path, upstream: str) -> None:
    with _client(built, upstream) as client:
        answer = client.get(
            "/api/v1/echo/a%2Fb?x=1&y=%20", headers={"Cookie": "vru_session=s", "Authorization": "Bearer t"}
        )
        seen = answer.json()
        assert seen["raw"] == "/api/v1/echo/a%2Fb"
        assert seen["query"] == "x=1&y=%20"
        assert seen["headers"]["cookie"] == "vru_session=s"
        assert seen["headers"]["authorization"] == "Bearer t"
        assert seen["headers"]["x-forwarded-proto"] == "http"
        assert seen["headers"]["x-forwarded-for"]
        assert "content-security-policy" not in answer.headers


def test_a_large_upload_goes_through(built: Path, upstream: str) -> None:
    with _client(built, upstream) as client:
        body = b"x" * (5 * 1024 * 1024)
        assert client.post("/api/v1/echo", content=body).json()["size"] == len(body)


def test_events_go_through(built: Path, upstream: str) -> None:
    with _client(built, upstream) as client, client.stream("GET", "/api/v1/stream") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert "".join(answer.iter_text()).count("event: run") == 3


def test_documentation_is_the_gateways(built: Path, upstream: str) -> None:
    with _client(built, upstream) as client:
        assert client.get("/openapi.json").json()["raw"] == "/openapi.json"
        assert client.get("/docs").json()["raw"] == "/docs"


def test_a_gateway_that_is_down_is_a_problem_that_names_it(built: Path) -> None:
    with _client(built) as client:
        answer = client.get("/api/v1/projects")
        assert answer.status_code == 503
        assert "api_gateway" in answer.json()["detail"]
