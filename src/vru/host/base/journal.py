"""The executor's journal: one JSON event a line, on disk before anyone acts on it."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

from ..strict_json import write
from ..wire import AuditHead, Begin, End, Event, LogEvent, StepEvent, StepState, read_event
from .errors import UserError

_LOG_INTERVAL_S = 0.2


def now() -> str:
    """The time of day, UTC, ISO 8601 with milliseconds."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


class Journal:
    """Appends events to one file. Threads may share it.

    ``guard`` is called before each step; it stops a change that has lost the lock.
    """

    guard: Callable[[], None] | None = None

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._guard = threading.Lock()
        self._started = time.monotonic()
        self.changed = 0
        # What the last event of a success says besides.
        self.state: str | None = None
        self.audit: AuditHead | None = None
        self.ended = False

    def emit(self, event: Event) -> None:
        """Write one event and wait until the disk has it."""
        line = json.dumps(write(replace(event, time=now())), ensure_ascii=False) + "\n"
        with self._guard:
            os.write(self._descriptor, line.encode())
            # A log line may be lost in a crash; a step must not.
            if not isinstance(event, LogEvent):
                os.fsync(self._descriptor)

    def begin(self, release: str, unit: str, token: int) -> None:
        """The first event; ``token`` is the lock's."""
        self.emit(Begin(release, unit, token))

    def check(self) -> None:
        """Make sure that this change still has the lock.

        Raises:
            FencedError: it has not.
        """
        if self.guard is not None:
            self.guard()

    def end(self, release: str) -> None:
        """The last event of a success."""
        self.ended = True
        self.emit(
            End(
                True, changed=self.changed, release=release, seconds=self._seconds(), state=self.state, audit=self.audit
            )
        )

    def fail(self, error: UserError) -> None:
        """The last event of a failure."""
        self.ended = True
        self.emit(
            End(False, error.message, error.fix, seconds=self._seconds(), service=error.service, logs=tuple(error.logs))
        )

    @contextmanager
    def step(self, phase: str, name: str, detail: str = "") -> Iterator[Step]:
        """Report one step from its start to its end; an error inside marks it failed and goes on upwards."""
        step = self.start(phase, name, detail)
        try:
            yield step
        except UserError as error:
            step.finish("failed", error.message)
            raise
        step.finish(step.state, step.detail)

    def start(self, phase: str, name: str, detail: str = "") -> Step:
        """Report that a step begins; the caller reports its end with `Step.finish`."""
        self.check()
        self.emit(StepEvent(phase, name, "started", detail))
        return Step(self, phase, name)

    def _seconds(self) -> float:
        return round(time.monotonic() - self._started, 2)


class Step:
    """One step while it runs: its progress lines and how it will be reported."""

    def __init__(self, journal: Journal, phase: str, name: str) -> None:
        self.journal = journal
        self.phase = phase
        self.name = name
        self.state: StepState = "done"
        self.detail = ""
        self.ended = False
        self.confirm_within: float | None = None
        self._started = time.monotonic()
        self._last_log = 0.0

    def log(self, line: str) -> None:
        """Report a progress line."""
        self.journal.emit(LogEvent(self.name, line[:500]))

    def progress(self, line: str) -> None:
        """Report a progress line unless one was reported a moment ago."""
        moment = time.monotonic()
        if moment - self._last_log >= _LOG_INTERVAL_S:
            self._last_log = moment
            self.log(line)

    def skip(self, detail: str = "nothing to do") -> None:
        """Say that there was nothing to do."""
        self.state, self.detail = "skipped", detail

    def count(self, changes: int = 1) -> None:
        """Add to the number of changes made."""
        self.journal.changed += changes

    def finish(self, state: StepState, detail: str) -> None:
        """Write the step's last event."""
        self.ended = True
        seconds = round(time.monotonic() - self._started, 2)
        self.journal.emit(StepEvent(self.phase, self.name, state, detail, seconds, self.confirm_within))


def read_events(path: Path) -> list[Event]:
    """All whole events of a journal; a last line cut by a crash is left out."""
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    whole, _, _ = text.rpartition("\n")
    return [read_event(json.loads(line)) for line in whole.splitlines()]


def newest(directory: Path) -> Path | None:
    """The journal of the last run of the executor."""
    found = sorted(directory.glob("*.jsonl"))
    return found[-1] if found else None


Log = Callable[[str], None]
