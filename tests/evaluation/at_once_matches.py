"""What a whole video at once is made of: matches, outcomes of tracks and false alarms. See ``at_once``."""

from array import array
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vru.domain import Box, Detection, GroundTruth, TruthBox, VruClass, iou
from vru.evaluation.video.alarms import FalseAlarm
from vru.evaluation.video.latency import Outcome, TrackOutcome

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
CLASSES = tuple(VruClass)
FALSE_POSITIVE, TRUE_POSITIVE, IGNORED = 0, 1, -1
_NUMBER = {road_user: number for number, road_user in enumerate(CLASSES)}


@dataclass(frozen=True)
class Matches:
    """An entry per detection, by frame, class and falling score: its frame's position, class, score, outcome, track
    (-1 for none) and box; and an entry per counted truth box: its frame's position, and its track's.
    """

    frame: Ints
    road_user: Ints
    score: Floats
    outcome: Ints
    track: Ints
    boxes: Floats
    truth_frame: Ints
    truth_track: Ints


def without(
    truth: GroundTruth, frames: Mapping[int, float], excluded: Sequence[tuple[int, int]]
) -> tuple[GroundTruth, dict[int, float]]:
    """The truth and the evaluated frames outside of the ``excluded`` parts (first and last frame, both included).

    A track that becomes visible within such a part begins for the evaluation at its first box after it, and a track
    that lies in one altogether is not there.
    """

    def outside(index: int) -> bool:
        return not any(first <= index <= last for first, last in excluded)

    tracks = []
    for track in truth.tracks:
        boxes = tuple(box for box in track.boxes if outside(box.frame_index))
        if boxes:
            tracks.append(replace(track, boxes=boxes))
    return replace(truth, tracks=tuple(tracks)), {index: time for index, time in frames.items() if outside(index)}


def before_gaps(frames: Mapping[int, float], excluded: Sequence[tuple[int, int]]) -> NDArray[np.int64]:
    """Positions of the evaluated frames that an excluded part parts from the next evaluated frame."""
    indices = np.fromiter(frames, dtype=np.int64, count=len(frames))
    starts = np.array([first for first, _ in excluded], dtype=np.int64)
    # The frame before a part is the last whose index lies below the part's beginning.
    positions = np.unique(np.searchsorted(indices, starts) - 1)
    return np.asarray(positions[(positions >= 0) & (positions < len(indices) - 1)], dtype=np.int64)


def match(
    truth: GroundTruth, detections: Sequence[Detection], frames: Mapping[int, float], iou_threshold: float
) -> Matches:
    """Match all ``detections`` with ``truth`` in the evaluated ``frames`` (frame index to seconds, rising)."""
    position = {index: number for number, index in enumerate(frames)}
    truths: dict[tuple[int, int], list[tuple[int, TruthBox]]] = defaultdict(list)
    found: dict[tuple[int, int], list[Detection]] = defaultdict(list)
    counted: list[tuple[int, int]] = []
    for number, track in enumerate(truth.tracks):
        for box in track.boxes:
            if box.frame_index in position:
                where = position[box.frame_index]
                truths[where, _NUMBER[track.road_user]].append((number, box))
                if not box.ignore:
                    counted.append((where, number))
    for detection in detections:
        found[position[detection.frame_index], _NUMBER[detection.road_user]].append(detection)

    # Typed arrays: lists of numbers would take ten times the memory of a long video's boxes.
    frames_of, classes_of, outcomes_of, tracks_of = (array("q") for _ in range(4))
    scores, corners = array("d"), array("d")
    for key in sorted(found):
        candidates = truths[key]
        ordered = sorted(found[key], key=lambda detection: -detection.score)
        boxes = [detection.box.as_tuple() for detection in ordered]
        outcomes, taken = _matched(ordered, [box for _, box in candidates], iou_threshold)
        for detection, outcome, which in zip(ordered, outcomes, taken, strict=True):
            track_number = candidates[which][0] if outcome == TRUE_POSITIVE else -1
            frames_of.append(key[0])
            classes_of.append(key[1])
            scores.append(detection.score)
            outcomes_of.append(outcome)
            tracks_of.append(track_number)
        for corner in boxes:
            corners.extend(corner)

    where_truth, who = zip(*counted, strict=True) if counted else ((), ())
    return Matches(
        frame=np.frombuffer(frames_of, dtype=np.int64),
        road_user=np.frombuffer(classes_of, dtype=np.int64),
        score=np.frombuffer(scores, dtype=np.float64),
        outcome=np.frombuffer(outcomes_of, dtype=np.int64),
        track=np.frombuffer(tracks_of, dtype=np.int64),
        boxes=np.frombuffer(corners, dtype=np.float64).reshape(-1, 4),
        truth_frame=np.array(where_truth, dtype=np.int64),
        truth_track=np.array(who, dtype=np.int64),
    )


