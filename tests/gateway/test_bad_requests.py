"""What a client can get wrong with any request: each answer says what, and in the standard's way."""

import asyncio
import os
import socket
import time

import httpx2
import pytest
from fastapi import FastAPI
from fastapi.responses import StreamingResponse

JSON = {"content-type": "application/json"}
NAMES = {
    "blank": "   ", "empty": "", "line break": "a\nb", "tab": "a\tb", "zero width": "a\u200bb", "direction": "a\u202eb",
    "line separator": "a\u2028b", "NUL": "a\x00b", "too long": "x" * 201, "byte order mark": "\ufeffa",
}  # fmt: skip


@pytest.mark.parametrize("kind", NAMES)
def test_names_that_nobody_can_read_or_tell_apart(api, make_video, tmp_path, kind):
    name = NAMES[kind]
    for method, path, body in (
        ("POST", "/projects", {"name": name}),
        ("PATCH", f"/projects/{api.project(f'Project of {kind}')}", {"name": name}),
    ):
        answer = api.client.request(method, path, json=body)
        assert answer.status_code == 422 and "name" in answer.json()["detail"], answer.text
    project = api.client.get("/projects").json()["items"][0]["id"]
    video = make_video(tmp_path / "v.mp4")
    assert api.upload(project, video, name).status_code == 422
    assert api.client.post("/cameras", json={"name": name, "kind": "virtual", "source": "x"}).status_code in (422, 503)


@pytest.mark.parametrize("name", ["Ein Fußgänger", "歩行者 1", "عابر", "Größe 4 / B", "🚲", "é"])
def test_names_that_people_have(api, name):
    assert api.client.post("/projects", json={"name": name}).json()["name"] == name


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        (b"{bad", 400, "The body is no JSON: Expecting property name"),
        (b"", 422, "Field required"),
        (b"\xff\xfe", 400, "The body is no JSON"),
        (b"[" * 200_000, 400, "no JSON that can be read"),
        (b'{"name": "x", "frame_rate": ' + b"9" * 5000 + b"}", 422, "thousands of digits"),
        (b'{"name": "\\ud800"}', 422, "surrogate"),
        (b'{"name": "x", "description": "\\ud800"}', 422, "surrogate"),
        (b'{"name": "x", "description": "a\\u0000"}', 422, "NUL"),
    ],
)
def test_bodies_that_are_none(api, body, status, says):
    answer = api.client.post("/projects", content=body, headers=JSON)
    assert answer.status_code == status and says in answer.json()["detail"], answer.text
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("body", [b"{bad", b"\xff", b"[" * 200_000])
def test_who_is_not_logged_in_learns_nothing_about_a_body(api, body):
    with httpx2.Client(base_url=api.client.base_url) as stranger:
        answer = stranger.post("/projects", content=body, headers=JSON)
        assert answer.status_code == 401 and "Nobody is logged in" in answer.json()["detail"]
        assert stranger.post("/auth/login", content=body, headers=JSON).status_code == 400
        # Nor does another site's page, whatever cookie it has.
        foreign = {**JSON, "Origin": "http://evil.example", "Cookie": "vru_session=x"}
        assert stranger.post("/projects", content=body, headers=foreign).status_code == 401


def test_criteria_that_can_never_decide_are_refused_when_they_are_saved(api):
    def criterion(metric, threshold, **more):
        return {"metric": metric, "comparator": ">=", "threshold": threshold} | more

    project = api.project()
    for wrong, says in (
        (criterion("nope", 0.5), "no metric 'nope'"),
        (criterion("recall", 2), "recall >= 2 decides nothing: it holds never. Give a threshold above 0 and below 1"),
        (criterion("recall", -3), "it holds always"),
        (criterion("recall", 0.9, slice="class:nobody"), "no slice 'class:nobody'"),
    ):
        for method, path in (("POST", "/projects"), ("PATCH", f"/projects/{project}")):
            answer = api.client.request(method, path, json={"name": "other", "criteria": [wrong]})
            assert answer.status_code == 422 and says in answer.json()["detail"], answer.text


def test_methods_that_a_path_does_not_have(api):
    answer = api.client.put("/projects", json={})
    assert answer.status_code == 405 and answer.headers["allow"] == "GET, POST"
    assert answer.json()["detail"] == "PUT is not possible at /api/v1/projects; GET, POST is."
    options = api.client.options("/projects")
    assert (options.status_code, options.headers["allow"], options.content) == (204, "GET, POST", b"")
    assert api.client.options("/nothing").status_code == 404


