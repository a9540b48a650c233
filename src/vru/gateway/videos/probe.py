"""What a video file really holds: every frame is decoded and its time read.

The ML engine decodes the same file with the same library, so a frame's index here is its index there.

``probe`` runs in the sandbox: this module imports nothing heavy but FFmpeg. What a header says is checked before
FFmpeg makes room for it.
"""

import math
import os
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import av
import av.subtitles.stream  # av imports it when it first opens a file: in the sandbox that is too late
from av.container import InputContainer
from av.video.stream import VideoStream

from vru.domain import VruError
from vru.sandbox.limits import MEBIBYTE, Limits

# FFmpeg's demuxers that are allowed to open a file, with the extension that such a file gets here. Others are not
# even tried: playlists would make the server read other files and addresses, and FFmpeg takes any text for a video.
FORMATS = {
    "mov": ".mp4",
    "matroska": ".mkv",
    "avi": ".avi",
    "mpegts": ".ts",
    "mpeg": ".mpg",
    "flv": ".flv",
    "ogg": ".ogv",
    "asf": ".wmv",
    "h264": ".h264",
    "hevc": ".h265",
    "m4v": ".m4v",
    "ivf": ".ivf",
    "mxf": ".mxf",
}
MAX_SIDE = 16_384
# 8K, as cinema has it. A picture of it takes 53 MB (4:2:0), and a decoder keeps several.
MAX_PIXELS = 8192 * 4320
# A thread keeps a picture of its own: large ones are decoded by few threads.
_PIXELS_IN_FLIGHT = 2 * MAX_PIXELS
MAX_FRAMES = 5_000_000
# FFmpeg's own check, before it makes room for a picture: raw streams say their size only when they are decoded.
_DECODER = {"max_pixels": str(MAX_PIXELS)}
_NOT_A_VIDEO = "Upload a video file, for example MP4 (H.264), MKV, WebM or AVI."


@dataclass(frozen=True)
class VideoFacts:
    """What was measured. Pixels; seconds of media time, one per frame, strictly ascending."""

    codec: str
    extension: str
    width: int
    height: int
    frame_times: list[float]
    duration_s: float

    def __post_init__(self) -> None:
        # They come from a process that bytes from outside may have taken over.
        times = self.frame_times
        ascending = all(before < after for before, after in pairwise(times))
        if not (self.extension in FORMATS.values() and self.codec.isidentifier() and len(self.codec) <= 50):
            raise ValueError("no video's format")
        if not (0 < self.width <= MAX_SIDE and 0 < self.height <= MAX_SIDE and 0 < self.duration_s < math.inf):
            raise ValueError("no video's size")
        if not (times and ascending and all(map(math.isfinite, times))):
            raise ValueError("no video's frame times")

    @property
    def frame_count(self) -> int:
        """How many frames can be decoded."""
        return len(self.frame_times)


def probe(path: Path) -> VideoFacts:
    """Decode the whole first video stream of ``path`` and return its facts.

    Raises:
        VruError: it is no video, or a damaged or cut one, or its frames' times are not usable.
    """
    with path.open("rb") as file:
        # FFmpeg gets the open file and no name: nothing that it could take for another file or an address.
        options = {"format_whitelist": ",".join(FORMATS), "protocol_whitelist": "fd", "fd": str(file.fileno())}
        try:
            with av.open("fd:", container_options=options, options=_DECODER, metadata_errors="ignore") as container:
                return _read(container, os.fstat(file.fileno()).st_size)
        except av.error.FFmpegError as error:
            raise VruError(f"The file is no video that can be read: {error.strerror}.", _NOT_A_VIDEO) from error


def limits(size_bytes: int) -> Limits:
    """What probing a file of this size may take."""
    # Decoding takes less than a second of one core for a megabyte of usual video.
    cpu_s = 60 + 4 * size_bytes / MEBIBYTE
    return Limits(memory_bytes=1024 * MEBIBYTE, cpu_s=cpu_s, wall_s=120 + 4 * cpu_s)


