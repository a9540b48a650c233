"""Content that arrives: stored by its hash, gone on with where an earlier transfer was cut."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from ..base.disk import CHUNK, human_size, sync_directory
from ..base.errors import BUSY, HostError
from ..base.host import Host
from .store import PARTIAL, make_private
from .stream import CutError, DamagedError, Reader

_NAME = re.compile(r"[0-9a-f]{64}")
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
# Left free for the database, the logs and the journal of the change itself.
_RESERVE = 256 * 1024 * 1024
# A transfer whose connection died without a word is found by its silence.
_SILENT_S = 5.0
_PATIENCE_S = 15.0
_AGAIN = "Run the same command again: it sends what is still missing."


def receive(host: Host, stream: BinaryIO) -> int:
    """Store the content of a stream (see `stream`), each piece under its SHA-256.

    A piece that was cut stays as far as it came; `store.partial` tells of it, and the next transfer goes on there.

    Returns:
        How many pieces were stored.

    Raises:
        HostError: the disk has no room, a piece is not what its name says, the stream was cut, or another transfer
            is under way. Whole pieces stay.
    """
    make_private(host.releases)
    make_private(host.objects)
    received = 0
    with _alone(host.objects) as alive:
        reader = Reader(stream)
        try:
            while (record := reader.record()) is not None:
                if "room" in record:
                    _check_room(host, record)
                else:
                    _Incoming(host.objects, record).store(reader, alive)
                    received += 1
        except CutError as error:
            raise HostError(f"The transfer broke off after {received} files.", _AGAIN) from error
        except DamagedError as error:
            raise HostError(f"The transfer cannot be read: {error}.", _AGAIN) from error
        sync_directory(host.objects)
    return received


class _Incoming:
    """One piece of content on its way into the store."""

    def __init__(self, objects: Path, record: dict[str, Any]) -> None:
        name, size, offset = record.get("sha256"), record.get("size"), record.get("offset", 0)
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise DamagedError(f"{name!r} names no content")
        if not isinstance(size, int) or not isinstance(offset, int) or not 0 <= offset <= size:
            raise DamagedError(f"{name[:12]} has no size")
        self.objects = objects
        self.name = name
        self.size = size
        self.offset = offset
        self.path = objects / f"{PARTIAL}{name}"

    def store(self, reader: Reader, alive: Heartbeat) -> None:
        """Take the rest of the piece, check the whole, and give it its name."""
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            digest = self._begin(descriptor)
            left = self.size - self.offset
            while left:
                chunk = reader.read(min(CHUNK, left))
                if not chunk:
                    raise DamagedError(f"{self.name[:12]} is shorter than announced")
                digest.update(chunk)
                _write(descriptor, chunk)
                left -= len(chunk)
                alive.beat()
            os.fsync(descriptor)
        except OSError as error:
            if error.errno in _FULL:
                # What is half there would only keep the disk full.
                self.path.unlink(missing_ok=True)
                raise _no_room(self.objects, self.size - self.offset) from error
            raise
        finally:
            os.close(descriptor)
        if digest.hexdigest() != self.name:
            self.path.unlink(missing_ok=True)
            raise HostError(f"The content {self.name[:12]} arrived damaged.", _AGAIN)
        self.path.replace(self.objects / self.name)

    def _begin(self, descriptor: int) -> Any:
        """Keep what is there up to the offset, with its hash."""
        digest = hashlib.sha256()
        there = os.fstat(descriptor).st_size
        if there < self.offset:
            raise DamagedError(f"only {there} bytes of {self.name[:12]} are here, not {self.offset}")
        os.ftruncate(descriptor, self.offset)
        left = self.offset
        while left:
            chunk = os.read(descriptor, min(CHUNK, left))
            digest.update(chunk)
            left -= len(chunk)
        return digest


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _check_room(host: Host, record: dict[str, Any]) -> None:
    """Refuse a transfer for which the disks have no room, before any of it is stored.

    ``room`` is what the store and the places of the files need, ``engine`` what Docker needs, in bytes.
    """
    needed = {host.objects: int(record["room"])}
    if record.get("engine"):
        told = host.run(["docker", "info", "--format", "{{.DockerRootDir}}"], check=False).out.strip()
        if told and Path(told).exists():
            needed[Path(told)] = int(record["engine"])
    by_device: dict[int, int] = {}
    for place, size in needed.items():
        device = place.stat().st_dev
        by_device[device] = by_device.get(device, 0) + size
        if free_bytes(place) < by_device[device] + _RESERVE:
            raise _no_room(place, by_device[device])


def free_bytes(place: Path) -> int:
    """What may still be written to the disk on which ``place`` lies."""
    status = os.statvfs(place)
    return status.f_bavail * status.f_frsize


def _no_room(place: Path, needed: int) -> HostError:
    return HostError(
        f"The server's disk is full: {human_size(needed)} are to be stored in {place}, "
        f"and {human_size(free_bytes(place))} are free. Nothing was changed.",
        f"Make room (df -h {place}; docker system df), then run the same command again. "
        f"{human_size(_RESERVE)} are kept free.",
    )


class Heartbeat:
    """The modification time of the lock's file says when content came last."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._last = 0.0
        self.beat()

    def beat(self) -> None:
        """Say that something came; once a second is enough."""
        moment = time.monotonic()
        if moment - self._last >= 1:
            self._last = moment
            os.utime(self._descriptor)


@contextmanager
def _alone(objects: Path) -> Iterator[Heartbeat]:
    """One transfer at a time. One that fell silent (its laptop is gone, and TCP does not know yet) is ended.

    Raises:
        HostError: another transfer is under way.
    """
    path = objects / ".receiving"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                holder = _holder(descriptor, path)
                if time.monotonic() > deadline:
                    raise HostError(
                        f"Another transfer to this server is under way (process {holder or 'unknown'}).",
                        "Wait for its end, then run the same command again.",
                        code=BUSY,
                    ) from None
                if holder is not None and time.time() - os.fstat(descriptor).st_mtime > _SILENT_S:
                    with suppress(ProcessLookupError):
                        os.kill(holder, signal.SIGTERM)
                time.sleep(0.2)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield Heartbeat(descriptor)
    finally:
        os.close(descriptor)


def _holder(descriptor: int, path: Path) -> int | None:
    """The process that holds the lock; None unless it really has the file open."""
    text = os.pread(descriptor, 20, 0).decode(errors="replace")
    if not text.isdigit():
        return None
    try:
        opened = [link.resolve() for link in Path(f"/proc/{text}/fd").iterdir()]
    except OSError:
        return None
    return int(text) if path.resolve() in opened else None