class TestRange:
    @pytest.fixture
    def file(self, api, make_video, tmp_path):
        path = make_video(tmp_path / "v.mp4")
        video = api.upload(api.project(), path).json()

        def get(text):
            return api.client.get(f"/videos/{video['id']}/file", headers={"Range": text})

        return get, path.read_bytes()

    @pytest.mark.parametrize("text", ["bytes=abc", "bytes=5-2", "items=0-1", "bytes=-", "bytes=", "0-5", "bytes=1-2,x"])
    def test_what_is_no_range_gives_the_whole(self, file, text):
        get, content = file
        answer = get(text)
        assert answer.status_code == 200 and answer.content == content

    @pytest.mark.parametrize("text", ["bytes=99999999-", "bytes=-0"])
    def test_outside_of_the_file(self, file, text):
        get, content = file
        answer = get(text)
        assert answer.status_code == 416 and answer.headers["content-range"] == f"bytes */{len(content)}"
        assert answer.headers["content-type"] == "application/problem+json"

    @pytest.mark.parametrize(("text", "part"), [("bytes=0-1", slice(0, 2)), ("bytes=-5", slice(-5, None))])
    def test_inside(self, file, text, part):
        get, content = file
        answer = get(text)
        assert answer.status_code == 206 and answer.content == content[part]


@pytest.mark.parametrize("wrong", ["gone", "read-only"])
def test_a_media_folder_that_takes_nothing_is_named(api, make_video, tmp_path, wrong):
    project, video = api.project(), make_video(tmp_path / "v.mp4")
    incoming = api.media / "incoming"
    incoming.rmdir()
    if wrong == "read-only":
        # Root writes anywhere: what nobody can write into is a file.
        incoming.write_bytes(b"")
    answer = api.upload(project, video)
    assert answer.status_code == 507, answer.text
    reason = os.strerror(20 if wrong == "read-only" else 2)
    assert answer.json()["detail"] == f"The server's media folder cannot be written: {reason}."
    ready = httpx2.get(str(api.client.base_url.copy_with(path="/ready")))
    assert ready.status_code == 503 and reason in ready.json()["checks"]["media"]


def test_no_value_is_true_for_a_number(api):
    answer = api.client.post("/projects", json={"name": "x", "frame_rate": True})
    assert answer.status_code == 422 and "frame_rate" in answer.json()["detail"]


def endless() -> FastAPI:
    """A stand-in for the validation engine whose runs never end."""
    app = FastAPI()

    @app.get("/runs/{run_id}/events")
    async def events(run_id: str) -> StreamingResponse:
        async def stream():
            while True:
                yield "event: run\\ndata: {}\\n\\n"
                await asyncio.sleep(0.05)

        return StreamingResponse(stream(), media_type="text/event-stream")

    @app.get("/runs/{run_id}")
    async def run(run_id: str) -> dict:
        return {}

    return app


def test_streams_have_connections_of_their_own_and_an_end(start_gateway, connect, serve_app):
    api = connect(start_gateway(validation_engine_url=serve_app(endless()), max_event_streams=3))
    run = "6f1c1f0e-3d0e-4f0a-9d5c-0d9c3c7e8a11"
    host, port = api.client.base_url.host, api.client.base_url.port
    streams = []
    for _ in range(3):
        stream = socket.create_connection((host, port))
        lines = (f"GET /api/v1/runs/{run}/events HTTP/1.1", "Host: 127.0.0.1", f"Authorization: Bearer {api.token}")
        stream.sendall("".join(f"{line}\r\n" for line in (*lines, "")).encode())
        assert stream.recv(100).startswith(b"HTTP/1.1 200")
        streams.append(stream)
    answer = api.client.get(f"/runs/{run}/events")
    assert answer.status_code == 503 and answer.headers["retry-after"] == "10"
    assert "3 runs are being followed already" in answer.json()["detail"]
    assert api.client.get(f"/runs/{run}").status_code == 200, "other requests do not wait"
    for stream in streams:
        stream.close()
    for _ in range(100):
        with api.client.stream("GET", f"/runs/{run}/events") as again:
            if again.status_code == 200:
                return
        time.sleep(0.05)
    raise AssertionError("the places were not given back")
