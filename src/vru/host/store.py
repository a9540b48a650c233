"""Releases on disk: the content store, the manifests, and which one is live."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tarfile
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO, BinaryIO

from .disk import CHUNK, sync_directory, write_atomic, write_json
from .errors import HostError
from .host import Host
from .manifest import FileEntry, Manifest

_NAME = re.compile(r"[0-9a-f]{64}")
_KEEP = 5


def receive(host: Host, stream: BinaryIO) -> int:
    """Store the members of a tar stream (compressed or not), each named by its SHA-256.

    Returns:
        How many were stored.

    Raises:
        HostError: a member is not what its name says, or the stream broke off. Whole members stay.
    """
    _make_private(host.releases)
    _make_private(host.objects)
    received = 0
    try:
        with tarfile.open(fileobj=stream, mode="r|*") as archive:
            for member in archive:
                source = archive.extractfile(member) if member.isreg() else None
                if source is None or not _NAME.fullmatch(member.name):
                    raise HostError(f"The transfer holds {member.name!r}, which is no content.")
                _store(host.objects, member.name, source)
                received += 1
    except (tarfile.TarError, EOFError, OSError) as error:
        raise HostError(
            f"The transfer broke off after {received} files: {error}.", "Run the same command again."
        ) from error
    sync_directory(host.objects)
    return received


def _store(objects: Path, name: str, source: IO[bytes]) -> None:
    digest = hashlib.sha256()
    descriptor, temporary = tempfile.mkstemp(dir=objects, prefix=".incoming-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            while chunk := source.read(CHUNK):
                digest.update(chunk)
                file.write(chunk)
            file.flush()
            os.fchmod(file.fileno(), 0o600)
            os.fsync(file.fileno())
        if digest.hexdigest() == name:
            Path(temporary).replace(objects / name)
    finally:
        Path(temporary).unlink(missing_ok=True)
    if digest.hexdigest() != name:
        raise HostError(f"The content {name[:12]} arrived damaged.", "Run the same command again.")


def missing(host: Host, manifest: Manifest) -> list[str]:
    """The content of a manifest that the store lacks, each once, in the manifest's order."""
    there = {path.name for path in host.objects.iterdir()} if host.objects.exists() else set()
    wanted = dict.fromkeys(entry.sha256 for entry in manifest.files)
    return [sha256 for sha256 in wanted if sha256 not in there]


def content(host: Host, manifest: Manifest, path: str) -> bytes | None:
    """The content that a release gives a (small) file; None if it is not on this server yet."""
    entry = manifest.file(path)
    if entry is None:
        return None
    if entry.sha256 in manifest.inline:
        return manifest.inline[entry.sha256]
    stored = host.objects / entry.sha256
    return stored.read_bytes() if stored.exists() else None


def place(host: Host, entry: FileEntry) -> None:
    """Put one file where it belongs; the caller makes the renames durable.

    Raises:
        HostError: its content is not in the store.
    """
    source = host.objects / entry.sha256
    if not source.exists():
        raise HostError(f"The content of {entry.path} is not on the server.", "Run the same command again.")
    uid = os.geteuid() if entry.uid is None else entry.uid
    gid = os.getegid() if entry.gid is None else entry.gid
    with source.open("rb") as file:
        write_atomic(host.place(entry.path), file, entry.mode, uid, gid, sync_parent=False)


def save(host: Host, manifest: Manifest) -> None:
    """Keep a manifest (it may name secrets' hashes, so 0600)."""
    _make_private(host.releases)
    directory = host.releases / manifest.release
    _make_private(directory)
    write_json(directory / "manifest.json", dict(manifest.raw))


def load(host: Host, release: str) -> Manifest:
    """Read a kept manifest.

    Raises:
        HostError: there is no such release.
    """
    path = host.releases / release / "manifest.json"
    if not path.exists():
        raise HostError(f"There is no release {release!r} on this server.")
    return Manifest.parse(path.read_bytes())


def current(host: Host) -> str | None:
    """The id of the live release; None before the first one is whole."""
    try:
        return (host.releases / "current").read_text().strip() or None
    except FileNotFoundError:
        return None


def set_current(host: Host, release: str) -> None:
    """Record which release is live: the last thing that a deployment writes."""
    write_atomic(host.releases / "current", f"{release}\n".encode(), 0o600)


def kept(host: Host) -> list[str]:
    """The releases on this server, the live one first, then the newest."""
    live = current(host)
    found = sorted(host.releases.glob("*/manifest.json"), key=lambda path: path.stat().st_mtime, reverse=True)
    names = [path.parent.name for path in found]
    return sorted(names, key=lambda name: name != live)


def prune(host: Host) -> tuple[list[Manifest], int]:
    """Forget all but the last releases and the content that only they needed.

    Returns:
        The manifests that are kept, and how many pieces of content were removed.
    """
    names = kept(host)
    for name in names[_KEEP:]:
        shutil.rmtree(host.releases / name)
    manifests = [load(host, name) for name in names[:_KEEP]]
    return manifests, _remove_unused(host, (entry.sha256 for manifest in manifests for entry in manifest.files))


def _remove_unused(host: Host, used: Iterable[str]) -> int:
    wanted = set(used)
    removed = 0
    for path in host.objects.iterdir() if host.objects.exists() else ():
        if path.name not in wanted:
            path.unlink()
            removed += 1
    return removed


def _make_private(path: Path) -> None:
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(0o700)
