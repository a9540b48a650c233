"""Recordings of signals and of markers: CSV with a header, or JSON Lines. Standard library only.

A signal: ``time_ns`` (monotonic nanoseconds), ``kind`` (udp, serial, can, gpio, voltage, http, mqtt, other), and if
known ``class``, ``value``, ``source``, ``id``, ``video``.
A marker: ``media_s`` (when it was shown) and ``time_ns`` (when it was seen).
"""

import csv
import json
import sys
from array import array
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vru.domain import FEWEST_MARKERS, Signal, SignalKind, VruClass, VruError, parse_class
from vru.formats.annotations import FormatError, number, shown
from vru.formats.lines import line, lines
from vru.formats.names import LIMIT_BYTES

_CLASSES = tuple(VruClass)
_SIGNAL_KEYS = ("time_ns", "kind", "class", "value", "source", "id", "video")
_MARKER_KEYS = ("media_s", "time_ns")
_HOW_SIGNALS = "docs/formats.md describes recordings of signals: time_ns,kind,class,value,source,id,video."
_HOW_MARKERS = "docs/formats.md describes markers: media_s,time_ns."
# A monotonic clock counts from the start of its machine: after more than 30 years it is none.
_TIME_OF_DAY_NS = 10**18


@dataclass(frozen=True, slots=True)
class SignalRecording:
    """Signals as columns, in the file's order, which is that of time.

    ``road_user`` is a position among the classes, -1 without one. ``value`` and ``source`` are "" where there is none.
    """

    time_ns: "array[int]"
    road_user: "array[int]"
    kind: list[SignalKind]
    value: list[str]
    source: list[str]

    def __len__(self) -> int:
        return len(self.time_ns)

    def signals(self) -> Iterator[Signal]:
        """One after the other."""
        for time, user, kind, value, source in zip(
            self.time_ns, self.road_user, self.kind, self.value, self.source, strict=True
        ):
            yield Signal(time, kind, None if user < 0 else _CLASSES[user], value, source)


@dataclass(frozen=True, slots=True)
class MarkerRecording:
    """Markers as columns: shown at ``media_s`` seconds of media time, seen at ``time_ns``. Both rise."""

    media_s: "array[float]"
    time_ns: "array[int]"


def read_signals(
    path: Path,
    *,
    videos: Collection[str] = (),
    limit_bytes: int = LIMIT_BYTES,
    most: int | None = None,
    name: str | None = None,
) -> SignalRecording:
    """Read a recording of signals. ``videos`` are the names that ``video`` may have, any if there are none; ``most`` is
    the largest number of signals; messages call the file ``name``, or by its path.

    Raises:
        FormatError: it is not there, too large, empty (a header alone is a device that was silent), or a line is
            wrong: no whole number of nanoseconds, before the line before, of an unknown kind or class, an id twice, of
            another video. The message names the line.
    """
    found = SignalRecording(array("q"), array("b"), [], [], [])
    classes = {"": -1}
    kinds: dict[str, SignalKind] = {kind.value: kind for kind in SignalKind}
    ids: set[str] = set()
    before = -1
    for where, row in _rows(path, _SIGNAL_KEYS, ("time_ns", "kind"), limit_bytes, _HOW_SIGNALS, name):
        if most is not None and len(found) == most:
            raise FormatError(f"{where}: there are more than {most:,} signals.", "Split the recording and its video.")
        time = _nanoseconds(row["time_ns"], where)
        if time < before:
            raise FormatError(
                f"{where}: {time} ns is earlier than the {before} ns of the line before.",
                "A monotonic clock does not go back: sort the recording, or do not join recordings of two clocks.",
            )
        before = time
        kind = kinds.get(str(row["kind"]).lower())
        if kind is None:
            raise FormatError(f"{where}: there is no kind {row['kind']!r}.", f"Use one of: {', '.join(SignalKind)}.")
        said = _text(row.get("class"))
        if said not in classes:
            try:
                classes[said] = _CLASSES.index(parse_class(said))
            except VruError as error:
                raise FormatError(f"{where}: {error.message}", error.fix) from error
        identity, video = _text(row.get("id")), _text(row.get("video"))
        if identity:
            if identity in ids:
                raise FormatError(f"{where}: the id {identity} occurs a second time.", "Give each signal its own.")
            ids.add(identity)
        if video and videos and video not in videos:
            raise FormatError(
                f"{where} is of video {video!r}, but the truth is of {', '.join(sorted(videos)[:5])}.",
                "Take the recording that was made with this video.",
            )
        found.time_ns.append(time)
        found.road_user.append(classes[said])
        found.kind.append(kind)
        found.value.append(sys.intern(_text(row.get("value"))))
        found.source.append(sys.intern(_text(row.get("source"))))
    return found