def _matched(
    detections: Sequence[Detection], truths: Sequence[TruthBox], iou_threshold: float
) -> tuple[list[int], list[int]]:
    """Each detection takes the free counted box that it overlaps most (the last on a tie), else any ignored one."""
    needed = min(iou_threshold, 1 - 1e-10)
    free = [number for number, box in enumerate(truths) if not box.ignore]
    ignored = [number for number, box in enumerate(truths) if box.ignore]
    outcomes, taken = [], []
    for detection in detections:
        fitting = [(iou(detection.box, truths[number].box), number) for number in free]
        fitting = [pair for pair in fitting if pair[0] >= needed]
        excuses = [number for number in ignored if _shared(detection.box, truths[number].box) >= needed]
        if fitting:
            outcomes.append(TRUE_POSITIVE)
            taken.append(max(fitting)[1])
            free.remove(taken[-1])
        else:
            outcomes.append(IGNORED if excuses else FALSE_POSITIVE)
            taken.append(excuses[0] if excuses else -1)
    return outcomes, taken


def _shared(box: Box, region: Box) -> float:
    """The share of a box that lies in a region."""
    width = min(box.x + box.width, region.x + region.width) - max(box.x, region.x)
    height = min(box.y + box.height, region.y + region.height) - max(box.y, region.y)
    return max(width, 0) * max(height, 0) / box.area


def track_outcomes(
    truth: GroundTruth, matches: Matches, frames: Mapping[int, float], score_threshold: float
) -> tuple[list[TrackOutcome], list[int]]:
    """What became of each track, and the ids of the tracks that no evaluated frame shows.

    The clock starts at the track's first box that counts, whether or not that frame was evaluated, and stops at the
    first evaluated frame in which the track is matched. So the latency is never too short; it is too long by at most
    the time between two evaluated frames. Tracks that consist of ignored boxes alone are left out altogether.
    """
    times = list(frames.values())
    hit = (matches.outcome == TRUE_POSITIVE) & (matches.score >= score_threshold)
    hits_per_track = np.bincount(matches.track[hit], minlength=len(truth.tracks))
    boxes_per_track = np.bincount(matches.truth_track, minlength=len(truth.tracks))
    first_hit: dict[int, int] = {}
    for track_number, frame in zip(matches.track[hit].tolist(), matches.frame[hit].tolist(), strict=True):
        first_hit[track_number] = min(first_hit.get(track_number, frame), frame)

    outcomes, unseen = [], []
    for number, track in enumerate(truth.tracks):
        counted = [box for box in track.boxes if not box.ignore]
        if not counted:
            continue
        if not boxes_per_track[number]:
            unseen.append(track.track_id)
            continue
        start, end = counted[0].time_s, counted[-1].time_s
        detected = times[first_hit[number]] if number in first_hit else None
        if detected is not None:
            outcome, observed = Outcome.DETECTED, detected - start
        else:
            outcome = Outcome.CUT_SHORT if end >= times[-1] else Outcome.MISSED
            observed = min(end, times[-1]) - start
        outcomes.append(
            TrackOutcome(
                track_id=track.track_id,
                road_user=track.road_user,
                first_visible_s=start,
                last_visible_s=end,
                first_detected_s=detected,
                latency_ms=None if detected is None else observed * 1000,
                observed_ms=observed * 1000,
                outcome=outcome,
                boxes=int(boxes_per_track[number]),
                true_positives=int(hits_per_track[number]),
            )
        )
    return outcomes, unseen


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
    shared = np.array(
        [
            [
                iou(Box(*matches.boxes[one]), Box(*matches.boxes[other]))
                if matches.road_user[one] == matches.road_user[other]
                else 0.0
                for other in before
            ]
            for one in here
        ]
    )
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
