"""``python -m benchmarks.decoding VIDEO``: frames a second through the sandbox, and with PyAV in one process, in turns.

Both decode every frame to BGR pixels with the same FFmpeg threads, and drop it. Wall clock, and processor time of this
process and its children. It ends with 1 where a frame differs.
"""

import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import psutil

from vru.ml_engine.readers import Readers
from vru.service.opened import opened

ROUNDS = 9
Pixels = Iterator[np.ndarray]


def sandboxed(readers: Readers, path: Path) -> Pixels:
    """As the ML engine reads a video."""
    with opened(path) as file:
        for picture in readers.frames(file, 0, len(readers.table(file).pts) - 1):
            yield picture.image


def in_this_process(path: Path) -> Pixels:
    """As it did before it had a sandbox."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        for frame in container.decode(stream):
            yield frame.to_ndarray(format="bgr24")


def processor_s() -> float:
    """Seconds of processor time of this process and its children."""
    here = psutil.Process()
    return sum(sum(process.cpu_times()[:2]) for process in (here, *here.children()))


def measured(pictures: Callable[[], Pixels]) -> tuple[int, float, float]:
    """How many frames there were, frames a second, and milliseconds of processor time for each."""
    began, worked = time.perf_counter(), processor_s()
    count = sum(1 for _ in pictures())
    return count, count / (time.perf_counter() - began), 1000 * (processor_s() - worked) / count


def main(path: Path) -> int:
    """Measure, and print a row for each way and the ratio."""
    with Readers() as readers:
        pairs = zip(sandboxed(readers, path), in_this_process(path), strict=True)
        if not all(np.array_equal(one, other) for one, other in pairs):
            print("the frames differ", file=sys.stderr)
            return 1
        ways = {"sandbox": lambda: sandboxed(readers, path), "in one process": lambda: in_this_process(path)}
        rounds = [{name: measured(way) for name, way in ways.items()} for _ in range(ROUNDS)]
    for name in ways:
        speeds, costs = ([one[name][column] for one in rounds] for column in (1, 2))
        print(
            f"{name:<15} {statistics.median(speeds):7.0f} frames/s ({min(speeds):.0f} to {max(speeds):.0f})"
            f"  {statistics.median(costs):.2f} ms of processor time a frame"
        )
    for what, column in (("speed", 1), ("processor time", 2)):
        ratio = statistics.median(one["sandbox"][column] / one["in one process"][column] for one in rounds)
        print(f"ratio of {what}, median of {ROUNDS} rounds: {ratio:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
