"""The media store: a directory. ``videos/`` and ``signals/`` are complete; ``incoming/`` holds uploads in progress."""

import asyncio
import errno
import hashlib
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog

from vru.service.errors import InsufficientStorageError, NotFoundError, TooLargeError, UnprocessableError

MEGABYTE = 1_000_000
_BLOCK = 1024 * 1024
_STALE_AFTER_S = 24 * 3600
# With less than this a server is not ready for uploads.
_LEAST_FREE = 16 * MEGABYTE
_FULL = ("The server's disk is full.", "Delete videos that are not needed, or enlarge the disk.")

log = structlog.get_logger("vru.gateway.media")


@dataclass(frozen=True)
class Received:
    """A complete upload that is not in the store yet."""

    path: Path
    sha256: str
    size_bytes: int


class MediaStore:
    """Files below one directory. Paths in the database are relative to it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.videos = root / "videos"
        self.signals = root / "signals"
        self.incoming = root / "incoming"

    def prepare(self) -> int:
        """Make the directories, and remove what aborted uploads of a killed process left. Returns how many files.

        Only what nobody has written to for a day goes: another gateway may be receiving right now.
        """
        self.videos.mkdir(parents=True, exist_ok=True)
        self.signals.mkdir(exist_ok=True)
        self.incoming.mkdir(exist_ok=True)
        removed = 0
        for path in self.incoming.iterdir():
            if path.is_file() and path.stat().st_mtime < time.time() - _STALE_AFTER_S:
                path.unlink(missing_ok=True)
                removed += 1
        return removed

    def check(self) -> None:
        """Do nothing if an upload can be received.

        Raises:
            InsufficientStorageError: it cannot; says why.
        """
        try:
            with tempfile.TemporaryFile(dir=self.incoming) as file:
                file.write(b"\0")
            free = shutil.disk_usage(self.incoming).free
        except OSError as error:
            raise self._no_room(error) from error
        if free < _LEAST_FREE:
            raise InsufficientStorageError(*_FULL)

    @asynccontextmanager
    async def receive(
        self, chunks: AsyncIterator[bytes], *, limit_bytes: int, announced_bytes: int | None
    ) -> AsyncIterator[Received]:
        """Stream an upload to disk. At the end of the block its file is gone, unless ``keep`` moved it.

        Args:
            chunks: the body.
            limit_bytes: the largest size.
            announced_bytes: what the client says the size is, if it does.

        Raises:
            TooLargeError: it is, or says it is, larger.
            UnprocessableError: it is empty.
            InsufficientStorageError: the disk is full, or the folder cannot be written.
        """
        if announced_bytes is not None and announced_bytes > limit_bytes:
            raise _too_large(limit_bytes)
        path = self.incoming / f"{uuid.uuid4()}.part"
        try:
            yield await self._write(path, chunks, limit_bytes)
        except OSError as error:
            raise self._no_room(error) from error
        finally:
            if path.exists():
                path.unlink()

    def _no_room(self, error: OSError) -> Exception:
        """The error for a disk that takes no upload; any other error of the system as it is."""
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return InsufficientStorageError(*_FULL)
        here = Path(str(error.filename or "")).is_relative_to(self.root)
        if here and error.errno in (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENOTDIR, errno.EIO):
            return InsufficientStorageError(
                f"The server's media folder cannot be written: {error.strerror}.",
                "Have the administrator look at the folder's owner and mode, and at its disk.",
            )
        return error

    async def _write(self, path: Path, chunks: AsyncIterator[bytes], limit_bytes: int) -> Received:
        digest = hashlib.sha256()
        size = 0
        # Readable for nginx, which runs as another user.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        with os.fdopen(descriptor, "wb", buffering=0) as file:

            def put(block: bytes) -> None:
                digest.update(block)
                file.write(block)

            pending = bytearray()
            async for chunk in chunks:
                size += len(chunk)
                if size > limit_bytes:
                    raise _too_large(limit_bytes)
                pending += chunk
                if len(pending) >= _BLOCK:
                    await asyncio.to_thread(put, bytes(pending))
                    pending.clear()
            await asyncio.to_thread(put, bytes(pending))
            await asyncio.to_thread(os.fsync, file.fileno())
        if size == 0:
            raise UnprocessableError("The upload is empty.", "Send the file as the request's body.")
        return Received(path, digest.hexdigest(), size)

    def keep(self, received: Received, name: str, folder: Path | None = None) -> str:
        """Move a received file into ``folder`` (``videos``). Returns its path below the store's root."""
        target = (folder or self.videos) / name
        received.path.replace(target)
        return str(target.relative_to(self.root))

    def locate(self, relative: str) -> Path:
        """Where a stored file is.

        Raises:
            NotFoundError: it is not there.
        """
        path = (self.root / relative).resolve()
        if not path.is_relative_to(self.root.resolve()) or not path.is_file():
            raise NotFoundError(f"The file {relative} is missing from the media store.", "Restore it from a backup.")
        return path

    def delete(self, *relatives: str) -> None:
        """Remove files; one that is gone already does not matter."""
        for relative in relatives:
            path = (self.root / relative).resolve()
            if path.is_relative_to(self.root.resolve()):
                path.unlink(missing_ok=True)


def _too_large(limit_bytes: int) -> TooLargeError:
    return TooLargeError(
        f"The file is larger than {limit_bytes / MEGABYTE:g} MB.",
        "Cut it into parts, or have the administrator raise the limit (VRU_MAX_UPLOAD_MB, VRU_MAX_GROUND_TRUTH_MB).",
    )
