"""What the gateway passes on. The services behind it are small stand-ins here that answer what they were asked."""

import asyncio
import json
import socket
import time
import uuid

import httpx2
import pytest
from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse
from tests.callers import SECRETS

from vru.service import assertions


def stand_in(seen):
    """A service that tells what reached it, streams events, and counts who has gone away."""
    app = FastAPI()

    @app.get("/runs/{run_id}/events")
    async def events(run_id: str):
        async def stream():
            try:
                for number in range(1000):
                    yield f"event: run\ndata: {json.dumps({'n': number})}\n\n"
                    if number == 2 and run_id == "00000000-0000-0000-0000-000000000001":
                        return
                    await asyncio.sleep(0.05)
            finally:
                seen.append("stream closed")

        return StreamingResponse(stream(), media_type="text/event-stream", headers={"Cache-Control": "no-cache"})

    @app.get("/cameras/{camera_id}/snapshot")
    async def snapshot(camera_id: str):
        return Response(b"\xff\xd8jpeg", media_type="image/jpeg")

    @app.get("/runs/{run_id}/detections")
    async def cut(run_id: str):
        async def stream():
            yield b'{"items": ['
            await asyncio.sleep(0.1)
            raise RuntimeError("died in the middle")

        return StreamingResponse(stream(), media_type="application/json")

    @app.api_route("/{path:path}", methods=["GET", "POST", "DELETE"])
    async def echo(path: str, request: Request):
        body = await request.body()
        answer = {
            "method": request.method,
            "path": request.url.path,
            "query": request.url.query,
            "headers": dict(request.headers),
            "body": body.decode(),
        }
        status = 201 if request.method == "POST" else 200
        response = Response(json.dumps(answer), status, media_type="application/json")
        response.raw_headers.append((b"connection", b"x-secret"))
        response.raw_headers.append((b"x-secret", b"hop"))
        return response

    return app


@pytest.fixture
def seen():
    return []


@pytest.fixture
def api(serve_app, start_gateway, connect, seen):
    url = serve_app(stand_in(seen))
    return connect(
        start_gateway(validation_engine_url=url + "/", camera_service_url=url, ml_engine_url=url, frontend_url=url)
    )


def test_body_query_and_user_arrive_and_credentials_do_not(api):
    api.client.cookies.set("vru_session", "secret")
    answer = api.client.post(
        "/runs", params={"a": "1 /ä%"}, json={"x": 1}, headers={"X-VRU-User": "somebody else", "X-Request-ID": "id-7"}
    )
    assert answer.status_code == 201
    seen = answer.json()
    assert (seen["method"], seen["path"], json.loads(seen["body"])) == ("POST", "/runs", {"x": 1})
    assert httpx2.QueryParams(seen["query"])["a"] == "1 /ä%"
    caller = assertions.read(seen["headers"]["authorization"], "validation_engine", SECRETS["validation_engine"])
    assert (caller.service, caller.user) == ("api_gateway", "admin@example.com")
    assert seen["headers"]["x-request-id"] == answer.headers["x-request-id"] == "id-7"
    assert seen["headers"]["content-type"] == "application/json"
    assert "cookie" not in seen["headers"] and api.token not in answer.text
    assert "x-secret" not in answer.headers  # named in the service's Connection header
    assert len(answer.headers.get_list("x-request-id")) == 1


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/models", "/models"),
        ("GET", "/runs", "/runs"),
        ("GET", "/runs/{id}", "/runs/{id}"),
        ("POST", "/runs/{id}/cancel", "/runs/{id}/cancel"),
        ("GET", "/runs/{id}/report.html", "/runs/{id}/report.html"),
        ("GET", "/runs/{id}/report.tracks.csv", "/runs/{id}/report.tracks.csv"),
        ("GET", "/runs/{id}/evidence", "/runs/{id}/evidence"),
        ("GET", "/evidence-key", "/evidence-key"),
        ("GET", "/evidence-ledger", "/evidence-ledger"),
        ("GET", "/cameras", "/cameras"),
        ("POST", "/cameras", "/cameras"),
        ("GET", "/cameras/{id}", "/cameras/{id}"),
        ("DELETE", "/cameras/{id}", "/cameras/{id}"),
        ("POST", "/cameras/{id}/start", "/cameras/{id}/start"),
        ("POST", "/cameras/{id}/stop", "/cameras/{id}/stop"),
    ],
)
def test_each_route_reaches_its_service(api, method, path, expected):
    identity = str(uuid.uuid4())
    answer = api.client.request(method, path.format(id=identity))
    assert answer.status_code in (200, 201), answer.text
    assert (answer.json()["method"], answer.json()["path"]) == (method, expected.format(id=identity))


def test_ids_are_checked_before_anything_is_forwarded(api):
    for path in ("/runs/..%2f..%2fmetrics", "/cameras/1", "/runs/x/events", f"/runs/{uuid.uuid4()}/report.exe"):
        assert api.client.get(path).status_code in (404, 422)


def test_bytes_come_through_unchanged(api):
    answer = api.client.get(f"/cameras/{uuid.uuid4()}/snapshot")
    assert answer.content == b"\xff\xd8jpeg"
    assert answer.headers["content-type"] == "image/jpeg"


def test_events_arrive_one_by_one_and_end(api):
    url = "/runs/00000000-0000-0000-0000-000000000001/events"
    with api.client.stream("GET", url) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        began = time.monotonic()
        arrivals = [time.monotonic() - began for line in answer.iter_lines() if line.startswith("data:")]
    assert len(arrivals) == 3
    assert arrivals[-1] - arrivals[0] > 0.05  # streamed, not collected


def test_a_client_that_leaves_ends_the_service_s_stream_too(api, seen):
    with api.client.stream("GET", f"/runs/{uuid.uuid4()}/events") as answer:
        next(answer.iter_lines())
    end = time.monotonic() + 10
    while not seen and time.monotonic() < end:
        time.sleep(0.02)
    assert seen == ["stream closed"]


def test_an_answer_that_breaks_off_is_not_passed_on_as_whole(api):
    with pytest.raises(httpx2.RemoteProtocolError):
        api.client.get(f"/runs/{uuid.uuid4()}/detections")


def test_bodies_to_forwarded_routes_are_limited(api):
    answer = api.client.post("/runs", content=b"x" * 2_000_000)
    assert answer.status_code == 413


class TestServiceIsDown:
    @pytest.fixture
    def api(self, start_gateway, connect):
        return connect(start_gateway())

    @pytest.mark.parametrize(
        ("path", "name"), [("/runs", "validation_engine"), ("/cameras", "camera_service"), ("/models", "ml_engine")]
    )
    def test_the_error_names_it(self, api, path, name):
        answer = api.client.get(path)
        assert answer.status_code == 503
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["detail"] == f"The service {name} does not answer."

    def test_the_rest_goes_on(self, api):
        assert api.client.get("/projects").status_code == 200


def test_a_client_that_leaves_during_its_body_does_no_harm(api):
    url = api.client.base_url
    with socket.create_connection((url.host, url.port)) as connection:
        connection.sendall(
            b"POST /api/v1/runs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: 1000\r\n" + f"Authorization: Bearer {api.token}\r\n\r\n".encode() + b'{"x"'
        )
        time.sleep(0.2)
    assert api.client.get("/projects").status_code == 200
