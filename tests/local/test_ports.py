import os
import socket

import pytest
from tests.host.containers import TOPOLOGY

from vru.domain import VruError
from vru.local.ports import DEFAULT_PORTS, check_free, choose_ports


def test_what_people_open_is_where_it_is_on_a_server():
    ports = choose_ports(None, {})
    assert {name: ports[name] for name, one in TOPOLOGY.items() if one.routed} == {
        "api_gateway": 8000,
        "ml_engine": 8001,
        "camera_service": 8002,
        "validation_engine": 8003,
        "frontend": 3000,
    }
    assert all(ports[name] == one.port for name, one in TOPOLOGY.items() if one.routed)


def test_a_base_port_moves_all_and_an_override_one():
    ports = choose_ports(18000, {"redis": 7000})
    assert ports["redis"] == 7000
    others = sorted(port for name, port in ports.items() if name != "redis")
    assert set(others) <= set(range(18000, 18000 + len(DEFAULT_PORTS)))
    assert len(set(ports.values())) == len(DEFAULT_PORTS)


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        ({"nginx": 80}, "There is no process called 'nginx'"),
        ({"redis": 0}, "Port 0 for redis"),
        ({"redis": 65536}, "Port 65536 for redis"),
        ({"redis": 8000}, "Port 8000 is given to api_gateway and redis"),
    ],
)
def test_ports_that_cannot_be_are_refused_by_name(overrides, says):
    with pytest.raises(VruError, match=says):
        choose_ports(None, overrides)


def test_taken_ports_are_all_named_with_who_holds_them():
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        taken = {"api_gateway": one.getsockname()[1], "redis": two.getsockname()[1]}
        with pytest.raises(VruError) as caught:
            check_free(taken)
    for name, port in taken.items():
        assert f"port {port} ({name}) is taken by process {os.getpid()}" in caught.value.message.replace("Port", "port")
    assert "--base-port" in caught.value.fix


def test_a_port_that_was_just_used_is_free_again():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            accepted, _ = server.accept()
            accepted.close()  # this end goes to TIME_WAIT
            client.recv(1)
    check_free({"api_gateway": port})
