"""The evaluation of a whole video at once, with all truth and detections held: what ``evaluate`` has to be equal to.

It is written from the definitions, slowly, for the whole video: there is nothing here that could go wrong at the border
of two pieces, and no figure comes from the code that it checks. It shares the plain records of tracks and times.
"""

import math
from array import array
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vru.domain import Box, Detection, GroundTruth, Track, TruthBox, VruClass, iou
from vru.evaluation.core.settings import EvaluationSettings
from vru.evaluation.video.alarms import FalseAlarm
from vru.evaluation.video.curves import Curve
from vru.evaluation.video.latency import Outcome, TrackOutcome
from vru.evaluation.video.visibility import TrackTiming, Undetected

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


def clips(
    frames: Mapping[int, float], clip_seconds: float, excluded: Sequence[tuple[int, int]] = ()
) -> tuple[Ints, Floats]:
    """Cut the evaluated frames into clips of ``clip_seconds`` of media time.

    Returns the clip of each evaluated frame, numbered from 0 without gaps, and the minutes that each clip lasts. A
    frame lasts until the next evaluated one, the last, and the last before an excluded part, as long as the median
    frame; a single frame lasts no known time: 0.
    """
    times = np.fromiter(frames.values(), dtype=np.float64, count=len(frames))
    if not len(times):
        return np.zeros(0, dtype=np.int64), np.zeros(0)
    steps = np.diff(times)
    if len(steps):
        steps[before_gaps(frames, excluded)] = np.median(steps)
    lasting = np.append(steps, np.median(steps) if len(steps) else 0.0)
    # A rounding error must not open a new clip one frame late: times are exact to far less than a microsecond.
    segments = np.floor((times - times[0] + 1e-6) / clip_seconds).astype(np.int64)
    _, numbers = np.unique(segments, return_inverse=True)
    return numbers.astype(np.int64), np.bincount(numbers, weights=lasting) / 60


@dataclass(frozen=True)
class Known:
    """A figure, how many clips it rests on, and its one-sided bounds at 95 %."""

    value: float | None
    n: int
    low: float
    high: float


def weights(clips: int, settings: EvaluationSettings) -> tuple[Floats, Floats]:
    """The clips' random weights (rows x clips), and those of the one that was not seen."""
    rng = np.random.default_rng((settings.seed, clips))
    seen = rng.standard_exponential((settings.resamples, clips))
    steps = (np.arange(settings.resamples) + 0.5) / settings.resamples
    unseen = seen.sum(axis=1) * ((1 - steps) ** (-1 / clips) - 1)
    return np.round(seen * 65536) / 65536, np.round(unseen * 65536) / 65536


def lowest(values: Sequence[float]) -> float:
    """What 95 % of the rows' figures do not lie below, to the safe side."""
    place = math.floor(0.05 * (len(values) + 1) + 1e-9)
    return sorted(-math.inf if math.isnan(value) else value for value in values)[place - 1] if place else -math.inf


