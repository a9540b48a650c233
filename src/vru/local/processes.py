"""One child process: how it is started, watched and stopped."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vru.domain import VruError

_GUARD = Path(__file__).with_name("guard.py")
_LOG_LIMIT_BYTES = 10 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Account:
    """The user and group that a process runs as."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """A process of the platform.

    ``missing`` tells whether the process is ready: None if so, else one phrase about what it still lacks. Higher
    layers use lower ones, so they stop first. ``death_signal`` is what the kernel sends it when the parent dies.
    """

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    log: Path
    port: int
    missing: Callable[[], str | None]
    layer: int
    ready_timeout_s: float = 120.0
    stop_signal: signal.Signals = signal.SIGTERM
    stop_timeout_s: float = 20.0
    death_signal: signal.Signals = signal.SIGKILL
    run_as: Account | None = None


@dataclass
class Child:
    """A started process."""

    spec: ProcessSpec
    process: subprocess.Popen[bytes]
    log_start: int
    started: float = field(default_factory=time.monotonic)

    @property
    def pid(self) -> int:
        """Its process id, which is also its process group's."""
        return self.process.pid

    def exit_status(self) -> str | None:
        """None while it runs; else how it ended, in words."""
        code = self.process.poll()
        if code is None:
            return None
        if code < 0:
            return f"was killed by {signal.Signals(-code).name}"
        return f"ended with exit code {code}"

    def last_lines(self, count: int = 15) -> list[str]:
        """The last lines that this start of the process wrote to its log."""
        return read_tail(self.spec.log, count, self.log_start)

    def ask_to_stop(self) -> None:
        """Send the stop signal, if it still runs."""
        if self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(self.spec.stop_signal)

    def kill(self) -> None:
        """End it and whatever it started, now."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.process.wait()


def start(spec: ProcessSpec) -> Child:
    """Start a process in a group of its own, so that Ctrl-C reaches the parent only. Its output goes to its log.

    Call this from the main thread: the child dies with the thread that started it.

    Raises:
        VruError: the program cannot be started.
    """
    if spec.log.exists() and spec.log.stat().st_size > _LOG_LIMIT_BYTES:
        spec.log.replace(spec.log.with_suffix(".log.1"))
    account = f"{spec.run_as.uid}:{spec.run_as.gid}" if spec.run_as else "-"
    guard = [sys.executable, "-I", "-S", str(_GUARD), str(os.getpid()), str(int(spec.death_signal)), account]
    with spec.log.open("ab") as log:
        log_start = log.tell()
        try:
            process = subprocess.Popen(
                [*guard, *spec.argv],
                env=dict(spec.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise VruError(f"{spec.name} cannot be started: {error}.") from None
    return Child(spec, process, log_start)


def read_tail(path: Path, count: int, start_at: int = 0) -> list[str]:
    """The last ``count`` lines of a text file, not looking before byte ``start_at``; empty if there is no file."""
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(max(start_at if start_at <= end else 0, end - 64 * 1024))
        return file.read().decode(errors="replace").splitlines()[-count:]
    return []
