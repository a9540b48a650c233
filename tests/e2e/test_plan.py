"""`vru plan` changes nothing, says all, and finds what was changed by hand; `vru deploy` mends it."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.bareserver import BareServer
from tests.e2e.laptop import Laptop, copy_project, on_server, stop_watchdog, wait_verified

ROOT = "/opt/vru-platform"
CONFIG = f"{ROOT}/config/production"
# Path, kind, mode, owner, time of change, content: of everything that a plan could touch.
SNAPSHOT = r"""
cd / && find etc opt usr/local var/lib/systemd root -xdev \
  \( -path opt/vru-platform/data -o -path opt/vru-platform/backups -o -path opt/vru-platform/state/heals.json \
     -o -path var/lib/systemd/timers -o -path 'root/.cache' -o -path 'var/lib/systemd/timesync' \) -prune -o \
  -printf '%p %y %m %U:%G %T@ %s\n' | sort
cd / && find etc opt/vru-platform usr/local -xdev -path opt/vru-platform/data -prune -o -type f -print0 |
  sort -z | xargs -0 sha256sum
iptables-save -t filter | grep -v '^#' | sed 's/\[[0-9]*:[0-9]*\]//'
ip6tables-save -t filter | grep -v '^#' | sed 's/\[[0-9]*:[0-9]*\]//'
systemctl list-unit-files 'vru-*' 'docker*' --no-legend
"""
# Health checks come and go by themselves, as do the short lives of what they run.
VOLATILE = {"ExecIDs", "Health", "RxBytes", "TxBytes", "LastTagTime"}


def engine_state(laptop: Laptop) -> Any:
    """Everything that Docker says of containers, images, networks and volumes, without what moves by itself."""

    def settled(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: settled(one) for name, one in value.items() if name not in VOLATILE}
        if not isinstance(value, list):
            return value
        # Docker lists mounts in any order.
        return sorted((settled(one) for one in value), key=json.dumps)

    asked = on_server(
        laptop,
        "docker inspect $(docker ps -aq --no-trunc) $(docker image ls -aq --no-trunc | sort -u)"
        " $(docker network ls -q --no-trunc) $(docker volume ls -q) 2>/dev/null || true",
    )
    return settled(json.loads(asked or "[]"))


@dataclass(frozen=True)
class Drift:
    """A change made by hand, and how the plan names it: resource, name, and a part of what it says about it."""

    by_hand: str
    resource: str
    name: str
    says: str = ""


def psql(sql: str) -> str:
    return f'docker exec vru-platform-postgres-1 psql -q -h /var/run/postgresql -U vru -d vru -c "{sql}"'


DRIFTS = (
    # Files, units and kernel settings.
    Drift(f"echo '# by hand' >> {CONFIG}/prometheus.yml", "file", "config/production/prometheus.yml", "-# by hand"),
    Drift(f"rm {CONFIG}/ml_config.yaml", "file", "config/production/ml_config.yaml", "create"),
    Drift(f"chmod 644 {ROOT}/.env", "file", ".env", "mode 0644 -> 0600"),
    Drift(f"chown 1000 {ROOT}/Dockerfile", "file", "Dockerfile", "owner 1000:0 -> 0:0"),
    Drift(
        f"mv {CONFIG}/alertmanager.yml /root/ && ln -s /root/alertmanager.yml {CONFIG}/alertmanager.yml",
        "file",
        "config/production/alertmanager.yml",
        "is a symbolic link",
    ),
    Drift(
        f"echo 'groups: []' > {CONFIG}/rules/by-hand.yml",
        "file",
        "config/production/rules/by-hand.yml",
        "is part of no release",
    ),
    Drift(
        "echo '# by hand' >> /etc/logrotate.d/vru-platform",
        "file",
        "/etc/logrotate.d/vru-platform",
        "-# by hand",
    ),
    Drift(f"echo >> {ROOT}/bin/vru-platform.pyz", "file", "bin/vru-platform.pyz", "content"),
    Drift("echo 'exit 1' >> /usr/local/bin/vru-platform", "file", "/usr/local/bin/vru-platform", "-exit 1"),
    Drift(
        "echo '# by hand' >> /etc/systemd/system/vru-watchdog.timer",
        "file",
        "/etc/systemd/system/vru-watchdog.timer",
        "-# by hand",
    ),
    Drift(
        "ln -sf /dev/null /etc/systemd/system/vru-backup.service",
        "file",
        "/etc/systemd/system/vru-backup.service",
        "is a symbolic link",
    ),
    Drift("systemctl disable vru-backup.timer", "unit", "vru-backup.timer", "enable"),
    Drift("systemctl stop vru-watchdog.timer", "unit", "vru-watchdog.timer", "start"),
    Drift(
        "mkdir -p /etc/systemd/system/vru-platform.service.d &&"
        " printf '[Service]\\nNice=5\\n' > /etc/systemd/system/vru-platform.service.d/override.conf",
        "unit",
        "vru-platform.service",
        "is overridden by /etc/systemd/system/vru-platform.service.d/override.conf",
    ),
    Drift("systemctl disable vru-firewall.service", "unit", "vru-firewall.service", "rules at boot"),
    Drift("systemctl disable docker.service", "unit", "docker.service", "at every boot"),
    Drift("sysctl -q -w vm.overcommit_memory=0", "kernel", "vm.overcommit_memory", "0 -> 1"),
    Drift(
        "python3 -c \"import json; p='/etc/docker/daemon.json'; d=json.load(open(p)); d.pop('log-opts');"
        " d.pop('log-driver'); json.dump(d, open(p, 'w'))\"",
        "docker",
        "/etc/docker/daemon.json",
        "log rotation",
    ),
    Drift(f"chmod 755 {ROOT}/data/redis", "directory", "data/redis", "mode 0755 -> 0700"),
    Drift(f"chown 1000 {ROOT}/data/prometheus", "directory", "data/prometheus", "owner 1000 -> 65534"),
    Drift(f"echo 000000000000 > {ROOT}/releases/current", "release", "*", "instead of 000000000000"),
    # The firewall.
    Drift("iptables -D VRU-INPUT -p icmp -j ACCEPT", "firewall", "rules", "+ IPv4 VRU-INPUT -p icmp -j ACCEPT"),
    Drift("ip6tables -D VRU-INPUT -p tcp --dport 80 -j ACCEPT", "firewall", "rules",
          "+ IPv6 VRU-INPUT -p tcp -m tcp --dport 80 -j ACCEPT"),
    Drift("iptables -I VRU-INPUT 1 -p tcp --dport 9999 -j ACCEPT", "firewall", "rules",
          "- IPv4 VRU-INPUT -p tcp -m tcp --dport 9999 -j ACCEPT"),
    Drift("iptables -D DOCKER-USER -j VRU-DOCKER", "firewall", "rules", "+ IPv4 DOCKER-USER -j VRU-DOCKER"),
    Drift(
        f"sed -i 's/8000/8443/' {ROOT}/state/firewall/confirmed.json", "firewall", "rules", "what returns at boot"
    ),
    # Containers and images.
    Drift("docker stop -t 1 vru-platform-nginx_exporter-1", "container", "nginx_exporter", "is exited"),
    Drift("docker pause vru-platform-alertmanager-1", "container", "vru-platform-alertmanager-1", "is paused"),
    Drift("docker rm -f vru-platform-postgres_exporter-1", "container", "postgres_exporter", "create"),
    Drift("docker update --memory=80m --memory-swap=160m vru-platform-blackbox_exporter-1", "container",
          "vru-platform-blackbox_exporter-1", "memory limit 80.0 MiB ->"),
    Drift("docker update --cpus=0.25 vru-platform-grafana-1", "container", "vru-platform-grafana-1",
          "CPU limit 0.25 ->"),
    Drift("docker update --restart=no vru-platform-redis_exporter-1", "container", "vru-platform-redis_exporter-1",
          "restart policy no -> unless-stopped"),
    Drift("docker network disconnect vru-platform_internal vru-platform-prometheus-1", "container",
          "vru-platform-prometheus-1", "is not in the network vru-platform_internal"),
    Drift(
        "image=$(docker inspect -f '{{.Image}}' vru-platform-node_exporter-1) &&"
        " docker rm -f vru-platform-node_exporter-1 && docker run -d --name vru-platform-node_exporter-1 $image",
        "container",
        "vru-platform-node_exporter-1",
        "was made by hand",
    ),
    Drift(
        "docker run -d --name miner --label com.docker.compose.project=vru-platform"
        " --label com.docker.compose.service=miner --stop-signal=KILL"
        " --entrypoint=sleep $(docker inspect -f '{{.Image}}' vru-platform-nginx-1) 1000",
        "container",
        "miner",
        "no longer part of the release",
    ),
    Drift(
        "docker tag $(docker inspect -f '{{.Image}}' vru-platform-redis-1)"
        " $(docker ps --filter name=vru-platform-camera_service --format '{{.Image}}')",
        "image",
        "vru-platform/camera_service:*",
        "the tag names",
    ),
    Drift(f"echo '# by hand' >> {ROOT}/data/routes/upstreams.conf", "nginx", "routes", "which container serves"),
    # The database.
    Drift(psql("ALTER ROLE vru PASSWORD 'by-hand'"), "database", "role vru", "password"),
    Drift(f"sed -i 's/\"version\": \"[^\"]*\"/\"version\": \"0000\"/' {ROOT}/state/migrated.json",
          "migration", "migrate", "schema"),
)  # fmt: skip


@pytest.fixture
def converged(deployed: Laptop) -> Iterator[Laptop]:
    """The server as the laptop's project says, before and after."""
    deployed.vru("deploy", "--watch", "0")
    yield deployed
    on_server(deployed, "docker rm -f miner 2>/dev/null || true")
    deployed.vru("deploy", "--watch", "0")


