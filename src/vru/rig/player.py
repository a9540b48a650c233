"""Plays a plan in real time: each signal leaves when its moment on the screen's clock has come."""

import queue
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from vru.domain import VruError
from vru.rig.plan import Plan, Transmission, TruthTable, broken
from vru.rig.scenario import ClockSettings, Fault
from vru.rig.senders import Sender

# Long enough for a receiver that was just started, short enough for who waits.
LEAD_S = 0.2
_LONGEST_WAIT_S = 0.05


@dataclass(frozen=True, slots=True)
class Marker:
    """Shown at ``media_s`` on the screen's clock, seen at ``time_ns`` on the receiver's."""

    media_s: float
    time_ns: int


class Player:
    """One play of a plan. ``start_ns`` is the receiver's monotonic time at media time 0, once it plays.

    Raises:
        VruError: from ``run``: a signal could not be sent.
    """

    def __init__(self, plan: Plan, sender: Sender, clock: ClockSettings, seed: int = 0) -> None:
        self.plan = plan
        self.start_ns = 0
        self.sent: list[Transmission] = []
        """What left, each at the moment at which it left."""
        self._sender = sender
        self._clock = clock
        self._seed = seed
        self._stop = threading.Event()
        self._injected: queue.SimpleQueue[Fault] = queue.SimpleQueue()
        self._silent_until_s = -1.0
        self._device_back_s = 0.0

    def run(self, progress: Callable[[float], None] | None = None) -> TruthTable:
        """Play to the end, or until ``stop``. What was sent, as a truth table. ``progress`` gets media seconds."""
        self.start_ns = time.monotonic_ns() + round(LEAD_S * 1e9)
        waiting = list(self.plan.transmissions[::-1])
        while not self._stop.is_set():
            now = self.media_s()
            waiting += self._broken(now)[::-1]
            if progress is not None:
                progress(min(max(now, 0.0), self.plan.road.end_s))
            if not waiting and now >= self.plan.road.end_s + self.plan.tolerance_s:
                break
            if waiting and waiting[-1].at_s <= now:
                self._send(waiting.pop())
                continue
            due = waiting[-1].at_s - now if waiting else _LONGEST_WAIT_S
            self._stop.wait(min(due / self._rate(), _LONGEST_WAIT_S))
        return self.plan.table_of(self.sent)

    def stop(self) -> None:
        """End it now."""
        self._stop.set()

    def inject(self, fault: Fault) -> None:
        """Let it break now; the fault's ``at_s`` is not looked at."""
        self._injected.put(fault)

    def media_s(self) -> float:
        """The screen's clock now, seconds of media time."""
        return (time.monotonic_ns() - self.start_ns) * 1e-9 * self._rate()

    def markers(self) -> list[Marker]:
        """The markers that joined the clocks, over the whole play."""
        chance = random.Random(self._seed + 1)  # noqa: S311 - no secret
        return markers_of(self._clock, self.plan.road.end_s, self.start_ns, chance)

    def _rate(self) -> float:
        return rate(self._clock)

    def _send(self, one: Transmission) -> None:
        now = self.media_s()
        if now < self._silent_until_s:
            return
        try:
            self._sender.send(replace(one, device_s=one.device_s - self._device_back_s))
        except OSError as error:
            raise VruError(
                f"A signal could not be sent at {now:.2f} s: {error}.", "Is its receiver still there?"
            ) from error
        self.sent.append(replace(one, at_s=now))

    def _broken(self, now: float) -> list[Transmission]:
        found: list[Transmission] = []
        while not self._injected.empty():
            fault = self._injected.get()
            if fault.kind == "silence":
                self._silent_until_s = now + fault.seconds
            elif fault.kind == "clock_back":
                self._device_back_s += fault.seconds
            else:
                found += broken(fault, self.plan.road, now)
        return found


def rate(clock: ClockSettings) -> float:
    """Seconds of the screen's clock in a second of the receiver's."""
    return 1 - clock.drift_ppm * 1e-6


def markers_of(clock: ClockSettings, end_s: float, start_ns: int, chance: random.Random) -> list[Marker]:
    """Evenly over the run, each seen with its error."""
    found = []
    for number in range(clock.markers):
        media = end_s * (number + 0.5) / clock.markers
        seen = media / rate(clock) + chance.gauss(0.0, clock.marker_jitter_ms / 1000)
        found.append(Marker(media, start_ns + round(seen * 1e9)))
    return sorted(found, key=lambda marker: marker.time_ns)
