"""Takes records in, and brings them to each destination, however often it goes away."""

import random
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

import msgspec
import structlog
from prometheus_client import Counter, Gauge, Histogram

from vru.camera_service.delivery.destinations import Destination
from vru.camera_service.delivery.spool import Cursor, Spool
from vru.signals import Record

_BATCH = 1000
_WAIT_S = 0.5
# Records that come one by one are stored together: so long the first of them waits.
_GATHER_S = 0.005
_LONGEST_PAUSE_S = 5.0
_SYNC_S = 1.0
_TIDY_S = 3600.0
_LONGEST_REASON = 500

_STORED = Counter("vru_signal_records_stored", "records that a destination has taken", ["destination"])
_REFUSED = Counter("vru_signal_records_refused", "records that a destination does not take", ["destination"])
_WAITING = Gauge("vru_signal_records_waiting", "records in the spool that a destination has not taken", ["destination"])
_DELAY = Histogram(
    "vru_signal_stored_seconds",
    "from the receipt of the oldest record of a batch until it is stored",
    ["destination"],
    buckets=(0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 5, 30, 120),
)

log = structlog.get_logger("vru.camera_service")


@dataclass(frozen=True, slots=True)
class DestinationState:
    """Whether a destination takes records (``connected``; else ``reason`` says why not), and how many wait for it."""

    name: str
    connected: bool
    reason: str
    waiting: int
    stored: int
    refused: int


class Deliverer:
    """A spool, and a thread for each destination: that one is away does not hold up the other."""

    def __init__(
        self,
        spool: Spool,
        destinations: Sequence[Destination],
        *,
        on_stored: Callable[[str, Sequence[bytes]], None] | None = None,
    ) -> None:
        """``on_stored`` is told the destination and the records that it has just taken, in its thread."""
        self.spool = spool
        self._ending = threading.Event()
        self._carriers = [_Carrier(spool, one, self._forget, self._ending, on_stored) for one in destinations]
        self._syncer = threading.Thread(target=self._sync, name="spool", daemon=True)

    def start(self) -> None:
        """Begin to deliver."""
        for carrier in self._carriers:
            carrier.thread.start()
        self._syncer.start()

    def take(self, source_id: UUID, records: Sequence[Record]) -> None:
        """Keep the records of one read, in order. When it returns they survive the end of this process.

        Raises:
            VruError: there is no room for them.
        """
        # Both clocks now: the wall clock's time of each arrival.
        wall, monotonic = time.time(), time.monotonic_ns()
        source = str(source_id)
        self.spool.append(
            [
                msgspec.json.encode({**one.body(), "source_id": source, "at": wall - (monotonic - one.time_ns) * 1e-9})
                for one in records
            ]
        )

    def states(self) -> list[DestinationState]:
        """Of each destination."""
        return [carrier.state() for carrier in self._carriers]

    def wait_stored(self, destination: str, position: int, timeout_s: float) -> bool:
        """Wait until a destination has all records up to ``position``; whether it has."""
        carrier = next(one for one in self._carriers if one.name == destination)
        ends = time.monotonic() + timeout_s
        while not self._has(carrier, position) and time.monotonic() < ends and not self._ending.is_set():
            self._ending.wait(0.02)
        return self._has(carrier, position)

    def _has(self, carrier: "_Carrier", position: int) -> bool:
        # Numbers may begin anywhere: of a spool that never had a record, none is missing.
        reached = carrier.position
        return self.spool.waiting(reached) == self.spool.waiting(max(reached, position))

    def close(self, timeout_s: float = 5.0) -> None:
        """Deliver what waits, for a moment; the rest is delivered after the next start."""
        newest = self.spool.last()
        for carrier in self._carriers:
            if carrier.state().connected:
                self.wait_stored(carrier.name, newest, timeout_s)
        self._ending.set()
        for carrier in self._carriers:
            carrier.thread.join(timeout_s)
        self._syncer.join(timeout_s)
        self.spool.close()

    def _forget(self) -> None:
        self.spool.forget(min(carrier.position for carrier in self._carriers))

    def _sync(self) -> None:
        while not self._ending.wait(_SYNC_S):
            try:
                self.spool.sync()
            except OSError as error:
                log.warning("the spool of signals cannot be synced", reason=str(error))


class _Carrier:
    """Brings the spool's records to one destination."""

    def __init__(
        self,
        spool: Spool,
        destination: Destination,
        forget: Callable[[], None],
        ending: threading.Event,
        on_stored: Callable[[str, Sequence[bytes]], None] | None,
    ) -> None:
        self.name = destination.name
        self.position = 0
        self.thread = threading.Thread(target=self._run, name=f"to {self.name}", daemon=True)
        self._spool, self._destination, self._forget, self._ending = spool, destination, forget, ending
        self._on_stored = on_stored
        self._connected, self._reason = False, "not connected yet"
        self._stored = self._refused = self._failures = 0

    def state(self) -> DestinationState:
        waiting = self._spool.waiting(self.position)
        return DestinationState(self.name, self._connected, self._reason, waiting, self._stored, self._refused)

    def _run(self) -> None:
        while not self._ending.is_set():
            try:
                self.position = self._destination.open(self._spool.id)
                self._connected, self._reason = True, ""
                log.info("delivering signals", to=self.name, waiting=self._spool.waiting(self.position))
                self._carry()
            except Exception as error:  # noqa: BLE001 - whatever is wrong is the state, and is tried again
                said = f"{type(error).__name__}: {error}"[:_LONGEST_REASON]
                if self._connected or said != self._reason:
                    log.warning("signals wait", destination=self.name, reason=said)
                self._connected, self._reason = False, said
            with suppress(Exception):
                self._destination.close()
            longest = min(_LONGEST_PAUSE_S, 0.2 * 2 ** min(self._failures, 10))
            self._ending.wait(longest * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
            self._failures += 1

    def _carry(self) -> None:
        cursor = Cursor(self.position)
        tidied = -_TIDY_S
        while not self._ending.is_set():
            if time.monotonic() - tidied >= _TIDY_S:
                self._destination.tidy()
                tidied = time.monotonic()
            self._spool.wait(self.position, _WAIT_S)
            _WAITING.labels(self.name).set(self._spool.waiting(self.position))
            first, lines = self._spool.read(cursor, _BATCH)
            if not lines:
                continue
            self._store(first, lines)
            self.position = cursor.position
            self._forget()
            if len(lines) < _BATCH:
                self._ending.wait(_GATHER_S)

    def _store(self, first: int, lines: Sequence[bytes]) -> None:
        """All of them; a record that is not taken is counted and said, and does not keep the others back."""
        try:
            self._destination.store(self._spool.id, first, lines)
        except ValueError as error:
            if len(lines) > 1:
                half = len(lines) // 2
                self._store(first, lines[:half])
                self._store(first + half, lines[half:])
                return
            self._refused += 1
            _REFUSED.labels(self.name).inc()
            log.warning("a record is refused", destination=self.name, number=first, reason=str(error))
            return
        self._failures = 0
        self._stored += len(lines)
        _STORED.labels(self.name).inc(len(lines))
        oldest = msgspec.json.decode(lines[0])["time_ns"]
        _DELAY.labels(self.name).observe(max(0.0, (time.monotonic_ns() - oldest) * 1e-9))
        if self._on_stored is not None:
            self._on_stored(self.name, lines)