class Sample:
    """One slice's clips, each with the tracks that begin in it and the false positives in its frames."""

    def __init__(
        self,
        matches: Matches,
        outcomes: Sequence[TrackOutcome],
        track_numbers: Sequence[int],
        frames: Mapping[int, float],
        settings: EvaluationSettings,
    ) -> None:
        """``track_numbers`` are the positions of the ``outcomes`` among the ground truth's tracks."""
        self.matches, self.outcomes, self.settings = matches, outcomes, settings
        self.times = list(frames.values())
        self.clip_of_frame, self.minutes = clips(frames, settings.clip_seconds, settings.excluded)
        self.count = len(self.minutes)
        self.frames = [int((self.clip_of_frame == clip).sum()) for clip in range(self.count)]
        self.gaps = before_gaps(frames, settings.excluded)
        self.clip_of = [self._clip_at(track.first_visible_s) for track in outcomes]
        self.clip_of_track = dict(zip(track_numbers, self.clip_of, strict=True))
        self.seen, self.unseen = weights(self.count, settings)

    def _clip_at(self, second: float) -> int:
        after = [place for place, time in enumerate(self.times) if time >= second - 1e-6]
        return int(self.clip_of_frame[after[0] if after else len(self.times) - 1])

    def figures(
        self, alarms: Sequence[FalseAlarm], timings: Sequence[TrackTiming], *, not_evaluated: int, known: bool
    ) -> dict[str, Known]:
        """Every metric."""
        tracks = self._per_clip([1.0] * len(self.outcomes))
        hits = self._per_clip([track.true_positives for track in self.outcomes])
        boxes = self._per_clip([track.boxes for track in self.outcomes])
        detected = self._per_clip([float(track.outcome == Outcome.DETECTED) for track in self.outcomes])
        sure = self.matches.score >= self.settings.score_threshold
        wrong = [0.0] * self.count
        for frame in self.matches.frame[sure & (self.matches.outcome == FALSE_POSITIVE)]:
            wrong[self.clip_of_frame[frame]] += 1
        starts = [0.0] * self.count
        for alarm in alarms:
            starts[self.clip_of_frame[alarm.first_frame]] += 1
        most = {name: 2 * max(of, default=0) for name, of in (("boxes", boxes), ("tracks", tracks))}
        found = [one + other for one, other in zip(hits, wrong, strict=True)]
        false = max(3.0 * max(self.frames), max(found), 2 * max(wrong))
        false_alarms = max(3.0 * max(self.frames), 2 * max(starts))
        longest = max(self.minutes)
        shown = sum(count > 0 for count in tracks)
        said = sum(one + other > 0 for one, other in zip(hits, wrong, strict=True))

        def share(above: list[list[float]], below: list[list[float]], worst: list[float], best: list[float], n: int,
                  *, need: bool = True, factor: float = 1) -> Known:  # fmt: skip
            return self._share(above, below, worst, best, n if n else 0, known=need, factor=factor)

        result = {
            "recall": share([hits], [boxes], [0, most["boxes"]], [most["boxes"]] * 2, shown),
            "precision": share([hits], [hits, wrong], [0, false], [most["boxes"]] * 2, said, need=known),
            "f1": share(
                [hits], [hits, wrong, boxes], [0, false + most["boxes"]], [most["boxes"], 2 * most["boxes"]],
                shown or said, need=known, factor=2,
            ),
            "track_recall": share([detected], [tracks], [0, most["tracks"]], [most["tracks"]] * 2, shown),
            "false_alarms_per_minute": share(
                [starts], [list(self.minutes)], [0, longest], [false_alarms, longest], self.count, need=known
            ),
            "ap50": self._average_precision(boxes, false, shown, known=known),
        }  # fmt: skip
        steps = np.delete(np.diff(self.times), self.gaps)
        resolution = float(steps.max()) * 1000 if len(steps) else None
        unknown = -math.inf, math.inf
        bounds = unknown if resolution is None else (resolution, resolution)
        result["latency_resolution_ms"] = Known(resolution, len(self.times), *bounds)
        result["tracks_not_evaluated"] = Known(
            float(not_evaluated), len(self.outcomes) + not_evaluated, float(not_evaluated), float(not_evaluated)
        )
        ended = [Undetected(t.first_visible_s, t.observed_ms, t.outcome) for t in self.outcomes]
        clip_of = {track.track_id: clip for track, clip in zip(self.outcomes, self.clip_of, strict=True)}
        groups: dict[str, list[tuple[Undetected | None, int]]] = {
            "latency": list(zip(ended, self.clip_of, strict=True)),
            "latency_reasonable": [(timing.reasonable, clip_of[timing.track_id]) for timing in timings],
            "longest_gap": [(timing.longest_gap, clip_of[timing.track_id]) for timing in timings],
            "reacquisition": [(timing.slowest_reacquisition, clip_of[timing.track_id]) for timing in timings],
        }
        for name, rows in groups.items():
            times = [(time, clip) for time, clip in rows if time is not None]
            for label, q in (("median", 0.5), ("p95", 0.95)):
                result[f"{name}_{label}_ms"] = self._quantile(times, q)
        return result

    def _per_clip(self, values: Sequence[float]) -> list[float]:
        sums = [0.0] * self.count
        for value, clip in zip(values, self.clip_of, strict=True):
            sums[clip] += value
        return sums

    def _bounds(self, n: int, value: float | None, lows: list[float], highs: list[float]) -> tuple[float, float]:
        if n < 2 or value is None:
            return -math.inf, math.inf
        return lowest(lows), -lowest([-high for high in highs])

    def _share(
        self, above: list[list[float]], below: list[list[float]], worst: list[float], best: list[float], n: int,
        *, known: bool, factor: float,
    ) -> Known:  # fmt: skip
        """A quotient of sums over clips; ``worst`` and ``best`` are what a clip that was not seen adds to it."""
        over, under = sum(map(sum, above)), sum(map(sum, below))
        value = factor * over / under if under > 0 and known else None
        rows: list[list[float]] = []
        for row, weight in zip(self.seen, self.unseen, strict=True):
            up = sum(float(row @ np.array(part)) for part in above)
            down = sum(float(row @ np.array(part)) for part in below)
            parts = [(up + weight * more, down + weight * much) for more, much in ((0, 0), worst, best)]
            rows.append([factor * a / b for a, b in parts if b > 0] or [math.nan])
        return Known(value, n, *self._bounds(n, value, [min(row) for row in rows], [max(row) for row in rows]))

    def _quantile(self, times: list[tuple[Undetected, int]], q: float) -> Known:
        n = len({clip for _, clip in times})
        value = _product_limit([time for time, _ in times], q)
        if n < 2:
            return Known(value, n, -math.inf, math.inf)
        fullest = 2 * max(sum(clip == own for _, own in times) for clip in range(self.count))
        missed = [math.inf if time.outcome == Outcome.MISSED else time.observed_ms for time, _ in times]
        found = [time.observed_ms if time.outcome == Outcome.DETECTED else math.inf for time, _ in times]
        lows, highs = [], []
        for row, weight in zip(self.seen, self.unseen, strict=True):
            owned = [float(row[clip]) for _, clip in times]
            lows.append(_weighted(q, [*zip(missed, owned, strict=True), (0.0, fullest * weight)]))
            highs.append(_weighted(q, [*zip(found, owned, strict=True), (math.inf, fullest * weight)]))
        return Known(value, n, max(lowest(lows), 0.0), -lowest([-high for high in highs]))

    def _average_precision(self, boxes: list[float], false: float, shown: int, *, known: bool) -> Known:
        """Mean over the classes that the truth holds, of all detections whatever their score."""
        present = sorted({CLASSES.index(track.road_user) for track in self.outcomes})
        if not known or not present:
            return Known(None, shown, -math.inf, math.inf)
        values: list[float] = []
        lows, highs = np.zeros(len(self.seen)), np.zeros(len(self.seen))
        for road_user in present:
            own = [
                float(track.boxes) if CLASSES.index(track.road_user) == road_user else 0.0 for track in self.outcomes
            ]
            truths, of = self._per_clip(own), self.matches
            chosen = np.flatnonzero((of.road_user == road_user) & (of.outcome != IGNORED))
            chosen = chosen[np.argsort(-of.score[chosen], kind="stable")]
            hit = [of.outcome[number] == TRUE_POSITIVE for number in chosen]
            clip = [
                self.clip_of_track[int(of.track[number])] if right else int(self.clip_of_frame[of.frame[number]])
                for number, right in zip(chosen, hit, strict=True)
            ]
            values.append(interpolated([(1.0, right) for right in hit], sum(truths)))
            most = 2 * max(truths)
            for number, (row, weight) in enumerate(zip(self.seen, self.unseen, strict=True)):
                ranked = [(float(row[at]), right) for at, right in zip(clip, hit, strict=True)]
                total = float(row @ np.array(truths)) + most * weight
                lows[number] += interpolated([(false * weight, False), *ranked], total)
                highs[number] += interpolated([(most * weight, True), *ranked], total)
        value = sum(values) / len(values)
        return Known(
            value, shown, *self._bounds(shown, value, list(lows / len(present)), list(highs / len(present)))
        )  # fmt: skip


