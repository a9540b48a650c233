"""What was changed by hand on a container that otherwise is the right one: mended in place, without a restart."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import partial

from ..base.change import Change
from ..base.disk import human_size
from ..base.journal import Step
from ..docker.compose import Compose, Container, Limits, Service, View
from .containers import ContainerFacts

_NO_RESTART = ("", "no")


def changes(compose: Compose, view: View, actual: ContainerFacts, without: Collection[str] = ()) -> Iterator[Change]:
    """Wake what was paused, set limits and restart policies again, join networks again.

    Args:
        compose: the project.
        view: what the Compose file means.
        actual: what runs.
        without: services (or containers) that are replaced anyway.
    """
    for container in actual.containers:
        service = view.services.get(container.service)
        if service is None or container.service in without or container.name in without:
            continue
        if container.state == "paused":
            yield Change("container", container.name, "start", "is paused", partial(_unpause, compose, container))
        differences = _differences(service, container)
        if differences:
            detail = ", ".join(differences)
            yield Change("container", container.name, "update", detail, partial(_update, compose, service, container))
        for network in service.networks:
            if network not in container.networks and container.state in ("running", "paused"):
                apply = partial(_join, compose, container, network)
                yield Change("container", container.name, "update", f"is not in the network {network}", apply)
        for network in container.networks:
            if service.networks and network not in service.networks:
                apply = partial(_leave, compose, container, network)
                yield Change("container", container.name, "update", f"is in the network {network}", apply)


def impostor_changes(compose: Compose, actual: ContainerFacts) -> Iterator[Change]:
    """Remove containers that were made by hand under names that Compose needs."""
    for name in actual.impostors:
        detail = "was made by hand under a name of the platform's"
        yield Change("container", name, "remove", detail, partial(_remove, compose, name))


def _differences(service: Service, container: Container) -> list[str]:
    wanted, actual = service.limits, container.limits
    found = []
    if wanted.nano_cpus != actual.nano_cpus:
        found.append(f"CPU limit {_cpus(actual)} -> {_cpus(wanted)}")
    if wanted.memory != actual.memory:
        found.append(f"memory limit {_memory(actual)} -> {_memory(wanted)}")
    if wanted.pids != actual.pids:
        found.append(f"process limit {actual.pids or 'none'} -> {wanted.pids or 'none'}")
    if _policy(service.restart) != _policy(container.restart):
        found.append(f"restart policy {_policy(container.restart)} -> {_policy(service.restart)}")
    return found


def _policy(name: str) -> str:
    return "no" if name in _NO_RESTART else name


def _cpus(limits: Limits) -> str:
    return f"{limits.nano_cpus / 1e9:g}" if limits.nano_cpus else "none"


def _memory(limits: Limits) -> str:
    return human_size(limits.memory) if limits.memory else "none"


def _remove(compose: Compose, name: str, step: Step) -> None:
    compose.host.run(["docker", "stop", "--time=35", name], check=False, timeout=120)
    compose.host.run(["docker", "rm", "--force", name])


def _unpause(compose: Compose, container: Container, step: Step) -> None:
    compose.host.run(["docker", "unpause", container.id])


def _update(compose: Compose, service: Service, container: Container, step: Step) -> None:
    limits = service.limits
    # As much swap again as memory is Docker's own rule where nothing is said.
    compose.host.run([
        "docker", "update", f"--cpus={limits.nano_cpus / 1e9:g}", f"--memory={limits.memory}",
        f"--memory-swap={limits.memory * 2}", f"--pids-limit={limits.pids or -1}",
        f"--restart={_policy(service.restart)}", container.id,
    ])  # fmt: skip


def _join(compose: Compose, container: Container, network: str, step: Step) -> None:
    aliases = [f"--alias={container.service}", f"--alias={container.name}"]
    compose.host.run(["docker", "network", "connect", *aliases, network, container.id])


def _leave(compose: Compose, container: Container, network: str, step: Step) -> None:
    compose.host.run(["docker", "network", "disconnect", network, container.id])
