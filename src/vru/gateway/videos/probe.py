"""What a video file really holds: every frame is decoded and its time read.

The ML engine decodes the same file with the same library, so a frame's index here is its index there.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import av
from av.container import InputContainer

from vru.service.errors import UnprocessableError

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
MAX_FRAMES = 10_000_000
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

    @property
    def frame_count(self) -> int:
        """How many frames can be decoded."""
        return len(self.frame_times)


def probe(path: Path) -> VideoFacts:
    """Decode the whole first video stream of ``path`` and return its facts. Takes CPU time: call it in a thread.

    Raises:
        UnprocessableError: it is no video, or a damaged or cut one, or its frames' times are not usable.
    """
    options = {"format_whitelist": ",".join(FORMATS), "protocol_whitelist": "file"}
    try:
        # An absolute path: FFmpeg would take "concat:..." for a protocol.
        with av.open(str(path.resolve()), container_options=options, metadata_errors="ignore") as container:
            return _read(container)
    except av.error.FFmpegError as error:
        raise UnprocessableError(f"The file is no video that can be read: {error.strerror}.", _NOT_A_VIDEO) from error


def _read(container: InputContainer) -> VideoFacts:
    if not container.streams.video:
        raise UnprocessableError("The file has no video stream.", _NOT_A_VIDEO)
    stream = container.streams.video[0]
    stream.thread_type = "AUTO"
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
                raise UnprocessableError(
                    f"Frame {index} has no time.", "Put the video into a container with timestamps, such as MP4 or MKV."
                )
            seconds = float(frame.pts * frame.time_base)
            if times and seconds <= times[-1]:
                raise UnprocessableError(
                    f"Frame {index} is at {seconds:.6f} s, not after the frame before it ({times[-1]:.6f} s).",
                    "Write the video again with ascending timestamps.",
                )
            if size is None:
                size = (frame.width, frame.height)
            elif size != (frame.width, frame.height):
                raise UnprocessableError(
                    f"The picture changes from {size[0]}x{size[1]} to {frame.width}x{frame.height} at frame {index}.",
                    "Cut the video into parts of one size each.",
                )
            times.append(seconds)
            last_duration = float(frame.duration * frame.time_base) if frame.duration else 0.0
            if index >= MAX_FRAMES:
                raise UnprocessableError(f"The video has more than {MAX_FRAMES} frames.", "Cut it into parts.")
    if size is None:
        raise UnprocessableError("The video has no frame.", _NOT_A_VIDEO)
    if max(size) > MAX_SIDE:
        raise UnprocessableError(
            f"The picture is {size[0]}x{size[1]}, above {MAX_SIDE} pixels a side.", "Scale it down."
        )
    # MP4 lists its samples: fewer than that means that the end of the file is missing. Other formats do not say, or
    # count what is empty as well (AVI).
    if "mov" in container.format.name.split(",") and stream.frames > packets:
        raise UnprocessableError(
            f"The video says that it has {stream.frames} frames, but only {packets} are there: it was cut short.",
            "Copy or export it again.",
        )
    if last_duration <= 0:
        last_duration = (times[-1] - times[0]) / (len(times) - 1) if len(times) > 1 else 0.0
    duration = times[-1] + last_duration - times[0]
    if not (math.isfinite(duration) and duration > 0):
        raise UnprocessableError("The video has no duration.", "A still picture is not enough: at least two frames.")
    return VideoFacts(
        # The codec's own name, and not that of the decoder that reads it (av1, not libdav1d).
        codec=stream.codec_context.codec.canonical_name,
        extension=_extension(container),
        width=size[0],
        height=size[1],
        frame_times=times,
        duration_s=duration,
    )


def _damaged(index: int) -> UnprocessableError:
    return UnprocessableError(f"The video is damaged at frame {index}.", "Copy or export it again.")


def _extension(container: InputContainer) -> str:
    names = container.format.name.split(",")
    return next((extension for name, extension in FORMATS.items() if name in names), ".bin")
