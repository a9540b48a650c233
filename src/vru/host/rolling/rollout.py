"""Replacing the containers of services without an interruption: new ones beside the old, one switch, a watch, a drain.

Nothing is remembered but what Docker and the routes show, so a run that was killed at any point is gone on with by the
next one: containers of the wanted kind are taken over, others are let go once no request can reach them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

from ..base.change import Change
from ..base.errors import HostError
from ..base.host import Host
from ..base.journal import Journal
from ..docker import kept_logs
from ..docker.compose import Compose, Container, Service, View
from . import nginx, routes
from .candidates import FIRST_LIMIT_S, LIMIT_S, Candidates
from .routes import Route

PHASE = "orchestration"
# What open requests get: the services' own limit is 5 s shorter, so that they end by themselves (see vru.service.app).
DRAIN_S = 130
# What a container gets that is broken anyway.
_BROKEN_S = 10
# Where a client is slow to say what it wants, nginx gives up on it sooner than this.
_QUIET_S = 15.0
_POLL_S = 0.5
# How often a watch says how far it is.
_TELL_S = 4.0


@dataclass(frozen=True)
class Shift:
    """One service's containers: those that are to serve, those that are to go, and how many are still to be made."""

    service: Service
    new: tuple[Container, ...]
    old: tuple[Container, ...]

    @property
    def lacking(self) -> int:
        """How many containers are to be made."""
        return max(0, self.service.replicas - len(self.new))

    @property
    def needed(self) -> bool:
        """Whether anything is to be done."""
        return bool(self.lacking or self.old or any(container.state != "running" for container in self.new))


def shifts(view: View, found: Iterable[Container], again: Collection[str] = ()) -> list[Shift]:
    """What is to be done, service by service.

    Args:
        view: what the Compose file means.
        found: the containers that there are.
        again: containers that are to go though they are what the Compose file means, by id.
    """
    containers = list(found)
    result = []
    for name in view.rolling:
        service = view.services[name]
        mine = [container for container in containers if container.service == name]
        right = [
            container
            for container in mine
            if container.digest == service.digest
            and container.id not in again
            and container.state not in ("paused", "dead", "removing")
        ]
        # The latest: in a change that was broken off, it is the one that was wanted.
        right.sort(key=lambda container: container.number, reverse=True)
        new = tuple(right[: service.replicas])
        result.append(Shift(service, new, tuple(one for one in mine if one not in new)))
    return result


def alike_but_changed(view: View, found: Iterable[Container], pending: Iterable[Change]) -> list[str]:
    """Of some changes, the services whose containers look as the Compose file means, and still are to be replaced:
    their image's name means another image now."""
    kinds: dict[str, list[str]] = {}
    for container in found:
        kinds.setdefault(container.service, []).append(container.digest)
    return [
        change.name
        for change in pending
        if change.action == "update"
        and change.name in view.rolling
        and kinds.get(change.name) == [view.services[change.name].digest] * view.services[change.name].replicas
    ]


def roll(
    host: Host,
    compose: Compose,
    journal: Journal,
    view: View,
    watch_s: float = 0.0,
    *,
    again: Collection[str] = (),
    besides: Collection[str] = (),
) -> None:
    """Make the rolling services' containers what the Compose file means, and switch traffic to them.

    Args:
        host: the server.
        compose: its Compose project; the live files are the wanted ones.
        journal: where the steps are written.
        view: what the live files mean.
        watch_s: how long the old containers stand by while the new ones are watched; 0 for not at all.
        again: services that get new containers though theirs are the wanted ones.
        besides: services that were changed in place and must become healthy before anything is switched.

    Raises:
        HostError: a new container failed; the old ones serve as before, and the new ones are gone.
    """
    _Roll(host, compose, journal, view, watch_s, tuple(besides)).run(again)


