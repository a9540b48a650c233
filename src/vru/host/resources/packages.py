"""Docker and the few programs that a bare server lacks. What is there already, from wherever, is kept."""

from __future__ import annotations

import json
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ..base.change import Change
from ..base.disk import write_atomic
from ..base.errors import HostError, plain
from ..base.host import Host, read_env
from ..base.journal import Step
from ..docker.compose import PLUGIN_DIRECTORIES
from . import apt

DAEMON_JSON = Path("/etc/docker/daemon.json")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SHIM = Path("/usr/local/bin/docker-compose")
_DOCKER_CE = {
    "docker": ("docker-ce", "docker-ce-cli", "containerd.io"),
    "compose": ("docker-compose-plugin",),
    "buildx": ("docker-buildx-plugin",),
}
# Log rotation, so that container logs cannot fill the disk; live-restore, so that an upgrade of Docker stops nothing.
_DAEMON_DEFAULTS: dict[str, Any] = {
    "log-driver": "json-file",
    "log-opts": {"max-size": "10m", "max-file": "3"},
    "live-restore": True,
}


@dataclass(frozen=True)
class PackageFacts:
    """What the server has. ``present`` names capabilities, not packages."""

    os_id: str
    os_like: str
    os_version: str
    codename: str
    present: frozenset[str]
    docker_ce: bool
    docker_running: bool
    docker_enabled: bool
    apparmor: bool
    daemon_json: str | None
    swarm: bool = False


def facts(host: Host) -> PackageFacts:
    """Look for the programs, Docker's state and its settings."""
    system = read_env(Path("/etc/os-release"))
    present = {name for name in ("iptables", "logrotate", "docker-compose") if shutil.which(name, path=_PATH)}
    if shutil.which("dockerd", path=_PATH) and shutil.which("docker", path=_PATH):
        present.add("docker")
    if shutil.which("apparmor_parser", path=_PATH):
        present.add("apparmor")
    present |= {
        name
        for name in ("compose", "buildx")
        if any((Path(directory) / f"docker-{name}").exists() for directory in PLUGIN_DIRECTORIES)
    }
    units = host.run(["systemctl", "is-active", "docker.service"], check=False).out.strip()
    enabled = host.run(["systemctl", "is-enabled", "docker.service"], check=False).out.strip()
    kernel = Path("/sys/module/apparmor/parameters/enabled")
    text = DAEMON_JSON.read_text() if DAEMON_JSON.exists() else None
    return PackageFacts(
        os_id=system.get("ID", ""),
        os_like=system.get("ID_LIKE", ""),
        os_version=system.get("VERSION_ID", ""),
        codename=system.get("VERSION_CODENAME", ""),
        present=frozenset(present),
        docker_ce=Path("/usr/share/doc/docker-ce").exists(),
        docker_running=units == "active",
        docker_enabled=enabled == "enabled",
        apparmor=kernel.exists() and kernel.read_text().strip() == "Y",
        daemon_json=text,
        # Only asked where it matters: it takes a while.
        swarm=units == "active" and "live-restore" not in (text or "") and _in_swarm(host),
    )


def _in_swarm(host: Host) -> bool:
    """Whether Docker is part of a Swarm: then it does not start with live-restore."""
    state = host.run(["docker", "info", "--format", "{{.Swarm.LocalNodeState}}"], check=False)
    return state.ok and state.out.strip() not in ("inactive", "")


def merged_daemon_json(text: str | None, *, swarm: bool = False) -> str | None:
    """The server's own settings with ours added where it says nothing; None if nothing has to be added.

    In a Swarm, live-restore is left out.

    Raises:
        HostError: the file is no JSON object. It is left as it is.
    """
    try:
        settings = json.loads(text) if text and text.strip() else {}
    except ValueError as error:
        raise HostError(f"{DAEMON_JSON} cannot be read: {plain(error)}.", "Correct it by hand; it is yours.") from error
    if not isinstance(settings, dict):
        raise HostError(f"{DAEMON_JSON} is no JSON object.", "Correct it by hand; it is yours.")
    added = dict(settings)
    if "log-driver" not in settings and "log-opts" not in settings:
        added.update({name: _DAEMON_DEFAULTS[name] for name in ("log-driver", "log-opts")})
    if not swarm:
        added.setdefault("live-restore", _DAEMON_DEFAULTS["live-restore"])
    return None if added == settings else json.dumps(added, indent=2) + "\n"


