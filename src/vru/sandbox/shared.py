"""Memory that a child lays pictures into, and that its parent only looks at. Nothing is copied on the way.

The parent makes it, of one size for good: a child that cuts it off would bring down whoever reads there.
"""

import fcntl
import math
import mmap
import os
from collections import deque

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
CHANNELS = 3
# Working ahead by a few pictures spares two processes from waiting for each other at every one.
_MOST_SLOTS, _AHEAD_BYTES = 16, 64 * 1024 * 1024


class SharedMemory:
    """The parent's side of a stream of pictures: which places in it are looked at, and which are free again."""

    def __init__(self, size_bytes: int) -> None:
        """Nothing of it takes room before a picture lies there."""
        self.size_bytes = size_bytes
        self.descriptor = os.memfd_create("pictures", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(self.descriptor, size_bytes)
            seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
            fcntl.fcntl(self.descriptor, fcntl.F_ADD_SEALS, seals)
            self._memory = np.frombuffer(mmap.mmap(self.descriptor, size_bytes, prot=mmap.PROT_READ), np.uint8)
        except BaseException:
            os.close(self.descriptor)
            raise
        self._slots = 0
        # Taken by pictures, or let go since the child was last told.
        self._looked_at: set[int] = set()
        # Pictures are let go in any thread, also while another one is in here.
        self._let_go: deque[int] = deque()

    def close(self) -> None:
        """Send it no more. Pictures that are still looked at stay what they are."""
        os.close(self.descriptor)

    def look(self, place: int, height: int, width: int, slots: int) -> Picture:
        """The picture that lies at ``place``: itself while others have room beside it, a copy where they would not.

        Raises:
            ValueError: no picture can lie there.
        """
        size = height * width * CHANNELS
        if min(height, width) < 1 or place < 0 or place + size > self.size_bytes or place in self._looked_at:
            raise ValueError("no picture's place")
        self._slots = slots
        there = self._memory[place : place + size]
        self._looked_at.add(place)
        # The child fills one place while the next picture lies in another.
        if len(self._looked_at) > slots - 2:
            self._let_go.append(place)
            return there.reshape(height, width, CHANNELS).copy()
        return np.asarray(_Look(there, (height, width, CHANNELS), place, self._let_go))

    def freed(self) -> list[int]:
        """Which places the child is to be told of that they are free; none while it has enough of them."""
        places: list[int] = []
        if len(self._looked_at) < max(1, self._slots // 2):
            return places
        while self._let_go:
            places.append(self._let_go.popleft())
        self._looked_at.difference_update(places)
        return places


class _Look:
    """What arrays of a picture hold on to: with the last of them its place is free."""

    def __init__(self, memory: Picture, shape: tuple[int, ...], place: int, let_go: "deque[int]") -> None:
        self._memory, self._place, self._let_go = memory, place, let_go
        self.__array_interface__ = memory.__array_interface__ | {"shape": shape}

    def __del__(self) -> None:
        self._let_go.append(self._place)


class Slots:
    """The child's side: equal places for pictures, ``least`` if there is room; more while they are small."""

    def __init__(self, memory: Picture, least: int) -> None:
        self._memory, self._least = memory, least
        self._slot_bytes = 0
        self._free: deque[int] = deque()
        self.count = 0

    def has_room(self) -> bool:
        """Whether a picture can be laid now."""
        return not self.count or bool(self._free)

    def free(self, places: list[int]) -> None:
        """The parent needs these no longer."""
        self._free.extend(places)

    def lay(self, picture: Picture) -> int:
        """Copy a picture to a free place, and return that.

        Raises:
            MemoryError: it does not fit.
        """
        size = math.prod(picture.shape)
        if not self.count:
            self._slot_bytes = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
            wanted = max(self._least, min(_MOST_SLOTS, _AHEAD_BYTES // self._slot_bytes))
            self.count = min(wanted, len(self._memory) // self._slot_bytes)
            self._free.extend(number * self._slot_bytes for number in range(self.count))
        if size > self._slot_bytes or not self.count:
            raise MemoryError(f"insufficient memory for a picture of {size} bytes")
        place = self._free.popleft()
        np.copyto(self._memory[place : place + size].reshape(picture.shape), picture)
        return place


def mapped(descriptor: int, size_bytes: int) -> Picture:
    """The memory behind ``descriptor``, to be written to; it is given back with the last array of it."""
    return np.frombuffer(mmap.mmap(descriptor, size_bytes), np.uint8)
