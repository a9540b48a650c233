"""GPIO edges, with the kernel's own monotonic timestamps."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, ClassVar, Literal

import gpiod
from gpiod.line import Bias, Clock, Edge
from pydantic import Field

from vru.domain import SignalKind
from vru.signals.driver import Fault, Reading
from vru.signals.drivers.settings import DriverSettings

_EDGES = {"rising": Edge.RISING, "falling": Edge.FALLING, "both": Edge.BOTH}
_BIASES = {"as_is": Bias.AS_IS, "up": Bias.PULL_UP, "down": Bias.PULL_DOWN}


class GpioSettings(DriverSettings):
    """``line`` is its offset on the ``chip``."""

    chip: str = Field(default="/dev/gpiochip0", pattern=r"^/dev/gpiochip[0-9]+$")
    line: int = Field(ge=0, le=10_000)
    edge: Literal["rising", "falling", "both"] = "rising"
    bias: Literal["as_is", "up", "down"] = "as_is"


class GpioDriver:
    """Edges of one line. Events that the kernel dropped are counted as ``dropped``."""

    kind: ClassVar[SignalKind] = SignalKind.GPIO

    def __init__(self, **settings: Any) -> None:
        self._settings = GpioSettings(**settings)
        self._request: Any = None
        self._number = 0

    def open(self) -> None:
        """Take the line. Raises OSError if the chip is not there, or the line is taken."""
        line = gpiod.LineSettings(
            edge_detection=_EDGES[self._settings.edge],
            bias=_BIASES[self._settings.bias],
            event_clock=Clock.MONOTONIC,
        )
        self._request = gpiod.request_lines(self._settings.chip, {self._settings.line: line}, consumer="vru")
        self._number = 0

    def read(self, timeout_s: float) -> Sequence[Reading | Fault]:
        """The edges that are there. Raises OSError if the chip is gone."""
        if not self._request.wait_edge_events(timedelta(seconds=timeout_s)):
            return []
        found: list[Reading | Fault] = []
        for event in self._request.read_edge_events():
            lost = event.line_seqno - self._number - 1
            if lost > 0:
                found.append(Fault(event.timestamp_ns, "dropped", f"{lost} edges, dropped by the kernel", lost))
            self._number = event.line_seqno
            rising = event.event_type == event.Type.RISING_EDGE
            found.append(Reading(event.timestamp_ns, "rising" if rising else "falling"))
        return found

    def close(self) -> None:
        """Let go of the line."""
        if self._request is not None:
            self._request.release()
            self._request = None
