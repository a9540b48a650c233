"""What became of each detection of a long video, in as little memory as exact figures allow."""

from array import array
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vru.evaluation.core.tables import CLASSES, Floats, Ints
from vru.evaluation.detection.outcomes import FALSE_POSITIVE, TRUE_POSITIVE
from vru.evaluation.video.matching import Matches

# Of a detection that counts for nothing.
IGNORED_UNIT = np.iinfo(np.int32).min


class Scores:
    """Scores and classes of all detections, piece by piece of the video: 9 bytes each. All slices have them in common.

    The scores are the model's own, for rounded ones could change places.
    """

    def __init__(self) -> None:
        # Negated: rising order is then the order of detections.
        self._fall, self._road_user = array("d"), array("b")

    def add(self, matches: Matches) -> None:
        """The matches of a piece that follows those before."""
        self._fall.frombytes((-matches.score).tobytes())
        self._road_user.frombytes(matches.road_user.astype(np.int8).tobytes())

    def columns(self) -> tuple[Floats, NDArray[np.int8]]:
        """The scores, negated, and the classes, as the detections came. Nothing can be added after it."""
        return np.frombuffer(self._fall, dtype=np.float64), np.frombuffer(self._road_user, dtype=np.int8)

    def ranked(self) -> tuple[Ints, NDArray[np.int8]]:
        """The detections' places by falling score (equal ones as they came), and their classes in that order.

        Nothing can be added after it.
        """
        order = np.argsort(np.frombuffer(self._fall, dtype=np.float64), kind="stable")
        self._fall = array("d")
        return order, np.frombuffer(self._road_user, dtype=np.int8)[order]


@dataclass(frozen=True, slots=True)
class RankedDetections:
    """What became of the detections in one slice, by falling score, whatever their score: 5 bytes each.

    ``road_user`` is the position in ``CLASSES``. ``unit`` says what happened, and to which independent unit it counts:
    the number of the track that was found, or -1 less the number of the clip in which the detection is wrong; a
    detection that counts for nothing has a unit of its own. At or above the score threshold, in each clip:
    ``false_positives_in`` are the false positives, ``counted_in`` these and those that found a road user; classes x
    clips.
    """

    road_user: NDArray[np.int8]
    unit: NDArray[np.int32]
    false_positives_in: Floats
    counted_in: Floats

    @property
    def hit(self) -> NDArray[np.bool_]:
        """Which found a road user."""
        return self.unit >= 0

    @property
    def counted(self) -> NDArray[np.bool_]:
        """Which found a road user, or are wrong."""
        return np.asarray(self.unit != IGNORED_UNIT)

    def only(self, road_user: int) -> "RankedDetections":
        """The detections of one class."""
        mine = self.road_user == road_user
        row = (np.arange(len(CLASSES)) == road_user)[:, None]
        return RankedDetections(
            self.road_user[mine], self.unit[mine], row * self.false_positives_in, row * self.counted_in
        )


class DetectionLog:
    """The detections of one slice, piece by piece of the video: 4 bytes a detection."""

    def __init__(self, clip_of_frame: NDArray[np.int32], clips: int, score_threshold: float) -> None:
        self._clip_of_frame, self._score_threshold = clip_of_frame, score_threshold
        self._unit = array("i")
        self._wrong_in, self._counted_in = np.zeros((2, len(CLASSES), clips))

    def add(self, matches: Matches, tracks: Ints) -> None:
        """The matches of a piece that follows those before. ``tracks`` are the numbers of the piece's tracks."""
        unit = np.full(len(matches.outcome), IGNORED_UNIT, dtype=np.int32)
        hit, false_positives = matches.outcome == TRUE_POSITIVE, matches.outcome == FALSE_POSITIVE
        clip = self._clip_of_frame[matches.frame]
        unit[hit] = tracks[matches.track[hit]]
        unit[false_positives] = -1 - clip[false_positives]
        self._unit.frombytes(unit.tobytes())
        sure = matches.score >= self._score_threshold
        for table, chosen in (
            (self._wrong_in, false_positives & sure),
            (self._counted_in, (hit | false_positives) & sure),
        ):
            np.add.at(table, (matches.road_user[chosen], clip[chosen]), 1)

    def units(self) -> NDArray[np.int32]:
        """The unit of each detection, as they came. Nothing can be added after it."""
        return np.frombuffer(self._unit, dtype=np.int32)

    def totals(self) -> tuple[Floats, Floats]:
        """False positives, and all that counts, at or above the score threshold, of each class."""
        return self._wrong_in.sum(axis=1), self._counted_in.sum(axis=1)

    def ranked(self, order: Ints, road_user: NDArray[np.int8]) -> RankedDetections:
        """All of it, with the detections' order and classes. Nothing can be added after it."""
        unit = np.frombuffer(self._unit, dtype=np.int32)[order]
        self._unit = array("i")
        return RankedDetections(road_user, unit, self._wrong_in, self._counted_in)