def interpolated(ranked: Sequence[tuple[float, bool]], total: float) -> float:
    """COCO's average precision from detections by falling score: the weight of each, and whether it is right."""
    hits = counted = 0.0
    points = []
    for weight, right in ranked:
        hits += weight * right
        counted += weight
        points.append((hits / total, hits / counted if counted > 0 else 0.0))
    best = [max((p for r, p in points if r >= recall), default=0.0) for recall in np.linspace(0, 1, 101)]
    return sum(best) / 101


def _product_limit(times: Sequence[Undetected], share: float) -> float | None:
    """When the Kaplan-Meier curve says that the share is detected; who was missed is at risk for ever."""
    undetected = 1.0
    for now in sorted({time.observed_ms for time in times if time.outcome == Outcome.DETECTED}):
        at_risk = sum(time.outcome == Outcome.MISSED or time.observed_ms >= now for time in times)
        ended = sum(time.outcome == Outcome.DETECTED and time.observed_ms == now for time in times)
        undetected *= 1 - ended / at_risk
        if 1 - undetected >= share - 1e-12:
            return now
    return None


def _weighted(q: float, times: Sequence[tuple[float, float]]) -> float:
    """The time by which the share q of all the weight is reached."""
    wanted = q * sum(weight for _, weight in times) * (1 - 1e-12)
    reached = 0.0
    for time, weight in sorted(times):
        reached += weight
        if reached >= wanted:
            return time
    return math.inf


