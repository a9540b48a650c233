"""Releases on disk: the content store, the manifests, and which one is live."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from ..base.disk import write_atomic, write_json
from ..base.errors import HostError
from ..base.host import Host
from ..strict_json import write
from ..wire import FileEntry, Manifest
from . import history
from .manifest import parse

_KEEP = 5
# What the name of content begins with while its transfer is not over.
PARTIAL = ".partial-"
_KEEP_PARTIAL_S = 7 * 86400.0
_KEEP_UNUSED_S = 3600.0


def missing(host: Host, manifest: Manifest) -> list[str]:
    """The content of a manifest that the store lacks, each once, in the manifest's order."""
    there = sizes(host)
    wanted = {entry.sha256: entry.size for entry in manifest.files}
    return [sha256 for sha256, size in wanted.items() if there.get(sha256) != size]


def sizes(host: Host) -> dict[str, int]:
    """The whole pieces of content in the store, by hash, in bytes."""
    if not host.objects.exists():
        return {}
    with os.scandir(host.objects) as found:
        return {entry.name: entry.stat().st_size for entry in found if not entry.name.startswith(".")}


def partial(host: Host, names: Iterable[str]) -> dict[str, int]:
    """How much is there of pieces whose transfer was cut, by hash, in bytes: the next one goes on from there."""
    there = {}
    for name in names:
        try:
            size = (host.objects / f"{PARTIAL}{name}").stat().st_size
        except FileNotFoundError:
            continue
        if size:
            there[name] = size
    return there


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
    make_private(host.releases)
    directory = host.releases / manifest.release
    make_private(directory)
    write_json(directory / "manifest.json", write(replace(manifest, inline={})))


def load(host: Host, release: str) -> Manifest:
    """Read a kept manifest.

    Raises:
        HostError: there is no such release.
    """
    path = host.releases / release / "manifest.json"
    if not path.exists():
        raise HostError(f"There is no release {release!r} on this server.")
    return parse(path.read_bytes())


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
    """The releases on this server: the live one, then those that were live, then those that never were; newest first.

    One that failed must not push out one that could be gone back to.
    """
    live = current(host)
    found = sorted(host.releases.glob("*/manifest.json"), key=lambda path: path.stat().st_mtime, reverse=True)
    deployed = {name: number for number, name in enumerate(history.order(host))}
    names = [path.parent.name for path in found]
    return sorted(names, key=lambda name: (name != live, deployed.get(name, len(deployed))))


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
    """Remove content that no kept release names. What came lately stays: a release that needs it may be on its way."""
    wanted = set(used)
    removed = 0
    moment = time.time()
    for path in host.objects.iterdir() if host.objects.exists() else ():
        if path.name in wanted or (path.name.startswith(".") and not path.name.startswith(PARTIAL)):
            continue
        age_s = _KEEP_PARTIAL_S if path.name.startswith(PARTIAL) else _KEEP_UNUSED_S
        if moment - path.stat().st_mtime > age_s:
            path.unlink()
            removed += 1
    return removed


def make_private(path: Path) -> None:
    """Make a directory that root alone may enter."""
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(0o700)
