"""The items of the CIS Docker Benchmark (1.7) that containers can be checked for, over what ``docker inspect`` says.

docs/security.md lists all items, and why some do not hold.
"""

from collections.abc import Callable, Mapping
from typing import Any

Container = Mapping[str, Any]
# Folders of the server that nobody may change from within a container (5.6).
_SENSITIVE = ("/", "/boot", "/dev", "/etc", "/lib", "/proc", "/sys", "/usr")


def _host(container: Container) -> Mapping[str, Any]:
    found: Mapping[str, Any] = container["HostConfig"]
    return found


def _no_sensitive_mount(container: Container) -> bool:
    return not any(mount["RW"] and mount.get("Source") in _SENSITIVE for mount in container["Mounts"])


def _no_low_port(container: Container) -> bool:
    """Inside: a process there needs no right to bind it."""
    return all(int(port.partition("/")[0]) >= 1024 for port in _host(container)["PortBindings"] or {})


def _unconfined(container: Container, kind: str) -> bool:
    return any(option.startswith(f"{kind}=unconfined") for option in _host(container)["SecurityOpt"] or ())


def _on_own_networks(container: Container) -> bool:
    return bool(container["NetworkSettings"]["Networks"]) and "bridge" not in container["NetworkSettings"]["Networks"]


ITEMS: Mapping[str, Callable[[Container], bool]] = {
    "4.1": lambda one: one["Config"]["User"].partition(":")[0] not in ("", "0", "root"),
    "5.4": lambda one: _host(one)["CapDrop"] == ["ALL"] and not _host(one)["CapAdd"],
    "5.5": lambda one: not _host(one)["Privileged"],
    "5.6": _no_sensitive_mount,
    "5.8": _no_low_port,
    "5.10": lambda one: _host(one)["NetworkMode"] != "host",
    "5.11": lambda one: _host(one)["Memory"] > 0,
    "5.12": lambda one: _host(one)["NanoCpus"] > 0,
    "5.13": lambda one: _host(one)["ReadonlyRootfs"],
    "5.16": lambda one: _host(one)["PidMode"] != "host",
    "5.17": lambda one: _host(one)["IpcMode"] != "host",
    "5.18": lambda one: not _host(one)["Devices"],
    "5.20": lambda one: all(mount.get("Propagation") not in ("shared", "rshared") for mount in one["Mounts"]),
    "5.21": lambda one: _host(one)["UTSMode"] != "host",
    "5.22": lambda one: not _unconfined(one, "seccomp"),
    "5.25": lambda one: not _host(one)["CgroupParent"],
    "5.26": lambda one: "no-new-privileges:true" in (_host(one)["SecurityOpt"] or ()),
    "5.27": lambda one: bool(one["Config"].get("Healthcheck")),
    "5.29": lambda one: (_host(one)["PidsLimit"] or 0) > 0,
    "5.30": _on_own_networks,
    "5.31": lambda one: _host(one)["UsernsMode"] != "host",
    "5.32": lambda one: not any("docker.sock" in str(mount.get("Source")) for mount in one["Mounts"]),
}
# The exporters' images hold no program that could ask: Prometheus sees whether they answer.
DEVIATIONS: Mapping[str, tuple[str, ...]] = {
    "5.27": (
        "node_exporter", "postgres_exporter", "redis_exporter", "nginx_exporter", "blackbox_exporter",
    ),
}  # fmt: skip


def service(container: Container) -> str:
    """The Compose service of a container."""
    return str(container["Config"]["Labels"]["com.docker.compose.service"])


def failures(container: Container) -> list[str]:
    """The items that a container does not meet, and that no deviation explains."""
    name = service(container)
    return [item for item, holds in ITEMS.items() if not holds(container) and name not in DEVIATIONS.get(item, ())]
