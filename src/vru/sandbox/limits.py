"""What reading one file may take."""

from dataclasses import dataclass

MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one file's reading.

    ``memory_bytes`` is address space beside that of an idle child; ``cpu_s`` seconds of processor time over all
    threads, rounded up to whole ones; ``wall_s`` seconds, of a stream those until its next picture; ``answer_bytes``
    the size of the facts. ``shared_bytes`` is the memory, beside the other, that pictures of a stream come back in.
    """

    memory_bytes: int = 1024 * MEBIBYTE
    cpu_s: float = 60.0
    wall_s: float = 240.0
    answer_bytes: int = 64 * MEBIBYTE
    shared_bytes: int = 320 * MEBIBYTE