def wanted_packages(actual: PackageFacts, source: str) -> list[str]:
    """The packages that bring what is missing.

    Raises:
        HostError: this system's own packages cannot bring it.
    """
    lacking = [name for name in ("docker", "compose", "buildx") if name not in actual.present]
    packages: list[str] = []
    if lacking:
        # Packages of two sources do not mix: what is missing comes from where Docker came from.
        from_docker = actual.docker_ce or ("docker" in lacking and source == "docker")
        table = _DOCKER_CE if from_docker else _distribution(actual)
        packages += [package for name in lacking for package in table[name]]
    packages += [name for name in ("iptables", "logrotate") if name not in actual.present]
    if actual.apparmor and "apparmor" not in actual.present:
        packages.append("apparmor")
    return packages


def _distribution(actual: PackageFacts) -> dict[str, tuple[str, ...]]:
    version = tuple(int(part) for part in actual.os_version.split(".") if part.isdigit())
    like = {actual.os_id, *actual.os_like.split()}
    if "ubuntu" in like:
        return {"docker": ("docker.io",), "compose": ("docker-compose-v2",), "buildx": ("docker-buildx",)}
    if actual.os_id == "debian" and version and version < (13,):
        raise HostError(
            f"Debian {actual.os_version}'s own packages have no Compose 2.", "Set VRU_DOCKER_SOURCE=docker instead."
        )
    if "debian" in like:
        return {"docker": ("docker.io", "docker-cli"), "compose": ("docker-compose",), "buildx": ("docker-buildx",)}
    raise HostError(
        f"Docker cannot be installed on {actual.os_id or 'this system'} by this program.",
        "Install Docker Engine with its Compose and Buildx plug-ins, then run the same command again.",
    )


def changes(host: Host, source: str, actual: PackageFacts) -> Iterator[Change]:
    """Settings first (so that a new Docker starts with them), then packages, then the old command name."""
    settings = merged_daemon_json(actual.daemon_json, swarm=actual.swarm)
    if settings is not None:
        action = "create" if actual.daemon_json is None else "update"
        yield Change(
            "docker", str(DAEMON_JSON), action,
            f"log rotation{'' if actual.swarm else ' and live-restore'}; the rest stays as it is",
            partial(_write_settings, host, settings, actual.docker_running),
        )  # fmt: skip
    packages = wanted_packages(actual, source)
    if packages:
        from_docker = "docker-ce" in packages
        yield Change(
            "package", " ".join(packages), "install", "from Docker's repository" if from_docker else "from apt",
            partial(_install, host, packages, actual if from_docker else None),
        )  # fmt: skip
    if "docker-compose" not in actual.present and "docker-compose" not in packages:
        yield Change("file", str(SHIM), "create", "the old name of `docker compose`", _write_shim)
    if not (actual.docker_running and actual.docker_enabled):
        yield Change("unit", "docker.service", "start", "and at every boot", partial(_start_docker, host))


def _write_settings(host: Host, settings: str, running: bool, step: Step) -> None:
    DAEMON_JSON.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(DAEMON_JSON, settings.encode(), 0o644)
    if running:
        # live-restore is read on reload; log rotation comes with the next start: nothing is stopped for it now.
        host.run(["systemctl", "reload", "docker.service"])


def _install(host: Host, packages: list[str], repository: PackageFacts | None, step: Step) -> None:
    step.log(f"packages: {' '.join(packages)}")
    if repository is not None:
        _add_repository(host, repository)
    apt.update(host, step.progress)
    apt.install(host, packages, step.progress)


def _add_repository(host: Host, actual: PackageFacts) -> None:
    family = "ubuntu" if actual.os_id == "ubuntu" or "ubuntu" in actual.os_like.split() else "debian"
    base = f"https://download.docker.com/linux/{family}"
    try:
        with urllib.request.urlopen(f"{base}/gpg", timeout=30) as answer:  # noqa: S310 - a constant https address
            key = answer.read()
    except (OSError, urllib.error.URLError) as error:
        raise HostError(
            f"Docker's repository cannot be reached: {plain(getattr(error, 'reason', None) or error)}.",
            "Set VRU_DOCKER_SOURCE=distribution, or open the way.",
        ) from error
    keyring = Path("/etc/apt/keyrings/docker.asc")
    write_atomic(keyring, key, 0o644)
    architecture = host.run(["dpkg", "--print-architecture"]).out.strip()
    source = (
        f"Types: deb\nURIs: {base}\nSuites: {actual.codename}\nComponents: stable\n"
        f"Architectures: {architecture}\nSigned-By: {keyring}\n"
    )
    write_atomic(Path("/etc/apt/sources.list.d/docker.sources"), source.encode(), 0o644)


def _write_shim(step: Step) -> None:
    write_atomic(SHIM, b'#!/bin/sh\nexec docker compose "$@"\n', 0o755)


def _start_docker(host: Host, step: Step) -> None:
    host.run(
        ["systemctl", "enable", "--now", "docker.service"], timeout=300, fix="Look at: journalctl -u docker.service"
    )
