"""`vru lock`: keeping others' changes out of the server for a while."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any, NoReturn

import click

from vru.deploy.commands.common import pass_through, with_server
from vru.deploy.console.reporter import Reporter
from vru.deploy.pipeline import phases
from vru.deploy.server import host_program
from vru.deploy.ssh.connection import actor
from vru.domain import VruError
from vru.host.lock.lock import HEARTBEAT_S

_ENDING_S = 15.0


class _ShowingGroup(click.Group):
    """A group that without a command, or with options only, means its ``show``."""

    def parse_args(self, context: click.Context, arguments: list[str]) -> list[str]:
        if not arguments or (arguments[0].startswith("-") and not {"-h", "--help"} & set(arguments)):
            arguments = ["show", *arguments]
        return super().parse_args(context, arguments)


@click.group(cls=_ShowingGroup)
def lock() -> None:
    """Keep others' changes out of the server for a while; without a command: show who does, and what is under way."""


@lock.command()
@with_server
def show(target: phases.Target, report: Reporter, as_json: bool) -> None:
    """Show who has locked changes, and what is under way."""
    pass_through(target, ["lock", *(["--json"] if as_json else [])])


@lock.command()
@click.option("--reason", required=True, help="For those whom it stops.")
@click.option("--for", "duration", default="1h", show_default=True, help="When it ends by itself: 30m, 2h, 1d.")
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="[-- COMMAND...]")
@with_server
def take(
    target: phases.Target, report: Reporter, as_json: bool, reason: str, duration: str, command: tuple[str, ...]
) -> None:
    """Lock all changes but your own: deploys, rollbacks, restarts and restores of others are refused.

    With a COMMAND it is held while that runs on this laptop, and released after it; if the laptop dies, it ends by
    itself within half a minute.
    """
    if command:
        _hold(target, report, reason, duration, command)
    arguments = ["lock", "take", "--reason", reason, "--for", duration]
    pass_through(target, [*arguments, *(["--json"] if as_json else [])])


@lock.command()
@click.option("--force", is_flag=True, help="Release somebody else's lock.")
@with_server
def release(target: phases.Target, report: Reporter, as_json: bool, force: bool) -> None:
    """Let others make changes again."""
    arguments = ["lock", "release", *(["--force"] if force else [])]
    pass_through(target, [*arguments, *(["--json"] if as_json else [])])


def _hold(target: phases.Target, report: Reporter, reason: str, duration: str, command: tuple[str, ...]) -> NoReturn:
    """Run a command while the server's lock is held, and exit as it does."""
    with target.connect() as server:
        holder = _Holder(server, reason, duration)
        with holder:
            done = subprocess.run(command, env={**os.environ, "VRU_ACTOR": actor()}, check=False)
    if holder.failure is not None:
        report.warn(f"{holder.failure.message} {holder.failure.fix}".strip())
    sys.exit(done.returncode if done.returncode >= 0 else 128 - done.returncode)


class _Holder:
    """Holds the lock from enter to exit: a line goes to the server every few seconds."""

    def __init__(self, server: Any, reason: str, duration: str) -> None:
        self.failure: VruError | None = None
        self._server = server
        self._arguments = ["lock", "hold", "--reason", reason, "--for", duration]
        self._settled, self._done = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "_Holder":
        # Where the server lacks this program it comes now: what is written while the lock is held is heartbeats only.
        host_program.run(self._server, "lock", "--json")
        self._thread.start()
        self._settled.wait()
        if self.failure is not None:
            raise self.failure
        return self

    def __exit__(self, *about: object) -> None:
        self._done.set()
        self._thread.join(_ENDING_S)

    def _run(self) -> None:
        try:
            host_program.run(
                self._server, *self._arguments, stdin=self._beats(), on_line=lambda line: self._settled.set()
            )
        except VruError as error:
            self.failure = error
        finally:
            self._settled.set()

    def _beats(self) -> Iterator[bytes]:
        while not self._done.wait(HEARTBEAT_S):
            yield b"\n"
