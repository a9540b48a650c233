"""Killed at any step, an update is gone on with by the next one, and nginx always leads to containers that run."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.host.containers import container, view_of

from vru.host.base.errors import HostError
from vru.host.base.host import Host
from vru.host.base.journal import Journal
from vru.host.base.run import Done, Runner
from vru.host.docker.compose import Compose, Container
from vru.host.rolling import candidates, nginx, rollout, routes

VIEW = view_of("api_gateway", "frontend", "validation_worker", "nginx", validation_worker=2)


class KilledError(BaseException):
    """The end of the process, which nothing catches."""


class Server(Compose):
    """A server with containers but no Docker: what changes it is noted, and may be where the program is killed."""

    def __init__(self, root: Path, found: Sequence[Container]) -> None:
        super().__init__(Host(root, run=_Runs(self)))
        self.there = list(found)
        self.deeds: list[str] = []
        self.kill_at = -1

    def existing(self) -> list[Container]:
        return list(self.there)

    def last_lines(self, container: Container, count: int = 20) -> tuple[str, ...]:
        return ("last words",)

    def deed(self, what: str) -> None:
        if len(self.deeds) == self.kill_at:
            raise KilledError
        self.deeds.append(what)
        self.check()

    def check(self) -> None:
        """What must hold at every moment: nginx leads to containers, and to none that does not run."""
        running = {one.name for one in self.there if one.state == "running"}
        for name, route in routes.read(self.host).items():
            assert route.serving, f"{name} is led nowhere in particular"
            assert running.issuperset(route.names), f"{name} is led to {route.names}; there run {running}"


class _Runs(Runner):
    def __init__(self, server: Server) -> None:
        self.server = server

    def __call__(self, argv: Sequence[str], **_: Any) -> Done:
        words = list(argv)
        names = {one.id: f"{one.service} {one.number}" for one in self.server.there}
        if words[:2] == ["docker", "rm"]:
            for one in words[3:]:
                self.server.there = [known for known in self.server.there if known.id != one]
                self.server.deed(f"remove {names[one]}")
        elif words[:2] == ["docker", "stop"]:
            for one in words[4:]:
                self.server.there = [
                    replace(known, state="exited") if known.id == one else known for known in self.server.there
                ]
                self.server.deed(f"stop {names[one]}")
        return Done(tuple(words), 0, "", "")

    def lines(self, argv: Sequence[str], on_line: Callable[[str], None], **_: Any) -> Done:
        words = list(argv)
        assert words[words.index("up") + 1 :][:4] == ["--detach", "--no-build", "--quiet-pull", "--no-recreate"]
        for word in words:
            name, equals, number = word.partition("=")
            if equals:
                # Compose starts what is stopped, before it makes more.
                self.server.there = [
                    replace(one, state="running") if one.service == name else one for one in self.server.there
                ]
                mine = [one for one in self.server.there if one.service == name]
                last = max((one.number for one in mine), default=0)
                for new in range(last + 1, last + 1 + int(number) - len(mine)):
                    self.server.there.append(container(name, new))
                    self.server.deed(f"start {name} {new}")
        return Done(tuple(words), 0, "", "")


@pytest.fixture(autouse=True)
def _world(monkeypatch: pytest.MonkeyPatch) -> None:
    """Containers are well at once, nginx takes every file, and no time passes."""
    monkeypatch.setattr(candidates, "ask", lambda one: "")
    monkeypatch.setattr(nginx, "check", lambda *_: None)
    monkeypatch.setattr(nginx, "quiet", lambda *_: True)
    monkeypatch.setattr(nginx, "reload", lambda compose, running: compose.deed("reload"))
    ticks = itertools.count()
    clock = SimpleNamespace(sleep=lambda _: None, monotonic=lambda: float(next(ticks)), time=lambda: 0.0)
    for module in (rollout, candidates):
        monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(rollout, "_AnswersTwice", lambda *_: type("None", (), {"read": lambda self: []})())


def old(service: str, number: int = 1) -> Container:
    return replace(container(service, number), digest="earlier", image=f"vru-platform/{service}:old")


def live(root: Path) -> Server:
    workers = [replace(container("validation_worker", number), digest="earlier") for number in (1, 2)]
    server = Server(root, [old("api_gateway"), container("frontend"), *workers, container("nginx")])
    routes.write(server.host, routes.render(routes.steady(VIEW.routed, server.there), {}))
    return server


def roll(server: Server, watch_s: float) -> None:
    rollout.roll(server.host, server, Journal(server.host.root / "journal.jsonl"), VIEW, watch_s)


def is_right(server: Server) -> None:
    assert sorted((one.service, one.digest) for one in server.there) == [
        ("api_gateway", "wanted"), ("frontend", "wanted"), ("nginx", "wanted"),
        ("validation_worker", "wanted"), ("validation_worker", "wanted"),
    ]  # fmt: skip
    assert routes.read(server.host) == routes.steady(VIEW.routed, server.there)


def test_new_ones_first_then_the_switch_then_the_end_of_the_old(tmp_path: Path) -> None:
    server = live(tmp_path)
    roll(server, watch_s=3)
    assert server.deeds == [
        "start api_gateway 2", "start validation_worker 3", "start validation_worker 4", "reload", "reload",
        "stop api_gateway 1", "stop validation_worker 1", "stop validation_worker 2",
        "remove api_gateway 1", "remove validation_worker 1", "remove validation_worker 2",
    ]  # fmt: skip
    is_right(server)
    server.deeds.clear()
    roll(server, watch_s=3)
    assert server.deeds == []


def test_without_a_watch_there_is_one_reload(tmp_path: Path) -> None:
    server = live(tmp_path)
    roll(server, watch_s=0)
    assert server.deeds.count("reload") == 1
    is_right(server)


@pytest.mark.parametrize("watch_s", [0, 3])
@pytest.mark.parametrize("kill_at", range(11))
def test_killed_anywhere_the_next_run_ends_it(tmp_path: Path, kill_at: int, watch_s: float) -> None:
    server = live(tmp_path)
    server.kill_at = kill_at
    try:
        roll(server, watch_s)
    except KilledError:
        server.check()
    server.kill_at = -1
    roll(server, watch_s)
    is_right(server)
    deeds = len(server.deeds)
    roll(server, watch_s)
    assert len(server.deeds) == deeds, "a third run found something to do"


@pytest.mark.parametrize("kill_at", [*range(9), None])
def test_a_bad_one_is_taken_back_and_the_old_ones_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kill_at: int | None
) -> None:
    """Even if the taking back is killed: then the next run does the same again."""
    monkeypatch.setattr(candidates, "ask", lambda one: "answers 500 at /ready" if one.number == 2 else "")
    server = live(tmp_path)
    if kill_at is not None:
        server.kill_at = kill_at
        with pytest.raises((HostError, KilledError)):
            roll(server, 3)
        server.check()
        server.kill_at = -1
        monkeypatch.setattr(
            candidates, "ask", lambda one: "answers 500" if one.digest == "wanted" and one.number > 1 else ""
        )
    with pytest.raises(HostError, match=r"(api_gateway|validation_worker) is not ready"):
        roll(server, 3)
    server.check()
    assert {(one.service, one.digest) for one in server.there} == {
        ("api_gateway", "earlier"), ("frontend", "wanted"), ("nginx", "wanted"), ("validation_worker", "earlier"),
    }  # fmt: skip
    assert routes.read(server.host)["api_gateway"].serving == ("vru-platform-api_gateway-1",)


def test_a_route_to_nowhere_is_mended(tmp_path: Path) -> None:
    server = live(tmp_path)
    server.there = [one for one in server.there if one.service != "frontend"] + [container("frontend", 5)]
    assert rollout.repair_routes(server) == ["frontend"]
    assert routes.read(server.host)["frontend"].serving == ("vru-platform-frontend-5",)
    assert rollout.repair_routes(server) == []


def test_at_boot_nothing_is_replaced(tmp_path: Path) -> None:
    server = live(tmp_path)
    asked: list[Sequence[str]] = []
    real = server.host.run

    class Asked(_Runs):
        def __call__(self, argv: Sequence[str], **options: Any) -> Done:
            asked.append(argv)
            return real(argv)

    object.__setattr__(server.host, "run", Asked(server))
    server.there.append(container("api_gateway", 2))
    rollout.start(server, VIEW)
    (command,) = asked
    assert "--no-recreate" in command
    assert "api_gateway=2" in command
    assert "validation_worker=2" in command
    assert "frontend=1" in command
