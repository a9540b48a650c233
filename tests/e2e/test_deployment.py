"""A bare server becomes the running platform, is used, changed, wrecked and rescued, by the real `vru`."""

import json
import re
import stat
import time
from pathlib import Path
from typing import Any

import httpx2
from tests.e2e.api import Api
from tests.e2e.bareserver import BareServer
from tests.e2e.bareserver.server import docker
from tests.e2e.laptop import ADDRESS, Laptop, container_ids, on_server, wait_healthy, wait_verified

from vru.deploy.console.phases import PHASES

SERVICES = {
    "postgres",
    "redis",
    "api_gateway",
    "ml_engine",
    "camera_service",
    "validation_engine",
    "validation_worker",
    "signer",
    "frontend",
    "nginx",
    "prometheus",
    "grafana",
}


def test_init_writes_generated_passwords_for_the_owner_only(laptop: Laptop) -> None:
    file = laptop.root / ".env.production"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    secrets = [laptop.environment[name] for name in ("VRU_DATABASE_PASSWORD", "VRU_SECRET_KEY", "VRU_ADMIN_PASSWORD")]
    assert len(set(secrets)) == 3
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{32,}", secret) for secret in secrets)


def test_validate_stops_at_an_unknown_key_and_passes_once_it_is_accepted(deployed: Laptop) -> None:
    unknown = deployed.outputs["unknown key"]
    assert unknown.returncode == 1
    assert deployed.server.host_key_fingerprint() in unknown.stdout + unknown.stderr
    assert "Nothing would stop a deployment" in deployed.outputs["validate"].stdout


def test_deploy_runs_the_seven_phases_and_ends_live(deployed: Laptop) -> None:
    output = deployed.outputs["deploy"].stdout
    at = [output.index(f"[{number}/7] {name}") for number, name in enumerate(PHASES, 1)]
    assert at == sorted(at)
    assert f"The platform is live: http://{ADDRESS}" in output


def test_no_secret_is_shown_or_shipped_in_the_open(deployed: Laptop) -> None:
    environment = deployed.environment
    secrets = [value for name, value in environment.items() if name.endswith(("PASSWORD", "SECRET_KEY")) and value]
    shown = "".join(output.stdout + output.stderr for output in deployed.outputs.values())
    configs = on_server(deployed, "find /opt/vru-platform/config/production -type f -exec cat {} +")
    journal = on_server(deployed, "cat /opt/vru-platform/state/journal/*; journalctl --no-pager | tail -5000")
    assert len(secrets) >= 5
    for secret in secrets:
        assert secret not in shown
        assert secret not in configs
        assert secret not in journal
    assert on_server(deployed, "stat -c '%a %U' /opt/vru-platform/.env").split() == ["600", "root"]


def test_every_service_is_healthy(deployed: Laptop) -> None:
    end = time.monotonic() + 120
    while True:
        services = {service["service"]: service for service in deployed.vru_json("status")["services"]}
        assert set(services) >= SERVICES
        assert {name for name, service in services.items() if service["state"] != "running"} == set()
        ill = {name for name in SERVICES if services[name]["health"] != "healthy"}
        if not ill:
            break
        # On a busy machine one health check may come too late.
        assert time.monotonic() < end, ill
        time.sleep(2)


def test_the_papers_addresses_answer(deployed: Laptop) -> None:
    page = httpx2.get(deployed.url(3000), timeout=30)
    assert page.status_code == 200
    assert "<div id=" in page.text
    assert httpx2.get(deployed.url(8000, "/docs"), timeout=30).status_code == 200
    health = httpx2.get(deployed.url(8000, "/health"), timeout=30)
    assert health.status_code == 200
    assert health.json()["status"] == "ok"