def track_timings(
    truth: GroundTruth,
    matches: Matches,
    frames: Mapping[int, float],
    score_threshold: float,
    reasonable_height: float,
) -> list[TrackTiming]:
    """The times of each track that an evaluated frame shows, in the truth's order.

    A road user is visible in the boxes that count (not ``ignore``). It is hidden where an evaluated frame between two
    of its boxes has none. Times begin with its first box, whether or not that frame was evaluated, and end at evaluated
    frames: they may be too long by the time between two of them, never too short. ``reasonable_height`` is in pixels:
    50 in Caltech's "reasonable" (Dollár et al. 2012).
    """
    hit = (matches.outcome == TRUE_POSITIVE) & (matches.score >= score_threshold)
    hits: dict[int, set[int]] = {}
    for track, frame in zip(matches.track[hit].tolist(), matches.frame[hit].tolist(), strict=True):
        hits.setdefault(track, set()).add(frame)
    position = {index: number for number, index in enumerate(frames)}
    times = list(frames.values())
    found = []
    for number, track in enumerate(truth.tracks):
        counted = [box for box in track.boxes if not box.ignore]
        if any(box.frame_index in position for box in counted):
            found.append(_timing(track, counted, position, times, hits.get(number, set()), reasonable_height))
    return found


def _timing(
    track: Track,
    counted: Sequence[TruthBox],
    position: Mapping[int, int],
    times: Sequence[float],
    hits: set[int],
    reasonable_height: float,
) -> TrackTiming:
    shown = [position[box.frame_index] for box in counted if box.frame_index in position]
    gaps: list[Undetected] = []
    again: list[Undetected] = []
    seen = False
    for spell in _spells(shown):
        start, end, last = _visible(counted, times, spell, first=spell[0] == shown[0], last=spell[-1] == shown[-1])
        since: float | None = start
        for frame in spell:
            if frame in hits and since is not None:
                gap = _ended(since, times[frame], Outcome.DETECTED)
                gaps.append(gap)
                again += [gap] if seen else []
                since, seen = None, True
            elif frame not in hits and since is None:
                since = times[frame]
        if since is not None:
            gap = _ended(since, end, Outcome.CUT_SHORT if last else Outcome.MISSED)
            gaps.append(gap)
            again += [gap] if seen else []
    longest = max(gaps, key=lambda gap: gap.observed_ms)
    if not seen:
        outcome = gaps[-1].outcome
    else:
        # A gap that the video's end cut off may have become the longest; one that ended with the visibility is over.
        outcome = Outcome.CUT_SHORT if gaps[-1].outcome == Outcome.CUT_SHORT else Outcome.DETECTED
    return TrackTiming(
        track.track_id,
        _reasonable(counted, shown, times, hits, reasonable_height),
        Undetected(longest.start_s, longest.observed_ms, outcome),
        len(again),
        _worst(again),
    )


