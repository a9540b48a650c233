"""Memory that a parent lays pictures into, for a child that stays to look at: nothing of it goes over the channel."""

import fcntl
import mmap
import os
from collections.abc import Sequence

import numpy as np

from vru.sandbox.shared import CHANNELS, Picture

Place = tuple[int, int, int]
"""Where a picture lies, in bytes; its height and its width in pixels."""


class Tray:
    """The parent's side. One thread at a time."""

    def __init__(self, size_bytes: int) -> None:
        """Nothing of it takes room before a picture lies there."""
        self.size_bytes = -(-size_bytes // mmap.PAGESIZE) * mmap.PAGESIZE
        self.descriptor = os.memfd_create("pictures", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(self.descriptor, self.size_bytes)
            # Who writes here would be brought down by a child that cuts it off.
            seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
            fcntl.fcntl(self.descriptor, fcntl.F_ADD_SEALS, seals)
            self._memory = np.frombuffer(mmap.mmap(self.descriptor, self.size_bytes), np.uint8)
        except BaseException:
            os.close(self.descriptor)
            raise

    def lay(self, pictures: Sequence[Picture]) -> list[Place]:
        """Copy pictures (uint8, HxWx3) one behind the other, over those that lie there. ``room`` says if they fit."""
        places, start = [], 0
        for picture in pictures:
            there = self._memory[start : start + picture.size]
            np.copyto(there.reshape(picture.shape), picture)
            places.append((start, picture.shape[0], picture.shape[1]))
            start += picture.size
        return places

    def close(self) -> None:
        """Give the memory back, once the child has done so."""
        os.close(self.descriptor)


def room(pictures: Sequence[Picture]) -> int:
    """How many bytes they take."""
    return sum(picture.size for picture in pictures)


class Lent:
    """The child's side: it can only look."""

    def __init__(self, descriptor: int, size_bytes: int) -> None:
        self._memory = np.frombuffer(mmap.mmap(descriptor, size_bytes, prot=mmap.PROT_READ), np.uint8)

    def picture(self, start: int, height: int, width: int) -> Picture:
        """The picture that lies there."""
        return self._memory[start : start + height * width * CHANNELS].reshape(height, width, CHANNELS)
