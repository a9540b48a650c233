"""What a device under test says: events in time."""

from dataclasses import dataclass
from enum import StrEnum

from vru.domain.classes import VruClass
from vru.domain.errors import VruError

# So many moments that both clocks saw join them: fewer would not show which of them is wrong.
FEWEST_MARKERS = 5


class SignalKind(StrEnum):
    """How a signal reaches the platform."""

    UDP = "udp"
    SERIAL = "serial"
    CAN = "can"
    GPIO = "gpio"
    VOLTAGE = "voltage"
    HTTP = "http"
    MQTT = "mqtt"
    OTHER = "other"
    """By a driver of the user's own."""


@dataclass(frozen=True, slots=True)
class Signal:
    """One event: a UDP packet, a serial line, a CAN frame, a GPIO edge, a voltage over its threshold.

    ``time_ns`` is the receiver's monotonic clock in nanoseconds, never epoch time. ``road_user`` is None if the device
    does not say whom it saw. ``value`` is what came, as text; ``source`` the device's or the channel's name.
    """

    time_ns: int
    kind: SignalKind
    road_user: VruClass | None = None
    value: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.time_ns < 2**63:
            raise VruError(f"A signal at {self.time_ns} ns is not on a monotonic clock.", "Use nanoseconds from 0 on.")