class _Roll:
    def __init__(
        self, host: Host, compose: Compose, journal: Journal, view: View, watch_s: float, besides: Sequence[str]
    ) -> None:
        self.host, self.compose, self.journal, self.view = host, compose, journal, view
        self.watch_s, self.besides = watch_s, besides
        self.replaced: set[str] = set()
        self.switched_at = 0.0

    def run(self, again: Collection[str]) -> None:
        found = self.compose.existing()
        self.replaced = {container.id for container in found if container.service in again}
        wanted = self._shifts(found)
        if not wanted and not self.besides and routes.read(self.host) == self._steady(found):
            return
        candidates = Candidates(self.compose, ())
        try:
            if any(shift.lacking or any(one.state != "running" for one in shift.new) for shift in wanted):
                self._start(wanted, found)
                found = self.compose.existing()
                wanted = self._shifts(found)
            candidates.ids = [one.id for shift in wanted for one in shift.new]
            if candidates.ids or self.besides:
                limit_s = LIMIT_S if any(shift.old for shift in wanted) else FIRST_LIMIT_S
                candidates.await_ready(self.journal, PHASE, self.besides, limit_s)
            found = self.compose.existing()
            wanted = self._shifts(found)
            standby = self._standby(wanted, found) if self.watch_s else {}
            self._switch(found, standby)
            if standby:
                self._watch(candidates, wanted, found)
        except HostError as error:
            self._take_back(error)
            raise
        if standby:
            switch_traffic(self.compose, found, self._steady(found))
        self._retire([one for shift in wanted for one in shift.old], found)

    # -- the facts --------------------------------------------------------------------------------------------------

    def _shifts(self, found: Iterable[Container]) -> list[Shift]:
        return [shift for shift in shifts(self.view, found, self.replaced) if shift.needed]

    def _steady(self, found: Sequence[Container]) -> dict[str, Route]:
        """Each service routed to the containers that are to stay."""
        going = {one.id for shift in shifts(self.view, found, self.replaced) if shift.new for one in shift.old}
        return routes.steady(self.view.routed, [one for one in found if one.id not in going])

    def _standby(self, wanted: Iterable[Shift], found: Sequence[Container]) -> dict[str, Route]:
        """The services whose old containers can stand by: those that serve now."""
        known = routes.read(self.host)
        standby = {}
        for shift in wanted:
            name = shift.service.name
            able = [one for one in shift.old if one.state == "running" and one.health in ("healthy", "none")]
            serving = [one for one in able if name in known and one.name in known[name].names] or able
            if name in self.view.routed and serving and shift.new:
                standby[name] = Route(
                    self.view.routed[name], tuple(one.name for one in shift.new), tuple(one.name for one in serving)
                )
        return standby

    # -- the steps --------------------------------------------------------------------------------------------------

    def _start(self, wanted: Sequence[Shift], found: Sequence[Container]) -> None:
        starting = [s for s in wanted if s.lacking or any(one.state != "running" for one in s.new)]
        with self.journal.step(PHASE, "start services", ", ".join(s.service.name for s in starting)) as step:
            command = ["up", "--detach", "--no-build", "--quiet-pull", "--no-recreate"]
            for shift in starting:
                there = sum(one.service == shift.service.name for one in found)
                command += ["--scale", f"{shift.service.name}={there + shift.lacking}"]
            command += [shift.service.name for shift in starting]
            done = self.host.run.lines(
                self.compose.command("--progress", "plain", *command), step.progress, timeout=900
            )
            if not done.ok:
                raise HostError(
                    f"The containers could not be started: {done.last_words(2)}", "Look at: vru-platform status"
                )
            step.count(len(starting))
            step.detail = ", ".join(_told(shift) for shift in starting)

    def _switch(self, found: Sequence[Container], standby: dict[str, Route]) -> None:
        before = routes.read(self.host)
        wanted = {**self._steady(found), **standby}
        changed = [name for name, route in wanted.items() if before.get(name) != route]
        with self.journal.step(PHASE, "switch nginx", ", ".join(changed)) as step:
            switch_traffic(self.compose, found, wanted)
            step.count()
            step.detail = ", ".join(f"{name} to {' '.join(wanted[name].serving)}" for name in changed)
        self.switched_at = time.monotonic()

    def _watch(self, candidates: Candidates, wanted: Sequence[Shift], found: Sequence[Container]) -> None:
        names = ", ".join(shift.service.name for shift in wanted)
        log = _AnswersTwice(self.compose, nginx.running(found))
        with self.journal.step(PHASE, "watch the new release", f"{names} for {self.watch_s:g} s") as step:
            told = -_TELL_S
            while (passed := time.monotonic() - self.switched_at) < self.watch_s:
                began = time.monotonic()
                self.journal.check()
                candidates.watch_once(log.read())
                if passed - told >= _TELL_S:
                    told = passed
                    step.log(f"watching the new release: {passed:.0f} of {self.watch_s:g} s")
                time.sleep(max(0.0, _POLL_S - (time.monotonic() - began)))
            step.detail = f"{names} well for {self.watch_s:g} s"

    def _retire(self, old: Sequence[Container], found: Sequence[Container]) -> None:
        if not old:
            return
        with self.journal.step(PHASE, "end the old containers", ", ".join(one.name for one in old)) as step:
            deadline = time.monotonic() + _QUIET_S
            ports = set(self.view.routed.values())
            while not all(nginx.quiet(one.pid, ports) for one in nginx.running(found)) and time.monotonic() < deadline:
                time.sleep(0.1)
            began = time.monotonic()
            self._stop(old, DRAIN_S)
            step.detail = f"{len(old)} ended, the last after {time.monotonic() - began:.1f} s"

    def _stop(self, containers: Sequence[Container], seconds: int) -> None:
        """Let containers finish what they have begun, and remove them."""
        ids = [container.id for container in containers]
        if ids:
            self.host.run(["docker", "stop", "-t", str(seconds), *ids], check=False, timeout=seconds + 60)
            kept_logs.keep(self.host, containers)
            self.host.run(["docker", "rm", "--force", *ids], check=False, timeout=120)

    def _take_back(self, error: HostError) -> None:
        """Let the old containers serve, and remove the new ones; where nothing served before, leave all as it is.

        Adds to ``error`` what could not be taken back.
        """
        with self.journal.step(PHASE, "take back", error.message) as step:
            try:
                found = self.compose.existing()
                failed = [s for s in self._shifts(found) if any(one.state == "running" for one in s.old)]
                going = [one for shift in failed for one in shift.new]
                staying = [one for one in found if one not in going]
                if going:
                    wanted = routes.steady(self.view.routed, staying)
                    # A reload costs idle clients their connections: not where nothing was switched.
                    if self.switched_at or routes.read(self.host) != wanted:
                        switch_traffic(self.compose, staying, wanted)
                    self._stop([one for one in going if one.service == error.service], _BROKEN_S)
                    self._stop([one for one in going if one.service != error.service], DRAIN_S)
                step.detail = ", ".join(f"{s.service.name} stays with {s.old[0].name}" for s in failed) or "nothing ran"
            except HostError as second:
                step.state, step.detail = "failed", second.message
                error.fix = f"{error.fix} Taking it back failed as well: {second.message}"


