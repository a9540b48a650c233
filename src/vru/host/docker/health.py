"""Waiting until containers are up and healthy, with a word as each one is; a failure shows the last log lines."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping

from ..base.errors import HostError
from ..base.journal import Journal
from .compose import Compose, Container

LIMIT_S = 240.0
_POLL_S = 0.5
_RESTARTS = 4
_UNHEALTHY_S = 60.0


class Waiter:
    """Watches containers of some services until each is settled."""

    def __init__(self, compose: Compose, services: Collection[str], limit_s: float = LIMIT_S) -> None:
        self._compose = compose
        self._services = services
        self._limit_s = limit_s
        self._started = time.monotonic()
        self._unhealthy: dict[str, float] = {}
        self._restarts: dict[str, int] = {}

    def look(self) -> tuple[set[str], Mapping[str, list[Container]]]:
        """Which services are settled, and all their containers.

        Raises:
            HostError: one has failed for good, or the time is up.
        """
        found: dict[str, list[Container]] = {name: [] for name in self._services}
        for container in self._compose.containers():
            if container.service in found:
                found[container.service].append(container)
        settled = {name for name, containers in found.items() if containers and all(c.settled for c in containers)}
        for name in sorted(set(found) - settled):
            self._judge(name, found[name])
        return settled, found

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
                what = container.health if container.state == "running" else container.state
                self._fail(container, f"is not healthy after {self._limit_s:.0f} s (it is {what})")

    def _fail(self, container: Container, what: str) -> None:
        raise HostError(
            f"{container.service} {what}.",
            _fix(container.service),
            service=container.service,
            logs=self._compose.last_lines(container),
        )


def _fix(service: str) -> str:
    return f"Read its log: vru-platform logs {service} --tail 100"


def wait(compose: Compose, services: Collection[str], limit_s: float = LIMIT_S) -> None:
    """Wait quietly.

    Raises:
        HostError: a service failed; its last log lines are in the error.
    """
    waiter = Waiter(compose, services, limit_s)
    while len(waiter.look()[0]) < len(services):
        time.sleep(_POLL_S)


def wait_with_steps(
    compose: Compose,
    journal: Journal,
    services: Collection[str],
    phase: str = "orchestration",
    limit_s: float = LIMIT_S,
) -> None:
    """Wait with one journalled step a service, done when it is healthy.

    Raises:
        HostError: a service failed. Its step is marked failed, those still waiting are marked skipped.
    """
    waiter = Waiter(compose, services, limit_s)
    waiting = {name: journal.start(phase, f"service {name}") for name in services}
    try:
        while waiting:
            settled, _ = waiter.look()
            for name in sorted(settled & waiting.keys()):
                waiting.pop(name).finish("done", "healthy")
            if waiting:
                time.sleep(_POLL_S)
    except HostError as error:
        for name, step in waiting.items():
            if name == error.service:
                step.finish("failed", error.message)
            else:
                step.finish("skipped", "not waited for")
        raise


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
