"""The watchdog: what it starts again, what it leaves alone, and when it asks for a person."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.host.containers import container, view_of

from vru.host.base.errors import ATTENTION, OK
from vru.host.base.host import Host
from vru.host.base.run import Done, Runner
from vru.host.docker.compose import Compose, Container
from vru.host.firewall import confirmation
from vru.host.lock import audit
from vru.host.operations import watchdog
from vru.host.rolling import rollout


class CommandsStandIn(Runner):
    """Notes the commands that would change containers."""

    unit = "active"

    def __init__(self) -> None:
        self.commands: list[list[str]] = []

    def __call__(self, argv: Sequence[str], **others: Any) -> Done:
        if argv[0] == "systemctl":
            return Done(tuple(argv), 0, f"LoadState=loaded\nActiveState={self.unit}\n", "")
        if list(argv[:2]) != ["docker", "logs"]:
            self.commands.append(list(argv))
        return Done(tuple(argv), 0, "", "")


@pytest.fixture
def heal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    host = Host(tmp_path, CommandsStandIn())
    found: list[Container] = []
    view = view_of("postgres", "api_gateway", "grafana")
    monkeypatch.setattr(Compose, "containers", lambda compose: found)
    monkeypatch.setattr(Compose, "view", lambda compose: view)
    monkeypatch.setattr(rollout, "repair_routes", lambda compose: [])
    monkeypatch.setattr(confirmation, "reassert", lambda host: False)

    def run(*containers: Container) -> tuple[int, list[list[str]]]:
        found[:] = containers
        assert isinstance(host.run, CommandsStandIn)
        host.run.commands.clear()
        return watchdog.heal(host), host.run.commands

    run.host = host  # type: ignore[attr-defined]
    return run


DOWN = {"state": "exited", "exit_code": 137, "health": "none", "restart": "unless-stopped"}


def test_what_is_well_is_left_alone(heal) -> None:  # type: ignore[no-untyped-def]
    assert heal(container("postgres"), container("api_gateway")) == (OK, [])


def test_an_unhealthy_container_is_restarted(heal) -> None:  # type: ignore[no-untyped-def]
    ill = container("api_gateway", health="unhealthy")
    assert heal(ill) == (OK, [["docker", "restart", "-t", "30", ill.id]])


def test_a_container_that_was_killed_is_started(heal) -> None:  # type: ignore[no-untyped-def]
    killed = container("postgres", **DOWN)
    assert heal(killed) == (OK, [["docker", "start", killed.id]])
    said = audit.read(heal.host)[0][-1]
    assert said["detail"] == "postgres does not run (exit code 137) and was started again"
    starved = replace(killed, service="grafana", killed_for_memory=True)
    heal(starved)
    assert "want of memory" in audit.read(heal.host)[0][-1]["detail"]


@pytest.mark.parametrize(
    "left",
    [
        container("api_gateway", **DOWN, digest="of another release"),
        container("vanished", **DOWN),
        container("grafana", **{**DOWN, "exit_code": 0, "restart": "no"}),
        container("postgres", state="paused"),
        container("postgres", state="restarting"),
    ],
    ids=["another release's", "no service of this release", "ended well", "paused", "Docker is at it"],
)
def test_what_is_not_to_run_or_is_being_seen_to_stays(heal, left: Container) -> None:  # type: ignore[no-untyped-def]
    assert heal(left) == (OK, [])


def test_what_a_change_has_replaced_is_not_started_beside_its_successor(heal) -> None:  # type: ignore[no-untyped-def]
    assert heal(container("api_gateway", 1, **DOWN), container("api_gateway", 2)) == (OK, [])


def test_after_three_times_in_an_hour_a_person_is_asked_for(heal) -> None:  # type: ignore[no-untyped-def]
    killed = container("postgres", **DOWN)
    for _ in range(watchdog.HEALS_PER_HOUR):
        assert heal(killed)[0] == OK
    assert heal(killed) == (ATTENTION, [])


def test_a_platform_that_was_stopped_as_a_whole_stays_stopped(heal) -> None:  # type: ignore[no-untyped-def]
    heal.host.run.unit = "inactive"
    assert heal(container("postgres", **DOWN), container("grafana", **DOWN)) == (OK, [])
    heal.host.run.unit = "failed"
    assert len(heal(container("postgres", **DOWN))[1]) == 1