def switch_traffic(compose: Compose, found: Sequence[Container], wanted: routes.Routes) -> None:
    """Switch traffic to the wanted containers. A file that nginx refuses does not stay.

    Raises:
        HostError: nginx refuses it, or does not take it.
    """
    host = compose.host
    running = nginx.running(found)
    before = routes.text_of(host)
    routes.write(host, routes.render(wanted, _addresses(found, running)))
    try:
        for one in running:
            nginx.check(compose, [one], one.digest)
    except HostError:
        if before:
            routes.write(host, before)
        raise
    nginx.reload(compose, running)


def repair_routes(compose: Compose) -> list[str]:
    """Route requests to containers that run, where they go to some that do not: after a crash, or when somebody removed
    one by hand.

    Returns:
        The services whose requests go elsewhere now.

    Raises:
        HostError: Docker does not answer, or nginx does not take it.
    """
    found = compose.existing()
    known = routes.read(compose.host)
    running = {one.name for one in found if one.state == "running"}
    lost = {name for name, route in known.items() if not running.issuperset(route.names)}
    watched = {name: route for name, route in known.items() if route.standby}
    text = routes.text_of(compose.host)
    if not lost and watched:
        # Addresses, which a restart changes.
        addresses = _addresses(found, nginx.running(found))
        lost = set() if text == routes.render(known, addresses) else set(watched)
    if not lost or not nginx.running(found):
        return []
    wanted = routes.repaired(known, found)
    switch_traffic(compose, found, wanted)
    return sorted(name for name in lost if wanted.get(name) != known[name])


def start(compose: Compose, view: View) -> None:
    """Start what is stopped and make what is missing; replace nothing, and remove nothing.

    Called at boot: a change that a power cut broke off is gone on with by the next deployment, not by this.

    Raises:
        HostError: Compose could not do it.
    """
    found = compose.existing()
    routes.ensure(compose.host, view, found)
    command = ["up", "--detach", "--no-build", "--quiet-pull", "--no-recreate"]
    for name in view.rolling:
        there = sum(one.service == name for one in found)
        command += ["--scale", f"{name}={max(there, view.services[name].replicas)}"]
    compose.host.run(compose.command("--progress", "plain", *command), timeout=900)


def _told(shift: Shift) -> str:
    old = {one.image for one in shift.old}
    if not old:
        return f"{shift.service.name} {shift.service.image}"
    if old == {shift.service.image}:
        return f"{shift.service.name} (settings)"
    return f"{shift.service.name} {', '.join(sorted(old))} -> {shift.service.image}"


def _addresses(found: Iterable[Container], running: Sequence[Container]) -> dict[str, str]:
    """Where nginx reaches each container: at its address in a network that both are in."""
    networks = {network for one in running for network in one.addresses}
    return {
        one.name: min(address for network, address in one.addresses.items() if network in networks)
        for one in found
        if networks & set(one.addresses)
    }


class _AnswersTwice:
    """nginx's requests that took a second container to answer, as they come."""

    def __init__(self, compose: Compose, running: Sequence[Container]) -> None:
        self._compose, self._running = compose, running
        self._since = datetime.now(timezone.utc)

    def read(self) -> list[tuple[str, int, int]]:
        """Those since the last call: the first address, the status it answered with, and that of the last answer."""
        until = datetime.now(timezone.utc)
        found = []
        for container in self._running:
            done = self._compose.host.run(
                [
                    "docker", "logs", "--since", self._since.isoformat(), "--until", until.isoformat(), container.id,
                ],
                check=False,
            )  # fmt: skip
            for line in done.out.splitlines():
                if '"upstream_status":"' in line and ", " in line:
                    found += two_answers(line)
        self._since = until
        return found


def two_answers(line: str) -> list[tuple[str, int, int]]:
    """Of a line of nginx's log: the first address, its status, and that of the last answer, if there were two."""
    try:
        entry = json.loads(line)
        addresses, statuses = entry["upstream"].split(", "), entry["upstream_status"].split(", ")
        if len(addresses) < 2:
            return []
        return [(addresses[0].rpartition(":")[0], int(statuses[0]), int(statuses[-1]))]
    except (ValueError, KeyError, AttributeError):
        return []