def _begin(container: InputContainer, size_bytes: int) -> VideoStream:
    """The first video stream, if what the header says of it can be."""
    if not container.streams.video:
        raise VruError("The file has no video stream.", _NOT_A_VIDEO)
    stream = container.streams.video[0]
    _check_size(stream.codec_context.width, stream.codec_context.height)
    if stream.frames > min(MAX_FRAMES, size_bytes):
        raise VruError(
            f"The video says that it has {stream.frames} frames, in {size_bytes} bytes; at most {MAX_FRAMES} are read.",
            "Export it again, or cut it into parts.",
        )
    pixels = max(1, stream.codec_context.width * stream.codec_context.height)
    stream.codec_context.options = _DECODER
    stream.codec_context.thread_count = max(1, min(_PIXELS_IN_FLIGHT // pixels, _cores()))
    stream.thread_type = "AUTO"
    return stream


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _check_size(width: int, height: int) -> None:
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        raise VruError(
            f"The picture is {width}x{height}, above {MAX_SIDE} pixels a side or {MAX_PIXELS} in all.", "Scale it down."
        )


def _read(container: InputContainer, size_bytes: int) -> VideoFacts:
    stream = _begin(container, size_bytes)
    times: list[float] = []
    size: tuple[int, int] | None = None
    last_duration = 0.0
    packets = 0
    for packet in container.demux(stream):
        packets += packet.size > 0
        if packet.is_corrupt:
            raise _damaged(len(times))
        for frame in packet.decode():
            index = len(times)
            if frame.is_corrupt:
                raise _damaged(index)
            if frame.pts is None or frame.time_base is None:
                raise VruError(
                    f"Frame {index} has no time.", "Put the video into a container with timestamps, such as MP4 or MKV."
                )
            seconds = float(frame.pts * frame.time_base)
            if times and seconds <= times[-1]:
                raise VruError(
                    f"Frame {index} is at {seconds:.6f} s, not after the frame before it ({times[-1]:.6f} s).",
                    "Write the video again with ascending timestamps.",
                )
            if size is None:
                size = (frame.width, frame.height)
                _check_size(*size)
            elif size != (frame.width, frame.height):
                raise VruError(
                    f"The picture changes from {size[0]}x{size[1]} to {frame.width}x{frame.height} at frame {index}.",
                    "Cut the video into parts of one size each.",
                )
            times.append(seconds)
            last_duration = float(frame.duration * frame.time_base) if frame.duration else 0.0
            if index >= MAX_FRAMES:
                raise VruError(f"The video has more than {MAX_FRAMES} frames.", "Cut it into parts.")
    if size is None:
        raise VruError("The video has no frame.", _NOT_A_VIDEO)
    # MP4 lists its samples: fewer than that means that the end of the file is missing. Other formats do not say, or
    # count what is empty as well (AVI).
    if "mov" in container.format.name.split(",") and stream.frames > packets:
        raise VruError(
            f"The video says that it has {stream.frames} frames, but only {packets} are there: it was cut short.",
            "Copy or export it again.",
        )
    if last_duration <= 0:
        last_duration = (times[-1] - times[0]) / (len(times) - 1) if len(times) > 1 else 0.0
    duration = times[-1] + last_duration - times[0]
    if not (math.isfinite(duration) and duration > 0):
        raise VruError("The video has no duration.", "A still picture is not enough: at least two frames.")
    return VideoFacts(
        # The codec's own name, and not that of the decoder that reads it (av1, not libdav1d).
        codec=stream.codec_context.codec.canonical_name,
        extension=_extension(container),
        width=size[0],
        height=size[1],
        frame_times=times,
        duration_s=duration,
    )


def _damaged(index: int) -> VruError:
    return VruError(f"The video is damaged at frame {index}.", "Copy or export it again.")


def _extension(container: InputContainer) -> str:
    names = container.format.name.split(",")
    return next((extension for name, extension in FORMATS.items() if name in names), ".bin")
