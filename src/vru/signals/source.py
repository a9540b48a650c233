"""What a source is, and what the bytes mean that it sends."""

import json
import re
import time
from functools import cached_property
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from vru.domain import VruClass, VruError, parse_class
from vru.signals.driver import Fault, Reading

_LONGEST = 4096
_LARGEST_INTEGER = 2**63 - 1
_KEYS = ("class", "time_ns", "value")
# What text in PostgreSQL cannot hold, and what would break a line of a recording.
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


class Payload(BaseModel):
    """How to read a payload. ``json``: an object with any of ``class``, ``time_ns`` (the device's clock, nanoseconds)
    and ``value``. ``text``: all of it is the value, or what the groups of those names in ``pattern`` match.

    ``classes`` translates the device's words for road users into the platform's; a word that is neither is malformed.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["json", "text"] = "text"
    pattern: str | None = Field(None, max_length=500)
    classes: dict[str, VruClass] = {}

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str | None) -> str | None:
        if pattern is None:
            return None
        try:
            groups = re.compile(pattern).groupindex
        except re.error as error:
            raise ValueError(f"no regular expression: {error}") from error
        if not groups or not set(groups) <= {"class_", *_KEYS}:
            raise ValueError(f"name its groups {', '.join(_KEYS)} (class_ for class), and no others")
        return pattern

    @cached_property
    def _expression(self) -> re.Pattern[str] | None:
        return None if self.pattern is None else re.compile(self.pattern)

    def read(self, reading: Reading) -> Reading | Fault:
        """A reading of text from one of bytes; a fault, with what kind of malformed it is, if that cannot be done."""
        data = reading.payload
        assert isinstance(data, bytes)  # noqa: S101 - text needs no reading
        when = reading.received_ns
        if not data.strip():
            return Fault(when, "empty", "an empty payload")
        if len(data) > _LONGEST:
            return Fault(when, "too_long", f"a payload of {len(data)} bytes, more than {_LONGEST}")
        try:
            text = data.decode()
        except UnicodeDecodeError:
            return Fault(when, "not_text", f"{_shown(data)} is no UTF-8")
        said = self._json(text) if self.format == "json" else self._text(text)
        if isinstance(said, str):
            return Fault(when, said, f"{_shown(data)}")
        return self._checked(reading, said)

    def _json(self, text: str) -> dict[str, Any] | str:
        try:
            said = json.loads(text)
        except (ValueError, RecursionError):
            return "not_json"
        if not isinstance(said, dict):
            return "not_an_object"
        return {key: said[key] for key in _KEYS if said.get(key) is not None}

    def _text(self, text: str) -> dict[str, Any] | str:
        if self._expression is None:
            return {"value": text.strip()}
        match = self._expression.search(text)
        if match is None:
            return "no_match"
        return {key.rstrip("_"): part for key, part in match.groupdict().items() if part is not None}

    def _checked(self, reading: Reading, said: dict[str, Any]) -> Reading | Fault:
        road_user, device_ns = reading.road_user, reading.device_ns
        if "class" in said:
            word = str(said["class"])
            try:
                road_user = self.classes.get(word) or parse_class(word)
            except VruError:
                return Fault(reading.received_ns, "unknown_class", f"the class {word[:40]!r}")
        if "time_ns" in said:
            device = _whole(said["time_ns"])
            if device is None:
                return Fault(reading.received_ns, "bad_time", f"the time_ns {str(said['time_ns'])[:40]!r}")
            device_ns = device
        value = said.get("value", "")
        text = value if isinstance(value, str) else json.dumps(value)
        return Reading(reading.received_ns, _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text), device_ns, road_user)


class SourceSettings(BaseModel):
    """One device: its driver with that driver's settings, how its payloads are read, and what of it counts.

    ``road_user`` is whom it sees where a payload does not say. After an event, others of the same class and value
    within ``debounce_ms`` are dropped; so are those above ``most_per_second`` (averaged over a second). Both are
    counted.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._-]*$")
    driver: str = Field(max_length=50)
    settings: dict[str, Any] = {}
    payload: Payload = Payload()
    road_user: VruClass | None = None
    debounce_ms: float = Field(0.0, ge=0, le=60_000)
    most_per_second: float | None = Field(None, gt=0, le=1e6)


def checked(reading: Reading) -> Reading | Fault:
    """A reading of text as stores and files can hold it; a fault where a driver gave what they cannot."""
    when, text = reading.received_ns, str(reading.payload)
    if len(text) > _LONGEST:
        return Fault(when, "too_long", f"a value of {len(text)} characters, more than {_LONGEST}")
    for name, value in (("received_ns", when), ("device_ns", reading.device_ns)):
        if value is not None and not 0 <= value <= _LARGEST_INTEGER:
            return Fault(time.monotonic_ns(), "bad_time", f"the {name} {value}")
    return Reading(when, _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text), reading.device_ns, reading.road_user)


def _whole(value: object) -> int | None:
    text = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
    if not (text.isascii() and text.isdecimal() and len(text) < 20 and int(text) <= _LARGEST_INTEGER):
        return None
    return int(text)


def _shown(data: bytes) -> str:
    return repr(data[:40])[1:] + ("..." if len(data) > 40 else "")