def test_monitoring_answers_from_an_allowed_network_only(deployed: Laptop) -> None:
    assert httpx2.get(deployed.url(3001, "/api/health"), timeout=30).status_code == 200
    # A container beside the server has another address than the one that is allowed.
    where = f"{deployed.server.inner_address()}/{{port}}"
    knock = "timeout 3 bash -c 'exec 3<>/dev/tcp/{where}' && echo open || echo shut"
    tried = [knock.format(where=where.format(port=port)) for port in (80, 3001)]
    image = BareServer.build_image()
    answers = docker("run", "--rm", "--entrypoint=bash", image, "-c", "; ".join(tried)).split()
    assert answers == ["open", "shut"]


def test_only_nginx_is_reached_from_outside(deployed: Laptop) -> None:
    published = on_server(deployed, "docker ps --format '{{.Names}} {{.Ports}}' | grep '0.0.0.0' || true")
    assert [line for line in published.splitlines() if "nginx" not in line.split()[0]] == []


def test_a_validation_run_reaches_a_verdict(finished_run: dict[str, Any], api: Api) -> None:
    run, events = finished_run["run"], finished_run["events"]
    assert run["state"] == "completed", run
    assert run["verdict"] in {"PASS", "FAIL", "INCONCLUSIVE"}
    assert run["verdict_reasons"]
    measured = {one["metric"]: one for one in run["metrics"]["measurements"] if one["slice"] == "all"}
    assert {"precision", "recall", "f1", "ap50"} <= set(measured)
    assert measured["recall"]["value"] > 0
    assert measured["recall"]["low"] <= measured["recall"]["value"] <= measured["recall"]["high"]
    assert run["metrics"]["tracks"]
    assert run["metrics"]["ground_truth_approved"]
    assert events[-1]["state"] == "completed"
    assert [event["frames_done"] for event in events] == sorted(event["frames_done"] for event in events)
    assert api.get(f"/runs/{run['id']}/detections", first_frame=0, last_frame=400)["items"]


def test_the_video_comes_back_in_ranges(api: Api, inputs: dict[str, str], recording: tuple[Path, Path]) -> None:
    answer = api.client.get(f"/api/v1/videos/{inputs['video_id']}/file", headers={"Range": "bytes=100-199"})
    assert answer.status_code == 206
    assert answer.content == recording[0].read_bytes()[100:200]


def test_status_logs_and_verify(deployed: Laptop) -> None:
    assert "api_gateway" in deployed.vru("status").stdout
    lines = deployed.vru("logs", "api_gateway", "--tail", "5").stdout.strip().splitlines()
    assert 1 <= len(lines) <= 5
    entries = [
        json.loads(line) for line in deployed.vru("logs", "api_gateway", "--tail", "5", "--json").stdout.splitlines()
    ]
    assert 1 <= len(entries) <= 5
    assert {entry["service"] for entry in entries} == {"api_gateway"}
    wait_verified(deployed)
    unknown = deployed.vru("logs", "nonsense", check=False)
    assert unknown.returncode != 0
    assert "api_gateway" in unknown.stdout + unknown.stderr


def test_the_host_program_on_the_server(deployed: Laptop) -> None:
    assert "api_gateway" in on_server(deployed, "vru-platform status")
    assert on_server(deployed, "vru-platform logs api_gateway --tail 3").strip()
    started = "docker inspect --format '{{.State.StartedAt}}' $(docker ps -q --filter name=api_gateway)"
    before = on_server(deployed, started)
    on_server(deployed, "vru-platform restart api_gateway")
    assert on_server(deployed, started) != before
    # The diagnostic command of the architecture, as written.
    on_server(deployed, "cd /opt/vru-platform && docker-compose -f docker-compose.production.yml restart api_gateway")
    wait_healthy(deployed)


def test_a_second_deploy_changes_nothing_and_says_so(deployed: Laptop) -> None:
    before = container_ids(deployed)
    done = deployed.vru("deploy")
    assert "Nothing to change" in done.stdout
    assert container_ids(deployed) == before
    assert deployed.vru_json("deploy")["changed"] == 0


