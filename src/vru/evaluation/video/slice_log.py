"""What is kept of a video while its pieces are matched: in each slice, and of the whole to be pooled with others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from vru.domain import Box, Detection, GroundTruth, VruClass
from vru.evaluation.core.frames import Frames
from vru.evaluation.core.settings import EvaluationSettings
from vru.evaluation.core.slices import Sliced, take
from vru.evaluation.core.tables import CLASSES, Ints
from vru.evaluation.detection.outcomes import FALSE_POSITIVE, NOT_COUNTED
from vru.evaluation.video.alarms import AlarmLinker, Alarms
from vru.evaluation.video.latency import TrackLog, TrackOutcome
from vru.evaluation.video.matching import Matches, match
from vru.evaluation.video.metrics import Clips
from vru.evaluation.video.ranked_detections import DetectionLog, RankedDetections
from vru.evaluation.video.visibility import TimingLog, TrackTiming
from vru.evaluation.video.visible_boxes import visible_boxes

_Kept = TypeVar("_Kept")


@dataclass(frozen=True, slots=True)
class Roster:
    """A ground truth without its boxes: id and class of its ``tracks``, in its order, and where it is from."""

    tracks: tuple[tuple[int, VruClass], ...]
    source: str
    approved_by: str | None

    @classmethod
    def of(cls, truth: GroundTruth) -> "Roster":
        """That of a whole ground truth."""
        return cls(
            tuple((track.track_id, track.road_user) for track in truth.tracks), truth.source, truth.approved_by
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Logged:
    """What one slice has kept of the whole video. Tracks have the numbers of the roster; ``not_evaluated`` are ids.

    ``known`` is whether false positives can be told for the slice.
    """

    detections: RankedDetections
    outcomes: Mapping[int, TrackOutcome]
    not_evaluated: Mapping[int, int]
    timings: Mapping[int, TrackTiming]
    alarms: Alarms
    known: bool
    classes: Sequence[VruClass]

    def only(self, road_user: VruClass) -> "Logged":
        """One class of it."""

        def mine(tracks: Mapping[int, _Kept]) -> dict[int, _Kept]:
            return {number: kept for number, kept in tracks.items() if self.classes[number] == road_user}

        number = CLASSES.index(road_user)
        return replace(
            self,
            detections=self.detections.only(number),
            outcomes=mine(self.outcomes),
            not_evaluated=mine(self.not_evaluated),
            timings=mine(self.timings),
            alarms=self.alarms.only(number),
        )


class SliceLog:
    """What one slice keeps of the pieces."""

    def __init__(
        self,
        name: str,
        roster: Roster,
        frames: Frames,
        clips: Clips,
        settings: EvaluationSettings,
    ) -> None:
        self._name, self._frames, self._settings = name, frames, settings
        self._numbers = {track_id: number for number, (track_id, _) in enumerate(roster.tracks)}
        self._classes = [road_user for _, road_user in roster.tracks]
        self._known = take(name, GroundTruth(0, 0, 0, ()), ()).in_slice is not None
        self._tracks, self._timings = TrackLog(frames), TimingLog(frames, settings.reasonable_height)
        self._detections = DetectionLog(clips.of_frame, clips.count, settings.score_threshold)
        self._alarms = AlarmLinker(settings.score_threshold, settings.alarm_link_iou, frames.gaps.tolist())

    def add(self, truth: GroundTruth, detections: Sequence[Detection]) -> Matches:
        """The next piece; its matches."""
        sliced = take(self._name, truth, detections)
        matches = match(sliced.truth, sliced.detections, self._frames, self._settings.iou_threshold)
        matches = replace(matches, outcome=_excuse_outside(sliced, matches.outcome, matches.boxes))
        tracks = [self._numbers[track.track_id] for track in sliced.truth.tracks]
        seen = visible_boxes(sliced.truth, matches, self._frames, self._settings.score_threshold)
        for number, track, boxes in zip(tracks, sliced.truth.tracks, seen, strict=True):
            self._tracks.add(number, track, boxes)
            self._timings.add(number, track, boxes)
        self._detections.add(matches, np.array(tracks, dtype=np.int64))
        if self._known:
            self._alarms.add(matches)
        return matches

    def collected(self) -> "CollectedSlice":
        """All of it, for the whole video as one unit. Nothing can be added after it."""
        outcomes, unseen = self._tracks.outcomes()
        alarms = np.bincount(self._alarms.alarms.road_users, minlength=len(CLASSES)).astype(np.float64)
        false_positives, counted = self._detections.totals()
        units, timings = self._detections.units(), self._timings.timings()
        return CollectedSlice(units, false_positives, counted, outcomes, unseen, timings, alarms, self._known)

    def logged(self, order: Ints, classes: NDArray[np.int8]) -> Logged:
        """All of it, with the order and classes of the detections. Nothing can be added after it."""
        outcomes, unseen = self._tracks.outcomes()
        detections, timings = self._detections.ranked(order, classes), self._timings.timings()
        return Logged(detections, outcomes, unseen, timings, self._alarms.alarms, self._known, self._classes)


@dataclass(frozen=True, slots=True)
class CollectedSlice:
    """What one slice has kept of a whole video. Tracks have the numbers of the roster.

    ``unit`` says of each detection, as they came, the number of the track that was found, -1 less the number of a clip
    where it is wrong, or ``IGNORED_UNIT``. ``false_positives``, ``counted`` and ``alarms`` are those of each class.
    """

    unit: NDArray[np.int32]
    false_positives: NDArray[np.float64]
    counted: NDArray[np.float64]
    outcomes: Mapping[int, TrackOutcome]
    not_evaluated: Mapping[int, int]
    timings: Mapping[int, TrackTiming]
    alarms: NDArray[np.float64]
    known: bool


@dataclass(frozen=True, slots=True)
class Collected:
    """What was kept of one video: its ``roster``, evaluated ``frames`` and how long they last, the longest step between
    two of them in seconds, and of all detections, as they came, ``fall`` (the score, negated) and class.
    """

    roster: Roster
    frames: int
    minutes: float
    longest_step_s: float | None
    fall: NDArray[np.float64]
    road_user: NDArray[np.int8]
    slices: Mapping[str, CollectedSlice]


def _excuse_outside(sliced: Sliced, outcome: NDArray[np.int64], boxes: NDArray[np.float64]) -> NDArray[np.int64]:
    """False positives outside the slice do not count for it."""
    if sliced.in_slice is None:
        return outcome
    excused = outcome.copy()
    for number in np.flatnonzero(outcome == FALSE_POSITIVE):
        if not sliced.in_slice(Box(*boxes[number].tolist())):
            excused[number] = NOT_COUNTED
    return excused
