"""``python -m benchmarks.ml_engine MODELS NAME VIDEO``: a model in its locked process, and in this one, in turns.

The same frames of a video, decoded before anything is measured, one by one and as many together as there are cores. It
ends with 1 where an answer differs.
"""

import statistics
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from vru.domain import VruError
from vru.ml_engine.detectors import Detector, Image, InThisProcess, Seen
from vru.ml_engine.media import open_media
from vru.ml_engine.onnx.card import OnnxParameters
from vru.ml_engine.onnx.detector import OnnxDetector
from vru.ml_engine.onnx.locked import LockedModel
from vru.ml_engine.readers import Readers
from vru.ml_engine.repository import ModelRepository
from vru.ml_engine.settings import usable_cores

ROUNDS, FRAMES = 9, 48


def frames(video: Path) -> list[Image]:
    """Frames from all over a video."""
    with Readers() as readers:
        stride = max(1, open_media(readers, video).count // FRAMES)
        return [np.array(one.image) for one in open_media(readers, video, stride).pictures][:FRAMES]


def one_by_one(detector: Detector, images: Sequence[Image]) -> tuple[list[Seen | VruError], float]:
    """What was seen, and the median of milliseconds for one frame."""
    seen, times = [], []
    for image in images:
        began = time.perf_counter()
        seen += detector.look([image])
        times.append(1000 * (time.perf_counter() - began))
    return seen, statistics.median(times)


def together(detector: Detector, images: Sequence[Image]) -> tuple[list[Seen | VruError], float]:
    """What was seen, and frames a second."""
    size, seen = usable_cores(), []
    began = time.perf_counter()
    for start in range(0, len(images), size):
        seen += detector.look(images[start : start + size])
    return seen, len(images) / (time.perf_counter() - began)


def freely(detector: OnnxDetector, images: Sequence[Image]) -> tuple[list[Seen | VruError], float]:
    """As ``together``, but no frame waits for others: the most that this machine gives."""
    with ThreadPoolExecutor(usable_cores()) as threads:
        began = time.perf_counter()
        seen: list[Seen | VruError] = list(threads.map(detector.see, images))
    return seen, len(images) / (time.perf_counter() - began)


def same(one: Sequence[Seen | VruError], other: Sequence[Seen | VruError]) -> bool:
    """Whether both saw the same."""
    return [getattr(a, "found", a) for a in one] == [getattr(b, "found", b) for b in other]


def main(root: Path, name: str, video: Path) -> int:
    """Measure, and print a row for each way and the ratios."""
    version = ModelRepository(root).get(name)
    parameters = OnnxParameters.model_validate(version.card.parameters)
    images = frames(video)
    bare = OnnxDetector(parameters, version.folder / parameters.file)
    here = InThisProcess(bare, usable_cores())
    locked = LockedModel(parameters, version.folder, version.label, threads=1, at_once=usable_cores())
    ways: dict[str, Callable[[], tuple[list[Seen | VruError], float]]] = {
        "one by one, in this process (ms)": lambda: one_by_one(here, images),
        "one by one, locked (ms)": lambda: one_by_one(locked, images),
        "together, in this process (frames/s)": lambda: together(here, images),
        "together, locked (frames/s)": lambda: together(locked, images),
        "threads that do not wait, in this process (frames/s)": lambda: freely(bare, images),
    }
    expected = together(here, images)[0]
    measured: dict[str, list[float]] = {way: [] for way in ways}
    try:
        for _ in range(ROUNDS):
            for way, run in ways.items():
                seen, figure = run()
                if not same(seen, expected):
                    print(f"the answers differ: {way}", file=sys.stderr)
                    return 1
                measured[way].append(figure)
    finally:
        locked.close()
        here.close()
    print(f"{version.label}, {len(images)} frames of {images[0].shape[1]}x{images[0].shape[0]}, {ROUNDS} rounds")
    for way, figures in measured.items():
        print(f"{way:<54} {statistics.median(figures):7.2f} ({min(figures):.2f} to {max(figures):.2f})")
    plain, caged, batch, caged_batch, free = measured.values()
    added = statistics.median(b - a for a, b in zip(plain, caged, strict=True))
    print(f"added to the median of one frame: {added:.2f} ms")
    for what, most in (("together", batch), ("threads that do not wait", free)):
        ratio = statistics.median(b / a for a, b in zip(most, caged_batch, strict=True))
        print(f"throughput of the locked process against {what}, median of rounds: {ratio:.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])))
