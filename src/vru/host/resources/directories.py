"""Directories with their owners and modes. What is inside belongs to the service that uses it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from ..base.change import Change
from ..base.errors import HostError
from ..base.host import Host
from ..base.journal import Step
from ..wire import DirectoryEntry, Manifest

_OWN = (
    DirectoryEntry("backups", None, None, 0o700),
    DirectoryEntry("data", None, None, 0o755),
    DirectoryEntry("logs", None, None, 0o755),
    DirectoryEntry("releases", None, None, 0o700),
    DirectoryEntry("state", None, None, 0o700),
)


@dataclass(frozen=True)
class DirectoryState:
    """What stands at a path."""

    is_directory: bool
    uid: int
    gid: int
    mode: int


def expected(manifest: Manifest) -> list[DirectoryEntry]:
    """This program's own directories and the release's, parents first."""
    wanted = {entry.path: entry for entry in (*_OWN, *manifest.directories)}
    return [wanted[path] for path in sorted(wanted)]


def facts(host: Host, entries: list[DirectoryEntry]) -> dict[str, DirectoryState | None]:
    """What stands at the entries' paths."""
    found: dict[str, DirectoryState | None] = {}
    for entry in entries:
        try:
            status = host.place(entry.path).lstat()
        except (FileNotFoundError, NotADirectoryError):
            found[entry.path] = None
            continue
        found[entry.path] = DirectoryState(
            stat.S_ISDIR(status.st_mode), status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)
        )
    return found


def changes(host: Host, entries: list[DirectoryEntry], actual: Mapping[str, DirectoryState | None]) -> Iterator[Change]:
    """Create what is missing; set owner and mode where they differ.

    Raises:
        HostError: something else stands there.
    """
    for entry in entries:
        found = actual[entry.path]
        apply = partial(_apply, host, entry)
        if found is None:
            yield Change("directory", entry.path, "create", f"{entry.mode:04o}", apply)
            continue
        if not found.is_directory:
            raise HostError(
                f"{host.place(entry.path)} is no directory.", "Move it away, then run the same command again."
            )
        differences = [
            f"{what} {old} -> {new}"
            for what, old, new in (
                ("owner", found.uid, entry.uid),
                ("group", found.gid, entry.gid),
                ("mode", f"{found.mode:04o}", f"{entry.mode:04o}"),
            )
            if new is not None and old != new
        ]
        if differences:
            yield Change("directory", entry.path, "update", ", ".join(differences), apply)


def _apply(host: Host, entry: DirectoryEntry, step: Step) -> None:
    path = host.place(entry.path)
    path.mkdir(parents=True, exist_ok=True)
    if entry.uid is not None or entry.gid is not None:
        os.chown(path, -1 if entry.uid is None else entry.uid, -1 if entry.gid is None else entry.gid)
    path.chmod(entry.mode)
