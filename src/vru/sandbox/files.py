"""A file that is open already, where code wants a path."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PosixPath
from typing import Any


class OpenFile(PosixPath):
    """The path of an open descriptor, below ``/proc/self/fd``. ``open`` takes the descriptor: nothing is opened.

    What is opened shares its place in the file with what was opened before: one reader at a time.
    """

    def open(self, *arguments: Any, **keywords: Any) -> Any:
        """As ``Path.open``, from the file's beginning."""
        copy = os.dup(int(self.name))
        os.lseek(copy, 0, os.SEEK_SET)
        return open(copy, *arguments, **keywords)  # noqa: PTH123 - it is open


def open_file(descriptor: int) -> Path:
    """The path for it."""
    return OpenFile(f"/proc/self/fd/{descriptor}")


@contextmanager
def memory_file(data: bytes) -> Iterator[int]:
    """The descriptor of a file that is nowhere but in memory, for what did not come as a file."""
    descriptor = os.memfd_create("file", os.MFD_CLOEXEC)
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(data)
        yield descriptor
    finally:
        os.close(descriptor)
