"""Files: content by hash, owner and mode; and the removal of those that a release no longer has.

A ledger in ``state/owned-files.json`` names every file that this program ever placed and has not removed. It is written
before files are, so that a killed run leaves nothing behind that the next one would not know of.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ..base.change import Change
from ..base.disk import read_json, sha256_of, sync_directory, temporary_name, write_json
from ..base.host import Host
from ..base.journal import Step
from ..release.store import place
from ..wire import FileEntry, Manifest

# Whole directories of it are read by Prometheus, Grafana and PostgreSQL.
_CONFIGURATION = "config/production"


@dataclass(frozen=True)
class FileState:
    """What stands at a path. ``sha256`` is None for what is no regular file, and where the size says enough."""

    sha256: str | None
    mode: int
    uid: int
    gid: int
    kind: str = "file"


@dataclass(frozen=True)
class FileFacts:
    """The files of the manifest as they are, those that are ours by the ledger, and strays.

    Strays lie where only a release has files and services read all that is there, and no release put them there.
    """

    found: Mapping[str, FileState | None]
    owned: frozenset[str]
    strays: tuple[str, ...] = ()


def _ledger(host: Host) -> frozenset[str]:
    return frozenset(read_json(host.state / "owned-files.json", []))


def facts(host: Host, manifest: Manifest) -> FileFacts:
    """Look at every file of the manifest."""
    found: dict[str, FileState | None] = {}
    for entry in manifest.files:
        path = host.place(entry.path)
        try:
            status = path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            found[entry.path] = None
            continue
        same_size = stat.S_ISREG(status.st_mode) and status.st_size == entry.size
        found[entry.path] = FileState(
            sha256_of(path) if same_size else None,
            stat.S_IMODE(status.st_mode),
            status.st_uid,
            status.st_gid,
            _kind(status.st_mode),
        )
    owned = _ledger(host)
    return FileFacts(found, owned, tuple(_strays(host, owned | found.keys())))


def sha256_at(path: Path) -> str | None:
    """The hash of a regular file; None for anything else."""
    return sha256_of(path) if path.is_file() and not path.is_symlink() else None


def _kind(mode: int) -> str:
    if stat.S_ISREG(mode):
        return "file"
    return "symbolic link" if stat.S_ISLNK(mode) else "directory" if stat.S_ISDIR(mode) else "special file"


def _strays(host: Host, known: Collection[str]) -> Iterator[str]:
    if not any(path.startswith(_CONFIGURATION) for path in known):
        return
    for folder, _, names in os.walk(host.root / _CONFIGURATION):
        for name in sorted(names):
            path = (Path(folder) / name).relative_to(host.root).as_posix()
            # A temporary file of a killed run is written over by the next.
            if path not in known and not name.endswith(".vru-new"):
                yield path


def changes(host: Host, manifest: Manifest, actual: FileFacts) -> Iterator[Change]:
    """Write what differs, remove what was ours and is no longer wanted."""
    wanted = {entry.path for entry in manifest.files}
    for entry in manifest.files:
        found = actual.found[entry.path]
        apply = partial(_write, host, entry)
        if found is None:
            yield Change("file", entry.path, "create", f"{entry.size} bytes", apply)
        elif found.kind != "file":
            yield Change("file", entry.path, "update", f"is a {found.kind}", apply)
        elif found.sha256 != entry.sha256:
            words = ["content", _difference(entry, found)]
            yield Change("file", entry.path, "update", ", ".join(filter(None, words)), apply)
        elif difference := _difference(entry, found):
            yield Change("file", entry.path, "update", difference, apply)
    for path in sorted(actual.owned - wanted):
        yield Change("file", path, "remove", "no longer part of the release", partial(_remove, host, path))
    for path in actual.strays:
        yield Change("file", path, "remove", "is part of no release", partial(_remove, host, path))


def _difference(entry: FileEntry, found: FileState) -> str:
    uid = os.geteuid() if entry.uid is None else entry.uid
    gid = os.getegid() if entry.gid is None else entry.gid
    words = []
    if found.mode != entry.mode:
        words.append(f"mode {found.mode:04o} -> {entry.mode:04o}")
    if (found.uid, found.gid) != (uid, gid):
        words.append(f"owner {found.uid}:{found.gid} -> {uid}:{gid}")
    return ", ".join(words)


def claim(host: Host, paths: Iterable[str]) -> None:
    """Enter files in the ledger before they are written."""
    owned = _ledger(host)
    wanted = owned | set(paths)
    if wanted != owned:
        write_json(host.state / "owned-files.json", sorted(wanted))


def sync(host: Host, changes: Iterable[Change]) -> None:
    """Make the renames of many files durable, once for each directory."""
    for parent in {host.place(change.name).parent for change in changes}:
        if parent.exists():
            sync_directory(parent)


def release(host: Host, manifest: Manifest) -> None:
    """Strike files from the ledger after they were removed."""
    wanted = {entry.path for entry in manifest.files}
    if _ledger(host) != wanted:
        write_json(host.state / "owned-files.json", sorted(wanted))


def _write(host: Host, entry: FileEntry, step: Step) -> None:
    path = host.place(entry.path)
    if path.is_dir() and not path.is_symlink() and not any(path.iterdir()):
        path.rmdir()  # Docker makes an empty directory where a mounted file was missing
    place(host, entry)
    step.progress(entry.path)


def _remove(host: Host, path: str, step: Step) -> None:
    target = host.place(path)
    target.unlink(missing_ok=True)
    temporary_name(target).unlink(missing_ok=True)
    step.progress(f"removed {path}")
    # Directories that only this file kept alive go too, but never one outside the root or the root itself.
    for parent in target.parents:
        if parent == host.root or host.root not in parent.parents:
            break
        if parent.exists():
            if any(parent.iterdir()):
                break
            parent.rmdir()