def read_markers(path: Path, *, limit_bytes: int = LIMIT_BYTES, name: str | None = None) -> MarkerRecording:
    """Read the markers that join the clocks. Messages call the file ``name``, or by its path.

    Raises:
        FormatError: it is not there, too large, has fewer than five, or a line is wrong: no number, or not later than
            the line before on both clocks. The message names file and line.
    """
    found = MarkerRecording(array("d"), array("q"))
    for where, row in _rows(path, _MARKER_KEYS, _MARKER_KEYS, limit_bytes, _HOW_MARKERS, name):
        media, time = number(row["media_s"], f"{where}: media_s"), _nanoseconds(row["time_ns"], where)
        if found.time_ns and (time <= found.time_ns[-1] or media <= found.media_s[-1]):
            raise FormatError(
                f"{where}: the marker is not later than the one before on both clocks.", "List them in order of time."
            )
        found.media_s.append(media)
        found.time_ns.append(time)
    if len(found.time_ns) < FEWEST_MARKERS:
        raise FormatError(
            f"{name or path}: clocks are joined by at least {FEWEST_MARKERS} markers; it has {len(found.time_ns)}.",
            "Show more of them, over the whole run.",
        )
    return found


def _rows(
    path: Path, keys: Collection[str], needed: Collection[str], limit_bytes: int, how: str, name: str | None
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The rows of either format, each with its place."""
    name = name or str(path)
    if not path.is_file():
        raise FormatError(f"{path} does not exist, or is no file.", "Check the path.")
    if path.stat().st_size > limit_bytes:
        raise FormatError(
            f"{path} has {path.stat().st_size / 1e6:.0f} MB, more than the {limit_bytes / 1e6:.0f} MB that are read.",
            "Split it, or raise --max-mb.",
        )
    count = 0
    header: list[str] | None = None
    with path.open("rb") as stream:
        for place, text in lines(stream, name):
            where = line(place, name)
            if header is None and not count and not text.startswith("{"):
                header = [column.strip() for column in _columns(text, where)]
                _check_keys(header, keys, needed, where, how)
                continue
            row = _json(text, where, how) if header is None else _csv(text, header, where)
            if header is None:
                _check_keys(list(row), keys, needed, where, how)
            count += 1
            yield where, row
    if not count and header is None:
        raise FormatError(f"{name} holds nothing.", how)


def _check_keys(found: list[str], keys: Collection[str], needed: Collection[str], where: str, how: str) -> None:
    for name in needed:
        if name not in found:
            raise FormatError(f"{where} has no {name}.", how)
    for name in found:
        if name not in keys or found.count(name) > 1:
            raise FormatError(f"{where}: there is no {name!r} here, or it is there twice.", how)


def _columns(text: str, where: str) -> list[str]:
    try:
        return next(csv.reader([text], strict=True))
    except csv.Error as error:
        raise FormatError(f"{where} is no CSV: {error}.", "Quote what holds commas or quotes.") from None


def _csv(text: str, header: list[str], where: str) -> dict[str, str]:
    columns = [column.strip() for column in (_columns(text, where) if '"' in text else text.split(","))]
    if len(columns) != len(header):
        raise FormatError(f"{where} has {len(columns)} columns, the header {len(header)}.", "Correct it.")
    return dict(zip(header, columns, strict=True))


def _json(text: str, where: str, how: str) -> dict[str, Any]:
    try:
        row = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{where} is no JSON: {error}.", how) from None
    if not isinstance(row, dict):
        raise FormatError(f"{where} is no object.", how)
    return row


def _nanoseconds(value: object, where: str) -> int:
    """Whole nanoseconds: as a floating-point number the last digits of a clock would be lost."""
    said = isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool) and value < 2**64)
    text = str(value) if said else ""
    if not (text.isascii() and text.isdecimal() and len(text) < 20 and int(text) < 2**63):
        raise FormatError(
            f"{where}: time_ns is {shown(value)}, not a whole number of nanoseconds.",
            "Write the monotonic clock's integer.",
        )
    if int(text) >= _TIME_OF_DAY_NS:
        raise FormatError(
            f"{where}: time_ns is {text}, the time of day: that clock is set while it runs.",
            "Record the receiver's monotonic clock.",
        )
    return int(text)


def _text(value: object) -> str:
    return "" if value is None else str(value)
