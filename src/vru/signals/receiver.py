"""Runs one source in a thread of its own: reads, filters, counts, and recovers by itself."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import count
from uuid import uuid4

from vru.domain import VruClass, VruError
from vru.signals.driver import Driver, Fault, Reading, make_driver
from vru.signals.records import Event, Record, StateChange
from vru.signals.source import SourceSettings, checked

_WAIT_S = 0.2
_LONGEST_REASON = 500
# A driver of a user's own may name faults after what it read: the counters stay small.
_MOST_FAULT_KINDS = 50
_MOST_REMEMBERED = 10_000


class State(StrEnum):
    """What a source does."""

    STOPPED = "stopped"
    OPENING = "opening"
    RUNNING = "running"
    FAILED = "failed"
    """It is opened anew after a while; the reason says what is wrong."""


@dataclass(frozen=True, slots=True)
class SourceState:
    """A source's state since ``since_ns`` (monotonic), and what it counted since it was started.

    ``received`` readings became ``events``, or were ``debounced``, ``limited`` (above the rate) or ``malformed`` (by
    kind, with the faults that the driver reported). ``undelivered`` records met a sink that raised. ``clock_back``
    counts readings whose device clock was earlier than the one before.
    """

    state: State
    reason: str
    since_ns: int
    received: int = 0
    events: int = 0
    debounced: int = 0
    limited: int = 0
    clock_back: int = 0
    undelivered: int = 0
    reopened: int = 0
    malformed: dict[str, int] = field(default_factory=dict)
    last_fault: str = ""


class Filter:
    """Debounce and rate limit of one source. The limit is a bucket of one second's events, full at the start."""

    def __init__(self, debounce_ns: int, most_per_second: float | None) -> None:
        self._debounce_ns = debounce_ns
        self._rate = most_per_second
        self._most = max(1.0, most_per_second or 1.0)
        self._tokens = self._most
        self._filled_ns: int | None = None
        self._last: dict[tuple[VruClass | None, str], int] = {}

    def drops(self, when_ns: int, road_user: VruClass | None, value: str) -> str | None:
        """``debounced`` or ``limited`` for what is to be dropped, None for an event."""
        key = (road_user, value)
        if self._debounce_ns:
            last = self._last.get(key)
            if last is not None and when_ns - last < self._debounce_ns:
                return "debounced"
        if self._rate is not None and not self._takes(when_ns, self._rate):
            return "limited"
        if self._debounce_ns:
            self._remember(key, when_ns)
        return None

    def _takes(self, when_ns: int, rate: float) -> bool:
        before = when_ns if self._filled_ns is None else self._filled_ns
        self._filled_ns = max(before, when_ns)
        self._tokens = min(self._most, self._tokens + max(0, when_ns - before) * 1e-9 * rate)
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def _remember(self, key: tuple[VruClass | None, str], when_ns: int) -> None:
        # Moved to the end: the oldest stands first, and goes first where every event has another value.
        self._last.pop(key, None)
        self._last[key] = when_ns
        if len(self._last) > _MOST_REMEMBERED:
            del self._last[next(iter(self._last))]


