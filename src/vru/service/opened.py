"""A file that is open: what was hashed is what is read, whatever happens to its name meanwhile."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from vru.domain import VruError


@dataclass(frozen=True, slots=True)
class OpenedFile:
    """An open file. ``path`` leads to what is open, also after its name was given to another file.

    Two are equal if they are one file with one content: ``identity`` holds its device, inode, size in bytes, and the
    times of its last write and change in nanoseconds. No program sets the time of change.
    """

    name: str = field(compare=False)
    path: Path = field(compare=False)
    identity: tuple[int, int, int, int, int]

    def sha256(self) -> str:
        """The digest of its content. Reads all of it the first time: call it outside of the event loop."""
        return _sha256(self)

    def check_unchanged(self) -> None:
        """Do nothing if nobody wrote into the file since it was opened.

        Raises:
            VruError: somebody did, so what was read may be neither the old content nor the new one.
        """
        now = _identity(self.path.stat())
        if now == self.identity:
            return
        # A new name, or none, changes the last of the times too: then the content is asked.
        if now[:-1] != self.identity[:-1] or _digest(self.path) != self.sha256():
            raise VruError(f"The file {self.name} was changed while it was read.", "Upload it again, then try again.")


@contextmanager
def opened(path: Path) -> Iterator[OpenedFile]:
    """Open a file for reading; its ``OpenedFile`` is of use inside the block.

    Raises:
        OSError: it cannot be opened.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield OpenedFile(path.name, Path(f"/dev/fd/{descriptor}"), _identity(os.fstat(descriptor)))
    finally:
        os.close(descriptor)


def _identity(status: os.stat_result) -> tuple[int, int, int, int, int]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


# The shards of a run ask for the same video again and again.
@lru_cache(maxsize=64)
def _sha256(file: OpenedFile) -> str:
    return _digest(file.path)


def _digest(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