def test_a_sudo_user_deploys_as_root_does(deployed: Laptop) -> None:
    file = deployed.root / ".env.production"
    original = file.read_bytes()
    assert b"VRU_SSH_USER=root\n" in original
    file.write_bytes(original.replace(b"VRU_SSH_USER=root\n", b"VRU_SSH_USER=debian\n"))
    try:
        assert "Nothing to change" in deployed.vru("deploy").stdout
        wait_verified(deployed)
        deployed.server.run("mv /etc/sudoers.d/90-debian /root/90-debian")
        refused = deployed.vru("deploy", check=False)
        assert refused.returncode == 3
        assert "sudo wants the password of user debian" in refused.stderr
        assert "NOPASSWD" in refused.stderr
    finally:
        file.write_bytes(original)
        deployed.server.run("mv /root/90-debian /etc/sudoers.d/90-debian || true")


def test_a_changed_line_of_python_goes_live(deployed: Laptop) -> None:
    file = deployed.root / "src" / "vru" / "gateway" / "__init__.py"
    app = next((deployed.root / "src" / "vru" / "gateway").glob("app.py"))
    original = app.read_text()
    mark = f"Updated at {time.time():.0f}"
    changed = re.sub(r'title="[^"]*"', f'title="{mark}"', original, count=1)
    assert changed != original, file
    before = container_ids(deployed)
    app.write_text(changed)
    try:
        done = deployed.vru_json("update")
        assert done["changed"] >= 1
        assert httpx2.get(deployed.url(8000, "/openapi.json"), timeout=30).json()["info"]["title"] == mark
        after = container_ids(deployed)
        replaced = {name for name in before if before[name] != after.get(name)}
        assert {re.sub(r"^vru-platform-|-\d+$", "", name) for name in replaced} == {"api_gateway"}
    finally:
        app.write_text(original)
        deployed.vru("update")


def test_a_backup_brings_back_every_row_after_the_database_was_dropped(
    deployed: Laptop, finished_run: dict[str, Any], api: Api
) -> None:
    before = row_counts(deployed)
    assert before["detections"] > 0
    on_server(deployed, "vru-platform backup")
    sql = "DROP DATABASE vru WITH (FORCE)"
    on_server(
        deployed, f"docker exec vru-platform-postgres-1 psql -h /var/run/postgresql -U vru -d postgres -c '{sql}'"
    )
    end = time.monotonic() + 60
    while httpx2.get(deployed.url(8000, "/health"), timeout=60).status_code != 503:
        assert time.monotonic() < end, "nobody misses the database"
        time.sleep(0.5)
    on_server(deployed, "vru-platform restore latest", timeout=600)
    assert row_counts(deployed) == before
    wait_healthy(deployed)
    run = finished_run["run"]
    assert api.get(f"/runs/{run['id']}")["verdict"] == run["verdict"]


def test_a_restarted_server_is_healthy_again_without_help(deployed: Laptop, api: Api) -> None:
    deployed.server.restart(states=("running", "degraded", "starting"))
    wait_healthy(deployed, seconds=300)
    assert api.get("/auth/me")["role"] == "admin", "sessions did not survive"
    wait_verified(deployed)


def row_counts(laptop: Laptop) -> dict[str, int]:
    """Rows of every table of the platform's schema."""
    query = (
        "SELECT json_object_agg(table_name, (xpath('/row/n/text()', query_to_xml(format("
        "'SELECT count(*) AS n FROM %I', table_name), false, true, '')))[1]::text::int) "
        "FROM information_schema.tables WHERE table_schema = 'public' AND table_type = 'BASE TABLE' "
        # The queue's own tables live on: workers and their heartbeats come and go.
        "AND table_name NOT LIKE 'procrastinate%'"
    )
    counts: dict[str, int] = json.loads(
        on_server(
            laptop,
            "docker exec -i vru-platform-postgres-1 psql -h /var/run/postgresql -U vru -d vru -At",
            stdin=query.encode(),
        )
    )
    return counts
