"""Health, documentation, cross-origin rules, start and end of the whole gateway."""

import json
import os
import signal
import subprocess
import sys
import time

import httpx2
import pytest
from fastapi import FastAPI

from vru.domain import VruError
from vru.gateway.app import create_gateway
from vru.gateway.openapi import FORWARDED_BODIES
from vru.gateway.settings import GatewaySettings
from vru.service.app import create_app


class TestHealth:
    @pytest.fixture
    def others(self, serve_app, settings):
        async def broken() -> None:
            raise RuntimeError("no queue")

        well = serve_app(create_app(title="Well", settings=settings, public=True))
        unwell = serve_app(create_app(title="Unwell", settings=settings, public=True, checks={"queue": broken}))
        return well, unwell

    def test_all_well(self, start_gateway, others):
        well, _ = others
        address = start_gateway(
            ml_engine_url=well, camera_service_url=well, validation_engine_url=well, frontend_url=well
        )
        answer = httpx2.get(f"{address}/health")
        assert answer.status_code == 200, answer.text
        body = answer.json()
        assert body["status"] == "ok"
        assert set(body["services"]) == {
            "database",
            "redis",
            "ml_engine",
            "camera_service",
            "validation_engine",
            "frontend",
        }
        assert all(part["status"] == "ok" and part["latency_ms"] >= 0 for part in body["services"].values())
        assert httpx2.get(f"{address}/ready").json() == {
            "status": "ok",
            "checks": {"database": "ok", "redis": "ok", "media": "ok"},
        }

    def test_what_is_not_well_is_named_to_all_and_why_to_the_logged_in(self, start_gateway, others, connect):
        well, unwell = others
        address = start_gateway(ml_engine_url=well, validation_engine_url=unwell, camera_service_url=well)
        anyone = httpx2.get(f"{address}/health")
        token = connect(address).token
        answer = httpx2.get(f"{address}/health", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == anyone.status_code == 503
        body = answer.json()
        assert body["status"] == "degraded"
        assert body["services"]["validation_engine"]["detail"] == "queue: no queue"
        for cookies in ({"vru_session": token}, {"vru_session": "forged"}):
            told = httpx2.get(f"{address}/health", cookies=cookies).json()
            assert (told["services"] == body["services"]) is (cookies["vru_session"] == token)
        # Everybody learns the states, and no reason: it may name addresses, or quote the database.
        parts = anyone.json()["services"]
        assert {name: part["status"] for name, part in parts.items()} == {
            name: part["status"] for name, part in body["services"].items()
        }
        assert [part["detail"] for part in parts.values()] == [None] * len(parts)
        assert body["services"]["frontend"]["status"] == "unavailable"
        assert body["services"]["ml_engine"]["status"] == "ok"

    def test_lost_database(self, start_gateway, postgres, migrated_template, gateway_settings, serve_app):
        name = postgres.create_database(migrated_template)
        address = serve_app(create_gateway(gateway_settings(database_name=name)))
        assert httpx2.get(f"{address}/ready").status_code == 200
        postgres.drop_database(name)
        answer = httpx2.get(f"{address}/ready")
        assert answer.status_code == 503
        assert "does not exist" in answer.json()["checks"]["database"]
        assert httpx2.get(f"{address}/health").json()["services"]["database"]["status"] == "unavailable"

    def test_a_lost_redis_is_told_and_comes_back(self, start_gateway, connect, redis):
        import os
        import signal as signals

        api = connect(start_gateway())
        with __import__("redis").Redis.from_url(redis.admin_url) as admin:
            pid = admin.info("server")["process_id"]
        os.kill(pid, signals.SIGSTOP)
        try:
            answer = api.client.get("/projects", timeout=60)
        finally:
            os.kill(pid, signals.SIGCONT)
        assert answer.status_code == 503
        assert answer.json()["detail"] == "The Redis server does not answer."
        assert api.client.get("/projects").status_code == 200

    def test_a_lost_database_is_told(self, postgres, migrated_template, gateway_settings, serve_app, connect):
        name = postgres.create_database(migrated_template)
        api = connect(serve_app(create_gateway(gateway_settings(database_name=name))))
        postgres.drop_database(name)
        answer = api.client.get("/projects")
        assert answer.status_code == 503
        assert answer.json()["detail"] == "The database does not answer."
        assert name not in answer.text


async def test_a_database_without_tables_is_told_at_the_start(postgres, gateway_settings):
    app = create_gateway(gateway_settings(database_name=postgres.create_database()))
    with pytest.raises(VruError, match=r"no tables yet.*vru\.service\.database\.migrate"):
        async with app.router.lifespan_context(app):
            pass


async def test_a_database_that_never_answers_is_told_at_the_start(monkeypatch, gateway_settings):
    monkeypatch.setattr("vru.gateway.app.START_TIMEOUT_S", 0.1)
    app = create_gateway(gateway_settings(database_port=9))
    with pytest.raises(VruError, match=r"cannot start: .*VRU_DATABASE_\*"):
        async with app.router.lifespan_context(app):
            pass


def test_documentation_needs_no_other_server(start_gateway):
    address = start_gateway()
    page = httpx2.get(f"{address}/docs")
    assert page.status_code == 200
    assert "http://" not in page.text and "https://" not in page.text and "cdn" not in page.text
    for name in ("swagger-ui-bundle.js", "swagger-ui.css", "favicon.png"):
        assert f"/docs/assets/{name}" in page.text
        asset = httpx2.get(f"{address}/docs/assets/{name}")
        assert asset.status_code == 200
        assert len(asset.content) > 1000
    assert httpx2.get(f"{address}/openapi.json").json()["openapi"].startswith("3.1")


@pytest.fixture(scope="module")
def schema(tmp_path_factory):
    file = tmp_path_factory.mktemp("openapi") / "openapi.json"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("VRU_")}
    done = subprocess.run(
        [sys.executable, "-m", "vru.gateway.openapi", file], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads(file.read_text())


class TestOpenApi:
    def test_every_reference_leads_somewhere(self, schema):
        def references(value):
            if isinstance(value, dict):
                if "$ref" in value:
                    yield value["$ref"]
                for inner in value.values():
                    yield from references(inner)
            elif isinstance(value, list):
                for inner in value:
                    yield from references(inner)

        known = {f"#/components/schemas/{name}" for name in schema["components"]["schemas"]}
        assert set(references(schema)) <= known
        assert {f"#/components/schemas/{model.__name__}" for model in FORWARDED_BODIES} <= known

    def test_every_operation_says_what_it_is(self, schema):
        names = []
        for path, operations in schema["paths"].items():
            for method, operation in operations.items():
                assert operation["summary"] and operation["description"] and operation["tags"], (method, path)
                names.append(operation["operationId"])
                if path.startswith("/api/") and path != "/api/v1/auth/login":
                    assert operation["security"], path
                    assert "401" in operation["responses"], path
        assert len(names) == len(set(names))

    def test_errors_are_problems_everywhere(self, schema):
        assert "HTTPValidationError" not in json.dumps(schema)
        for operations in schema["paths"].values():
            for operation in operations.values():
                for status, response in operation["responses"].items():
                    if status.startswith("4") or (status in ("503", "507") and "/api" in str(operation)):
                        assert list(response["content"]) in (["application/problem+json"], ["application/json"])


class TestCors:
    def preflight(self, address, origin):
        return httpx2.options(
            f"{address}/api/v1/projects",
            headers={
                "Origin": origin,
                "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": "authorization,content-type",
            },
        )

    def test_named_origins_only(self, start_gateway):
        address = start_gateway(cors_origins="https://vru.example.com/, http://localhost:5173")
        for origin in ("https://vru.example.com", "http://localhost:5173"):
            answer = self.preflight(address, origin)
            assert answer.status_code == 200
            assert answer.headers["access-control-allow-origin"] == origin
        refused = self.preflight(address, "https://evil.example.com")
        assert refused.status_code == 400
        assert "access-control-allow-origin" not in refused.headers

    def test_none_by_default(self, start_gateway):
        answer = self.preflight(start_gateway(), "https://vru.example.com")
        assert "access-control-allow-origin" not in answer.headers


class TestProcess:
    def environment(self, environment, port):
        return environment | {
            "VRU_SECRET_KEY": "k" * 40,
            "VRU_ADMIN_EMAIL": "admin@example.com",
            "VRU_ADMIN_PASSWORD": "a-long-password",
            "VRU_API_GATEWAY_PORT": str(port),
        }

    def test_runs_logs_json_and_ends_gracefully(self, environment):
        with __import__("socket").socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        process = subprocess.Popen(
            [sys.executable, "-m", "vru.gateway"],
            env=self.environment(environment, port),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            end = time.monotonic() + 60
            while True:
                try:
                    answer = httpx2.get(f"http://127.0.0.1:{port}/api/v1/projects", headers={"X-Request-ID": "seen-1"})
                    break
                except httpx2.ConnectError:
                    assert process.poll() is None and time.monotonic() < end
                    time.sleep(0.05)
            assert answer.status_code == 401
        finally:
            process.send_signal(signal.SIGTERM)
            output, errors = process.communicate(timeout=30)
        assert process.returncode in (0, -signal.SIGTERM)
        assert errors == ""
        lines = [json.loads(line) for line in output.splitlines()]
        assert all(line["service"] == "api_gateway" and line["ts"] and line["level"] for line in lines)
        (request,) = [line for line in lines if line.get("request_id") == "seen-1"]
        assert (request["event"], request["route"], request["status"]) == ("request", "/api/v1/projects", 401)
        assert "a-long-password" not in output

    def test_missing_settings_are_named_all_at_once(self):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("VRU_")}
        environment["VRU_ADMIN_PASSWORD"] = "short"
        done = subprocess.run([sys.executable, "-m", "vru.gateway"], env=environment, capture_output=True, text=True)
        assert done.returncode == 1
        assert done.stdout == ""
        assert done.stderr.count("\n") == 1
        assert "VRU_SECRET_KEY" in done.stderr and "VRU_ADMIN_EMAIL" in done.stderr
        assert "VRU_ADMIN_PASSWORD" in done.stderr and "short" not in done.stderr.replace("should", "")


def test_settings_split_origins():
    settings = GatewaySettings(
        secret_key="x" * 32, admin_email="a@b", admin_password="p" * 8, cors_origins=" https://a/ ,,https://b "
    )
    assert settings.cors_origin_list == ["https://a", "https://b"]
    assert isinstance(create_gateway(settings), FastAPI)