class Receiver:
    """One source. ``sink`` gets the records of each read, in order, in the receiver's thread.

    Raises:
        VruError: the settings name no driver, or do not fit it.
    """

    def __init__(
        self, settings: SourceSettings, sink: Callable[[Sequence[Record]], None], *, longest_wait_s: float = 10.0
    ) -> None:
        self.settings = settings
        self._driver: Driver = make_driver(settings.driver, settings.settings)
        self._sink = sink
        self._longest_wait_s = longest_wait_s
        self._filter = Filter(round(settings.debounce_ms * 1e6), settings.most_per_second)
        self._prefix, self._numbers = uuid4().hex, count()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._state, self._reason, self._since_ns = State.STOPPED, "", time.monotonic_ns()
        self._counts: Counter[str] = Counter()
        self._malformed: Counter[str] = Counter()
        self._last_fault = ""
        self._last_device_ns: int | None = None

    def start(self) -> None:
        """Begin to receive; does nothing if it runs."""
        if self._thread is not None:
            return
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, name=f"signals {self.settings.name}", daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> None:
        """End it.

        Raises:
            VruError: the driver does not come back within ``timeout_s``.
        """
        if self._thread is None:
            return
        self._stop.set()
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            raise VruError(
                f"The signal source {self.settings.name!r} does not stop: its driver does not return.",
                "Stop it again later, or restart the service.",
            )
        self._thread = None

    def state(self) -> SourceState:
        """As it is now."""
        with self._lock:
            return SourceState(
                self._state,
                self._reason,
                self._since_ns,
                malformed=dict(self._malformed),
                last_fault=self._last_fault,
                **self._counts,
            )

    def _run(self) -> None:
        failures = 0
        while not self._stop.is_set():
            try:
                self._enter(State.OPENING)
                self._driver.open()
                self._enter(State.RUNNING)
                while not self._stop.is_set():
                    items = self._driver.read(_WAIT_S)
                    if items:
                        failures = 0
                        self._take(items)
            except Exception as error:  # noqa: BLE001 - a driver may be the user's own; whatever it raises is the state
                self._enter(State.FAILED, _reason(error))
            self._close()
            if not self._stop.is_set():
                self._count("reopened")
                self._stop.wait(self._pause_s(failures))
                failures += 1
        self._enter(State.STOPPED)

    def _close(self) -> None:
        try:
            self._driver.close()
        except Exception as error:  # noqa: BLE001 - as above; it is opened anew all the same
            self._enter(State.FAILED, f"on closing: {_reason(error)}")

    def _pause_s(self, failures: int) -> float:
        """Twice as long each time, and not at the same moment as others that lost the same device."""
        longest: float = min(self._longest_wait_s, 0.2 * 2 ** min(failures, 10))
        return longest * random.uniform(0.5, 1.0)  # noqa: S311 - no secret

    def _enter(self, state: State, reason: str = "") -> None:
        now = time.monotonic_ns()
        with self._lock:
            changed = (self._state, self._reason) != (state, reason)
            self._state, self._reason, self._since_ns = state, reason, now
        if changed:
            change = StateChange(self._id(), self.settings.name, now, self._driver.kind, state.value, reason)
            self._deliver([change])

    def _take(self, items: Sequence[Reading | Fault]) -> None:
        events = []
        with self._lock:
            for item in items:
                event = self._event(item)
                if event is not None:
                    events.append(event)
        if events:
            self._deliver(events)
            # Only now: whoever reads the figure may rely on it that all of these are kept, or told as undelivered.
            self._count("events", len(events))

    def _event(self, item: Reading | Fault) -> Event | None:
        """The event that a reading is, or None and it is counted. The lock is held."""
        if isinstance(item, Reading):
            self._counts["received"] += 1
            item = self.settings.payload.read(item) if isinstance(item.payload, bytes) else checked(item)
        if isinstance(item, Fault):
            known = item.kind in self._malformed or len(self._malformed) < _MOST_FAULT_KINDS
            self._malformed[item.kind if known else "other"] += item.count
            self._last_fault = f"{item.kind}: {item.detail}"[:_LONGEST_REASON]
            return None
        assert isinstance(item.payload, str)  # noqa: S101 - read above
        road_user = item.road_user or self.settings.road_user
        if item.device_ns is not None:
            self._counts["clock_back"] += self._last_device_ns is not None and item.device_ns < self._last_device_ns
            self._last_device_ns = item.device_ns
        dropped = self._filter.drops(item.received_ns, road_user, item.payload)
        if dropped:
            self._counts[dropped] += 1
            return None
        name, kind = self.settings.name, self._driver.kind
        return Event(self._id(), name, item.received_ns, kind, item.device_ns, road_user, item.payload)

    def _deliver(self, records: Sequence[Record]) -> None:
        try:
            self._sink(records)
        except Exception as error:  # noqa: BLE001 - the source goes on; what was lost is counted, and the state says it
            with self._lock:
                self._counts["undelivered"] += len(records)
                self._last_fault = f"undelivered: {_reason(error)}"

    def _count(self, name: str, more: int = 1) -> None:
        with self._lock:
            self._counts[name] += more

    def _id(self) -> str:
        return f"{self._prefix}-{next(self._numbers)}"


def _reason(error: Exception) -> str:
    said = f"{error.message} {error.fix}" if isinstance(error, VruError) else f"{type(error).__name__}: {error}"
    return said[:_LONGEST_REASON]
