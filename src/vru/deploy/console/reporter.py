"""How `vru` talks: live on a terminal, plain lines elsewhere, JSON where asked for."""

import json
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from vru.deploy.console import log_file
from vru.deploy.console.phases import PHASES
from vru.domain import VruError


class Reporter(Protocol):
    """Where progress goes."""

    def phase(self, number: int) -> None:
        """Phase ``number`` (1 to 7) begins."""

    def step(self, name: str, detail: str = "") -> None:
        """Something takes a while now."""

    def log(self, line: str) -> None:
        """One line of output of the step that runs."""

    def output(self, line: str) -> None:
        """One line that a program of the user's wrote, such as a hook: it stays."""

    def done(self, name: str, detail: str = "", seconds: float | None = None) -> None:
        """A step ended well."""

    def warn(self, text: str) -> None:
        """Something that does not stop us, but that the user should know."""

    def failed(self, error: VruError, logs: tuple[str, ...] = (), data: Mapping[str, Any] | None = None) -> None:
        """The end, with the reason, the fix, the last log lines of what failed, and ``data`` for programs."""

    def result(self, text: str, data: Mapping[str, Any]) -> None:
        """The end, with what came out: ``text`` for people, ``data`` for programs."""


class PlainReporter:
    """One line a fact, for logs and pipes. What programs such as apt print goes to the command's log file."""

    def __init__(self) -> None:
        self._log: Path | None = None

    def phase(self, number: int) -> None:
        self._print(f"[{number}/{len(PHASES)}] {PHASES[number - 1]}")

    def step(self, name: str, detail: str = "") -> None:
        self._print(f"  ... {name} {detail}".rstrip())

    def log(self, line: str) -> None:
        self._log = log_file.append(line)

    def output(self, line: str) -> None:
        self._print(f"      {line.rstrip()}")

    def done(self, name: str, detail: str = "", seconds: float | None = None) -> None:
        took = f" ({seconds:.1f} s)" if seconds is not None and seconds >= 1 else ""
        self._print(f"  ok  {name} {detail}".rstrip() + took)

    def warn(self, text: str) -> None:
        self._print(f"  !   {text}")

    def failed(self, error: VruError, logs: tuple[str, ...] = (), data: Mapping[str, Any] | None = None) -> None:
        for line in logs:
            self._print(f"      {line.rstrip()}")
        print(f"error: {error.message}", file=sys.stderr)
        if error.fix:
            print(f"fix: {error.fix}", file=sys.stderr)
        if self._log is not None:
            print(f"log: {self._log} has what the steps printed", file=sys.stderr)

    def result(self, text: str, data: Mapping[str, Any]) -> None:
        self._print(text)

    @staticmethod
    def _print(line: str) -> None:
        print(line, flush=True)


class JsonReporter:
    """JSON lines on standard output; the last one has ``"event": "end"`` and ``"ok"``."""

    def phase(self, number: int) -> None:
        self._emit("phase", number=number, name=PHASES[number - 1])

    def step(self, name: str, detail: str = "") -> None:
        self._emit("step", state="started", name=name, detail=detail)

    def log(self, line: str) -> None:
        self._emit("log", line=line.rstrip())

    def output(self, line: str) -> None:
        self._emit("output", line=line)

    def done(self, name: str, detail: str = "", seconds: float | None = None) -> None:
        self._emit("step", state="done", name=name, detail=detail, seconds=seconds)

    def warn(self, text: str) -> None:
        self._emit("warning", text=text)

    def failed(self, error: VruError, logs: tuple[str, ...] = (), data: Mapping[str, Any] | None = None) -> None:
        self._emit("end", ok=False, message=error.message, fix=error.fix, logs=list(logs), **(data or {}))

    def result(self, text: str, data: Mapping[str, Any]) -> None:
        self._emit("end", **{"ok": True, **data})

    @staticmethod
    def _emit(event: str, **values: Any) -> None:
        print(json.dumps({"event": event, **values}), flush=True)


def reporter(as_json: bool) -> Reporter:
    """The reporter that fits what standard output is."""
    if as_json:
        return JsonReporter()
    if not sys.stdout.isatty():
        return PlainReporter()
    # Only a terminal needs what takes so long to load.
    from vru.deploy.console.terminal import TerminalReporter

    return TerminalReporter()


@contextmanager
def timed(report: Reporter, name: str, detail: str = "") -> Iterator[None]:
    """Report a step that begins now and, unless it raises, is done at the end."""
    started = time.monotonic()
    report.step(name, detail)
    yield
    report.done(name, detail, time.monotonic() - started)
