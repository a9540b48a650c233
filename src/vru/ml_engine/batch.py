"""Run a detector over many pictures, several at once, in order."""

import time
from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from vru.ml_engine.detectors import Detector, Found
from vru.ml_engine.media import Picture


@dataclass(frozen=True, slots=True)
class Looked:
    """A picture, what was found in it, and how long the model took: seconds, without decoding and waiting."""

    picture: Picture
    found: list[Found]
    seconds: float


def look_at(detector: Detector, pictures: Iterable[Picture], workers: int) -> Generator[Looked, None, None]:
    """Each picture in order. ``workers`` are looked at at once, while the next one is decoded."""

    def look(picture: Picture) -> Looked:
        began = time.perf_counter()
        found = detector.detect(picture.image)
        return Looked(picture, found, time.perf_counter() - began)

    waiting: deque[Future[Looked]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="detect")
    try:
        for picture in pictures:
            waiting.append(pool.submit(look, picture))
            # One more than can run, so that no thread waits for a picture.
            if len(waiting) > workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
