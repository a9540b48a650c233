"""Faults of the package manager and of Docker."""

import json
import re
from collections.abc import Iterator

from vru.deploy.checks.evidence import Evidence, UnknownError
from vru.deploy.checks.fault import Fault, Faults
from vru.host.wire import Check

_OLDEST_DOCKER, _OLD_DOCKER = (20, 10), (24,)
_OLDEST_COMPOSE = (2, 20)
_SLOW_DRIVERS = ("vfs", "devicemapper", "aufs")
_LARGE_CACHE_BYTES = 20 * 1000**3
_RESTARTS = 5
_UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
PROJECT = "vru-platform"

fault = Faults()


def _version(text: str) -> tuple[int, ...]:
    match = re.match(r"v?(\d+)\.(\d+)", text)
    if match is None:
        raise UnknownError(f"“{text[:40]}” is no version")
    return int(match[1]), int(match[2])


@fault(
    "package manager",
    "Another program holds the package manager's lock, as on a fresh server that installs its first updates.",
    "Wait for it; ps {pid} shows what it is. A deployment waits by itself, up to 15 minutes",
)
def _apt_lock(this: Fault, seen: Evidence) -> Iterator[Check]:
    holders = [line.split() for line in seen.lines("apt_lock")]
    if holders:
        pid, name, file = holders[0]
        yield this.warning(f"{name} (process {pid}) holds {file}.", pid=pid)
    else:
        yield this.ok()


@fault(
    "half-installed packages",
    "An installation was cut off: the package manager refuses the next one.",
    "dpkg --configure -a && apt-get -f install",
)
def _half_installed(this: Fault, seen: Evidence) -> Iterator[Check]:
    names = [line.split()[0] for line in seen.lines("dpkg_audit") if line.startswith(" ")]
    if names:
        yield this.problem(f"Packages are only half installed: {', '.join(names[:5])}.")
    else:
        yield this.ok()


@fault(
    "certificates",
    "The server knows no certificate authorities: nothing can be fetched over https.",
    "apt-get install -y ca-certificates",
)
def _certificates(this: Fault, seen: Evidence) -> Iterator[Check]:
    if seen.text("certificates"):
        yield this.ok()
    else:
        yield this.problem("/etc/ssl/certs/ca-certificates.crt is missing or empty.")


@fault(
    "kind of Docker",
    "What is called docker is Podman, a snap or a rootless engine: other paths, other rights.",
    "{remove}; then vru setup installs Docker, or install docker-ce",
)
def _kind_of_docker(this: Fault, seen: Evidence) -> Iterator[Check]:
    lines = seen.lines("docker_binary")
    said = " ".join(lines)
    if "podman" in said.lower():
        yield this.problem("The command docker is Podman.", remove="apt-get remove -y podman-docker")
    elif "/snap/" in said:
        yield this.problem("Docker was installed as a snap, which cannot see /opt.", remove="snap remove docker")
    elif lines and "name=rootless" in seen.words("docker_info").get("security", ""):
        yield this.problem("Docker runs rootless.", remove="dockerd-rootless-setuptool.sh uninstall")
    else:
        yield this.ok(lines[-1] if lines else "will be installed")


@fault(
    "Docker",
    "Docker is installed, and does not answer.",
    "journalctl -u docker -n 30 says why; then: systemctl restart docker",
)
def _docker_running(this: Fault, seen: Evidence) -> Iterator[Check]:
    if not seen.docker_installed:
        yield this.ok("will be installed")
    elif "docker_version" in seen.broken:
        yield this.problem(f"Docker does not answer: {seen.broken['docker_version']}.")
    else:
        yield this.ok(seen.text("docker_version"))


@fault(
    "Docker at boot",
    "Docker's unit is masked or disabled: nothing starts after a restart.",
    "systemctl unmask docker.service docker.socket; systemctl enable --now docker",
)
def _docker_unit(this: Fault, seen: Evidence) -> Iterator[Check]:
    state = seen.text("docker_unit")
    if not seen.docker_installed:
        yield this.ok("will be installed")
    elif state == "masked":
        yield this.problem("docker.service is masked: it cannot be started.")
    elif state == "disabled":
        yield this.warning("docker.service is disabled (vru setup enables it).")
    else:
        yield this.ok(state)


@fault(
    "Docker's version",
    "Docker is too old.",
    "apt-get update && apt-get install --only-upgrade docker.io; or VRU_DOCKER_SOURCE=docker",
)
def _docker_version(this: Fault, seen: Evidence) -> Iterator[Check]:
    if not seen.docker_installed:
        yield this.ok("will be installed")
        return
    found = seen.text("docker_version")
    if _version(found) < _OLDEST_DOCKER:
        yield this.problem(f"Docker {found} is too old; 20.10 is needed.")
    elif _version(found) < _OLD_DOCKER:
        yield this.warning(f"Docker {found} no longer gets corrections.")
    else:
        yield this.ok(found)


