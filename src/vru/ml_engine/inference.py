"""Run detectors outside of the event loop: a bounded number of frames at once, over all requests."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
import structlog
from numpy.typing import NDArray
from prometheus_client import Counter, Histogram

from vru.domain import VruError
from vru.ml_engine.detectors import Detector, Found
from vru.ml_engine.readers import Readers, VideoPicture
from vru.ml_engine.repository import ModelRepository, ModelVersion
from vru.ml_engine.runtimes import load
from vru.sandbox.shared import Picture
from vru.service.media import resolve
from vru.service.opened import OpenedFile, opened
from vru.service.schemas import DetectionBody, FrameDetections, ModelBody, StreamEnd, VideoDetectionRequest

T = TypeVar("T")
log = structlog.get_logger("vru.ml_engine")

_frames = Counter("vru_ml_frames_total", "Frames that a model has looked at", ["model", "version"])
_seconds = Histogram(
    "vru_ml_inference_seconds",
    "Time that a model took for one frame, without waiting and decoding",
    ["model", "version"],
    buckets=(0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5),
)


def bodies(found: list[Found], frame_index: int, time_s: float, score_threshold: float) -> list[DetectionBody]:
    """What was found in a frame, as clients see it, without what is below the threshold."""
    return [
        DetectionBody(
            frame_index=frame_index,
            time_s=time_s,
            road_user=one.road_user,
            score=one.score,
            x=one.box.x,
            y=one.box.y,
            width=one.box.width,
            height=one.box.height,
        )
        for one in found
        if one.score >= score_threshold
    ]


class Engine:
    """Every model of a repository, loaded, and the threads that run them."""

    def __init__(
        self, repository: ModelRepository, readers: Readers, *, concurrency: int, threads: int, image: str | None
    ) -> None:
        """Load every model; one that cannot be loaded is set aside in the repository, with its reason.

        ``concurrency`` frames are in inference at once, with ``threads`` threads for each. ``image`` names the
        container image that this runs in. ``readers`` read files; who gave them closes them.
        """
        # Process-wide; 1 means: no threads of its own, which is fastest where several frames run at once.
        cv2.setNumThreads(threads)
        self.repository = repository
        self._detectors: dict[str, Detector] = {}
        for version in repository.list():
            try:
                self._detectors[version.label] = load(version, threads)
            except VruError as error:
                repository.set_aside(version, error)
        for wrong in repository.unusable():
            log.error("model is unusable", model=f"{wrong.name}/{wrong.version}", reason=wrong.reason)
        self._concurrency, self._image, self._readers = concurrency, image, readers
        self._pool = ThreadPoolExecutor(concurrency, thread_name_prefix="inference")

    def close(self) -> None:
        """Let running frames finish, forget waiting ones."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def body(self, version: ModelVersion) -> ModelBody:
        """A version as clients see it, with what runs it here."""
        return version.body().model_copy(update={"provider": self._detectors[version.label].provider})

    async def run(self, function: Callable[[], T]) -> T:
        """Call ``function`` on one of the inference threads."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, function)

    def decode(self, data: bytes, max_pixels: int) -> Picture:
        """The pixels of a JPEG or PNG. Blocks. Raises VruError, with the status that says whose fault it is."""
        return self._readers.image_of(data, max_pixels)

    def detect(self, version: ModelVersion, image: NDArray[np.uint8]) -> list[Found]:
        """Everyone in ``image`` (BGR, uint8, HxWx3), the surest first. Blocks: call it on an inference thread."""
        detector: Detector = self._detectors[version.label]
        began = time.perf_counter()
        found = detector.detect(image)
        _seconds.labels(version.card.name, version.card.version).observe(time.perf_counter() - began)
        _frames.labels(version.card.name, version.card.version).inc()
        return found

    async def detect_video(
        self, version: ModelVersion, media_dir: Path, request: VideoDetectionRequest
    ) -> AsyncGenerator[bytes, None]:
        """Lines of NDJSON for a range of a video's frames, in order, while it is decoded.

        What is wrong with the request is raised before this returns. The iterator must be closed (``aclose``) or run
        to its end; closing it stops decoding and inference within one frame.
        """
        # One thread a request decodes: a decoder may not be used by two at once, nor closed while it works.
        decoder = ThreadPoolExecutor(1, thread_name_prefix="decode")
        loop = asyncio.get_running_loop()
        open_files = ExitStack()

        def begin() -> tuple[OpenedFile, Generator[VideoPicture, None, None]]:
            file = open_files.enter_context(opened(resolve(media_dir, request.path)))
            # What is hashed is what is decoded: both read the file that is open, whatever its name leads to.
            file.sha256()
            # One is looked at on each inference thread, one waits for the first that is free, and one was just sent.
            pictures = self._readers.frames(
                file, request.first_frame, request.last_frame, request.frame_stride, kept=self._concurrency + 2
            )
            open_files.callback(pictures.close)
            return file, pictures

        try:
            file, pictures = await loop.run_in_executor(decoder, begin)
        except BaseException:
            decoder.submit(open_files.close)
            decoder.shutdown(wait=False)
            raise
        return self._lines(version, _Source(file, pictures, decoder, open_files), request.score_threshold)

    async def _lines(
        self,
        version: ModelVersion,
        source: "_Source",
        score_threshold: float,
    ) -> AsyncGenerator[bytes, None]:
        loop = asyncio.get_running_loop()
        waiting: deque[tuple[VideoPicture, asyncio.Future[list[Found]]]] = deque()
        frames, error, ended = 0, None, False
        try:
            while not ended or waiting:
                # One frame more than can run is decoded ahead, so that no inference thread waits for a picture.
                while not ended and len(waiting) <= self._concurrency:
                    try:
                        picture = await loop.run_in_executor(source.decoder, next, source.pictures, None)
                    except VruError as reason:
                        error, picture = str(reason), None
                    if picture is None:
                        ended = True
                        break
                    waiting.append((picture, loop.run_in_executor(self._pool, self.detect, version, picture.image)))
                if waiting:
                    picture, future = waiting.popleft()
                    try:
                        found = await future
                    except VruError as reason:  # the model cannot answer for this picture
                        error, ended = f"Frame {picture.frame_index}: {reason}", True
                        break
                    yield _line(picture, found, score_threshold)
                    frames += 1
            end = await loop.run_in_executor(source.decoder, self._end, version, source.file, frames, error)
            yield end.model_dump_json().encode() + b"\n"
        finally:
            for _, future in waiting:
                future.cancel()
            source.decoder.submit(source.open_files.close)
            source.decoder.shutdown(wait=False)
            log.info("video detection ended", model=version.label, frames=frames, error=error, whole=ended)

    def _end(self, version: ModelVersion, file: OpenedFile, frames: int, error: str | None) -> StreamEnd:
        try:
            file.check_unchanged()
        except VruError as changed:
            error = error or str(changed)
        return StreamEnd(
            frames=frames,
            error=error,
            video_sha256=file.sha256(),
            model_sha256=version.sha256,
            image=self._image,
            provider=self._detectors[version.label].provider,
        )


@dataclass(frozen=True, slots=True)
class _Source:
    """A video that is being decoded, the thread that does it, and what to close afterwards."""

    file: OpenedFile
    pictures: Generator[VideoPicture, None, None]
    decoder: ThreadPoolExecutor
    open_files: ExitStack


def _line(picture: VideoPicture, found: list[Found], score_threshold: float) -> bytes:
    detections = bodies(found, picture.frame_index, picture.time_s, score_threshold)
    line = FrameDetections(frame_index=picture.frame_index, time_s=picture.time_s, detections=detections)
    return line.model_dump_json().encode() + b"\n"
