"""Which of a service's containers is meant."""

from collections.abc import Mapping

import pytest
from tests.host.containers import TOPOLOGY

from vru.host.base.errors import HostError
from vru.host.docker.compose import Container
from vru.host.operations import exec_target


def container(number: int, state: str = "running", health: str = "healthy", service: str = "api_gateway") -> Container:
    addresses: Mapping[str, str] = {"internal": f"10.0.0.{number}"}
    return Container(
        id=f"id{number}", name=f"vru-platform-{service}-{number}", service=service, digest="", image="", state=state,
        health=health, exit_code=0, restarts=0, started=None, pid=1, restart="unless-stopped", environment={}, probe="",
        arguments=(), number=number, addresses=addresses,
    )  # fmt: skip


def test_the_newest_healthy_one_is_meant() -> None:
    found = [container(1), container(3, health="starting"), container(2), container(4, "exited")]
    assert exec_target.choose("api_gateway", found, None).number == 2


def test_a_sick_one_is_better_than_none() -> None:
    assert exec_target.choose("api_gateway", [container(1, health="unhealthy")], None).number == 1


def test_one_is_chosen_by_its_place_among_those_that_run() -> None:
    found = [container(7), container(5), container(6, "exited")]
    assert [exec_target.choose("api_gateway", found, index).number for index in (1, 2)] == [5, 7]
    with pytest.raises(HostError, match="api_gateway has 2 containers") as raised:
        exec_target.choose("api_gateway", found, 3)
    assert raised.value.fix == "Give --index 1 to 2."
    with pytest.raises(HostError, match="only one"):
        exec_target.choose("api_gateway", found[:1], 2)


def test_a_service_that_does_not_run_is_named() -> None:
    with pytest.raises(HostError, match="ml_engine does not run"):
        exec_target.choose("ml_engine", [container(1)], None)


def test_every_service_of_the_compose_file_has_a_known_port() -> None:
    assert [name for name, topology in TOPOLOGY.items() if topology.port is None] == ["migrate"]
