"""Which process is which: a number alone is used again, a number and a start time are not."""

from __future__ import annotations

from pathlib import Path


def started(pid: int) -> str | None:
    """When a process was started (in the kernel's ticks): with its number, its identity. None if it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, *fields = text.rpartition(")")[2].split()
    return None if state in "ZX" else fields[18]