def _spells(shown: Sequence[int]) -> list[list[int]]:
    """Evaluated frames without a hidden one between them."""
    breaks = [number for number in range(1, len(shown)) if shown[number] > shown[number - 1] + 1]
    return [list(shown[a:b]) for a, b in zip([0, *breaks], [*breaks, len(shown)], strict=True)]


def _visible(
    counted: Sequence[TruthBox], times: Sequence[float], spell: Sequence[int], *, first: bool, last: bool
) -> tuple[float, float, bool]:
    """First and last media second of a spell, and whether the video's end cut it off."""
    begin, end = times[spell[0]], times[spell[-1]]
    before = -np.inf if first else times[spell[0] - 1]
    after = times[spell[-1] + 1] if spell[-1] + 1 < len(times) else np.inf
    inside = [box.time_s for box in counted if before < box.time_s < after]
    until = min(max(inside[-1], end), times[-1])
    return min(inside[0], begin), until, last and inside[-1] >= times[-1]


def _reasonable(
    counted: Sequence[TruthBox], shown: Sequence[int], times: Sequence[float], hits: set[int], height: float
) -> Undetected | None:
    start = next((box.time_s for box in counted if box.box.height >= height), None)
    after = [] if start is None else [frame for frame in shown if times[frame] >= start]
    if start is None or not after:
        return None
    detected = next((frame for frame in after if frame in hits), None)
    if detected is not None:
        return _ended(start, times[detected], Outcome.DETECTED)
    end = counted[-1].time_s
    return _ended(start, min(end, times[-1]), Outcome.CUT_SHORT if end >= times[-1] else Outcome.MISSED)


def _ended(start: float, end: float, outcome: Outcome) -> Undetected:
    return Undetected(start, (end - start) * 1000, outcome)


def _worst(times: Sequence[Undetected]) -> Undetected | None:
    missed = [time for time in times if time.outcome == Outcome.MISSED]
    cut = [time for time in times if time.outcome == Outcome.CUT_SHORT]
    if not times or missed:
        return max(missed, key=lambda time: time.observed_ms, default=None)
    longest = max(times, key=lambda time: time.observed_ms)
    return Undetected(longest.start_s, longest.observed_ms, Outcome.CUT_SHORT if cut else longest.outcome)


def video_curves(matches: Matches, tracks: Sequence[TrackOutcome], frames: int) -> tuple[Curve, ...]:
    """The curves of one video with ``frames`` evaluated frames, all classes together."""
    order = np.argsort(-matches.score, kind="stable")
    order = order[matches.outcome[order] != IGNORED]
    hit = matches.outcome[order] == TRUE_POSITIVE
    hits, wrong, truths = np.cumsum(hit), np.cumsum(~hit), len(matches.truth_frame)
    found = []
    if truths and len(order):
        found.append(Curve("precision_recall", "all", _thinned(hits / truths, hits / (hits + wrong))))
    every = np.argsort(-matches.score, kind="stable")
    if truths and len(every) and frames:
        wrongs = np.cumsum(matches.outcome[every] == FALSE_POSITIVE) / frames
        missed = 1 - np.cumsum(matches.outcome[every] == TRUE_POSITIVE) / truths
        found.append(Curve("miss_rate", "all", _thinned(wrongs, missed)))
    return tuple(found)


