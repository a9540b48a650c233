"""Containers: what Compose would recreate (by its own digest of each service), what is missing, what is left over."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial

from ..base.change import Change
from ..base.disk import read_json
from ..base.errors import HostError
from ..base.host import PROJECT, Host
from ..base.journal import Step
from ..docker import kept_logs
from ..docker.compose import Compose, Container, Service, View
from ..rolling import nginx, rollout, routes

NGINX = "nginx"
_OURS = re.compile(rf"{PROJECT}-[a-z0-9_]+-\d+")


@dataclass(frozen=True)
class ContainerFacts:
    """The project's containers, and when nginx's configuration was last written and last loaded.

    ``impostors`` are containers that somebody made by hand under a name that Compose needs; ``routes`` is the file that
    routes requests to the services.
    """

    containers: tuple[Container, ...]
    nginx_written: datetime | None
    nginx_loaded: datetime | None
    impostors: tuple[str, ...] = ()
    routes: str = ""


def facts(host: Host, compose: Compose) -> ContainerFacts:
    """Ask Docker, and look at the times of nginx's files."""
    containers, names = compose.containers_and_names()
    ours = {container.name for container in containers}
    impostors = tuple(sorted(name for name in names if _OURS.fullmatch(name) and name not in ours))
    return ContainerFacts(tuple(containers), _written(host), _loaded(host, containers), impostors, routes.text_of(host))


def _written(host: Host) -> datetime | None:
    roots = sorted((host.root / "config" / "production").glob("nginx*"))
    paths = [path for root in roots for path in (root, *root.rglob("*"))]
    if routes.path(host).exists():
        paths.append(routes.path(host))
    newest = max((path.stat().st_mtime for path in paths), default=None)
    return None if newest is None else datetime.fromtimestamp(newest, timezone.utc)


def _loaded(host: Host, containers: Iterable[Container]) -> datetime | None:
    started = [c.started for c in containers if c.service == NGINX and c.state == "running" and c.started]
    if not started:
        return None
    reloaded = read_json(host.state / "nginx-reloaded.json")
    times = [min(started), *([datetime.fromisoformat(reloaded)] if reloaded else [])]
    return max(times)


def changes(view: View, actual: ContainerFacts, images: Mapping[str, str] | None = None) -> Iterator[Change]:
    """What differs, a change a service. `up` applies them together, so none carries an ``apply``.

    Args:
        view: what the Compose file means.
        actual: what runs.
        images: the image that each name should mean; without it a container of another image is not noticed.
    """
    for name, service in view.services.items():
        mine = [container for container in actual.containers if container.service == name]
        if not mine:
            if service.replicas:
                yield Change("container", name, "create", service.image)
        elif len(mine) != service.replicas:
            # Compose's digest leaves the number of containers out.
            yield Change("container", name, "update", f"{len(mine)} -> {service.replicas} containers")
        elif any(container.digest != service.digest for container in mine):
            yield Change("container", name, "update", _what_changed(service, mine) + _how(service))
        elif images and any(images.get(service.image, one.image_id) != one.image_id for one in mine):
            yield Change("container", name, "update", f"runs another image than {service.image}")
        elif any(_stopped(container) for container in mine):
            yield Change("container", name, "start", "is " + next(c.state for c in mine if _stopped(c)))
    for container in actual.containers:
        if container.service not in view.services and container.service not in view.tools:
            yield Change("container", container.name, "remove", "no longer part of the release")


def _stopped(container: Container) -> bool:
    return container.state not in ("running", "restarting", "paused") and not container.settled


def _how(service: Service) -> str:
    """Where it is not done beside what serves: that people will notice."""
    return "" if service.topology.rollout == "rolling" else "; in place, away for a moment"


def _what_changed(service: Service, containers: Sequence[Container]) -> str:
    old = {container.image for container in containers}
    return f"image {', '.join(sorted(old))} -> {service.image}" if old != {service.image} else "settings"


def nginx_changes(compose: Compose, actual: ContainerFacts) -> Iterator[Change]:
    """Repair the routes to the services, and reload nginx when its files are newer than what it has loaded."""
    if not actual.nginx_loaded:
        return
    if not routes.up_to_date(actual.routes, actual.containers):
        yield Change("nginx", "routes", "update", "which container serves", partial(_switch_traffic, compose))
    elif actual.nginx_written and actual.nginx_written > actual.nginx_loaded:
        yield Change("nginx", "configuration", "reload", "after `nginx -t`", partial(_reload_nginx, compose))


def _switch_traffic(compose: Compose, step: Step) -> None:
    found = compose.existing()
    rollout.switch_traffic(compose, found, routes.steady(routes.ports_of(found), found))


def _reload_nginx(compose: Compose, step: Step) -> None:
    found = nginx.running(compose.existing())
    for container in found:
        nginx.check(compose, [container], container.digest)
    nginx.reload(compose, found)


def up(compose: Compose, changes: Sequence[Change], step: Step) -> None:
    """Let Compose create, recreate and start what differs; stop and remove what is left over.

    Only the services that differ are named: Compose 2.26 recreates whatever depends on a recreated service, unless it
    is left out, and that would cut off users of services that did not change. (Never ``--no-deps``: it changes the
    digests, so that the next plain ``up`` would recreate everything once more.)

    Raises:
        HostError: Compose could not do it.
    """
    if not changes:
        return
    here = compose.existing()
    gone = {change.name for change in changes if change.action == "remove"}
    for container in here:
        if container.name in gone:
            compose.host.run(["docker", "stop", "-t", "130", container.id], check=False, timeout=200)
            kept_logs.keep(compose.host, [container])
            compose.host.run(["docker", "rm", "--force", container.id], check=False)
    services = [change.name for change in changes if change.action != "remove"]
    if services:
        command = ("up", "--detach", "--no-build", "--quiet-pull", *services)
        replaced = [container for container in here if container.service in services]
        with kept_logs.kept_while(compose.host, replaced):
            done = compose.host.run.lines(compose.command("--progress", "plain", *command), step.progress, timeout=900)
        if not done.ok:
            _explain(compose, done.last_words(2))


def _explain(compose: Compose, said: str) -> None:
    """Compose gave up, as a rule because something that others wait for is unhealthy: find that one's log."""
    bad = [c for c in compose.containers() if c.health == "unhealthy" or (c.state == "exited" and not c.settled)]
    if bad:
        first = bad[0]
        what = first.health if first.state == "running" else first.state
        raise HostError(
            f"The containers could not be started: {first.service} is {what}. {said}",
            f"Read its log: vru-platform logs {first.service} --tail 100",
            service=first.service,
            logs=compose.last_lines(first),
        )
    raise HostError(f"The containers could not be started: {said}", "Look at: vru-platform status")
