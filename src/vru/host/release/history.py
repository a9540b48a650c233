"""Which releases were live, when, and by whom: one line each time one becomes live, the newest last."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from ..base.host import Host
from ..base.journal import now
from ..lock import audit

ROLLBACK = "rollback"


@dataclass(frozen=True)
class Moment:
    """A release became live."""

    release: str
    time: str
    actor: str
    action: str


def add(host: Host, release: str, action: str) -> None:
    """Write down that a release becomes live, and wait until the disk has it."""
    path = _path(host)
    whole = not path.exists() or path.read_bytes()[-1:] in (b"", b"\n")
    line = json.dumps({"release": release, "time": now(), "actor": audit.actor(), "action": action}) + "\n"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        # What a crash has cut off gets a line of its own; `moments` leaves it out.
        os.write(descriptor, (line if whole else f"\n{line}").encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def moments(host: Host) -> list[Moment]:
    """All of them, the oldest first; a line that a crash has cut is left out."""
    path = _path(host)
    found = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            found.append(Moment(**json.loads(line)))
        except (ValueError, TypeError):
            continue
    return found


def order(host: Host) -> list[str]:
    """Every release that ever was live, the last deployed first. Rolling back to one does not make it newer."""
    latest: dict[str, int] = {}
    for number, moment in enumerate(moments(host)):
        if moment.action != ROLLBACK or moment.release not in latest:
            latest[moment.release] = number
    return sorted(latest, key=lambda name: -latest[name])


def _path(host: Host) -> Path:
    return host.state / "releases.jsonl"
