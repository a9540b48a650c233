"""Run a detector over many pictures, several at once, in order."""

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

from vru.domain import VruError
from vru.ml_engine.detectors import Detector, Found, Seen
from vru.ml_engine.media import Picture


@dataclass(frozen=True, slots=True)
class Looked:
    """A picture, what was found in it, and how long the model took: seconds, without decoding and waiting."""

    picture: Picture
    found: list[Found]
    seconds: float


def look_at(detector: Detector, pictures: Iterable[Picture], together: int) -> Generator[Looked, None, None]:
    """Each picture in order. ``together`` are looked at at once, while the next ones are decoded.

    Raises:
        VruError: the model has no answer for a picture; it is named.
    """
    waiting: deque[tuple[tuple[Picture, ...], Future[list[Seen | VruError]]]] = deque()
    pool = ThreadPoolExecutor(1, thread_name_prefix="detect")
    try:
        coming = iter(pictures)
        while batch := tuple(islice(coming, together)):
            waiting.append((batch, pool.submit(detector.look, [picture.image for picture in batch])))
            if len(waiting) > 1:
                yield from _looked(*waiting.popleft())
        while waiting:
            yield from _looked(*waiting.popleft())
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _looked(batch: tuple[Picture, ...], coming: Future[list[Seen | VruError]]) -> Iterator[Looked]:
    for picture, seen in zip(batch, coming.result(), strict=True):
        if isinstance(seen, VruError):
            raise VruError(f"{picture.name}: {seen.message}", seen.fix)
        yield Looked(picture, seen.found, seen.stages.whole)
