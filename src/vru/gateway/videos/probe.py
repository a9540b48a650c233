"""What a video file really holds: every frame is decoded and its time read.

The ML engine decodes the same file with the same library, so a frame's index here is its index there.

``probe`` runs in the sandbox.
"""

import math
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from av.container import InputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream

from vru.domain import VruError
from vru.media.opening import FORMATS, MAX_FRAMES, MAX_SIDE, NOT_A_VIDEO, check_size, opened_video, unreadable


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
    with opened_video(path) as (container, stream):
        try:
            return _read(container, stream)
        except FFmpegError as error:
            raise unreadable("The file", error) from error


def _read(container: InputContainer, stream: VideoStream) -> VideoFacts:  # noqa: C901 - one sentence for each thing that a video can have wrong
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
                check_size(*size)
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
        raise VruError("The video has no frame.", NOT_A_VIDEO)
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
