"""Frames of videos, by their exact index and time, and images: decoded in the sandbox, and only looked at here.

A frame's index is its place in presentation order, from 0; its time is ``pts * time_base``, never ``index / fps``.
"""

import mmap
from bisect import bisect_right
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Self

from vru.media.facts import TableFacts, limits
from vru.sandbox.errors import FileUnreadableError, naming
from vru.sandbox.files import memory_file
from vru.sandbox.limits import Limits
from vru.sandbox.pool import Sandbox
from vru.sandbox.shared import CHANNELS, Picture
from vru.service.errors import UnprocessableError
from vru.service.opened import OpenedFile


@dataclass(frozen=True, slots=True)
class FrameTable:
    """Which frames a video has: ``pts`` in presentation order, and where decoding may begin.

    ``entries`` are the pts of key frames, rising. Decoding from one of them gives every frame from its pts on.
    """

    pts: tuple[int, ...]
    time_base: Fraction
    entries: tuple[int, ...]

    def time_s(self, index: int) -> float:
        """Seconds of media time of one frame."""
        return float(self.pts[index] * self.time_base)


@dataclass(frozen=True, slots=True)
class VideoPicture:
    """One frame: BGR, uint8, HxWx3, read-only."""

    frame_index: int
    time_s: float
    image: Picture


class Readers:
    """The children that decode videos and images, each kind for itself: a picture does not wait for a long video."""

    def __init__(self, *, videos: int = 1, images: int = 1) -> None:
        """How many are read at once. Nothing is started before ``warm`` or the first file."""
        self._videos = Sandbox(["vru.media.frames"], children=videos, spare=1, niceness=0)
        self._images = Sandbox(["vru.media.images"], children=images, spare=1, niceness=0)
        self._tables = lru_cache(maxsize=64)(self._read_table)

    def warm(self) -> None:
        """Start one child of each kind, so that the first file does not wait for it."""
        self._videos.warm()
        self._images.warm()

    def close(self) -> None:
        """Kill every child."""
        self._videos.close()
        self._images.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def image(self, file: Path | int, max_pixels: int) -> Picture:
        """The pixels of a JPEG or PNG file (BGR, uint8, HxWx3), which may be open already.

        Raises:
            FileRefusedError: it is none, is damaged, or has more pixels.
            FileUnreadableError: it crashed its reader, or took more than it may.
        """
        allowed = Limits(cpu_s=30, wall_s=60, shared_bytes=_page(CHANNELS * max_pixels))
        pictures = self._images.stream(
            "vru.media.images:decode", file, type(None), limits=allowed, max_pixels=max_pixels
        )
        with closing(pictures):
            return next(pictures)[1]

    def image_of(self, data: bytes, max_pixels: int) -> Picture:
        """As ``image``, of a file that a client sent."""
        with memory_file(data) as descriptor:
            return self.image(descriptor, max_pixels)

    def table(self, file: OpenedFile) -> FrameTable:
        """The table of a video's frames. Kept for the videos read last, as long as the file does not change.

        Raises:
            VruError: the file is no video, or its frames have no usable timestamps, or it cannot be read within limits.
        """
        return self._tables(file)

    def _read_table(self, file: OpenedFile) -> FrameTable:
        reader = "vru.media.frames:frame_table"
        with naming(file.name):
            facts = self._videos.call(reader, file.path, TableFacts, limits=_limits(file), name=file.name)
        ascending = all(before < after for before, after in pairwise(facts.pts))
        if not (facts.pts and ascending and min(facts.time_base) > 0):
            raise _garbled(file)
        return FrameTable(tuple(facts.pts), Fraction(*facts.time_base), tuple(sorted(facts.entries)))

    def frames(
        self, file: OpenedFile, first: int, last: int, stride: int = 1, *, kept: int = 2
    ) -> Generator[VideoPicture, None, None]:
        """Frames ``first`` to ``last`` (both included), every ``stride``-th by index, as they are decoded.

        ``kept`` is how many of them the caller looks at while it asks for the next; more are copied.

        Raises:
            UnprocessableError: there are no such frames; before the first is read.
        """
        table = self.table(file)
        if not 0 <= first <= last < len(table.pts):
            raise UnprocessableError(
                f"The video {file.name} has no frames {first} to {last}.",
                f"It has the frames 0 to {len(table.pts) - 1}.",
            )
        return self._frames(file, table, range(first, last + 1, stride), kept + 2)

    def _frames(
        self, file: OpenedFile, table: FrameTable, wanted: range, slots: int
    ) -> Generator[VideoPicture, None, None]:
        """As ``frames``; closing it gives the child that decodes back."""
        entry = bisect_right(table.entries, table.pts[wanted[0]]) - 1
        expected = iter(wanted)
        pictures = self._videos.stream(
            "vru.media.frames:frames",
            file.path,
            int,
            limits=_limits(file),
            slots=slots,
            name=file.name,
            wanted=[table.pts[index] for index in wanted],
            entry=table.entries[entry] if entry > 0 else None,
            first=wanted.start,
            step=wanted.step,
        )
        with naming(file.name), closing(pictures):
            for place, image in pictures:
                index = next(expected, None)
                if index is None or not 0 <= place < len(wanted) or wanted[place] != index:
                    break
                yield VideoPicture(index, table.time_s(index), image)
            else:
                if next(expected, None) is None:
                    return
        raise _garbled(file)


def _limits(file: OpenedFile) -> Limits:
    return limits(file.path.stat().st_size)


def _page(size: int) -> int:
    return -(-size // mmap.PAGESIZE) * mmap.PAGESIZE


def _garbled(file: OpenedFile) -> FileUnreadableError:
    """What comes back is from a process that bytes from outside may have taken over."""
    return FileUnreadableError(f"The file {file.name} cannot be read: its reader's answer is garbled.")
