"""A whole release comes back: byte for byte, without a build, while users ask."""

import json
from typing import Any

from tests.e2e.laptop import Laptop, on_server, wait_verified
from tests.e2e.updates import ROOT, User, assert_whole, change, changed_project, live_title

_FILES = (
    f"cd {ROOT} && find . -xdev \\( -path ./data -o -path ./releases -o -path ./state -o -path ./backups "
    "-o -path ./logs \\) -prune -o -type f -printf '%m %U:%G %p ' -exec sha256sum {} \\; | sort -k3; "
    "find /etc/systemd/system /etc/logrotate.d /etc/sysctl.d -name '*vru*' -type f -printf '%m %U:%G %p ' "
    "-exec sha256sum {} \\; | sort; iptables-save -t filter | grep VRU | grep -v '^:' | sort"
)


def containers(laptop: Laptop) -> dict[str, Any]:
    """What the running containers are, by service, without what each new container has of its own."""
    listed = json.loads(
        on_server(laptop, "docker inspect $(docker ps -q --filter label=com.docker.compose.project=vru-platform)")
    )
    found = {}
    for one in listed:
        labels = dict(one["Config"]["Labels"])
        service = labels["com.docker.compose.service"]
        # A number and a predecessor are a container's, not a release's.
        for own in ("container-number", "replace"):
            labels.pop(f"com.docker.compose.{own}", None)
        # Compose writes these in any order.
        depends = "com.docker.compose.depends_on"
        labels[depends] = ",".join(sorted(labels.get(depends, "").split(",")))
        mounts = sorted((mount["Source"], mount["Destination"], mount["RW"]) for mount in one["Mounts"])
        found[service] = {
            "image": one["Image"],
            "environment": sorted(one["Config"]["Env"]),
            "labels": labels,
            "mounts": mounts,
            "limits": {name: one["HostConfig"][name] for name in ("Memory", "NanoCpus", "PidsLimit")},
        }
    return found


def test_a_rollback_is_the_old_release_byte_for_byte_and_builds_nothing(deployed: Laptop) -> None:
    with changed_project(deployed):
        files, running = on_server(deployed, _FILES), containers(deployed)
        release, title = deployed.vru_json("releases")[0]["release"], live_title(deployed)
        change(deployed, "Released", minute=41)
        with User(deployed):
            deployed.vru("deploy", "--watch", "1")
            assert live_title(deployed) == "Released"
            known = deployed.vru_json("releases")
            assert [one["live"] for one in known][:2] == [True, False]
            assert known[0]["before"] == known[1]["release"] == release
            assert "api_gateway" in known[0]["changes"]["images"]
            assert "/etc/systemd/system/vru-backup.timer" in known[0]["changes"]["units"]
            assert len(known[0]["changes"]["configs"]) >= 2
            assert known[1]["missing_images"] == []
            assert on_server(deployed, _FILES) != files
            assert containers(deployed) != running

            built = on_server(deployed, "docker image ls -q | sort")
            back = deployed.vru("rollback", "--watch", "1")
            assert f"Release {release} is live again" in back.stdout
            assert "build" not in back.stdout.replace("nothing is built", "")
        assert on_server(deployed, _FILES) == files
        assert containers(deployed) == running
        assert live_title(deployed) == title
        assert on_server(deployed, "docker image ls -q | sort") == built
        wait_verified(deployed)

        again = deployed.vru("rollback", release[:8])
        assert "is live" in again.stdout
        unknown = deployed.vru("rollback", "0123456789ab", check=False)
        assert unknown.returncode == 1
        assert release in unknown.stderr
        # The project on the laptop is the newer one: it shows as a difference, and deploying it is no build either.
        plan = deployed.vru("plan", "--exit-code", check=False)
        assert plan.returncode == 4
        assert "api_gateway" in plan.stdout
    assert_whole(deployed)

    actions = [(entry["action"], entry["outcome"]) for entry in deployed.vru_json("audit")["entries"]]
    assert ("rollback", "begun") in actions
    assert ("rollback", "done") in actions