def _thinned(x: Floats, y: Floats) -> tuple[tuple[float, float], ...]:
    """At most 200 points, evenly chosen, the first and the last always."""
    chosen = np.unique(np.linspace(0, len(x) - 1, min(len(x), 200)).round().astype(int))
    return tuple((round(float(a), 6), round(float(b), 6)) for a, b in zip(x[chosen], y[chosen], strict=True))


SIZES = {"small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, math.inf)}


def sliced(
    name: str, truth: GroundTruth, detections: Sequence[Detection]
) -> tuple[GroundTruth, list[Detection], Callable[[Box], bool] | None]:
    """Truth and detections of a slice, and whether a false positive belongs to it; None if nobody can say."""
    kind, _, value = name.partition(":")
    if kind == "class":
        tracks = tuple(track for track in truth.tracks if track.road_user == value)
        return replace(truth, tracks=tracks), [one for one in detections if one.road_user == value], lambda _: True
    if kind == "size":
        low, high = SIZES[value]
        return (
            _only(truth, lambda box: low <= box.box.area < high),
            list(detections),
            lambda box: low <= box.area < high,
        )
    if kind == "occlusion":
        return _only(truth, lambda box: box.occluded == (value == "partial")), list(detections), None
    return truth, list(detections), lambda _: True


def _only(truth: GroundTruth, wanted: Callable[[TruthBox], bool]) -> GroundTruth:
    return replace(
        truth,
        tracks=tuple(
            replace(track, boxes=tuple(replace(box, ignore=box.ignore or not wanted(box)) for box in track.boxes))
            for track in truth.tracks
        ),
    )


@dataclass(frozen=True)
class AtOnce:
    """One slice: as ``SliceEvaluation``, with plain figures in the place of estimates."""

    name: str
    estimates: Mapping[str, Known]
    tracks: tuple[TrackOutcome, ...]
    timings: tuple[TrackTiming, ...]
    not_evaluated: tuple[int, ...]
    true_positives: int
    false_positives: int | None
    false_negatives: int
    alarms: Sequence[FalseAlarm]
    curves: tuple[Curve, ...] = ()


def slice_at_once(
    name: str,
    truth: GroundTruth,
    detections: Sequence[Detection],
    evaluated: Mapping[int, float],
    settings: EvaluationSettings,
) -> AtOnce:
    """One slice of the evaluation. Its timings are those of a video without excluded parts."""
    truth, frames = without(truth, dict(sorted(evaluated.items())), settings.excluded)
    part, found, belongs = sliced(name, truth, detections)
    matches = match(part, found, frames, settings.iou_threshold)
    if belongs is not None:
        outside = [not belongs(Box(*box)) for box in matches.boxes.tolist()]
        wrong = matches.outcome == FALSE_POSITIVE
        matches = replace(matches, outcome=np.where(wrong & np.array(outside, dtype=bool), IGNORED, matches.outcome))
    outcomes, not_evaluated = track_outcomes(part, matches, frames, settings.score_threshold)
    timings = track_timings(part, matches, frames, settings.score_threshold, settings.reasonable_height)
    number_of = {track.track_id: number for number, track in enumerate(part.tracks)}
    known = belongs is not None
    gaps = before_gaps(frames, settings.excluded).tolist()
    alarms = false_alarms(matches, settings.score_threshold, settings.alarm_link_iou, gaps) if known else []
    sample = Sample(matches, outcomes, [number_of[track.track_id] for track in outcomes], frames, settings)
    counted = matches.outcome[matches.score >= settings.score_threshold]
    hits = int((counted == TRUE_POSITIVE).sum())
    return AtOnce(
        name=name,
        estimates=sample.figures(alarms, timings, not_evaluated=len(not_evaluated), known=known),
        tracks=tuple(outcomes),
        timings=tuple(timings),
        not_evaluated=tuple(not_evaluated),
        true_positives=hits,
        false_positives=int((counted == FALSE_POSITIVE).sum()) if known else None,
        false_negatives=len(matches.truth_frame) - hits,
        alarms=alarms,
        curves=video_curves(matches, outcomes, len(frames)) if name == "all" else (),
    )
