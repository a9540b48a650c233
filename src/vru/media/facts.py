"""What comes back from reading a video, and what reading it may take. For the side that does not decode: no FFmpeg."""

from dataclasses import dataclass

from vru.sandbox.limits import MEBIBYTE, Limits


@dataclass(frozen=True)
class TableFacts:
    """Which frames a video has: ``pts`` in presentation order; ``time_base`` is a numerator and a denominator.

    ``entries`` are the pts of key frames, rising. Decoding from one of them gives every frame from its pts on.
    """

    pts: list[int]
    time_base: tuple[int, int]
    entries: list[int]


def limits(size_bytes: int) -> Limits:
    """What reading a video of this size may take."""
    # Decoding takes less than a second of one core for a megabyte of usual video.
    cpu_s = 60 + 4 * size_bytes / MEBIBYTE
    return Limits(memory_bytes=1024 * MEBIBYTE, cpu_s=cpu_s, wall_s=120 + 4 * cpu_s)
