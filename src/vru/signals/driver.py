"""The interface of signal drivers: three methods. Drivers are found by the entry points ``vru.signal_drivers``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any, ClassVar, Protocol

from pydantic import ValidationError

from vru.domain import SignalKind, VruClass, VruError

GROUP = "vru.signal_drivers"
# The extras of drivers whose libraries are not those of all.
_EXTRAS = {"can": "can", "gpio": "gpio"}


@dataclass(frozen=True, slots=True)
class Reading:
    """Something that a device said. ``received_ns`` is this machine's monotonic clock, as near the arrival as can be.

    ``payload`` is bytes where the source's format says what they mean, and text where the driver has decoded it.
    ``device_ns`` is the device's own clock in nanoseconds, None if it did not say. ``road_user`` is whom it saw.
    """

    received_ns: int
    payload: bytes | str
    device_ns: int | None = None
    road_user: VruClass | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that came and is no signal: counted by ``kind``, a word such as ``error_frame``; ``count`` of them."""

    received_ns: int
    kind: str
    detail: str
    count: int = 1


class Driver(Protocol):
    """One device. All methods are called in one thread, and block.

    A driver is made with the source's settings as keyword arguments. It reports a lost device by raising: the source's
    state then says why, and it is opened anew after a while. So ``open`` follows ``close``, any number of times.
    """

    kind: ClassVar[SignalKind]

    def open(self) -> None:
        """Take hold of the device. Raises VruError or OSError if that cannot be done now."""
        ...

    def read(self, timeout_s: float) -> Sequence[Reading | Fault]:
        """What has come, in order; wait for at most ``timeout_s`` if nothing has. Raises if the device is gone."""
        ...

    def close(self) -> None:
        """Let go of the device; does nothing if it is not held."""
        ...


def driver_names() -> list[str]:
    """The names of all installed drivers."""
    return sorted({entry.name for entry in entry_points(group=GROUP)})


def make_driver(name: str, settings: Mapping[str, Any]) -> Driver:
    """The driver called ``name``, not opened yet.

    Raises:
        VruError: there is no such driver, a library that it needs is not installed, or a setting is wrong.
    """
    found = [entry for entry in entry_points(group=GROUP) if entry.name == name]
    if not found:
        raise VruError(f"There is no signal driver {name!r}.", f"Use one of: {', '.join(driver_names())}.")
    if len({entry.value for entry in found}) > 1:
        raise VruError(
            f"Two installed distributions bring a signal driver {name!r}: {', '.join(sorted(e.value for e in found))}.",
            "Remove one of them.",
        )
    try:
        return _made(found[0], settings)
    except ModuleNotFoundError as error:
        raise VruError(
            f"The signal driver {name!r} needs {error.name}, which is not installed.",
            f"Install it, or the extra that brings it: pip install 'vru-platform[{_EXTRAS.get(name, 'signals')}]'.",
        ) from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "settings"
        raise VruError(
            f"The signal driver {name!r} cannot be used with {where}: {first['msg']}.",
            "docs/cameras.md lists settings.",
        ) from error
    except TypeError as error:
        raise VruError(
            f"The signal driver {name!r} does not take these settings: {error}.", "docs/cameras.md lists settings."
        ) from error


def _made(entry: EntryPoint, settings: Mapping[str, Any]) -> Driver:
    driver: Driver = entry.load()(**settings)
    return driver
