"""Decode frames of a video by their exact time, without decoding what comes long before. Runs in the sandbox.

A frame's index is its place in presentation order, from 0; its time is ``pts * time_base``, never ``index / fps``.
"""

from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from vru.domain import VruError
from vru.media.facts import TableFacts
from vru.media.opening import MAX_FRAMES, check_size, opened_video, unreadable
from vru.sandbox.shared import Picture

# In these codecs each packet that is not marked as discarded shows one frame. In others (VP8, VP9, ...) a packet may
# show none, so that only decoding tells which frames there are.
_ONE_FRAME_A_PACKET = {"h264", "hevc", "mpeg4", "mjpeg", "mpeg2video"}


def frame_table(path: Path, name: str) -> TableFacts:
    """The table of the frames of a video, which is called ``name``.

    Raises:
        VruError: the file is no video, or its frames have no usable timestamps.
    """
    with opened_video(path, f"The file {name}") as (container, stream):
        time_base = stream.time_base
        from_ = _from_packets if stream.codec_context.name in _ONE_FRAME_A_PACKET else _from_frames
        try:
            shown, entries = from_(container, stream)
        except av.FFmpegError as error:
            raise unreadable(f"The file {name}", error) from error
    if not shown or time_base is None:
        raise VruError(f"The video {name} has no frame.", "Upload a video that plays.")
    pts = [value for value in shown if value is not None]
    if len(pts) != len(shown):
        raise VruError(
            f"The video {name} has frames without a timestamp.", "Convert it to MP4, for example with ffmpeg."
        )
    ordered = sorted(pts)
    if len(set(ordered)) != len(ordered):
        raise VruError(
            f"The video {name} has two frames with one timestamp.", "Convert it again with distinct timestamps."
        )
    return TableFacts(ordered, (time_base.numerator, time_base.denominator), sorted(entries))


def _from_packets(container: InputContainer, stream: VideoStream) -> tuple[list[int | None], set[int]]:
    shown: list[int | None] = []
    entries: set[int] = set()
    for packet in container.demux(stream):
        if packet.size == 0 or packet.is_discard:
            continue
        shown.append(packet.pts)
        _check_count(len(shown))
        if packet.is_keyframe and packet.pts is not None:
            entries.add(packet.pts)
    return shown, entries


def _from_frames(container: InputContainer, stream: VideoStream) -> tuple[list[int | None], set[int]]:
    """As ``_from_packets``, by decoding everything; decoding may then begin only at the first frame."""
    shown: list[int | None] = []
    for frame in container.decode(stream):
        shown.append(frame.pts)
        _check_count(len(shown))
    return shown, {pts for pts in shown[:1] if pts is not None}


def _check_count(count: int) -> None:
    if count > MAX_FRAMES:
        raise VruError(f"The video has more than {MAX_FRAMES} frames.", "Cut it into parts.")


def frames(
    path: Path, name: str, wanted: list[int], entry: int | None, first: int, step: int
) -> Generator[tuple[int, Picture], None, None]:
    """The frames whose pts are ``wanted``, rising, each with its place in ``wanted``, as they are decoded.

    Decoding begins at the key frame ``entry``, or at the first frame. ``first`` is the index of the first wanted frame
    and ``step`` from one to the next: errors name frames by their index.

    Raises:
        VruError: one of them is not there, or damaged.
    """
    reached = 0
    # Some containers and streams cannot be entered where their index says. Then everything is decoded, from the start.
    for seek_to in (entry, None) if entry is not None else (None,):
        try:
            with closing(_decoded(path, name, wanted, seek_to)) as pictures:
                for place, frame in pictures:
                    yield place, _bgr(frame)
                    reached = place + 1
        except _NotEnterable:
            continue
        except av.FFmpegError as error:
            raise _damaged(name, first + reached * step, str(error.strerror)) from error
        if reached < len(wanted):
            raise _damaged(name, first + reached * step, "it is missing")
        return


class _NotEnterable(Exception):
    """Decoding from a key frame did not give the first frame that was wanted."""


def _damaged(name: str, index: int, why: str) -> VruError:
    return VruError(f"The video {name} is damaged: frame {index} cannot be decoded: {why}.", "Upload the video again.")


def _decoded(
    path: Path, name: str, wanted: list[int], seek_to: int | None
) -> Generator[tuple[int, VideoFrame], None, None]:
    """The wanted frames in order, up to the first that is missing."""
    place = 0
    with opened_video(path, f"The file {name}") as (container, stream):
        if seek_to is not None:
            container.seek(seek_to, stream=stream, backward=True)
        for frame in _sized(container.decode(stream)):
            if frame.pts is None or frame.pts < wanted[place]:
                continue
            entering = seek_to is not None and place == 0
            if frame.pts > wanted[place] or (entering and frame.is_corrupt):
                break
            yield place, frame
            place += 1
            if place == len(wanted):
                return
    if seek_to is not None and place == 0:
        raise _NotEnterable


def play(path: Path, name: str) -> Generator[tuple[float, Picture], None, None]:
    """Every frame with its time in seconds, in the order in which they are shown.

    Raises:
        VruError: the file is no video, is damaged, or its frames have no times.
    """
    with opened_video(path, f"The file {name}") as (container, stream):
        try:
            for frame in _sized(container.decode(stream)):
                if frame.pts is None or frame.time_base is None:
                    raise VruError(f"The video {name} has a frame without a timestamp.", "Convert it to MP4.")
                yield float(frame.pts * frame.time_base), _bgr(frame)
        except av.FFmpegError as error:
            raise VruError(f"The video {name} is damaged: {error.strerror}.", "Upload it again.") from error


def _sized(decoded: Iterator[VideoFrame]) -> Iterator[VideoFrame]:
    """Frames, as long as they have one size."""
    size: tuple[int, int] | None = None
    for frame in decoded:
        if size is None:
            size = (frame.width, frame.height)
            check_size(*size)
        elif size != (frame.width, frame.height):
            raise VruError(
                f"The picture changes from {size[0]}x{size[1]} to {frame.width}x{frame.height}.",
                "Cut the video into parts of one size each.",
            )
        yield frame


def _bgr(frame: VideoFrame) -> Picture:
    return np.asarray(frame.to_ndarray(format="bgr24"), np.uint8)
