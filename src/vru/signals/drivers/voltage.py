"""An analogue voltage: one signal each time it rises over a threshold, after it was below a lower one."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import Field, model_validator

from vru.domain import SignalKind, VruError
from vru.signals.driver import Fault, Reading
from vru.signals.drivers.settings import DriverSettings


class VoltageSettings(DriverSettings):
    """``path`` is a file that holds one number, as Linux' industrial I/O shows each channel
    (/sys/bus/iio/devices/iio:device0/in_voltage0_raw); that number times ``scale`` is in volts. ``on_v`` and ``off_v``
    are the thresholds, in volts.
    """

    path: Path
    scale: float = Field(default=1.0, gt=0)
    on_v: float = Field(allow_inf_nan=False)
    off_v: float = Field(allow_inf_nan=False)
    samples_per_second: float = Field(default=500.0, ge=1, le=2000)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.off_v >= self.on_v:
            raise ValueError("off_v must be below on_v")
        return self


class Threshold:
    """A comparator with hysteresis: on at ``on`` or above, off at ``off`` or below, in between as before."""

    def __init__(self, on: float, off: float) -> None:
        self._on, self._off = on, off
        self._is_on: bool | None = None

    def rises(self, value: float) -> bool:
        """Whether ``value`` turns it on. The first value turns nothing on: when it rose is not known."""
        was = self._is_on
        if value >= self._on:
            self._is_on = True
        elif value <= self._off or was is None:
            self._is_on = False
        return was is False and self._is_on is True


class VoltageDriver:
    """Samples one channel. What is no number is counted as ``no_number``."""

    kind: ClassVar[SignalKind] = SignalKind.VOLTAGE

    def __init__(self, **settings: Any) -> None:
        self._settings = VoltageSettings(**settings)
        self._threshold = Threshold(self._settings.on_v, self._settings.off_v)

    def open(self) -> None:
        """Begin anew. Raises VruError if the channel is not there."""
        if not self._settings.path.is_file():
            raise VruError(f"There is no channel {self._settings.path}.", "Check the path and the converter's driver.")
        self._threshold = Threshold(self._settings.on_v, self._settings.off_v)

    def read(self, timeout_s: float) -> Sequence[Reading | Fault]:
        """Samples until something happens. Raises OSError if the channel is gone."""
        ends = time.monotonic() + timeout_s
        while True:
            with self._settings.path.open("rb") as stream:
                text = stream.read(64)
            now = time.monotonic_ns()
            try:
                volts = float(text) * self._settings.scale
            except ValueError:
                time.sleep(1 / self._settings.samples_per_second)
                return [Fault(now, "no_number", "the channel holds no number")]
            if self._threshold.rises(volts):
                return [Reading(now, f"{volts:.6g} V")]
            if time.monotonic() >= ends:
                return []
            time.sleep(1 / self._settings.samples_per_second)

    def close(self) -> None:
        """Nothing is held between samples."""
