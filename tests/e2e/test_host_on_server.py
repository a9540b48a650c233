"""The host program on a real bare server, driven through its protocol with a tiny project. One server, in order."""

import json
import socket
import subprocess
import time
import urllib.error
import urllib.request

import pytest
from tests.e2e.bareserver import BareServer, docker_answers
from tests.host.tiny import Tiny, archive

from vru.host.build import build_pyz

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not docker_answers(), reason="no Docker engine answers"),
]
PROGRAM = "/opt/vru-platform/bin/vru-platform.pyz"


class Driver:
    """What the laptop does, in small."""

    def __init__(self, server: BareServer) -> None:
        self.server = server
        self.project = Tiny()

    def run(self, *arguments: str, stdin: bytes | None = None, code: int = 0) -> str:
        done = self.server.exec(["vru-platform", *arguments], stdin=stdin, timeout=600)
        assert done.returncode == code, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def plan(self) -> dict:
        return json.loads(self.run("plan", stdin=json.dumps(self.project.manifest()).encode()))

    def send(self) -> dict:
        answer = self.plan()
        if answer["missing"]:
            self.run("receive", stdin=archive(self.project.contents(), answer["missing"]))
        return answer

    def apply(self, *, confirm: bool = True, until: str = "") -> tuple[int, list[dict]]:
        """Deploy the project; with ``until`` kill the executor as soon as a step of that name begins."""
        self.send()
        command = ["docker", "exec", "-i", self.server.name, "vru-platform", "apply"]
        events = []
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps(self.project.manifest()).encode())
            process.stdin.close()
            for line in process.stdout:
                event = json.loads(line)
                events.append(event)
                if confirm and event.get("name") == "firewall" and event.get("state") == "done":
                    assert event["confirm_within"] == 90
                    self.run("firewall-confirm")
                if until and event.get("name") == until and event.get("state") == "started":
                    self.server.run("systemctl kill --signal=KILL 'vru-apply-*.service'")
        return process.returncode, events

    def sql(self, text: str, database: str = "vru") -> str:
        command = ["docker", "exec", "-i", "vru-platform-postgres-1", "psql", "-U", "vru", "-d", database, "-Atq"]
        done = self.server.exec(command, stdin=text.encode())
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def get(self, port: int) -> tuple[str, str]:
        with urllib.request.urlopen(self.server.url(port), timeout=10) as answer:
            return answer.read().decode().strip(), answer.headers["X-Config"]


def states(events: list[dict]) -> dict[str, str]:
    return {event["name"]: event["state"] for event in events if event["event"] == "step"}


@pytest.fixture(scope="module")
def driver():
    with BareServer("vruhost-e2e", address=None) as server:
        server.run(
            "apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends python3"
        )
        server.write(PROGRAM, build_pyz())
        server.write("/usr/local/bin/vru-platform", f'#!/bin/sh\nexec python3 {PROGRAM} "$@"\n'.encode(), 0o755)
        yield Driver(server)


def test_1_a_killed_executor_leaves_a_server_that_the_next_run_finishes(driver):
    code, events = driver.apply(until="build images")
    assert code == 1
    assert events[-1]["message"] == "The change was stopped before its end."
    assert "docker.io" not in json.dumps(driver.plan()["changes"])

    code, events = driver.apply()
    assert (code, events[-1].get("ok")) == (0, True), events[-3:]
    assert driver.get(80) == ("version one", "one")
    assert driver.plan()["changes"] == []
    assert json.loads(driver.run("verify", "--json"))["ok"] is True
    daemon = json.loads(driver.server.read("/etc/docker/daemon.json"))
    assert daemon["live-restore"] is True
    assert "docker-compose" in driver.server.run("command -v docker-compose")


def test_2_what_was_done_is_not_done_again(driver):
    before = driver.server.run("docker ps --no-trunc --format '{{.ID}} {{.CreatedAt}}'")
    code, events = driver.apply()
    assert (code, events[-1]["changed"]) == (0, 0)
    assert driver.server.run("docker ps --no-trunc --format '{{.ID}} {{.CreatedAt}}'") == before


