"""Which container serves which service, as the file that nginx includes: the one switch point of the platform.

In the steady state a service is a container's name, which nginx resolves while it runs: that survives restarts, reboots
and changed addresses. While a new release is watched, it is a group of addresses: the new container, and the old one
for what the new one cannot do.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..base.disk import write_atomic
from ..base.errors import HostError
from ..base.host import Host
from ..docker.compose import Container, View

FILE = "data/routes/upstreams.conf"
_HEAD = """\
# Written by vru-platform: which container serves which service. Do not edit it; `vru-platform heal` mends it.
"""
_FACTS = "# routes: "


@dataclass(frozen=True)
class Route:
    """The names of the containers that serve a service at a port, and of those that stand by while they are watched.

    Without any, the service's own name is used: Docker knows it as the name of all its containers.
    """

    port: int
    serving: tuple[str, ...] = ()
    standby: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """All containers that requests may reach."""
        return (*self.serving, *self.standby)


Routes = Mapping[str, Route]


def path(host: Host) -> Path:
    """Where the file is."""
    return host.root / FILE


def read(host: Host) -> dict[str, Route]:
    """The routes in the file; none of a file that is missing or that was edited beyond recognition."""
    try:
        lines = path(host).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    facts = next((line.removeprefix(_FACTS) for line in lines if line.startswith(_FACTS)), "{}")
    try:
        return {
            name: Route(int(route["port"]), tuple(route["serving"]), tuple(route["standby"]))
            for name, route in json.loads(facts).items()
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def steady(ports: Mapping[str, int], containers: Iterable[Container]) -> dict[str, Route]:
    """Each service, which listens at a port, routed to its own containers: those that run, as far as any does."""
    found = list(containers)
    routes = {}
    for name, port in ports.items():
        mine = [container for container in found if container.service == name]
        running = [container for container in mine if container.state == "running"]
        routes[name] = Route(port, tuple(sorted(container.name for container in running or mine)))
    return routes


def ports_of(containers: Iterable[Container]) -> dict[str, int]:
    """Where the services that nginx routes requests to listen, as their containers' labels say."""
    found = {one.service: one.topology for one in containers if one.topology.routed}
    return {name: topology.port for name, topology in found.items() if topology.port is not None}


def up_to_date(text: str, containers: Iterable[Container]) -> bool:
    """Whether a file's text routes every service that has containers to them, and says nothing else."""
    found = list(containers)
    ports = ports_of(found)
    return not ports or text == render(steady(ports, found), {})


def repaired(known: Routes, containers: Iterable[Container]) -> dict[str, Route]:
    """Routes to containers that run, where some of those in ``known`` do not (any more).

    Of a change that was broken off, the containers that were to go are trusted more than those that were being watched.
    """
    found = list(containers)
    running = {container.name for container in found if container.state == "running"}
    wanted = steady(ports_of(found), found)
    for name, route in known.items():
        for trusted in (route.standby, route.serving):
            if trusted and name in wanted and running.issuperset(trusted):
                wanted[name] = Route(wanted[name].port, trusted)
                break
    return wanted


def text_of(host: Host) -> str:
    """What the file says; nothing if there is none."""
    file = path(host)
    return file.read_text(encoding="utf-8") if file.exists() else ""


def render(routes: Routes, addresses: Mapping[str, str]) -> str:
    """The file's text.

    Args:
        routes: for each service, its containers.
        addresses: of the containers of routes with a standby, by name.

    Raises:
        HostError: an address is missing.
    """
    facts = {
        name: {"port": route.port, "serving": route.serving, "standby": route.standby} for name, route in routes.items()
    }
    lines = [_HEAD, f"{_FACTS}{json.dumps(facts, sort_keys=True)}\n"]
    for name, route in sorted(routes.items()):
        if not route.standby:
            # Several at once can be told to nginx by their common name only; one must be told by its own.
            target = f"{route.serving[0] if len(route.serving) == 1 else name}:{route.port}"
        else:
            target = f"{name}_watched"
            lines.append(f"upstream {target} {{\n")
            lines += [
                f"    server {_address(one, addresses)}:{route.port} {role};\n"
                for names, role in ((route.serving, "max_fails=3 fail_timeout=10s"), (route.standby, "backup"))
                for one in names
            ]
            lines.append("}\n")
        lines.append(f'map "" ${name} {{ default "{target}"; }}\n')
    return "".join(lines)


def _address(container: str, addresses: Mapping[str, str]) -> str:
    if container not in addresses:
        raise HostError(f"{container} has no address where nginx could reach it.", "Run the same command again.")
    return addresses[container]


def write(host: Host, text: str) -> bool:
    """Replace the file as a whole, readable for nginx; False if it said the same already."""
    file = path(host)
    if file.exists() and file.read_text(encoding="utf-8") == text:
        return False
    write_atomic(file, text.encode())
    return True


def ensure(host: Host, view: View, containers: Iterable[Container]) -> None:
    """Make sure that there is a file with a route for every service: without one, nginx does not start."""
    if view.routed and set(read(host)) != set(view.routed):
        write(host, render(steady(view.routed, containers), {}))