def named(plan: dict[str, Any], drift: Drift) -> bool:
    diffs = {one["path"]: one["diff"] for one in plan["files"]}
    for change in plan["changes"]:
        name = drift.name.rstrip("*")
        fits = change["name"].startswith(name) if "*" in drift.name else change["name"] == drift.name
        if change["resource"] == drift.resource and fits:
            said = [change["action"], change["detail"], *change["lines"], diffs.get(change["name"], "")]
            if drift.says in "\n".join(said):
                return True
    return False


def test_a_clean_server_needs_nothing(converged: Laptop) -> None:
    plan = converged.vru_json("plan")
    assert plan["changes"] == []
    assert "Nothing to change" in converged.vru("plan", "--exit-code").stdout


def test_a_plan_changes_nothing(converged: Laptop, tmp_path: Path) -> None:
    compose = converged.root / "docker-compose.production.yml"
    template = converged.root / "templates" / "prometheus.yml.j2"
    env = converged.root / ".env.production"
    originals = {file: file.read_bytes() for file in (compose, template, env)}
    compose.write_bytes(originals[compose] + b"# a comment\n")
    template.write_bytes(originals[template] + b"# another line\n")
    old, new = converged.environment["VRU_DATABASE_PASSWORD"], "another-Password_of_the_database_1"
    env.write_text(env.read_text().replace(old, new).replace("VRU_LOG_LEVEL=INFO", "VRU_LOG_LEVEL=DEBUG"))
    # It writes down once a minute what it healed.
    on_server(converged, "systemctl stop vru-watchdog.timer vru-watchdog.service")
    before = on_server(converged, SNAPSHOT), engine_state(converged)
    try:
        shown = converged.vru("plan", "--out", str(tmp_path / "plan.json"), "--exit-code", check=False)
        plan = json.loads((tmp_path / "plan.json").read_text())
        after = on_server(converged, SNAPSHOT), engine_state(converged)
    finally:
        for file, content in originals.items():
            file.write_bytes(content)
    assert shown.returncode == 4
    assert after[0] == before[0]
    assert after[1] == before[1]
    assert "+# another line" in shown.stdout
    assert "+# a comment" in shown.stdout
    assert "~ VRU_DATABASE_PASSWORD: changed" in shown.stdout
    assert "~ VRU_LOG_LEVEL: INFO -> DEBUG" in shown.stdout
    assert ("container", "prometheus") in {(one["resource"], one["name"]) for one in plan["changes"]}
    said = shown.stdout + json.dumps(plan)
    secrets = [value for name, value in converged.environment.items() if name.endswith(("PASSWORD", "SECRET_KEY"))]
    assert len(secrets) >= 5
    assert [secret for secret in (*secrets, new) if secret in said] == []


