"""What a server has, and what it should have -> the packages and settings of Docker still needed."""

import json

import pytest
from tests.host.resources.common import HOST, names

from vru.host.base.errors import HostError
from vru.host.resources import packages

FULL = frozenset({"docker", "compose", "buildx", "docker-compose", "iptables", "logrotate", "apparmor"})
# What setup itself writes: with it in place there is nothing to add.
SETTLED = packages.merged_daemon_json(None)


def system(**differences):
    values = {
        "os_id": "debian",
        "os_like": "",
        "os_version": "13",
        "codename": "trixie",
        "present": FULL,
        "docker_ce": False,
        "docker_running": True,
        "docker_enabled": True,
        "apparmor": False,
        "daemon_json": SETTLED,
    }
    return packages.PackageFacts(**{**values, **differences})


def test_a_complete_server_needs_nothing():
    assert names(packages.changes(HOST, "distribution", system())) == []


def test_a_bare_debian_gets_settings_before_packages():
    bare = system(present=frozenset(), docker_running=False, docker_enabled=False, daemon_json=None)
    assert names(packages.changes(HOST, "distribution", bare)) == [
        ("docker", "/etc/docker/daemon.json", "create"),
        ("package", "docker.io docker-cli docker-compose docker-buildx iptables logrotate", "install"),
        ("unit", "docker.service", "start"),
    ]


@pytest.mark.parametrize(
    ("facts", "source", "wanted"),
    [
        (
            {"os_id": "ubuntu", "os_version": "24.04", "present": frozenset({"iptables", "logrotate"})},
            "distribution",
            ["docker.io", "docker-compose-v2", "docker-buildx"],
        ),
        (
            {"present": frozenset({"iptables", "logrotate"})},
            "docker",
            ["docker-ce", "docker-ce-cli", "containerd.io", "docker-compose-plugin", "docker-buildx-plugin"],
        ),
        # What came from Docker's repository is completed from there, whatever the release says.
        (
            {"docker_ce": True, "present": FULL - {"compose"}},
            "distribution",
            ["docker-compose-plugin"],
        ),
        # A kernel with AppArmor and no parser: Docker could not start a container.
        ({"apparmor": True, "present": FULL - {"apparmor"}}, "distribution", ["apparmor"]),
        ({"os_id": "linuxmint", "os_like": "ubuntu debian", "present": FULL - {"compose"}}, "distribution",
         ["docker-compose-v2"]),
    ],
)  # fmt: skip
def test_what_is_missing_comes_from_the_right_place(facts, source, wanted):
    assert packages.wanted_packages(system(**facts), source) == wanted


def test_without_the_old_command_a_shim_takes_its_name():
    there = names(packages.changes(HOST, "distribution", system(present=FULL - {"docker-compose"})))
    assert there == [("file", "/usr/local/bin/docker-compose", "create")]


@pytest.mark.parametrize("facts", [{"os_version": "12"}, {"os_id": "fedora"}])
def test_a_system_without_the_packages_is_an_error_with_its_fix(facts):
    with pytest.raises(HostError) as caught:
        packages.wanted_packages(system(present=frozenset(), **facts), "distribution")
    assert caught.value.fix


def test_the_servers_own_docker_settings_are_kept():
    own = {"registry-mirrors": ["http://10.0.0.1:5000"], "log-driver": "journald", "live-restore": False}
    assert packages.merged_daemon_json(json.dumps(own)) is None
    assert "live-restore" not in json.loads(packages.merged_daemon_json(None, swarm=True))
    merged = json.loads(packages.merged_daemon_json(json.dumps({"registry-mirrors": ["http://10.0.0.1:5000"]})))
    assert merged["registry-mirrors"] == ["http://10.0.0.1:5000"]
    assert merged["live-restore"] is True
    assert merged["log-opts"]["max-size"] == "10m"


@pytest.mark.parametrize("text", ["{", "[]", '"x"'])
def test_a_broken_daemon_json_is_left_alone(text):
    with pytest.raises(HostError, match=r"daemon\.json"):
        packages.merged_daemon_json(text)
