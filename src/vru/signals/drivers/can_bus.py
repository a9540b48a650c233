"""CAN: a signal of a frame, decoded by a DBC; one event each time it becomes active."""

import time
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import can
import cantools
from cantools.database.can import Database, Message
from pydantic import Field

from vru.domain import SignalKind, VruClass, VruError
from vru.signals.driver import Fault, Reading
from vru.signals.drivers.settings import DriverSettings

_AT_ONCE = 1000
_LARGEST_DBC = 5_000_000


class CanSettings(DriverSettings):
    """``dbc`` is the text of the DBC. ``signal`` of ``message`` is active from the value ``active`` on.

    Signals of the same message may say more: ``class_signal`` whom the device saw, its values translated by
    ``classes``; ``time_signal`` the device's clock, in units of ``time_unit_ns``.
    """

    channel: str = Field(min_length=1, max_length=100)
    interface: Literal["socketcan", "virtual"] = "socketcan"
    dbc: str = Field(min_length=1, max_length=_LARGEST_DBC)
    message: str = Field(min_length=1)
    signal: str = Field(min_length=1)
    active: float = 1.0
    class_signal: str | None = None
    classes: dict[str, VruClass] = Field(default_factory=dict)
    time_signal: str | None = None
    time_unit_ns: int = Field(default=1_000_000, ge=1, le=10**10)


class CanDriver:
    """Frames of one message. Faults: ``error_frame``, ``does_not_decode``, ``unknown_class``."""

    kind: ClassVar[SignalKind] = SignalKind.CAN

    def __init__(self, **settings: Any) -> None:
        self._settings = CanSettings(**settings)
        self._message = _message(self._settings)
        self._bus: can.BusABC | None = None
        self._was_active: bool | None = None

    def open(self) -> None:
        """Join the bus. Raises OSError if it is not there."""
        try:
            self._bus = can.Bus(interface=self._settings.interface, channel=self._settings.channel)
        except can.CanError as error:
            raise OSError(str(error)) from error
        self._was_active = None

    def read(self, timeout_s: float) -> Sequence[Reading | Fault]:
        """What became active. Raises can.CanError or OSError if the bus is gone."""
        assert self._bus is not None  # noqa: S101 - it is open
        found: list[Reading | Fault] = []
        frame = self._bus.recv(timeout_s)
        for _ in range(_AT_ONCE):
            if frame is None:
                break
            item = self._item(frame, time.monotonic_ns())
            if item is not None:
                found.append(item)
            frame = self._bus.recv(0)
        return found

    def close(self) -> None:
        """Leave the bus."""
        if self._bus is not None:
            self._bus.shutdown()
            self._bus = None

    def _item(self, frame: can.Message, now: int) -> Reading | Fault | None:
        if frame.is_error_frame:
            return Fault(now, "error_frame", "an error frame")
        wanted = self._message
        if (frame.arbitration_id, frame.is_extended_id) != (wanted.frame_id, wanted.is_extended_frame):
            return None
        try:
            said = wanted.decode(bytes(frame.data), decode_choices=False)
        except (cantools.database.DecodeError, ValueError) as error:
            return Fault(now, "does_not_decode", f"{wanted.name} of {len(frame.data)} bytes: {error}")
        assert isinstance(said, dict)  # noqa: S101 - one message, no container
        return self._edge(said, now)

    def _edge(self, said: dict[str, Any], now: int) -> Reading | Fault | None:
        """An event if the signal has become active. The first frame is none: when it became active is not known."""
        settings = self._settings
        value = said.get(settings.signal)
        if value is None:  # of another multiplexed part
            return None
        was, self._was_active = self._was_active, float(value) >= settings.active
        if was is not False or not self._was_active:
            return None
        road_user = None
        if settings.class_signal is not None:
            word = self._word(settings.class_signal, said.get(settings.class_signal))
            road_user = settings.classes.get(word)
            if road_user is None:
                return Fault(now, "unknown_class", f"the class {word[:40]!r}")
        device = None if settings.time_signal is None else said.get(settings.time_signal)
        device_ns = None if device is None else round(device * settings.time_unit_ns)
        return Reading(now, f"{settings.signal}={value}", device_ns, road_user)

    def _word(self, name: str, value: Any) -> str:
        """A value as the DBC calls it, or as a number."""
        choices: Mapping[int, Any] = self._message.get_signal_by_name(name).choices or {}
        return str(choices.get(value, value))


def _message(settings: CanSettings) -> Message:
    try:
        found = cantools.database.load_string(settings.dbc, database_format="dbc")
    except Exception as error:
        raise VruError(f"The DBC cannot be read: {error}.", "Give the text of a DBC file.") from error
    assert isinstance(found, Database)  # noqa: S101 - a DBC makes no other
    known = {message.name: message for message in found.messages}
    message = known.get(settings.message)
    if message is None:
        raise VruError(f"The DBC has no message {settings.message!r}.", f"Use one of: {', '.join(sorted(known)[:20])}.")
    signals = {signal.name for signal in message.signals}
    for name in (settings.signal, settings.class_signal, settings.time_signal):
        if name is not None and name not in signals:
            raise VruError(
                f"The DBC's message {settings.message!r} has no signal {name!r}.",
                f"Use one of: {', '.join(sorted(signals))}.",
            )
    return message
