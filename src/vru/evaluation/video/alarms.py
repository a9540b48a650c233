"""False alarms: false positives that follow each other in time are one event, not one per frame."""

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np

from vru.evaluation.core.assignment import overlaps
from vru.evaluation.core.tables import Floats, Ints
from vru.evaluation.detection.outcomes import FALSE_POSITIVE
from vru.evaluation.video.matching import Matches


@dataclass(frozen=True, slots=True)
class FalseAlarm:
    """One false alarm: positions of its first and last frame among the evaluated frames."""

    first_frame: int
    last_frame: int
    road_user: int


class Alarms(Sequence[FalseAlarm]):
    """False alarms in the order of their beginnings; 9 bytes each."""

    def __init__(self) -> None:
        self._first, self._last, self._road_user = array("i"), array("i"), array("b")

    @overload
    def __getitem__(self, number: int) -> FalseAlarm: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[FalseAlarm]: ...
    def __getitem__(self, number: int | slice) -> FalseAlarm | Sequence[FalseAlarm]:
        if isinstance(number, slice):
            return [self[one] for one in range(*number.indices(len(self)))]
        return FalseAlarm(self._first[number], self._last[number], self._road_user[number])

    def __len__(self) -> int:
        return len(self._first)

    @property
    def first_frames(self) -> Ints:
        """Positions of their first frames among the evaluated frames."""
        return np.array(self._first, dtype=np.int64)

    @property
    def road_users(self) -> Ints:
        """Positions of their classes in ``CLASSES``."""
        return np.array(self._road_user, dtype=np.int64)

    def begin(self, frame: int, road_user: int) -> int:
        """Add one that begins; its number."""
        self._first.append(frame)
        self._last.append(frame)
        self._road_user.append(road_user)
        return len(self) - 1

    def only(self, road_user: int) -> "Alarms":
        """Those of one class."""
        mine = Alarms()
        for number, kind in enumerate(self._road_user):
            if kind == road_user:
                mine.go_on(mine.begin(self._first[number], kind), self._last[number])
        return mine

    def go_on(self, number: int, frame: int) -> None:
        """One goes on in ``frame``."""
        self._last[number] = frame


class AlarmLinker:
    """Links false positives to events, piece by piece of the video.

    A false positive continues an event if the event had a false positive of the same class in the evaluated frame just
    before, and the two boxes overlap by at least ``link_iou``; pairs are formed greedily by falling overlap, one to
    one. Otherwise it starts a new event. A gap of one evaluated frame ends an event: an alarm that flickers is
    several alarms. So does one of the ``gaps``: evaluated frames (positions) that no look follows at once.
    """

    def __init__(self, score_threshold: float, link_iou: float, gaps: Iterable[int] = ()) -> None:
        self.alarms = Alarms()
        self._score_threshold, self._link_iou, self._gaps = score_threshold, link_iou, frozenset(gaps)
        # The false positives of the frame before, and their events.
        self._last_frame = -2
        self._boxes, self._road_users = np.zeros((0, 4)), np.zeros(0, dtype=np.int64)
        self._events: list[int] = []

    def add(self, matches: Matches) -> None:
        """The matches of a piece that follows those before."""
        chosen = np.flatnonzero((matches.outcome == FALSE_POSITIVE) & (matches.score >= self._score_threshold))
        # Detections are ordered by frame, so each frame's are neighbours.
        frames, starts = np.unique(matches.frame[chosen], return_index=True)
        for frame, here in zip(frames.tolist(), np.split(chosen, starts[1:]), strict=False):
            self._frame(frame, matches.boxes[here], matches.road_user[here])

    def _frame(self, frame: int, boxes: Floats, road_users: Ints) -> None:
        linked = frame == self._last_frame + 1 and self._last_frame not in self._gaps
        continued = self._link(boxes, road_users) if linked else {}
        events = []
        for number, road_user in enumerate(road_users.tolist()):
            if number in continued:
                event = self._events[continued[number]]
                self.alarms.go_on(event, frame)
            else:
                event = self.alarms.begin(frame, road_user)
            events.append(event)
        self._last_frame, self._boxes, self._road_users, self._events = frame, boxes, road_users, events

    def _link(self, boxes: Floats, road_users: Ints) -> dict[int, int]:
        """False positive of this frame -> the one of the frame before that it continues."""
        shared = overlaps(boxes, self._boxes, np.zeros(len(self._boxes), dtype=bool))
        shared[road_users[:, None] != self._road_users[None, :]] = 0
        linked: dict[int, int] = {}
        used: set[int] = set()
        for flat in np.argsort(-shared, axis=None, kind="stable"):
            row, column = divmod(int(flat), len(self._boxes))
            if shared[row, column] < self._link_iou:
                break
            if row not in linked and column not in used:
                linked[row] = column
                used.add(column)
        return linked
