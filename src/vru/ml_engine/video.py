"""Read frames of a video by their exact index and time, without decoding what comes long before.

A frame's index is its place in presentation order, from 0; its time is ``pts * time_base``, never ``index / fps``.
"""

from bisect import bisect_right
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import av
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream
from numpy.typing import NDArray

from vru.domain import VruError
from vru.service.errors import UnprocessableError
from vru.service.media import open_video
from vru.service.opened import OpenedFile

# In these codecs each packet that is not marked as discarded shows one frame. In others (VP8, VP9, ...) a packet may
# show none, so that only decoding tells which frames there are.
_ONE_FRAME_A_PACKET = {"h264", "hevc", "mpeg4", "mjpeg", "mpeg2video"}


@dataclass(frozen=True, slots=True)
class FrameTable:
    """Which frames a video has: ``pts`` in presentation order, and where decoding may begin.

    ``entries`` are the pts of key frames, rising. Decoding from one of them gives every frame from its pts on.
    """

    pts: tuple[int, ...]
    time_base: Fraction
    entries: tuple[int, ...]

    def time_s(self, index: int) -> float:
        """Seconds of media time of one frame."""
        return float(self.pts[index] * self.time_base)


@dataclass(frozen=True, slots=True)
class VideoPicture:
    """One frame: BGR, uint8, HxWx3."""

    frame_index: int
    time_s: float
    image: NDArray[np.uint8]


@lru_cache(maxsize=64)
def frame_table(file: OpenedFile) -> FrameTable:
    """The table of a video's frames. Kept for the videos read last, as long as the file does not change.

    Raises:
        UnprocessableError: the file is no video, or its frames have no usable timestamps.
    """
    with open_video(file) as container:
        stream = container.streams.video[0]
        time_base = stream.time_base
        if stream.codec_context.name in _ONE_FRAME_A_PACKET:
            shown, entries = _from_packets(container, stream)
        else:
            shown, entries = _from_frames(container, stream)
    if not shown or time_base is None:
        raise UnprocessableError(f"The video {file.name} has no frame.", "Upload a video that plays.")
    pts = [value for value in shown if value is not None]
    if len(pts) != len(shown):
        raise UnprocessableError(
            f"The video {file.name} has frames without a timestamp.", "Convert it to MP4, for example with ffmpeg."
        )
    ordered = tuple(sorted(pts))
    if len(set(ordered)) != len(ordered):
        raise UnprocessableError(
            f"The video {file.name} has two frames with one timestamp.", "Convert it again with distinct timestamps."
        )
    return FrameTable(ordered, time_base, tuple(sorted(entries)))


def _from_packets(container: InputContainer, stream: VideoStream) -> tuple[list[int | None], set[int]]:
    shown: list[int | None] = []
    entries: set[int] = set()
    for packet in container.demux(stream):
        if packet.size == 0 or packet.is_discard:
            continue
        shown.append(packet.pts)
        if packet.is_keyframe and packet.pts is not None:
            entries.add(packet.pts)
    return shown, entries


def _from_frames(container: InputContainer, stream: VideoStream) -> tuple[list[int | None], set[int]]:
    """As ``_from_packets``, by decoding everything; decoding may then begin only at the first frame."""
    shown = [frame.pts for frame in container.decode(stream)]
    return shown, {pts for pts in shown[:1] if pts is not None}


def read_frames(file: OpenedFile, first: int, last: int, stride: int = 1) -> Generator[VideoPicture, None, None]:
    """Frames ``first`` to ``last`` (both included), every ``stride``-th by index, as they are decoded.

    Raises:
        UnprocessableError: there are no such frames; before the first is read.
    """
    table = frame_table(file)
    if not 0 <= first <= last < len(table.pts):
        raise UnprocessableError(
            f"The video {file.name} has no frames {first} to {last}.", f"It has the frames 0 to {len(table.pts) - 1}."
        )
    return _read_frames(file, table, range(first, last + 1, stride))


def _read_frames(file: OpenedFile, table: FrameTable, wanted: range) -> Generator[VideoPicture, None, None]:
    """As ``read_frames``; closing it closes the file."""
    entry = bisect_right(table.entries, table.pts[wanted[0]]) - 1
    reached = wanted.start
    # Some containers and streams cannot be entered where their index says. Then everything is decoded, from the start.
    for seek_to in (table.entries[entry], None) if entry > 0 else (None,):
        try:
            with closing(_decode(file, table, wanted, seek_to)) as pictures:
                for picture in pictures:
                    yield picture
                    reached = picture.frame_index + wanted.step
        except _NotEnterable:
            continue
        except av.FFmpegError as error:
            raise _damaged(file, reached, str(error.strerror)) from error
        if reached <= wanted[-1]:
            raise _damaged(file, reached, "it is missing")
        return


class _NotEnterable(Exception):
    """Decoding from a key frame did not give the first frame that was wanted."""


def _damaged(file: OpenedFile, index: int, why: str) -> VruError:
    return UnprocessableError(
        f"The video {file.name} is damaged: frame {index} cannot be decoded: {why}.", "Upload the video again."
    )


def _decode(
    file: OpenedFile, table: FrameTable, wanted: range, seek_to: int | None
) -> Generator[VideoPicture, None, None]:
    """The wanted frames in order, up to the first that is missing."""
    due = iter(wanted)
    index = next(due)
    with open_video(file) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        if seek_to is not None:
            container.seek(seek_to, stream=stream, backward=True)
        for frame in container.decode(stream):
            if frame.pts is None or frame.pts < table.pts[index]:
                continue
            entering = seek_to is not None and index == wanted[0]
            if frame.pts > table.pts[index] or (entering and frame.is_corrupt):
                break
            yield VideoPicture(index, table.time_s(index), np.asarray(frame.to_ndarray(format="bgr24"), np.uint8))
            following = next(due, None)
            if following is None:
                return
            index = following
    if seek_to is not None and index == wanted[0]:
        raise _NotEnterable
