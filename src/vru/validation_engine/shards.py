"""A shard of a run: what to do, and doing it. Knows nothing of the database, the queue or the fence around it."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus

import aiohttp
from pydantic import ValidationError

from vru.domain import VruError
from vru.service.schemas import DetectionBody, FrameDetections, StreamEnd, VideoDetectionRequest

# A frame with thousands of detections is a long line.
_LONGEST_LINE = 64 * 1024 * 1024


class ShardError(VruError):
    """Detection failed. Trying again may help."""


class EngineUnavailableError(VruError):
    """The ML engine does not answer. Waiting usually helps."""


class RefusedError(VruError):
    """The ML engine says that the request cannot be done. Trying again does not help."""


@dataclass(frozen=True, slots=True)
class ShardSpec:
    """Everything that decides a shard's result: the frames ``first_frame``, ``first_frame + frame_stride``, ... up to
    ``last_frame`` of one video, through one version of one model. The digests are those that the run was started with.
    """

    model: str
    model_version: str
    model_sha256: str | None
    video_path: str
    video_sha256: str
    first_frame: int
    last_frame: int
    frame_stride: int
    score_threshold: float

    @property
    def frames(self) -> range:
        """Indices of the frames to evaluate."""
        return range(self.first_frame, self.last_frame + 1, self.frame_stride)


@dataclass(frozen=True, slots=True)
class ShardResult:
    """The detections of all frames of a shard, and what the ML engine opened for them, None for nothing."""

    detections: list[DetectionBody]
    frames: int
    video_sha256: str | None
    model_sha256: str | None
    engine_image: str | None
    engine_provider: str | None


def plan(frame_count: int, frame_stride: int, shard_frames: int) -> list[tuple[int, int]]:
    """First and last frame of each shard: ``shard_frames`` evaluated frames each, the last one fewer.

    Every shard begins and ends with an evaluated frame, so that "every n-th" means the same in all.
    """
    evaluated = range(0, frame_count, frame_stride)
    parts = [evaluated[start : start + shard_frames] for start in range(0, len(evaluated), shard_frames)]
    return [(part[0], part[-1]) for part in parts]


async def execute(
    spec: ShardSpec,
    session: aiohttp.ClientSession,
    ml_engine_url: str,
    progress: Callable[[int], Awaitable[None]] | None = None,
) -> ShardResult:
    """Detect in the shard's frames, by the ML engine. ``progress`` is called with the number of frames done.

    Raises:
        EngineUnavailableError: the ML engine cannot be reached, or says that it is not ready.
        RefusedError: it refuses: no such model or video; or it opened another video or model than the run's.
        ShardError: detection failed or was cut short, or the answer is not that of these frames.
    """
    request = VideoDetectionRequest(
        path=spec.video_path,
        first_frame=spec.first_frame,
        last_frame=spec.last_frame,
        frame_stride=spec.frame_stride,
        score_threshold=spec.score_threshold,
    )
    url = f"{ml_engine_url}/models/{spec.model}/{spec.model_version}/detect-video"
    try:
        async with session.post(url, json=request.model_dump(), read_bufsize=2**20) as response:
            await _check_status(response)
            return await _collect(spec, response, progress)
    except aiohttp.ClientConnectorError as error:
        raise EngineUnavailableError(f"The ML engine cannot be reached: {error}.") from error
    except (aiohttp.ClientError, TimeoutError) as error:
        raise ShardError(f"The ML engine's answer broke off: {error or type(error).__name__}.") from error


async def _check_status(response: aiohttp.ClientResponse) -> None:
    if response.status == HTTPStatus.OK:
        return
    text = await response.text()
    try:
        reason = str(json.loads(text)["detail"])
    except (ValueError, KeyError, TypeError):
        reason = text.strip()[:500] or f"status {response.status}"
    unavailable = (HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS)
    if response.status in unavailable:
        raise EngineUnavailableError(f"The ML engine is not ready: {reason}")
    if response.status < HTTPStatus.INTERNAL_SERVER_ERROR:
        raise RefusedError(f"The ML engine refuses: {reason}")
    raise ShardError(f"The ML engine failed: {reason}")


async def _collect(
    spec: ShardSpec, response: aiohttp.ClientResponse, progress: Callable[[int], Awaitable[None]] | None
) -> ShardResult:
    expected = spec.frames
    detections: list[DetectionBody] = []
    done = 0
    async for line in _lines(response):
        try:
            if line.startswith(b'{"end"'):
                end = StreamEnd.model_validate_json(line)
                _check_end(end, done, len(expected))
                return _result(spec, end, detections)
            frame = FrameDetections.model_validate_json(line)
        except ValidationError as error:
            raise ShardError(f"The ML engine's answer has a line that is not understood: {line[:200]!r}.") from error
        if done >= len(expected) or frame.frame_index != expected[done]:
            wanted = f"frame {expected[done]}" if done < len(expected) else "the end"
            raise ShardError(f"The ML engine sent frame {frame.frame_index} where {wanted} was due.")
        if any(detection.frame_index != frame.frame_index for detection in frame.detections):
            raise ShardError(f"The ML engine sent a detection of another frame with frame {frame.frame_index}.")
        detections.extend(frame.detections)
        done += 1
        if progress:
            await progress(done)
    raise ShardError(f"The ML engine's answer ended after {done} of {len(expected)} frames without its last line.")


async def _lines(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    rest = b""
    async for chunk in response.content.iter_any():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line.strip():
                yield line
        if len(rest) > _LONGEST_LINE:
            raise ShardError("The ML engine's answer has a line that does not end.")
    if rest.strip():
        yield rest


def _check_end(end: StreamEnd, done: int, expected: int) -> None:
    if end.error:
        raise ShardError(f"The ML engine stopped after {done} of {expected} frames: {end.error}")
    if end.frames != done or done != expected:
        raise ShardError(f"The ML engine says that it sent {end.frames} frames; {done} came, {expected} were due.")


def _result(spec: ShardSpec, end: StreamEnd, detections: list[DetectionBody]) -> ShardResult:
    if end.video_sha256 is None or end.model_sha256 is None:
        raise EngineUnavailableError("The ML engine is older than this worker: it does not say which files it opened.")
    if end.video_sha256 != spec.video_sha256:
        raise RefusedError(
            f"The video {spec.video_path} in the media store is not the one that was uploaded: its SHA-256 is "
            f"{end.video_sha256}, not {spec.video_sha256}.",
            "Restore it from a backup, or upload it again and start a new run.",
        )
    if spec.model_sha256 not in (None, end.model_sha256):
        raise RefusedError(
            f"The files of model {spec.model}/{spec.model_version} changed since the run was started: their SHA-256 is "
            f"{end.model_sha256}, not {spec.model_sha256}.",
            "Give the changed model a version of its own, and start a new run.",
        )
    return ShardResult(detections, end.frames, end.video_sha256, end.model_sha256, end.image, end.provider)
