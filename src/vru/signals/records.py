"""What a source hands on: events, and changes of its state."""

from dataclasses import dataclass
from typing import Any

from vru.domain import SignalKind, VruClass


@dataclass(frozen=True, slots=True)
class Event:
    """One signal of a source. ``id`` is no other record's. ``time_ns`` is the monotonic time of its arrival;
    ``device_ns`` the device's own.
    """

    id: str
    source: str
    time_ns: int
    kind: SignalKind
    device_ns: int | None
    road_user: VruClass | None
    value: str

    def body(self) -> dict[str, Any]:
        """As a JSON object."""
        return {
            "id": self.id,
            "type": "event",
            "source": self.source,
            "time_ns": self.time_ns,
            "kind": self.kind.value,
            "device_ns": self.device_ns,
            "class": None if self.road_user is None else self.road_user.value,
            "value": self.value,
        }


@dataclass(frozen=True, slots=True)
class StateChange:
    """A source's new state from ``time_ns`` on, and why. ``id`` is no other record's."""

    id: str
    source: str
    time_ns: int
    kind: SignalKind
    state: str
    reason: str

    def body(self) -> dict[str, Any]:
        """As a JSON object, of the same keys as an event."""
        return {
            "id": self.id,
            "type": "state",
            "source": self.source,
            "time_ns": self.time_ns,
            "kind": self.kind.value,
            "device_ns": None,
            "class": None,
            "value": self.state if not self.reason else f"{self.state}: {self.reason}",
        }


Record = Event | StateChange
