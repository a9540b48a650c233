"""False alarms: false positives that follow each other in time are one event, not one per frame."""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from vru.evaluation.matching import FALSE_POSITIVE, Ints, Matches, overlaps


@dataclass(frozen=True, slots=True)
class FalseAlarm:
    """One false alarm: positions of its first and last frame among the evaluated frames."""

    first_frame: int
    last_frame: int
    road_user: int


def false_alarms(
    matches: Matches, score_threshold: float, link_iou: float, gaps: Collection[int] = ()
) -> list[FalseAlarm]:
    """Link false positives to events.

    A false positive continues an event if the event had a false positive of the same class in the evaluated frame just
    before, and the two boxes overlap by at least ``link_iou``; pairs are formed greedily by falling overlap, one to
    one. Otherwise it starts a new event. A gap of one evaluated frame ends an event: an alarm that flickers is
    several alarms. So does one of the ``gaps``: evaluated frames (positions) that no look follows at once.
    """
    chosen = np.flatnonzero((matches.outcome == FALSE_POSITIVE) & (matches.score >= score_threshold))
    events: list[list[int]] = []
    open_events: dict[int, int] = {}  # detection of the frame before -> its event
    last_frame = -2
    # Detections are ordered by frame, so each frame's are neighbours.
    frames, starts = np.unique(matches.frame[chosen], return_index=True)
    apart = {*gaps}
    for frame, here in zip(frames.tolist(), np.split(chosen, starts[1:]), strict=False):
        linked = frame == last_frame + 1 and last_frame not in apart
        before = np.array(list(open_events), dtype=np.int64) if linked else np.zeros(0, dtype=np.int64)
        continued = _link(matches, before, here, link_iou)
        following: dict[int, int] = {}
        for detection in here.tolist():
            if detection in continued:
                event = open_events[continued[detection]]
                events[event][1] = frame
            else:
                event = len(events)
                events.append([frame, frame, int(matches.road_user[detection])])
            following[detection] = event
        open_events, last_frame = following, frame
    return [FalseAlarm(*event) for event in events]


def _link(matches: Matches, before: Ints, here: Ints, link_iou: float) -> dict[int, int]:
    """Detection of this frame -> detection of the frame before that it continues."""
    if not len(before):
        return {}
    shared = overlaps(matches.boxes[here], matches.boxes[before], np.zeros(len(before), dtype=bool))
    shared[matches.road_user[here][:, None] != matches.road_user[before][None, :]] = 0
    linked: dict[int, int] = {}
    used: set[int] = set()
    for flat in np.argsort(-shared, axis=None, kind="stable"):
        row, column = divmod(int(flat), len(before))
        if shared[row, column] < link_iou:
            break
        if int(here[row]) not in linked and int(before[column]) not in used:
            linked[int(here[row])] = int(before[column])
            used.add(int(before[column]))
    return linked
