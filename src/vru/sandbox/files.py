"""A file that is open already, where code wants a path."""

import os
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
