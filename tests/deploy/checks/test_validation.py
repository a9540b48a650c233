"""What would stop a deployment, from a server's facts."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.deploy.servers import GOOD

from vru.deploy.checks.check import problems
from vru.deploy.checks.machine import GIB
from vru.deploy.checks.validation import check_project, check_server
from vru.deploy.settings.environment import Environment, generate
from vru.host.wire import Check, Facts


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    return generate(tmp_path / ".env.production", {"VRU_HOST": "server.example"})


def found(environment: Environment, facts: Facts) -> list[Check]:
    return problems(check_server(environment, facts))


def test_a_bare_server_has_no_problem(environment: Environment) -> None:
    assert found(environment, GOOD) == []


@pytest.mark.parametrize(
    ("change", "name", "words"),
    [
        ({"os_id": "fedora", "os_name": "Fedora 44"}, "operating system", "Fedora 44 is not supported"),
        ({"os_version": "11"}, "operating system", "is not supported"),
        ({"os_version": ""}, "operating system", "is not supported"),
        ({"machine": "riscv64"}, "processor", "riscv64 is not supported"),
        ({"init": "sh"}, "systemd", "not systemd"),
        ({"python": "3.9", "has_apt": False}, "python", "neither Python 3.10 nor apt-get"),
        ({"disk_free_bytes": 3 * GIB}, "disk for /opt/vru-platform", "Only 3.0 GiB free"),
        ({"docker_disk_free_bytes": 1 * GIB}, "disk for /var/lib/docker", "Only 1.0 GiB free"),
        ({"memory_bytes": 1 * GIB}, "memory", "Only 1.0 GiB"),
        ({"listening": ((80, "apache2"),)}, "port 80", "taken by apache2"),
        ({"listening": ((3001, ""),)}, "port 3001", "taken by another process"),
        ({"listening": ((80, "docker-proxy"),)}, "port 80", "taken by docker-proxy"),
    ],
)
def test_each_fault_is_named_with_its_fix(
    environment: Environment, change: dict[str, object], name: str, words: str
) -> None:
    [check] = found(environment, replace(GOOD, **change))  # type: ignore[arg-type]
    assert check.name == name
    assert words in check.detail
    assert check.fix


def test_all_faults_are_said_at_once(environment: Environment) -> None:
    bad = replace(GOOD, os_id="fedora", machine="riscv64", memory_bytes=GIB, listening=((80, "apache2"), (8000, "x")))
    assert len(found(environment, bad)) == 5


def test_where_the_platform_runs_its_own_ports_and_a_fuller_disk_are_fine(environment: Environment) -> None:
    again = replace(GOOD, release="abc", disk_free_bytes=3 * GIB, listening=((80, "docker-proxy"),))
    assert found(environment, again) == []


def test_a_clock_that_is_off_is_a_warning(environment: Environment) -> None:
    checks = {check.name: check for check in check_server(environment, replace(GOOD, clock_skew_s=-300.0))}
    assert checks["clock"].state == "warning"
    assert "300 s" in checks["clock"].detail


def test_missing_project_files_are_named(tmp_path: Path) -> None:
    [check] = problems(check_project(tmp_path))
    assert "Dockerfile" in check.detail
    assert "uv.lock" in check.detail


def test_a_database_is_not_renamed_by_a_deployment(environment: Environment) -> None:
    there = replace(GOOD, release="abc", database_name="vru", database_user="vru")
    assert found(environment, there) == []
    for variable in ("VRU_DATABASE_NAME", "VRU_DATABASE_USER"):
        [check] = found(environment.replace(**{variable: "camera"}), there)
        assert f"{variable} is camera" in check.detail
        assert f"Set {variable}=vru" in check.fix
        assert "docs/operating.md" in check.fix
    # Where there is no database yet, any name is as good.
    assert found(environment.replace(VRU_DATABASE_NAME="camera"), GOOD) == []


def test_what_becomes_of_the_servers_own_programs_is_said_before(environment: Environment) -> None:
    apache = replace(GOOD, outside=((22, "sshd"), (81, "apache2"), (9999, "docker-proxy")))

    def said(settings: Environment, facts: Facts) -> list[Check]:
        return [check for check in check_server(settings, facts) if check.state == "warning"]

    [kept] = said(environment, apache)
    assert kept.detail == "Port 81 (apache2) is the server's own, and stays open."
    assert "VRU_FIREWALL_OTHERS=close" in kept.fix
    [closed] = said(environment.replace(VRU_FIREWALL_OTHERS="close"), apache)
    assert closed.detail == "Port 81 (apache2) will no longer be reached from outside."
    assert said(environment, replace(apache, has_firewall=True)) == []
