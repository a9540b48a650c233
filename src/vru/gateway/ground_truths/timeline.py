"""What annotations are checked against, and the collecting of boxes into tracks."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from vru.domain import Box, GroundTruth, Track, TruthBox, VruClass, VruError, parse_class
from vru.service.errors import UnprocessableError

# Annotation files round: to two decimals of a pixel, to a millisecond.
PIXEL_TOLERANCE = 0.01
TIME_TOLERANCE_S = 0.001
_OTHER_VIDEO = "Upload the annotations that were made for this video, or upload their video."
MAX_TRACK_ID = 2**31 - 1


@dataclass(frozen=True)
class Timeline:
    """What a video's annotations must agree with. Pixels; seconds of media time, one per frame."""

    width: int
    height: int
    frame_times: Sequence[float]

    @property
    def frame_count(self) -> int:
        """How many frames the video has."""
        return len(self.frame_times)

    def check_size(self, width: float, height: float, where: str) -> None:
        """Do nothing if the picture is as large as the video's.

        Raises:
            UnprocessableError: it is not.
        """
        if (width, height) != (self.width, self.height):
            raise UnprocessableError(
                f"{where} is {width:g}x{height:g} pixels, but the video is {self.width}x{self.height}.", _OTHER_VIDEO
            )

    def check_frame_count(self, count: int, where: str) -> None:
        """Do nothing if there are as many frames as in the video.

        Raises:
            UnprocessableError: there are not.
        """
        if count != self.frame_count:
            raise UnprocessableError(f"{where} has {count} frames, but the video has {self.frame_count}.", _OTHER_VIDEO)

    def check_frame(self, frame_index: int, where: str) -> None:
        """Do nothing if the video has this frame.

        Raises:
            UnprocessableError: it has not.
        """
        if not 0 <= frame_index < self.frame_count:
            raise UnprocessableError(
                f"{where} is about frame {frame_index}, but the video's frames are 0 to {self.frame_count - 1}.",
                _OTHER_VIDEO,
            )

    def check_time(self, frame_index: int, seconds: float, where: str) -> None:
        """Do nothing if the video's frame is at this media time.

        Raises:
            UnprocessableError: it is not.
        """
        actual = self.frame_times[frame_index]
        if not abs(seconds - actual) <= TIME_TOLERANCE_S:
            raise UnprocessableError(
                f"{where} says that frame {frame_index} is at {seconds:.6f} s, but the video has it at {actual:.6f} s.",
                _OTHER_VIDEO,
            )


@dataclass(frozen=True)
class RawBox:
    """One box as a file says it. Pixels; ``where`` names its place in the file, for errors."""

    where: str
    track_id: int
    label: str
    frame_index: int
    x: float
    y: float
    width: float
    height: float
    occluded: bool = False
    truncated: bool = False
    ignore: bool = False


@dataclass
class _Open:
    road_user: VruClass
    boxes: dict[int, TruthBox] = field(default_factory=dict)


class TrackCollector:
    """Checks boxes one by one against the video, and puts them together into tracks."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._tracks: dict[int, _Open] = {}

    def add(self, raw: RawBox) -> None:
        """Take one box.

        Raises:
            UnprocessableError: it cannot be a box of a track of this video; the sentence names ``raw.where``.
        """
        self._timeline.check_frame(raw.frame_index, raw.where)
        if not 0 <= raw.track_id <= MAX_TRACK_ID:
            raise UnprocessableError(f"{raw.where} has track id {raw.track_id}.", f"Use 0 to {MAX_TRACK_ID}.")
        try:
            road_user = parse_class(raw.label)
            box = Box(raw.x, raw.y, raw.width, raw.height)
        except VruError as error:
            raise UnprocessableError(f"{raw.where}: {error.message}", error.fix or "Correct it.") from error
        self._check_inside(box, raw.where)
        track = self._tracks.setdefault(raw.track_id, _Open(road_user))
        if track.road_user is not road_user:
            raise UnprocessableError(
                f"{raw.where} makes track {raw.track_id} a {road_user}, but before it was a {track.road_user}.",
                "Give each road user a track of its own.",
            )
        if raw.frame_index in track.boxes:
            raise UnprocessableError(
                f"{raw.where} is the second box of track {raw.track_id} in frame {raw.frame_index}.",
                "A track has at most one box a frame: remove one, or give it another track id.",
            )
        track.boxes[raw.frame_index] = TruthBox(
            frame_index=raw.frame_index,
            time_s=self._timeline.frame_times[raw.frame_index],
            box=box,
            occluded=raw.occluded,
            truncated=raw.truncated,
            ignore=raw.ignore,
        )

    def _check_inside(self, box: Box, where: str) -> None:
        right, bottom = box.x + box.width, box.y + box.height
        width, height = self._timeline.width, self._timeline.height
        overshoot = max(-box.x, -box.y, right - width, bottom - height)
        if overshoot > PIXEL_TOLERANCE or not math.isfinite(overshoot):
            raise UnprocessableError(
                f"{where} reaches outside of the frame: "
                f"({box.x:g}, {box.y:g}) to ({right:g}, {bottom:g}) in {width}x{height} pixels.",
                "Boxes cover only what is visible: cut them at the frame's edge.",
            )

    def build(self, source: str) -> GroundTruth:
        """All tracks, in the order of their ids."""
        tracks = tuple(
            Track(track_id, track.road_user, tuple(track.boxes[index] for index in sorted(track.boxes)))
            for track_id, track in sorted(self._tracks.items())
        )
        return GroundTruth(
            self._timeline.width, self._timeline.height, self._timeline.frame_count, tracks, source=source
        )
