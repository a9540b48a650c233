"""Output for people: aligned columns, colours on a terminal only."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from typing import Any

_CODES = {"green": "32", "yellow": "33", "red": "31", "bold": "1", "dim": "2"}
STATE_COLOURS = {"ok": "green", "healthy": "green", "running": "green", "warning": "yellow", "starting": "yellow"}


def colour(text: str, name: str) -> str:
    """Colour a word if the output is a terminal and NO_COLOR is not set."""
    if name not in _CODES or not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return text
    return f"\x1b[{_CODES[name]}m{text}\x1b[0m"


def state(text: str, width: int = 0) -> str:
    """A state in its colour, padded to a width."""
    return colour(text.ljust(width), STATE_COLOURS.get(text, "red"))


def say(text: str = "") -> None:
    """Write a line at once."""
    print(text, flush=True)


def say_json(value: Any) -> None:
    """Write one JSON document."""
    print(json.dumps(value, indent=2, ensure_ascii=False), flush=True)


def say_error(text: str) -> None:
    """Write a line to the error stream."""
    print(text, file=sys.stderr, flush=True)


def table(rows: Sequence[Sequence[str]], headings: Sequence[str], states: Sequence[int] = ()) -> None:
    """Write a table; the columns in ``states`` are coloured by their words."""
    everything = [list(headings), *[list(row) for row in rows]]
    widths = [max(len(row[column]) for row in everything) for column in range(len(headings))]
    for number, row in enumerate(everything):
        cells = []
        for column, (cell, width) in enumerate(zip(row, widths, strict=True)):
            padded = cell.ljust(width)
            if number == 0:
                padded = colour(padded, "bold")
            elif column in states and cell.strip("-"):
                padded = state(cell, width)
            cells.append(padded)
        say("  ".join(cells).rstrip())


def duration(seconds: float) -> str:
    """93784 -> ``1d 2h``."""
    whole = int(seconds)
    days, hours, minutes = whole // 86400, whole // 3600 % 24, whole // 60 % 60
    if days:
        return f"{days}d {hours}h"
    if hours:
        return f"{hours}h {minutes}m"
    return f"{minutes}m {whole % 60}s" if minutes else f"{whole}s"
