"""Requests: what is decoded, put in front of a model, and said of it, outside of the event loop."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import structlog

from vru.domain import VruError
from vru.ml_engine.detectors import Found
from vru.ml_engine.lanes import Answer, Lane, Priority
from vru.ml_engine.readers import Readers, VideoPicture
from vru.ml_engine.serving import Models, Served
from vru.sandbox.shared import Picture
from vru.service.media import resolve
from vru.service.opened import OpenedFile, opened
from vru.service.schemas import DetectionBody, FrameDetections, StreamEnd, VideoDetectionRequest

log = structlog.get_logger("vru.ml_engine")
# Threads that wait for the children that decode.
_DECODERS = 32


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
    """Requests on the models of a repository: pictures and videos are decoded, and put in front of a model."""

    def __init__(self, models: Models, readers: Readers, *, ahead: int, image: str | None) -> None:
        """``ahead`` frames of a video are decoded before the first of them is seen.

        ``image`` names the container image that this runs in. Who gave ``models`` and ``readers`` closes them.
        """
        self.models = models
        self._readers, self._ahead, self._image = readers, ahead, image
        self._decoders = ThreadPoolExecutor(_DECODERS, thread_name_prefix="decode picture")

    def close(self) -> None:
        """Forget pictures that wait to be decoded."""
        self._decoders.shutdown(wait=True, cancel_futures=True)

    async def detect_image(
        self, lane: Lane, data: bytes, max_pixels: int, priority: Priority, until: float | None
    ) -> tuple[Picture, Answer]:
        """The pixels of a JPEG or PNG, and what a model sees in it until ``until`` (monotonic seconds).

        Raises:
            VruError: with the status that says whose fault it is.
        """
        loop = asyncio.get_running_loop()
        with lane.announced():
            picture = await loop.run_in_executor(self._decoders, self._readers.image_of, data, max_pixels)
            answer = lane.put(picture, priority, until)
        return picture, await asyncio.wrap_future(answer)

    async def detect_video(
        self, name: str, number: str, media_dir: Path, request: VideoDetectionRequest
    ) -> AsyncGenerator[bytes, None]:
        """Lines of NDJSON for a range of a video's frames, in order, while it is decoded.

        What is wrong with the request is raised before this returns. The iterator must be closed (``aclose``) or run
        to its end; closing it stops decoding and inference within one frame.
        """
        # One thread a request decodes: a decoder may not be used by two at once, nor closed while it works.
        decoder = ThreadPoolExecutor(1, thread_name_prefix="decode")
        loop = asyncio.get_running_loop()
        open_files = ExitStack()
        served = open_files.enter_context(self.models.use(name, number))

        def begin() -> tuple[OpenedFile, Generator[VideoPicture, None, None]]:
            file = open_files.enter_context(opened(resolve(media_dir, request.path)))
            # What is hashed is what is decoded: both read the file that is open, whatever its name leads to.
            file.sha256()
            # One more is being decoded, and one was just sent.
            pictures = self._readers.frames(
                file, request.first_frame, request.last_frame, request.frame_stride, kept=self._ahead + 2
            )
            open_files.callback(pictures.close)
            return file, pictures

        try:
            file, pictures = await loop.run_in_executor(decoder, begin)
        except BaseException:
            decoder.submit(open_files.close)
            decoder.shutdown(wait=False)
            raise
        return self._lines(served, _Source(file, pictures, decoder, open_files), request.score_threshold)

    async def _lines(
        self,
        served: Served,
        source: "_Source",
        score_threshold: float,
    ) -> AsyncGenerator[bytes, None]:
        loop = asyncio.get_running_loop()
        waiting: deque[tuple[VideoPicture, asyncio.Future[Answer]]] = deque()
        frames, error, ended = 0, None, False
        try:
            while not ended or waiting:
                # So many are decoded ahead that the model need not wait for a picture.
                while not ended and len(waiting) < self._ahead:
                    with served.lane.announced():
                        try:
                            picture = await loop.run_in_executor(source.decoder, next, source.pictures, None)
                        except VruError as reason:
                            error, picture = str(reason), None
                        if picture is None:
                            ended = True
                            break
                        coming = served.lane.put(picture.image, Priority.BULK)
                    waiting.append((picture, asyncio.wrap_future(coming)))
                if waiting:
                    picture, future = waiting.popleft()
                    try:
                        answer = await future
                    except VruError as reason:  # the model cannot answer for this picture
                        error, ended = f"Frame {picture.frame_index}: {reason}", True
                        break
                    yield _line(picture, answer.seen.found, score_threshold)
                    frames += 1
            end = await loop.run_in_executor(source.decoder, self._end, served, source.file, frames, error)
            yield end.model_dump_json().encode() + b"\n"
        finally:
            for _, future in waiting:
                future.cancel()
            source.decoder.submit(source.open_files.close)
            source.decoder.shutdown(wait=False)
            log.info("video detection ended", model=served.version.label, frames=frames, error=error, whole=ended)

    def _end(self, served: Served, file: OpenedFile, frames: int, error: str | None) -> StreamEnd:
        try:
            file.check_unchanged()
        except VruError as changed:
            error = error or str(changed)
        return StreamEnd(
            frames=frames,
            error=error,
            video_sha256=file.sha256(),
            model_sha256=served.version.sha256,
            image=self._image,
            provider=served.lane.provider,
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
