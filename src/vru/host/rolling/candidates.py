"""New containers beside the ones that serve: waiting until each is ready, and watching whether it stays well.

A container is asked directly, at its own address, whatever nginx does. What ends the waiting and the watching is the
cause in words: how it ended, that it ran out of memory, or what it answered.
"""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from ..base.disk import human_size
from ..base.errors import HostError
from ..base.journal import Journal
from ..docker import health
from ..docker.compose import Compose, Container

# How long a new container may take. The health checks of the Compose file allow 90 s to start.
LIMIT_S = 120.0
# At a first deployment all start at once, and there is nothing to go back to.
FIRST_LIMIT_S = 240.0
PROBE_TIMEOUT_S = 5.0
# A service may end once or twice because something that it needs is not there yet.
_CRASHES = 3
_PROBES = 3
_TAKEN_OVER = 3
_KILLED = 137


def ask(container: Container, timeout_s: float = PROBE_TIMEOUT_S) -> str:
    """Ask a container whether it can work: "" if it says so, else what it says instead."""
    port, path = container.topology.port, container.topology.ready
    if port is None or not path:
        return ""
    if not container.addresses:
        return "has no address"
    connection = http.client.HTTPConnection(min(container.addresses.values()), port, timeout=timeout_s)
    try:
        connection.request("GET", path, headers={"Connection": "close"})
        answer = connection.getresponse()
        body = answer.read(2000).decode(errors="replace")
    except TimeoutError:
        return f"gives no answer in {timeout_s:g} s"
    except (OSError, http.client.HTTPException) as error:
        return f"does not answer ({getattr(error, 'strerror', None) or type(error).__name__})"
    finally:
        connection.close()
    return "" if answer.status < 400 else f"answers {answer.status} at {path}{_reason(body)}"


def _reason(body: str) -> str:
    """What our services say in their /ready: which of the things that they need are not well."""
    try:
        checks = json.loads(body)["checks"]
        wrong = [f"{name}: {outcome}" for name, outcome in checks.items() if outcome != "ok"]
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""
    return f" ({'; '.join(wrong)})" if wrong else ""


@dataclass
class _Seen:
    """What is remembered of one container between two looks."""

    restarts: int
    failed: int = 0
    taken_over: int = 0
    reason: str = ""