def test_3_a_restricted_port_is_shut_to_others(driver):
    assert driver.get(8000)[0] == "version one"
    with pytest.raises((urllib.error.URLError, TimeoutError)):
        driver.get(3001)
    # Containers still reach what is outside: here, this very process.
    gateway = driver.server.run("ip -4 route show default | awk '{print $3}'").strip()
    with socket.create_server(("0.0.0.0", 0)) as outside:
        port = outside.getsockname()[1]
        connect = f"import socket; socket.create_connection(('{gateway}', {port}), timeout=5)"
        gateway = "$(docker ps --quiet --filter label=com.docker.compose.service=api_gateway)"
        driver.server.run(f'docker exec {gateway} python -c "{connect}"')


def test_4_administrators_verbs(driver):
    status = json.loads(driver.run("status", "--json"))
    assert status["healthy"] is True
    assert {service["service"] for service in status["services"]} == {"postgres", "api_gateway", "nginx"}
    assert all(service["memory"] for service in status["services"])
    assert "api_gateway  running  healthy" in driver.run("status")
    assert 1 <= len(driver.run("logs", "api_gateway", "--tail", "5").splitlines()) <= 5
    refused = driver.server.exec(["vru-platform", "logs", "nonsense"])
    assert refused.returncode == 2
    assert "api_gateway, nginx, postgres" in refused.stderr
    assert "healthy" in driver.run("restart", "api_gateway")
    driver.server.run("cd /opt/vru-platform && docker-compose -f docker-compose.production.yml ps")
    assert driver.run("heal") == ""


def test_5_a_dropped_database_comes_back_row_for_row(driver):
    driver.sql("INSERT INTO projects (name) SELECT 'p' || n FROM generate_series(1, 1234) n;")
    backup = json.loads(driver.run("backup", "--json"))
    assert backup["rows"]["projects"] == 1234
    driver.sql("DROP DATABASE vru WITH (FORCE);", "postgres")
    restored = json.loads(driver.run("restore", "latest", "--json"))
    assert restored["rows"] == backup["rows"]
    assert driver.sql("SELECT count(*) FROM projects;") == "1234"
    assert driver.plan()["changes"] == []

    # A damaged backup is refused before anything is stopped.
    driver.server.run(
        f"printf x | dd of=/opt/vru-platform/backups/{backup['name']}/database.dump bs=1 seek=99 conv=notrunc"
    )
    driver.run("restore", backup["name"], code=1)
    assert driver.sql("SELECT count(*) FROM projects;") == "1234"


def test_5b_a_backup_of_a_newer_schema_is_refused_and_nothing_is_stopped(driver):
    driver.sql("UPDATE alembic_version SET version_num = '0009';")
    newer = json.loads(driver.run("backup", "--json"))
    driver.sql("UPDATE alembic_version SET version_num = '0001'; INSERT INTO projects (name) VALUES ('later');")
    before = driver.server.run("docker ps --no-trunc --format '{{.ID}} {{.CreatedAt}}'")
    refused = driver.server.exec(["vru-platform", "restore", newer["name"]], timeout=600)
    assert refused.returncode == 1
    assert "does not fit the live release" in refused.stderr
    assert "unknown revision" in refused.stderr
    assert "Nothing was stopped or changed" in refused.stderr
    assert driver.server.run("docker ps --no-trunc --format '{{.ID}} {{.CreatedAt}}'") == before
    assert driver.sql("DELETE FROM projects WHERE name = 'later' RETURNING name;") == "later"
    assert driver.get(80) == ("version one", "one")
    assert driver.plan()["changes"] == []


