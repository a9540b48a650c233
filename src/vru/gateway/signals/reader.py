"""Reading uploaded recordings of signals and of markers, in the sandbox: only what is stored of them comes back."""

from dataclasses import dataclass
from pathlib import Path

from vru.domain import VruError
from vru.evaluation.camera.clocks import join_clocks
from vru.formats.signals import read_markers, read_signals
from vru.sandbox.limits import MEBIBYTE, Limits

MOST_SIGNALS = 1_000_000
_LARGEST_INTEGER = 2**63 - 1  # PostgreSQL's
# A parsed file takes a multiple of its size.
LIMITS = Limits(memory_bytes=1024 * MEBIBYTE, cpu_s=120.0, wall_s=600.0, answer_bytes=MEBIBYTE)


@dataclass(frozen=True)
class SignalFacts:
    """How many signals there are, and the times of the first and the last in nanoseconds."""

    count: int
    first_ns: int
    last_ns: int

    def __post_init__(self) -> None:
        # They come from a process that bytes from outside may have taken over.
        if not (0 < self.count <= MOST_SIGNALS and 0 <= self.first_ns <= self.last_ns <= _LARGEST_INTEGER):
            raise ValueError("no recording's facts")


def signal_facts(file: Path, *, name: str, videos: list[str]) -> SignalFacts:
    """Read a recording of signals; see ``vru.formats.read_signals``.

    Raises:
        VruError: it is broken or empty.
    """
    signals = read_signals(file, videos=set(videos), most=MOST_SIGNALS, name=name)
    if not signals:
        raise VruError(
            f"{name} holds nothing: no signal came.", "`vru evaluate --protocol camera` measures a silent device."
        )
    return SignalFacts(len(signals), signals.time_ns[0], signals.time_ns[-1])


def marker_count(file: Path, *, name: str) -> int:
    """Read markers, and see that they join the clocks; see ``vru.formats.read_markers``. How many there are.

    Raises:
        VruError: they are broken, or do not fit to one line.
    """
    markers = read_markers(file, name=name)
    join_clocks(markers.media_s, markers.time_ns)
    return len(markers.time_ns)
