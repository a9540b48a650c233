"""Annotations of one video of the platform: checked against the video, and put together into tracks."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import BinaryIO, Literal

from vru.domain import Box, GroundTruth, Track, TruthBox, VruClass, VruError, parse_class
from vru.formats.annotations import Annotations, BoxRow, FormatError, Picture
from vru.formats.coco import read_coco
from vru.formats.cvat import read_cvat

VideoFormat = Literal["coco", "cvat"]

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
            FormatError: it is not.
        """
        if (width, height) != (self.width, self.height):
            raise FormatError(
                f"{where} is {width:g}x{height:g} pixels, but the video is {self.width}x{self.height}.", _OTHER_VIDEO
            )

    def check_frame_count(self, count: int, where: str) -> None:
        """Do nothing if there are as many frames as in the video.

        Raises:
            FormatError: there are not.
        """
        if count != self.frame_count:
            raise FormatError(f"{where} has {count} frames, but the video has {self.frame_count}.", _OTHER_VIDEO)

    def check_frame(self, frame_index: int, where: str) -> None:
        """Do nothing if the video has this frame.

        Raises:
            FormatError: it has not.
        """
        if not 0 <= frame_index < self.frame_count:
            raise FormatError(
                f"{where} is about frame {frame_index}, but the video's frames are 0 to {self.frame_count - 1}.",
                _OTHER_VIDEO,
            )

    def check_time(self, frame_index: int, seconds: float, where: str) -> None:
        """Do nothing if the video's frame is at this media time.

        Raises:
            FormatError: it is not.
        """
        actual = self.frame_times[frame_index]
        if not abs(seconds - actual) <= TIME_TOLERANCE_S:
            raise FormatError(
                f"{where} says that frame {frame_index} is at {seconds:.6f} s, but the video has it at {actual:.6f} s.",
                _OTHER_VIDEO,
            )


def read_video_truth(stream: BinaryIO, timeline: Timeline, source: str = "manual") -> tuple[VideoFormat, GroundTruth]:
    """Read an annotation file, COCO JSON or CVAT XML, about the video that ``timeline`` describes.

    The stream must be seekable.

    Raises:
        FormatError: it is neither, is broken, or is about another video; the sentence names the place.
    """
    head = stream.read(1024).removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    stream.seek(0)
    if head == b"{":
        return "coco", video_truth(read_coco(stream), timeline, source)
    if head == b"<":
        return "cvat", video_truth(read_cvat(stream), timeline, source)
    raise FormatError(
        "The file is neither COCO JSON nor CVAT XML.", "Export as COCO with track ids, or as CVAT for video 1.1."
    )


def video_truth(annotations: Annotations, timeline: Timeline, source: str = "manual") -> GroundTruth:
    """The tracks of one video, each box checked against it.

    Every frame of the video must be listed, also those without anybody: a frame that is not listed could as well be
    one that nobody looked at.

    Raises:
        FormatError: the annotations are about another video, or say what cannot be; the sentence names the place.
    """
    if len(annotations.videos) > 1:
        raise FormatError(f"The file is about {len(annotations.videos)} videos.", "Make one file for each video.")
    for video in annotations.videos:
        if video.width is not None and video.height is not None:
            timeline.check_size(video.width, video.height, video.where)
        if video.frame_count is not None:
            timeline.check_frame_count(video.frame_count, video.where)
    frames = _frames(annotations.pictures, timeline)
    collector = TrackCollector(timeline)
    boxes = annotations.boxes
    for position in range(len(boxes)):
        row = boxes.row(position)
        collector.add(row, boxes.where(position), annotations.labels[row.label], frames[row.picture])
    return collector.build(source)


def _frames(pictures: Sequence[Picture], timeline: Timeline) -> list[int]:
    """Frame of each picture, all checked."""
    seen: set[int] = set()
    for picture in pictures:
        named = (("frame_index", picture.frame_index), ("width", picture.width), ("height", picture.height))
        for name, value in named:
            if value is None:
                raise FormatError(f"{picture.where} has no {name}.", "docs/formats.md describes the fields.")
        index = picture.frame_index or 0
        timeline.check_size(picture.width or 0, picture.height or 0, picture.where)
        timeline.check_frame(index, picture.where)
        if index in seen:
            raise FormatError(f"{picture.where} (frame {index}) is in the file twice.", "List each frame once.")
        if picture.time_s is not None:
            timeline.check_time(index, picture.time_s, picture.where)
        seen.add(index)
    if len(seen) != timeline.frame_count:
        raise FormatError(
            f"The file lists {len(seen)} frames, but the video has {timeline.frame_count}.",
            "List every frame that was looked at, also those without anybody; and annotate the whole video.",
        )
    return [picture.frame_index or 0 for picture in pictures]


@dataclass
class _Open:
    road_user: VruClass
    boxes: dict[int, TruthBox] = field(default_factory=dict)


class TrackCollector:
    """Checks boxes one by one against the video, and puts them together into tracks."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._tracks: dict[int, _Open] = {}

    def add(self, row: BoxRow, where: str, label: str, frame_index: int) -> None:
        """Take one box. ``where`` names its place in the file.

        Raises:
            FormatError: it cannot be a box of a track of this video; the sentence names ``where``.
        """
        self._timeline.check_frame(frame_index, where)
        if row.track is None:
            raise FormatError(f"{where} has no track_id.", "docs/formats.md describes the fields.")
        if not 0 <= row.track <= MAX_TRACK_ID:
            raise FormatError(f"{where} has track id {row.track}.", f"Use 0 to {MAX_TRACK_ID}.")
        try:
            road_user = parse_class(label)
            box = Box(row.x, row.y, row.width, row.height)
        except VruError as error:
            raise FormatError(f"{where}: {error.message}", error.fix or "Correct it.") from error
        self._check_inside(box, where)
        track = self._tracks.setdefault(row.track, _Open(road_user))
        if track.road_user is not road_user:
            raise FormatError(
                f"{where} makes track {row.track} a {road_user}, but before it was a {track.road_user}.",
                "Give each road user a track of its own.",
            )
        if frame_index in track.boxes:
            raise FormatError(
                f"{where} is the second box of track {row.track} in frame {frame_index}.",
                "A track has at most one box a frame: remove one, or give it another track id.",
            )
        track.boxes[frame_index] = TruthBox(
            frame_index=frame_index,
            time_s=self._timeline.frame_times[frame_index],
            box=box,
            occluded=row.occluded,
            truncated=row.truncated,
            # COCO's crowd regions score neither a hit nor a miss, which is what "ignore" means here.
            ignore=row.ignore or row.crowd,
        )

    def _check_inside(self, box: Box, where: str) -> None:
        right, bottom = box.x + box.width, box.y + box.height
        width, height = self._timeline.width, self._timeline.height
        overshoot = max(-box.x, -box.y, right - width, bottom - height)
        if overshoot > PIXEL_TOLERANCE or not math.isfinite(overshoot):
            raise FormatError(
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
