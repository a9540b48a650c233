"""Whom a service answers: other services that say with a signature who they are, and only at its own names."""

import time

import httpx2
import jwt
import pytest
from tests.callers import SECRETS, USER, Calling, asserter

from vru.domain import VruError
from vru.service.access import CallingUser, is_own_name
from vru.service.app import create_app
from vru.service.assertions import LIFETIME_S, Asserter, secret_of
from vru.service.http import create_session
from vru.service.settings import ServiceSettings

AUDIENCE = "validation_engine"


def engine(**arguments):
    app = create_app(title="Validation engine", settings=ServiceSettings(**arguments))

    @app.post("/runs")
    async def who_asks(user: CallingUser) -> dict[str, str]:
        return {"user": user}

    @app.get("/runs")
    async def anything() -> dict[str, bool]:
        return {"ok": True}

    return app


@pytest.fixture
def address(serve_app):
    return serve_app(engine())


def forged(**changes):
    now = int(time.time())
    claims = {"iss": "api_gateway", "aud": AUDIENCE, "sub": USER, "iat": now, "exp": now + 60} | changes
    secret = claims.pop("secret", SECRETS[AUDIENCE])
    algorithm = claims.pop("algorithm", "HS256")
    claims = {name: value for name, value in claims.items() if value is not None}
    return {"Authorization": f"Bearer {jwt.encode(claims, secret, algorithm=algorithm)}"}


def test_the_user_is_the_one_of_the_assertion_and_no_header_is_believed(address):
    answer = httpx2.post(f"{address}/runs", headers={"X-VRU-User": "ceo@example.com"}, auth=Calling(AUDIENCE))
    assert answer.json() == {"user": USER}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-VRU-User": "ceo@example.com"},
        {"Authorization": "Bearer nonsense"},
        {"Authorization": "Basic eDp5"},
        forged(secret="x" * 40),
        forged(secret="", algorithm="none"),
        forged(aud="ml_engine"),
        forged(aud=None),
        forged(iss=None),
        forged(iat=int(time.time()) - 600, exp=int(time.time()) - 300),
        forged(exp=None),
        # A day: it is made when the tests are collected.
        forged(iat=int(time.time()) + 86_400, exp=int(time.time()) + 86_700),
    ],
    ids=[
        "none",
        "header",
        "nonsense",
        "basic",
        "key",
        "unsigned",
        "other",
        "nobody",
        "no-issuer",
        "old",
        "for-ever",
        "early",
    ],
)
@pytest.mark.parametrize(("method", "path"), [("POST", "/runs"), ("GET", "/runs"), ("GET", "/openapi.json")])
def test_without_a_valid_assertion_nothing_is_answered(address, headers, method, path):
    answer = httpx2.request(method, f"{address}{path}", headers=headers)
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    assert "other services" in answer.json()["detail"]


def test_an_assertion_lives_a_minute():
    token = asserter().headers(AUDIENCE, USER)["Authorization"].removeprefix("Bearer ")
    claims = jwt.decode(token, SECRETS[AUDIENCE], algorithms=["HS256"], audience=AUDIENCE)
    assert claims["exp"] - claims["iat"] == LIFETIME_S == 60


def test_what_is_done_for_a_user_needs_one(address):
    assert httpx2.get(f"{address}/runs", auth=Calling(AUDIENCE, None)).status_code == 200
    answer = httpx2.post(f"{address}/runs", auth=Calling(AUDIENCE, None))
    assert answer.status_code == 403


@pytest.mark.parametrize("path", ["/health", "/ready", "/metrics"])
def test_health_readiness_and_metrics_stay_open(address, path):
    assert httpx2.get(f"{address}{path}").status_code == 200


async def test_a_session_signs_what_it_sends_to_the_services_that_it_calls_and_nothing_else(serve_app, address):
    other = serve_app(create_app(title="Other", settings=ServiceSettings(), public=True))
    settings = ServiceSettings(validation_engine_url=address, ml_engine_url=other)
    async with create_session(asserter=Asserter.of(settings, "validation_worker", (AUDIENCE,))) as session:
        async with session.get(f"{address}/runs") as answer:
            assert answer.status == 200
        async with session.get(f"{other}/health") as answer:
            assert "Authorization" not in answer.request_info.headers


@pytest.mark.parametrize("secret", ["", "short"])
def test_a_service_without_its_secret_does_not_start(secret):
    settings = ServiceSettings(validation_engine_secret=secret)
    with pytest.raises(VruError, match="VRU_VALIDATION_ENGINE_SECRET"):
        engine(validation_engine_secret=secret)
    with pytest.raises(VruError, match="VRU_VALIDATION_ENGINE_SECRET"):
        Asserter.of(settings, "api_gateway", (AUDIENCE,))


def test_a_secret_is_shown_nowhere():
    assert SECRETS[AUDIENCE] not in f"{ServiceSettings()!r} {asserter()!r}"
    assert secret_of(ServiceSettings(), AUDIENCE) == SECRETS[AUDIENCE]


@pytest.mark.parametrize("public", [True, False])
def test_another_site_s_name_is_not_answered(serve_app, public):
    settings = ServiceSettings(allowed_hosts="vru.example.com, Other.Example.com")
    app = create_app(title="Validation engine", settings=settings, public=public)
    address = serve_app(app)
    for host in (
        "evil.example",
        "evil.example:8003",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "xvru.example.com",
    ):
        answer = httpx2.get(f"{address}/health", headers={"Host": host})
        assert answer.status_code == 421, host
        assert "VRU_ALLOWED_HOSTS" in answer.json()["fix"]
    for host in (
        "VRU.example.com",
        "other.example.com:8000",
        "localhost:1",
        "nginx",
        "validation_engine:8003",
        "[::1]:80",
    ):
        expected = 421 if host == "nginx" else 200
        assert httpx2.get(f"{address}/health", headers={"Host": host}).status_code == expected, host


def test_names_in_the_addresses_of_services_are_its_own():
    names = ServiceSettings(api_gateway_url="http://nginx:8000").host_names
    assert is_own_name("nginx:8000", names)
    assert not is_own_name("nginx.evil.example:8000", names)
