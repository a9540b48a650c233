"""A serial line: each line of bytes is one payload."""

import time
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import serial
from pydantic import Field

from vru.domain import SignalKind
from vru.signals.driver import Fault, Reading
from vru.signals.drivers.settings import DriverSettings

_LONGEST = 4096


class SerialSettings(DriverSettings):
    """``device`` such as /dev/ttyUSB0. 8 data bits; a line ends with a line feed, or a carriage return and one."""

    device: str = Field(pattern=r"^/dev/[A-Za-z0-9/_.:-]+$", max_length=200)
    baud: int = Field(default=115_200, ge=50, le=4_000_000)
    parity: Literal["N", "E", "O"] = "N"
    stop_bits: Literal[1, 2] = 1


class SerialDriver:
    """Lines; one of more than 4096 bytes is dropped to its end and counted as ``too_long``."""

    kind: ClassVar[SignalKind] = SignalKind.SERIAL

    def __init__(self, **settings: Any) -> None:
        self._settings = SerialSettings(**settings)
        self._line: serial.Serial | None = None
        self._begun = b""
        self._skipping = False

    def open(self) -> None:
        """Take the device for this process alone. Raises OSError (pyserial's SerialException is one)."""
        settings = self._settings
        self._line = serial.Serial(
            settings.device, settings.baud, parity=settings.parity, stopbits=settings.stop_bits, exclusive=True
        )
        # What stands in the buffer was sent before anybody listened, and has no time of arrival.
        self._line.reset_input_buffer()
        self._begun, self._skipping = b"", False

    def read(self, timeout_s: float) -> Sequence[Reading | Fault]:
        """The lines that have ended. Raises OSError if the device is gone."""
        assert self._line is not None  # noqa: S101 - it is open
        self._line.timeout = timeout_s
        data = self._line.read(1)
        if data:
            data += self._line.read(min(self._line.in_waiting, 2**16))
        return self._split(data, time.monotonic_ns())

    def close(self) -> None:
        """Let go of the device."""
        if self._line is not None:
            self._line.close()
            self._line = None

    def _split(self, data: bytes, now: int) -> list[Reading | Fault]:
        *ended, self._begun = (self._begun + data).split(b"\n")
        found: list[Reading | Fault] = []
        for text in ended:
            if not self._skipping:
                found.append(Reading(now, text.removesuffix(b"\r")))
            self._skipping = False
        if len(self._begun) > _LONGEST:
            if not self._skipping:
                found.append(Fault(now, "too_long", f"a line of more than {_LONGEST} bytes"))
            self._begun, self._skipping = b"", True
        return found