def test_6_changed_code_config_and_password_go_live(driver):
    project = driver.project
    project.files["src/serve.py"] = project.files["src/serve.py"].replace("version one", "version two")
    project.files["config/production/nginx.conf"] = project.files["config/production/nginx.conf"].replace(
        "X-Config one", "X-Config two"
    )
    project.env["VRU_DATABASE_PASSWORD"] = "second-Password_2"
    nginx = driver.server.run("docker inspect -f '{{.Id}}' vru-platform-nginx-1")
    code, events = driver.apply()
    assert code == 0, events[-1]
    assert driver.get(80) == ("version two", "two")
    assert driver.server.run("docker inspect -f '{{.Id}}' vru-platform-nginx-1") == nginx
    assert states(events)["database password"] == "done"
    # What the containers wrote that were replaced is still there: of one beside the new one, and of one in its place.
    assert "api_gateway-1  | " in driver.run("logs", "api_gateway", "--since", "2h", "--tail", "all")
    kept = driver.run("logs", "postgres", "--since", "2h", "--tail", "all")
    assert "database system is shut down" in kept
    assert "api_gateway-1 " not in driver.run("logs", "api_gateway")


def test_6b_a_server_whose_docker_was_stopped_says_so_first(driver):
    driver.server.run("systemctl stop docker.socket docker.service")
    try:
        shown = driver.server.exec(["vru-platform", "status"])
        assert shown.returncode == 3
        assert shown.stdout.startswith("Docker does not run on this server; 3 containers run on without it")
        assert "missing" not in shown.stdout
        answer = driver.plan()
        assert "This plan is uncertain until it runs." in answer["notes"][0]
        assert {change["name"] for change in answer["changes"]} == {"docker.service", "all services"}
    finally:
        driver.server.run("systemctl start docker.socket docker.service")
    assert driver.plan()["changes"] == []


def test_6c_a_killed_container_is_started_by_the_watchdog(driver):
    # Docker answers the kill before it has seen the container's end.
    driver.server.run("docker kill vru-platform-postgres-1 && docker wait vru-platform-postgres-1")
    said = driver.run("heal")
    assert "postgres does not run (exit code 137) and is started again" in said
    # The watchdog starts it; reading its log again after the kill takes a moment.
    ready = "docker exec vru-platform-postgres-1 pg_isready -q -U vru"
    driver.server.run(f"for i in $(seq 60); do {ready} && exit 0; sleep 1; done; exit 1")
    assert driver.sql("SELECT count(*) FROM projects;") == "1234"


def test_7_a_release_that_fails_shows_its_log_and_goes_back_by_itself(driver):
    live = driver.plan()["release"]
    driver.project.env["BREAK"] = "1"
    code, events = driver.apply()
    end = events[-1]
    assert code == 1
    assert end["service"] == "api_gateway"
    assert "the configuration is broken on purpose" in end["logs"]
    assert "the configuration is broken on purpose" in driver.run("logs", "api_gateway", "--since", "10m")
    assert f"Release {live} goes on serving" in end["fix"]
    assert driver.get(80) == ("version two", "two")
    del driver.project.env["BREAK"]
    assert driver.plan()["changes"] == []

    good = driver.project.files["config/production/nginx.conf"]
    driver.project.files["config/production/nginx.conf"] = good + "nonsense"
    code, events = driver.apply()
    assert code == 1
    assert "nginx refuses" in events[-1]["message"]
    driver.project.files["config/production/nginx.conf"] = good
    assert driver.plan()["changes"] == []


def test_8_unconfirmed_firewall_rules_are_taken_back(driver):
    driver.project.restricted = {"3001": ["10.9.0.0/16", "172.16.0.0/12"]}
    started = time.monotonic()
    code, events = driver.apply(confirm=False)
    assert code == 1
    assert "taken back" in events[-1]["message"]
    assert time.monotonic() - started > 80
    with pytest.raises((urllib.error.URLError, TimeoutError)):
        driver.get(3001)
    code, events = driver.apply()
    assert code == 0, events[-1]
    assert driver.get(3001)[0] == "version two"


def test_9_after_a_reboot_everything_is_there_again(driver):
    driver.server.restart()
    deadline = time.monotonic() + 120
    while driver.server.exec(["vru-platform", "verify"]).returncode != 0 and time.monotonic() < deadline:
        time.sleep(1)
    assert json.loads(driver.run("verify", "--json"))["ok"] is True
    assert driver.get(80) == ("version two", "two")
    assert driver.plan()["changes"] == []
    assert driver.sql("SELECT count(*) FROM projects;") == "1234"
