"""The frame of every service, over a real server."""

import json

import aiohttp
import httpx2
import pytest
from fastapi import APIRouter
from pydantic import BaseModel

from vru.domain import VruError
from vru.service import errors
from vru.service.app import create_app
from vru.service.http import create_session
from vru.service.requests import request_id
from vru.service.settings import ServiceSettings


class Body(BaseModel):
    number: int


def make_app(**arguments):
    app = create_app(title="Some service", settings=ServiceSettings(), public=True, **arguments)
    router = APIRouter()

    @router.get("/things/{thing}")
    async def get_thing(thing: str) -> dict[str, str]:
        known: dict[str, Exception] = {
            "bad": VruError("That is bad.", "Do it well."),
            "missing": errors.NotFoundError("There is no thing.", "Make one."),
            "taken": errors.ConflictError("It is taken."),
            "wait": errors.TooManyRequestsError("Too many.", retry_after_s=7),
            "down": errors.UnavailableError("It is down."),
            "broken": RuntimeError("the password is hunter2"),
        }
        if thing in known:
            raise known[thing]
        return {"thing": thing, "request_id": request_id()}

    @router.post("/bodies")
    async def post_body(body: Body) -> Body:
        return body

    app.include_router(router, prefix="/v1")
    return app


@pytest.fixture
def client(serve_app):
    with httpx2.Client(base_url=serve_app(make_app(max_body_size=1000))) as made:
        yield made


def test_health_says_who_it_is(client):
    body = client.get("/health").json()
    assert (body["status"], body["service"]) == ("ok", "some_service")
    assert body["version"]


def test_ready_names_what_fails_and_why(serve_app):
    async def well() -> None:
        return None

    async def unwell() -> None:
        raise ConnectionError("no route\nto the second line")

    async def hangs() -> None:
        import asyncio

        await asyncio.sleep(60)

    address = serve_app(make_app(checks={"database": well}))
    assert httpx2.get(f"{address}/ready").json() == {"status": "ok", "checks": {"database": "ok"}}
    address = serve_app(make_app(checks={"database": well, "redis": unwell, "disk": hangs}))
    answer = httpx2.get(f"{address}/ready", timeout=30)
    assert answer.status_code == 503
    assert answer.json() == {
        "status": "unavailable",
        "checks": {"database": "ok", "redis": "no route", "disk": "no answer within 3 s"},
    }
    assert httpx2.get(f"{address}/health").status_code == 200


@pytest.mark.parametrize(
    ("thing", "status", "detail"),
    [
        ("bad", 400, "That is bad."),
        ("missing", 404, "There is no thing."),
        ("taken", 409, "It is taken."),
        ("wait", 429, "Too many."),
        ("down", 503, "It is down."),
        ("broken", 500, "The server made an error."),
    ],
)
def test_errors_are_problems(client, thing, status, detail):
    answer = client.get(f"/v1/things/{thing}")
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["status"], problem["detail"]) == (status, detail)
    assert problem["instance"] == f"/v1/things/{thing}"
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert "hunter2" not in answer.text
    if thing == "wait":
        assert answer.headers["retry-after"] == "7"


def test_errors_of_the_framework_are_problems_too(client):
    for answer, status in [
        (client.get("/nowhere"), 404),
        (client.put("/v1/bodies"), 405),
        (client.post("/v1/bodies", json={"number": "x"}), 422),
        (client.post("/v1/bodies", content=b"{", headers={"Content-Type": "application/json"}), 400),
        (client.post("/v1/bodies", content=b"x" * 1001), 413),
        (client.post("/v1/bodies", content=iter([b"x" * 600, b"x" * 600])), 413),
    ]:
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == status
    assert "body.number" in client.post("/v1/bodies", json={"number": "x"}).json()["detail"]


@pytest.mark.parametrize("given", ["abc-1.2_3:4", "x" * 100])
def test_a_sane_request_id_is_kept(client, given):
    answer = client.get("/v1/things/a", headers={"X-Request-ID": given})
    assert answer.headers["x-request-id"] == answer.json()["request_id"] == given


@pytest.mark.parametrize("given", ["", "x" * 101, "a b", 'a"b', "é"])
def test_any_other_is_replaced(client, given):
    answer = client.get("/v1/things/a", headers={"X-Request-ID": given.encode()})
    assert answer.headers["x-request-id"] == answer.json()["request_id"]
    assert len(answer.headers["x-request-id"]) == 32


def test_metrics_count_by_route_not_by_path(client):
    for number in range(3):
        client.get(f"/v1/things/metric-{number}")
    client.get("/wp-login.php")
    text = client.get("/metrics").text
    assert 'vru_http_requests_total{method="GET",route="/v1/things/{thing}",status="200"}' in text
    assert 'route="unmatched",status="404"' in text
    assert "metric-1" not in text and "wp-login" not in text
    assert 'vru_http_request_seconds_bucket{le="0.005",method="GET",route="/v1/things/{thing}"}' in text
    assert "process_resident_memory_bytes" in text


async def test_request_id_travels_to_the_next_service(serve_app):
    import structlog

    address = serve_app(make_app())
    session = create_session()
    try:
        with structlog.contextvars.bound_contextvars(request_id="travels"):
            async with session.get(f"{address}/v1/things/a") as answer:
                assert (await answer.json())["request_id"] == "travels"
        async with session.get(f"{address}/v1/things/a", headers={"X-Request-ID": "mine"}) as answer:
            assert (await answer.json())["request_id"] == "mine"
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.get("http://127.0.0.1:9/")
    finally:
        await session.close()


def test_logs_are_json_with_tracebacks_but_without_local_variables(capsys):
    import logging

    import structlog

    from vru.service import logs

    try:
        logs.configure("demo", "INFO")

        def fail(password: str) -> None:
            raise ValueError(f"{len(password)} characters")

        try:
            fail("hunter" + "2")
        except ValueError:
            structlog.get_logger("x").exception("failed", run_id=1)
        logging.getLogger("uvicorn.error").info("from uvicorn")
        structlog.get_logger("x").debug("not shown")
    finally:
        logs.configure("tests", "WARNING")
    first, second = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert list(first)[:4] == ["ts", "level", "service", "event"]
    assert (first["level"], first["service"], first["event"], first["run_id"]) == ("error", "demo", "failed", 1)
    assert "ValueError: 7 characters" in first["exception"]
    assert "hunter2" not in json.dumps(first)
    assert (second["event"], second["logger"], second["service"]) == ("from uvicorn", "uvicorn.error", "demo")
