"""Reading an uploaded annotation file: ``read_ground_truth`` runs in the sandbox, and gives columns of plain bytes."""

import math
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vru.domain import GroundTruth, VruClass
from vru.formats.video import MAX_TRACK_ID, Timeline, VideoFormat, read_video_truth
from vru.sandbox.limits import MEBIBYTE, Limits

_CLASSES = tuple(VruClass)
_OCCLUDED, _TRUNCATED, _IGNORE = 1, 2, 4
# A parsed file takes a multiple of its size.
LIMITS = Limits(memory_bytes=1024 * MEBIBYTE, cpu_s=120.0, wall_s=600.0, answer_bytes=256 * MEBIBYTE)

Row = tuple[int, int, float, str, float, float, float, float, bool, bool, bool]


@dataclass(frozen=True)
class TruthColumns:
    """All boxes of a video's ground truth, track by track: each field holds one value a box, in this machine's order.

    ``track`` and ``frame`` are 64-bit integers, ``road_user`` a position among the classes and ``flags`` (1 occluded,
    2 truncated, 4 ignore) bytes, ``boxes`` four doubles: x, y, width and height in pixels.
    """

    format: VideoFormat
    track_count: int
    track: bytes
    frame: bytes
    road_user: bytes
    boxes: bytes
    flags: bytes

    def __post_init__(self) -> None:
        # They come from a process that bytes from outside may have taken over.
        count = len(self.flags)
        if not len(self.track) == len(self.frame) == len(self.boxes) // 4 == 8 * count == 8 * len(self.road_user):
            raise ValueError("columns of different length")
        if not 0 <= self.track_count <= count or any(number >= len(_CLASSES) for number in set(self.road_user)):
            raise ValueError("no such tracks or classes")
        numbers, tracks = array("d", self.boxes), array("q", self.track)
        if not all(map(math.isfinite, numbers)) or not all(0 <= track <= MAX_TRACK_ID for track in set(tracks)):
            raise ValueError("no such boxes")

    def __len__(self) -> int:
        return len(self.flags)

    def rows(self, frame_times: Sequence[float]) -> Iterator[Row]:
        """Track, frame, its media time, class, x, y, width, height, occluded, truncated, ignore: of each box.

        Raises:
            ValueError: a frame is not among the video's.
        """
        frames, boxes = array("q", self.frame), array("d", self.boxes)
        if frames and not 0 <= min(frames) <= max(frames) < len(frame_times):
            raise ValueError("a frame is not among the video's")
        for position, track in enumerate(array("q", self.track)):
            flags, frame = self.flags[position], frames[position]
            x, y, width, height = boxes[4 * position : 4 * position + 4]
            yield (
                *(track, frame, frame_times[frame], str(_CLASSES[self.road_user[position]]), x, y, width, height),
                *(bool(flags & _OCCLUDED), bool(flags & _TRUNCATED), bool(flags & _IGNORE)),
            )


def read_ground_truth(file: Path, *, width: int, height: int, frame_times: bytes, source: str) -> TruthColumns:
    """Read an annotation file, COCO JSON or CVAT XML, about a video; ``frame_times`` are its frames' times, as doubles.

    Raises:
        FormatError: it is neither, is broken, or is about another video.
    """
    timeline = Timeline(width, height, array("d", frame_times))
    with file.open("rb") as stream:
        format_, truth = read_video_truth(stream, timeline, source)
    return _columns(format_, truth)


def _columns(format_: VideoFormat, truth: GroundTruth) -> TruthColumns:
    track, frame, boxes = array("q"), array("q"), array("d")
    road_user, flags = bytearray(), bytearray()
    for of, item in truth.boxes():
        track.append(of.track_id)
        frame.append(item.frame_index)
        boxes.extend(item.box.as_tuple())
        road_user.append(_CLASSES.index(of.road_user))
        flags.append(_OCCLUDED * item.occluded | _TRUNCATED * item.truncated | _IGNORE * item.ignore)
    return TruthColumns(
        format_, len(truth.tracks), track.tobytes(), frame.tobytes(), bytes(road_user), boxes.tobytes(), bytes(flags)
    )
