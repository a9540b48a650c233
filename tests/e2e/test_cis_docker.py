"""The CIS Docker Benchmark on a real server: every container of the platform, item by item."""

import copy
import json
import re
from typing import Any

from tests.e2e import cis
from tests.e2e.laptop import REPOSITORY, Laptop, on_server


def _containers(deployed: Laptop) -> list[dict[str, Any]]:
    ids = on_server(deployed, "docker ps --quiet --filter label=com.docker.compose.project=vru-platform").split()
    found: list[dict[str, Any]] = json.loads(on_server(deployed, f"docker inspect {' '.join(ids)}"))
    return found


def test_every_container_meets_every_item_or_has_its_reason(deployed: Laptop) -> None:
    found = _containers(deployed)
    assert len(found) >= 15
    assert {cis.service(one): wrong for one in found if (wrong := cis.failures(one))} == {}
    # A deviation that is none any more is taken off the list.
    by_name = {cis.service(one): one for one in found}
    for item, names in cis.DEVIATIONS.items():
        assert [name for name in names if cis.ITEMS[item](by_name[name])] == []


def test_the_checks_find_what_is_wrong(deployed: Laptop) -> None:
    one = next(found for found in _containers(deployed) if cis.service(found) == "postgres")
    for item, part, name, value in (
        ("4.1", "Config", "User", "0:0"),
        ("5.4", "HostConfig", "CapAdd", ["SYS_ADMIN"]),
        ("5.5", "HostConfig", "Privileged", True),
        ("5.10", "HostConfig", "NetworkMode", "host"),
        ("5.13", "HostConfig", "ReadonlyRootfs", False),
        ("5.22", "HostConfig", "SecurityOpt", ["no-new-privileges:true", "seccomp=unconfined"]),
        ("5.29", "HostConfig", "PidsLimit", None),
    ):
        changed = copy.deepcopy(one)
        changed[part][name] = value
        assert cis.failures(changed) == [item]
    mounted = copy.deepcopy(one)
    mounted["Mounts"].append({"Source": "/var/run/docker.sock", "RW": True})
    assert cis.failures(mounted) == ["5.32"]


def test_the_server_keeps_to_what_is_the_platforms_own(deployed: Laptop) -> None:
    """5.1, 5.7 and 2.15: no swarm, no sshd in a container, and containers live through a restart of Docker."""
    swarm, live = on_server(
        deployed, "docker info --format '{{.Swarm.LocalNodeState}} {{.LiveRestoreEnabled}}'"
    ).split()
    assert (swarm, live) == ("inactive", "true")
    inside = on_server(
        deployed, "for one in $(docker ps -q); do docker top $one -eo pid,comm; done | awk '{print $2}' | sort -u"
    ).split()
    assert "sshd" not in inside
    assert "nginx" in inside


def test_the_document_says_of_each_item_what_the_checks_say() -> None:
    text = (REPOSITORY / "docs/security.md").read_text()
    rows = dict(re.findall(r"^\| (\d\.\d+) \| [^|]+ \| (pass|not ours|deviation)\b", text, re.MULTILINE))
    for item in cis.ITEMS:
        assert rows[item] == ("deviation" if item in cis.DEVIATIONS else "pass"), item
    everything = {
        *(f"4.{n}" for n in range(1, 12)),
        *(f"5.{n}" for n in range(1, 33)),
        *(f"2.{n}" for n in range(1, 18)),
    }
    assert everything <= set(rows)
