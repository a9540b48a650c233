"""Open a video that is an open file already. What its header says is checked before FFmpeg makes room for it.

Everything that decodes a video does it through here, in a child of ``vru.sandbox``. It imports FFmpeg only.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import av.subtitles.stream  # av imports it when it first opens a file: in the sandbox that is too late
from av.container import InputContainer
from av.video.stream import VideoStream

from vru.domain import VruError

# FFmpeg's demuxers that are allowed to open a file, with the extension that such a file gets here. Others are not
# even tried: playlists would make a service read other files and addresses, and FFmpeg takes any text for a video.
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
NOT_A_VIDEO = "Upload a video file, for example MP4 (H.264), MKV, WebM or AVI."


@contextmanager
def opened_video(path: Path, what: str = "The file") -> Iterator[tuple[InputContainer, VideoStream]]:
    """The container and its first video stream, ready to be decoded. ``what`` is its name in what is said of it.

    Raises:
        VruError: it is no video that can be read, or its header says what cannot be.
    """
    with path.open("rb") as file:
        # FFmpeg gets the open file and no name: nothing that it could take for another file or an address.
        options = {"format_whitelist": ",".join(FORMATS), "protocol_whitelist": "fd", "fd": str(file.fileno())}
        try:
            container = av.open("fd:", container_options=options, options=_DECODER, metadata_errors="ignore")
        except av.error.FFmpegError as error:
            raise unreadable(what, error) from error
        with container:
            yield container, _begin(container, os.fstat(file.fileno()).st_size, what)


def unreadable(what: str, error: av.error.FFmpegError) -> VruError:
    """What FFmpeg says of a file that it cannot read."""
    return VruError(f"{what} is not a video that can be read: {error.strerror}.", NOT_A_VIDEO)


def check_size(width: int, height: int) -> None:
    """Do nothing if a picture may have this size in pixels.

    Raises:
        VruError: it may not.
    """
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        raise VruError(
            f"The picture is {width}x{height}, above {MAX_SIDE} pixels a side or {MAX_PIXELS} in all.", "Scale it down."
        )


def _begin(container: InputContainer, size_bytes: int, what: str) -> VideoStream:
    if not container.streams.video:
        raise VruError(f"{what} has no video stream.", NOT_A_VIDEO)
    stream = container.streams.video[0]
    check_size(stream.codec_context.width, stream.codec_context.height)
    if stream.frames > min(MAX_FRAMES, size_bytes):
        raise VruError(
            f"{what} says that it has {stream.frames} frames, in {size_bytes} bytes; at most {MAX_FRAMES} are read.",
            "Export it again, or cut it into parts.",
        )
    pixels = max(1, stream.codec_context.width * stream.codec_context.height)
    stream.codec_context.options = _DECODER
    stream.codec_context.thread_count = max(1, min(_PIXELS_IN_FLIGHT // pixels, len(os.sched_getaffinity(0)) + 1))
    stream.thread_type = "AUTO"
    return stream
