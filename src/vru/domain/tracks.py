"""Ground truth: who is visible in a video, where and when."""

from collections.abc import Iterator
from dataclasses import dataclass

from vru.domain.boxes import TruthBox
from vru.domain.classes import VruClass
from vru.domain.errors import VruError


@dataclass(frozen=True, slots=True)
class Track:
    """One road user through a video: at most one box a frame, in frame order."""

    track_id: int
    road_user: VruClass
    boxes: tuple[TruthBox, ...]

    def __post_init__(self) -> None:
        if not self.boxes:
            raise VruError(f"Track {self.track_id} has no box.")
        for before, after in zip(self.boxes, self.boxes[1:], strict=False):
            if after.frame_index <= before.frame_index:
                raise VruError(f"Track {self.track_id} has two boxes in frame {after.frame_index}, or is out of order.")

    @property
    def first_visible_s(self) -> float:
        """Media time of the first frame that shows the road user, in seconds."""
        return self.boxes[0].time_s

    @property
    def last_visible_s(self) -> float:
        """Media time of the last frame that shows the road user, in seconds."""
        return self.boxes[-1].time_s


@dataclass(frozen=True, slots=True)
class GroundTruth:
    """All tracks of one video.

    ``source`` names who or what made the boxes (``manual``, ``synthetic``, or ``model:NAME``): truth made by
    the model under test is refused. ``approved_by`` is None until a person has approved it.
    """

    width: int
    height: int
    frame_count: int
    tracks: tuple[Track, ...]
    source: str = "manual"
    approved_by: str | None = None

    def boxes(self) -> Iterator[tuple[Track, TruthBox]]:
        """Every box with its track."""
        for track in self.tracks:
            for box in track.boxes:
                yield track, box