def test_what_was_changed_by_hand_is_found_named_and_mended(converged: Laptop) -> None:
    assert len(DRIFTS) >= 30
    script = "\n".join(
        f"({drift.by_hand}) >/dev/null || echo 'failed: {number}'" for number, drift in enumerate(DRIFTS)
    )
    stop_watchdog(converged.server)
    said = on_server(converged, f"{script}\nsystemctl daemon-reload")
    assert "failed" not in said
    plan = converged.vru_json("plan")
    missed = [drift for drift in DRIFTS if not named(plan, drift)]
    assert missed == [], json.dumps(plan["changes"], indent=1)
    converged.vru("deploy", "--watch", "0")
    assert converged.vru_json("plan")["changes"] == []
    wait_verified(converged)


def test_a_plan_that_no_longer_holds_is_refused(converged: Laptop) -> None:
    on_server(converged, f"echo '# by hand' >> {CONFIG}/blackbox.yml")
    plan = converged.vru_json("plan")
    on_server(converged, f"chmod 700 {ROOT}/logs")
    refused = converged.vru("deploy", "--watch", "0", "--plan", plan["id"], check=False)
    assert refused.returncode == 1
    assert "Now it would also update directory logs" in refused.stderr
    assert "# by hand" in on_server(converged, f"cat {CONFIG}/blackbox.yml")
    # What slips in after the laptop looked is found on the server, under the lock.
    late = converged.server.exec(
        ["vru-platform", "apply", plan["release"], "--expect", plan["state"]],
    )
    assert late.returncode == 1
    assert "moved on since the plan" in late.stdout
    on_server(converged, f"chmod 755 {ROOT}/logs")
    assert converged.vru_json("deploy", "--watch", "0", "--plan", plan["id"])["changed"] >= 1
    assert converged.vru_json("plan")["changes"] == []
    assert converged.vru("deploy", "--plan", "000000000000", check=False).returncode == 1


