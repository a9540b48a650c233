"""Keeps the processes of the platform running: starts them in order, restarts those that die, stops them all."""

import signal
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from itertools import groupby
from types import FrameType

from vru.domain import VruError
from vru.local.processes import Child, ProcessSpec, start

_POLL_S = 0.1
_RESTARTS = 3
_LAST_CHANCE_S = 0.5  # for a layer whose turn comes late
_WIDTH = 300  # of a quoted log line
_RESTART_WINDOW_S = 60.0

Report = Callable[[str], None]


class Interrupted(Exception):
    """Somebody asked the platform to stop."""


class Supervisor:
    """The platform's processes. All methods belong to the main thread, except ``pids``."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._children: dict[str, Child] = {}
        self._deaths: dict[str, list[float]] = defaultdict(list)
        self._restart_at: dict[str, float] = {}
        self._stop_asked = 0
        self.on_change: Callable[[], None] = lambda: None

    @property
    def pids(self) -> dict[str, int]:
        """Process id of each process that runs."""
        return {name: child.pid for name, child in list(self._children.items())}

    @contextmanager
    def signals(self) -> Iterator[None]:
        """Turn Ctrl-C, SIGTERM and a closed terminal into an orderly stop while inside."""
        wanted = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before = {number: signal.signal(number, self._ask_to_stop) for number in wanted}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _ask_to_stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stop_asked += 1

    def _pause(self) -> None:
        if self._stop_asked:
            raise Interrupted
        time.sleep(_POLL_S)

    def start(self, specs: Sequence[ProcessSpec]) -> None:
        """Start these, all at once, and wait until each is ready.

        Raises:
            VruError: a process ended, or was not ready in time; the message holds its last log lines.
            Interrupted: a stop was asked for meanwhile.
        """
        waiting = []
        for spec in specs:
            child = self._children[spec.name] = start(spec)
            waiting.append(child)
        self.on_change()
        while waiting:
            waiting = [child for child in waiting if not self._is_ready(child)]
            if waiting:
                self._pause()

    def run(self, spec: ProcessSpec) -> None:
        """Run a process that is meant to end, to its end.

        Raises:
            VruError: it ended with an error, or not in time; the message holds its last log lines.
            Interrupted: a stop was asked for meanwhile.
        """
        child = start(spec)
        try:
            while (ended := child.exit_status()) is None:
                if time.monotonic() - child.started > spec.ready_timeout_s:
                    raise VruError(
                        f"{spec.name} did not end within {spec.ready_timeout_s:.0f} s.{_quote(child)}",
                        f"Its whole log: {spec.log}",
                    )
                self._pause()
        finally:
            child.kill()
        if child.process.returncode != 0:
            raise VruError(f"{spec.name} {ended}.{_quote(child)}", f"Its whole log: {spec.log}")
        self._report(f"{spec.name} done after {time.monotonic() - child.started:.1f} s")

    def _is_ready(self, child: Child) -> bool:
        spec, age = child.spec, time.monotonic() - child.started
        ended = child.exit_status()
        if ended:
            raise VruError(f"{spec.name} {ended} while starting.{_quote(child)}", f"Its whole log: {spec.log}")
        missing = spec.missing()
        if missing is None:
            self._report(f"{spec.name} is ready on port {spec.port} after {age:.1f} s")
            return True
        if age > spec.ready_timeout_s:
            raise VruError(
                f"{spec.name} was not ready within {spec.ready_timeout_s:.0f} s: {missing}.{_quote(child)}",
                f"Its whole log: {spec.log}",
            )
        return False

    def watch(self, until: Callable[[], bool] = lambda: False) -> None:
        """Restart what dies, until ``until()`` is true or a stop is asked for.

        Raises:
            VruError: a process died too often; the message holds its last log lines.
            Interrupted: a stop was asked for.
        """
        while not until():
            self._pause()
            for name, child in list(self._children.items()):
                ended = child.exit_status()
                if ended and name not in self._restart_at:
                    self._plan_restart(child, ended)
            for name, moment in list(self._restart_at.items()):
                if time.monotonic() >= moment:
                    del self._restart_at[name]
                    self._children[name] = start(self._children[name].spec)
                    self.on_change()

    def _plan_restart(self, child: Child, ended: str) -> None:
        name, now = child.spec.name, time.monotonic()
        deaths = self._deaths[name] = [t for t in self._deaths[name] if now - t < _RESTART_WINDOW_S] + [now]
        if len(deaths) > _RESTARTS:
            raise VruError(
                f"{name} {ended}, and that {len(deaths)} times within {_RESTART_WINDOW_S:.0f} s.{_quote(child)}",
                f"Its whole log: {child.spec.log}",
            )
        self._report(f"{name} (process {child.pid}) {ended}; starting it again.{_quote(child, 5)}")
        self._restart_at[name] = now + 0.5 * 2 ** (len(deaths) - 1) - 0.5

    def stop(self) -> None:
        """Stop everything, the highest layer first. A second request to stop kills what is still there.

        The services have their time together, not one layer after the other. PostgreSQL and Redis get theirs in any
        case: they write what was promised to be kept.
        """
        asked_before, begun = self._stop_asked, time.monotonic()
        order = sorted(self._children.values(), key=lambda child: -child.spec.layer)
        for _, group in groupby(order, key=lambda child: child.spec.layer):
            children = list(group)
            for child in children:
                child.ask_to_stop()
            asked = time.monotonic()
            for child in children:
                timeout = child.spec.stop_timeout_s
                shared = child.spec.death_signal == signal.SIGKILL
                deadline = max(begun + timeout, asked + min(timeout, _LAST_CHANCE_S)) if shared else asked + timeout
                while child.exit_status() is None:
                    hurried = self._stop_asked > asked_before and child.spec.death_signal == signal.SIGKILL
                    if hurried or time.monotonic() > deadline:
                        if not hurried:
                            self._report(f"{child.spec.name} did not stop in time; killing it")
                        child.kill()
                        break
                    time.sleep(0.05)
        self._children.clear()


def _quote(child: Child, count: int = 15) -> str:
    lines = child.last_lines(count)
    return "\n" + "\n".join(f"  {child.spec.name} | {line[:_WIDTH]}" for line in lines) + "\n" if lines else ""


def in_background(supervisor: Supervisor, work: Callable[[], None]) -> None:
    """Do ``work`` in another thread while the processes are looked after; raises what ``work`` raises."""
    outcome: Future[None] = Future()

    def do() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - it is raised again in the main thread
            outcome.set_exception(error)
        else:
            outcome.set_result(None)

    # A daemon: when a stop is asked for, the work is abandoned.
    threading.Thread(target=do, name="work", daemon=True).start()
    supervisor.watch(until=outcome.done)
    outcome.result()
