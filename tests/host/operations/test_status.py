"""`status` and `plan`: who reaches the ports, and a server whose Docker was stopped."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.host.containers import view_of
from tests.host.deployment.test_going_back import OLD, release
from tests.host.docker_stand_in import DockerStandIn
from tests.host.resources.test_firewall import tables
from tests.host.resources.test_packages import system

from vru.host.base.host import Host
from vru.host.deployment import plan
from vru.host.docker import engine
from vru.host.docker.compose import Compose
from vru.host.operations import status
from vru.host.release import store
from vru.host.resources import firewall, packages
from vru.host.wire import FirewallEntry, Migration, Packages

AWAY = "Docker does not run on this server; 3 containers run on without it (live-restore)"


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    """A server with a live release, whose Docker answers nothing."""
    view = view_of("postgres", "nginx")
    found = Host(tmp_path, DockerStandIn(Path("/nowhere"), view, "vru", "vru"))
    store.save(found, release(found, OLD, "one"))
    store.set_current(found, OLD)
    for path in ("docker-compose.production.yml", ".env"):
        (tmp_path / path).write_text("")
    monkeypatch.setattr(engine, "SOCKET", str(tmp_path / "none"))
    monkeypatch.setattr(engine, "away", lambda: f"{AWAY}. Start it: systemctl start docker")
    monkeypatch.setattr(Compose, "view", lambda compose, contents=None: view)
    monkeypatch.setattr(Compose, "containers_and_names", lambda compose: ([], set()))
    return found


@pytest.mark.parametrize(
    ("restricted", "shown"),
    [
        ({"3001": []}, "; closed 3001"),
        ({"3001": ["10.0.0.0/8", "fd00::/8"]}, "; 3001 for 10.0.0.0/8, fd00::/8"),
        ({"3001": ["10.0.0.0/8"], "443": []}, "; 3001 for 10.0.0.0/8; closed 443"),
        ({}, ""),
    ],
)
def test_a_port_that_nobody_reaches_is_called_closed(restricted: dict[str, list[str]], shown: str) -> None:
    assert status._limited(restricted) == shown


def test_a_plan_says_for_nobody_where_no_network_is_let_in() -> None:
    entry = FirewallEntry(ssh_ports=(22,), open=(80,), restricted={3001: (), 3002: ("10.0.0.0/8",)})
    (change, *_) = firewall.changes(Host(Path("/nowhere")), entry, tables())
    assert "for some networks only: 3002; for nobody: 3001;" in change.detail


def test_status_says_first_that_docker_does_not_run(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    assert status.show(host, as_json=False) == 3
    said = capsys.readouterr().out
    assert said.splitlines()[0].startswith("Docker does not run on this server; 3 containers run on")
    assert "missing" not in said
    assert said.count("unknown") == 2
    assert status.gather(host)["docker"] is False


def test_a_plan_without_docker_shows_no_full_installation(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped = system(docker_running=False)
    monkeypatch.setattr(packages, "facts", lambda host: stopped)
    manifest = store.load(host, OLD)
    planner = plan.Planner(host, manifest)
    planner.manifest = replace(manifest, packages=Packages(), migrate=Migration("migrate"), pull=("redis:8",))
    changes = [str(change) for change in planner.changes()]
    assert planner.notes[0].startswith(AWAY)
    assert planner.notes[0].endswith("This plan is uncertain until it runs.")
    assert "update all services (what differs is known once Docker runs)" in changes
    assert "start docker.service (and at every boot)" in changes
    assert not any(change.startswith(("pull", "build", "create all services", "run")) for change in changes)