def test_a_plan_of_a_bare_server_leaves_it_bare(tmp_path: Path) -> None:
    with BareServer("vru-plan-bare", address=None) as server:
        root, home = tmp_path / "project", tmp_path / "home"
        copy_project(root)
        (home / ".ssh").mkdir(mode=0o700, parents=True)
        shutil.copy2(server.key_path, home / ".ssh" / "id_ed25519")
        laptop = Laptop(root, home, server)
        laptop.vru("init", "--host", server.ssh_address, "--port", str(server.ssh_port))
        key = ("--accept-host-key", server.host_key_fingerprint())
        snapshot = "cd / && find etc opt usr/local var/lib root -xdev -printf '%p %y %m %U:%G %T@ %s\\n' | sort"
        before = on_server(laptop, snapshot)
        plan = laptop.vru_json("plan", *key)
        assert (plan["certain"], plan["live"]) == (False, None)
        assert {"package", "image", "container", "firewall"} <= {change["resource"] for change in plan["changes"]}
        assert on_server(laptop, snapshot) == before
        # With a Python, the server can be asked: by a program that is held in memory.
        on_server(laptop, "apt-get -q update && apt-get -q -y install --no-install-recommends python3", timeout=600)
        before = on_server(laptop, snapshot)
        plan = laptop.vru_json("plan")
        assert plan["certain"] is True
        assert ("directory", "data/postgres") in {(one["resource"], one["name"]) for one in plan["changes"]}
        assert on_server(laptop, snapshot) == before
        assert not list(root.glob("config/production/*"))