@dataclass
class Candidates:
    """Some new containers, by id, until they serve alone."""

    compose: Compose
    ids: Collection[str]
    begun: float = field(default_factory=time.time)
    _seen: dict[str, _Seen] = field(default_factory=dict)

    def await_ready(
        self, journal: Journal, phase: str, besides: Collection[str] = (), limit_s: float = LIMIT_S
    ) -> None:
        """Wait until all can work, with one journalled step a service; ``besides`` are services that were changed in
        place and must be healthy as well.

        Raises:
            HostError: one cannot, and why, with its last lines. Its step is marked failed, those still waiting are
                marked skipped.
        """
        deadline = time.monotonic() + limit_s

        def look() -> Mapping[str, str]:
            found = self.compose.existing()
            mine = self._mine(found)
            others = [container for container in found if container.service in besides]
            waiting = {**self._not_ready(mine), **{c.service: c for c in others if not c.settled}}
            for name, container in waiting.items():
                if time.monotonic() > deadline:
                    self.fail(container, f"{name} is not ready after {limit_s:.0f} s: it {self._lacks(container)}")
            lacks = {name: self._lacks(container) for name, container in waiting.items()}
            return {**{container.service: "" for container in (*mine, *others)}, **lacks}

        health.await_ready(look, journal, phase=phase)

    def _lacks(self, container: Container) -> str:
        seen = self._seen.get(container.id)
        answer = seen.reason if seen is not None and container.state == "running" else ""
        return answer or health.state_of(container)

    def _not_ready(self, containers: Collection[Container]) -> dict[str, Container]:
        asked = dict(zip((c.id for c in containers), self._ask_all(containers), strict=True))
        waiting = {}
        for container in containers:
            seen = self._remember(container)
            self._judge_life(container, crashes=_CRASHES)
            seen.reason = asked[container.id]
            if not container.settled or seen.reason:
                waiting[container.service] = container
        return waiting

    def watch_once(self, answers: Iterable[tuple[str, int, int]]) -> None:
        """Look once at containers that serve already.

        Args:
            answers: of nginx's newest requests, those that took two answers: the address that answered first, its
                status, and the status of the answer that the client got.

        Raises:
            HostError: one is not well: it ended, or did not answer three times in a row, or the old one had to answer
                for it three times.
        """
        containers = self._mine(self.compose.existing())
        by_address = {address: c for c in containers for address in c.addresses.values()}
        for address, first, last in answers:
            container = by_address.get(address)
            if container is not None and first >= 500 > last:
                self._remember(container).taken_over += 1
                if self._remember(container).taken_over >= _TAKEN_OVER:
                    self.fail(
                        container,
                        f"{container.service} answers users with {first}, where the release before it answers {last}",
                    )
        for container, reason in zip(containers, self._ask_all(containers), strict=True):
            seen = self._remember(container)
            self._judge_life(container, crashes=1)
            seen.failed, seen.reason = (seen.failed + 1 if reason else 0), reason
            if seen.failed >= _PROBES:
                self.fail(container, f"{container.service} was well, but now it {reason}")

    def _mine(self, found: Iterable[Container]) -> list[Container]:
        mine = {container.id: container for container in found if container.id in self.ids}
        gone = [one for one in self.ids if one not in mine]
        if gone:
            raise HostError(
                f"A new container ({gone[0][:12]}) was removed by somebody else.", "Run the same command again."
            )
        return list(mine.values())

    def _ask_all(self, containers: Collection[Container]) -> list[str]:
        if not containers:
            return []
        with ThreadPoolExecutor(len(containers)) as pool:
            return list(pool.map(lambda c: ask(c) if c.state == "running" else f"is {c.state}", containers))

    def _remember(self, container: Container) -> _Seen:
        return self._seen.setdefault(container.id, _Seen(container.restarts))

    def _judge_life(self, container: Container, crashes: int) -> None:
        crashed = container.restarts - self._remember(container).restarts
        ended = container.state in ("exited", "dead")
        if container.killed_for_memory:
            self.fail(container, self._how_it_ended(container))
        if crashed >= crashes or ended:
            self.fail(container, self._how_it_ended(container))

    def _how_it_ended(self, container: Container) -> str:
        name = container.service
        limit = f" (its limit is {human_size(container.limits.memory)})" if container.limits.memory else ""
        out_of_memory, exit_code = self._last_end(container)
        if container.killed_for_memory or out_of_memory:
            return f"{name} ran out of memory{limit} and was killed"
        if exit_code == _KILLED:
            return f"{name} was killed (exit code {_KILLED}), as happens where memory runs out{limit}"
        again = container.restarts - self._remember(container).restarts
        often = f", {again} times" if again > 1 else ""
        return f"{name} ends with exit code {exit_code}{often}"

    def _last_end(self, container: Container) -> tuple[bool, int]:
        """Whether the kernel killed something in it since we look, and its newest exit code.

        Once it was started again, Docker's view of the container has forgotten both.
        """
        done = self.compose.host.run(
            [
                "docker", "events", "--since", f"{self.begun:.0f}", "--until", f"{time.time() + 1:.0f}",
                "--filter", f"container={container.id}", "--filter", "event=oom", "--filter", "event=die",
                "--format", "{{.Action}} {{.Actor.Attributes.exitCode}}",
            ],
            check=False,
            timeout=30,
        )  # fmt: skip
        events = [line.partition(" ") for line in done.out.splitlines()]
        codes = [int(about) for action, _, about in events if action == "die" and about.isdigit()]
        return any(action == "oom" for action, _, _ in events), codes[-1] if codes else container.exit_code

    def fail(self, container: Container, what: str) -> None:
        """End with what happened to one container, and its last lines.

        Raises:
            HostError: always.
        """
        raise HostError(
            f"{what}.",
            f"Correct {container.service}, then deploy again. Its last lines are shown.",
            service=container.service,
            logs=self.compose.last_lines(container),
        )
