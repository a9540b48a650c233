"""Waiting until containers are up and healthy, with a word as each one is; a failure shows the last log lines."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping

from ..base.errors import HostError
from ..base.journal import Journal, Step
from .compose import Compose, Container

LIMIT_S = 240.0
_POLL_S = 0.5
_RESTARTS = 4
_UNHEALTHY_S = 60.0


def await_ready(
    look: Callable[[], Mapping[str, str]],
    journal: Journal | None = None,
    *,
    phase: str = "orchestration",
    services: Collection[str] = (),
) -> None:
    """Look again and again until all that is waited for is ready: the one loop behind every wait for containers.

    Args:
        look: what each service still lacks, in words, by its name; "" for one that is ready. It raises a
            `HostError` for one that failed.
        journal: where each service gets a step of its own, done when it is ready; without one, the wait is quiet.
        phase: the steps' phase.
        services: those whose steps begin before the first look.

    Raises:
        HostError: a service failed. Its step is marked failed, those still waited for are marked skipped.
    """
    steps = None if journal is None else _Steps(journal, phase, services)
    try:
        while True:
            found = look()
            if steps is not None:
                steps.tell(found)
            if not any(found.values()):
                return
            time.sleep(_POLL_S)
    except HostError as error:
        if steps is not None:
            steps.break_off(error)
        raise


class _Steps:
    """A journalled step for each service that is waited for."""

    def __init__(self, journal: Journal, phase: str, services: Iterable[str]) -> None:
        self._journal = journal
        self._phase = phase
        self._steps: dict[str, Step] = {}
        self._told: dict[str, str] = {}
        self._begin(services)

    def _begin(self, services: Iterable[str]) -> None:
        for name in services:
            if name not in self._steps:
                self._steps[name] = self._journal.start(self._phase, f"service {name}")

    def tell(self, found: Mapping[str, str]) -> None:
        """End the steps of what is ready, and say of the others what is new about them."""
        self._begin(sorted(found))
        for name, step in self._steps.items():
            lacks = found.get(name, "")
            if not lacks and not step.ended:
                step.finish("done", "healthy")
            elif lacks and self._told.get(name) != lacks:
                self._told[name] = lacks
                step.log(f"{name} {lacks}")

    def break_off(self, error: HostError) -> None:
        """End all steps: that of the service that failed, and those that are not waited for any more."""
        for name, step in self._steps.items():
            if not step.ended:
                failed = name == error.service
                step.finish("failed" if failed else "skipped", error.message if failed else "not waited for")


class _Services:
    """All containers of some services, looked at until each is settled."""

    def __init__(self, compose: Compose, services: Collection[str], limit_s: float) -> None:
        self._compose = compose
        self._services = services
        self._limit_s = limit_s
        self._started = time.monotonic()
        self._unhealthy: dict[str, float] = {}
        self._restarts: dict[str, int] = {}

    def look(self) -> Mapping[str, str]:
        """What each service lacks; see `await_ready`.

        Raises:
            HostError: one has failed for good, or the time is up.
        """
        found: dict[str, list[Container]] = {name: [] for name in self._services}
        for container in self._compose.containers():
            if container.service in found:
                found[container.service].append(container)
        lacks = {}
        for name in sorted(found):
            unsettled = [container for container in found[name] if not container.settled]
            if unsettled or not found[name]:
                self._judge(name, found[name])
            lacks[name] = state_of(unsettled[0]) if unsettled else "" if found[name] else "has no container"
        return lacks

    def _judge(self, name: str, containers: list[Container]) -> None:
        moment = time.monotonic()
        late = moment - self._started > self._limit_s
        if not containers and late:
            raise HostError(f"{name} has no container after {self._limit_s:.0f} s.", _fix(name), service=name)
        for container in containers:
            if container.settled:
                continue
            crashed = container.restarts - self._restarts.setdefault(container.id, container.restarts)
            if container.health == "unhealthy":
                since = self._unhealthy.setdefault(container.id, moment)
            else:
                self._unhealthy.pop(container.id, None)
                since = moment
            if container.state in ("exited", "dead") and container.restart in ("", "no"):
                self._fail(container, f"ended with exit code {container.exit_code}")
            if crashed >= _RESTARTS:
                self._fail(container, f"keeps crashing (exit code {container.exit_code}, restarted {crashed} times)")
            if moment - since > _UNHEALTHY_S:
                self._fail(container, f"is up but unhealthy for {moment - since:.0f} s")
            if late:
                self._fail(container, f"is not healthy after {self._limit_s:.0f} s (it {state_of(container)})")

    def _fail(self, container: Container, what: str) -> None:
        raise HostError(
            f"{container.service} {what}.",
            _fix(container.service),
            service=container.service,
            logs=self._compose.last_lines(container),
        )


def state_of(container: Container) -> str:
    """What a container is, in words: "is starting"."""
    return f"is {container.health if container.state == 'running' else container.state}"


def _fix(service: str) -> str:
    return f"Read its log: vru-platform logs {service} --tail 100"


def wait(compose: Compose, services: Collection[str], journal: Journal | None = None, limit_s: float = LIMIT_S) -> None:
    """Wait until all containers of some services are healthy, quietly or with a step a service in the journal.

    Raises:
        HostError: a service failed; its last log lines are in the error.
    """
    if services:
        await_ready(_Services(compose, services, limit_s).look, journal, services=services)


def wait_for(ready: Callable[[], bool], otherwise: str, limit_s: float = 60.0) -> None:
    """Wait until something holds.

    Raises:
        HostError: it does not after ``limit_s`` seconds.
    """
    deadline = time.monotonic() + limit_s
    while not ready():
        if time.monotonic() > deadline:
            raise HostError(otherwise, "Look at: vru-platform status")
        time.sleep(_POLL_S)