@fault(
    "Compose",
    "Docker Compose is too old.",
    "apt-get install -y docker-compose-plugin (from Docker's repository), or docker-compose of Debian 13 or newer",
)
def _compose(this: Fault, seen: Evidence) -> Iterator[Check]:
    if not seen.docker_installed or "compose" in seen.broken:
        yield this.ok("will be installed")
        return
    found = seen.text("compose")
    if found and _version(found) < _OLDEST_COMPOSE:
        yield this.problem(f"Compose {found} is too old; {'.'.join(map(str, _OLDEST_COMPOSE))} is needed.")
    else:
        yield this.ok(found or "will be installed")


def _daemon_settings(seen: Evidence) -> dict[str, object] | None:
    """Docker's settings; None if the file is no JSON object."""
    text = "\n".join(seen.lines("daemon_json"))
    try:
        settings = json.loads(text) if text.strip() else {}
    except ValueError:
        return None
    return settings if isinstance(settings, dict) else None


@fault(
    "daemon.json",
    "Docker's settings are no JSON: it does not start the next time.",
    "dockerd --validate --config-file /etc/docker/daemon.json shows where; correct it by hand",
)
def _daemon_json(this: Fault, seen: Evidence) -> Iterator[Check]:
    if _daemon_settings(seen) is not None:
        yield this.ok()
        return
    try:
        json.loads("\n".join(seen.lines("daemon_json")))
        reason = "it is no JSON object"
    except ValueError as error:
        reason = str(error)
    yield this.problem(f"/etc/docker/daemon.json cannot be read: {reason}.")


@fault(
    "log rotation",
    "Containers' logs grow without end, until the disk is full.",
    "vru setup sets it in /etc/docker/daemon.json (log-opts max-size); truncate -s 0 {file} frees room now",
)
def _log_rotation(this: Fault, seen: Evidence) -> Iterator[Check]:
    settings = _daemon_settings(seen) or {}
    large = seen.lines("container_logs")
    options = settings.get("log-opts")
    rotated = (isinstance(options, dict) and "max-size" in options) or settings.get("log-driver") in (
        "local",
        "journald",
    )
    if large:
        yield this.warning(f"{len(large)} container logs are larger than 1 GiB, such as {large[0]}.", file=large[0])
    elif seen.docker_installed and not rotated:
        yield this.warning("Docker rotates no logs.", file="FILE")
    elif seen.deployed and "/etc/logrotate.d/vru-platform" not in seen.lines("logrotate"):
        yield this.warning(
            "The platform's own logs are not rotated: /etc/logrotate.d/vru-platform is missing.", file="FILE"
        )
    else:
        yield this.ok()


@fault(
    "storage driver",
    "Docker keeps images in a slow way that takes several times the room.",
    'Set "storage-driver": "overlay2" in /etc/docker/daemon.json; systemctl restart docker',
)
def _storage_driver(this: Fault, seen: Evidence) -> Iterator[Check]:
    if not seen.docker_installed:
        yield this.ok("will be installed")
        return
    driver = seen.words("docker_info").get("driver", "")
    if not driver:
        raise UnknownError("Docker does not say")
    if driver in _SLOW_DRIVERS:
        yield this.warning(f"Docker's storage driver is {driver}.")
    else:
        yield this.ok(driver)


@fault(
    "Docker elsewhere",
    "The docker command speaks to another engine than this server's.",
    "docker context use default; unset DOCKER_HOST where it is set (/etc/environment, ~/.profile)",
)
def _docker_elsewhere(this: Fault, seen: Evidence) -> Iterator[Check]:
    said = [line.strip() for line in seen.lines("docker_host")]
    other = [line for line in said if line not in ("", "default", "unix:///var/run/docker.sock")]
    if other and seen.docker_installed and not other[0].startswith("permission"):
        yield this.warning(f"root's docker command speaks to {other[0]}.")
    else:
        yield this.ok()


@fault("build cache", "The disk is full of Docker's build caches.", "docker builder prune -f --filter until=168h")
def _build_cache(this: Fault, seen: Evidence) -> Iterator[Check]:
    if not seen.docker_installed:
        yield this.ok("none")
        return
    for line in seen.lines("build_cache"):
        kind, _, rest = line.partition("\t")
        if kind == "Build Cache":
            size = rest.split("\t")[0]
            number = re.fullmatch(r"([\d.]+)([kKMGT]?B)", size)
            if number is None:
                raise UnknownError(f"“{size}” is no size")
            if float(number[1]) * _UNITS[number[2].upper()] > _LARGE_CACHE_BYTES:
                yield this.warning(f"Docker's build caches take {size}.")
            else:
                yield this.ok(size)
            return
    yield this.ok("none")


@fault("restarting containers", "A container of the platform crashes again and again.", "vru logs {service} --tail 100")
def _restarting(this: Fault, seen: Evidence) -> Iterator[Check]:
    if not seen.docker_installed:
        yield this.ok("none")
        return
    wrong = []
    for line in seen.lines("restarts"):
        name, count, state, killed = line.split()
        if state == "restarting" or int(count) >= _RESTARTS or killed == "true":
            how = "was killed for memory" if killed == "true" else f"was restarted {count} times, now {state}"
            wrong.append((name.strip("/"), how))
    for name, how in wrong:
        service = name.removeprefix(f"{PROJECT}-").rpartition("-")[0] or name
        yield this.problem(f"{name} {how}.", service=service)
    if not wrong:
        yield this.ok()
