"""The evaluation of a whole video at once, with all truth and detections held: what ``evaluate`` has to be equal to.

It is written for the whole video: there is nothing here that could go wrong at the border of two pieces.
"""

from array import array
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vru.domain import Detection, GroundTruth, Track, TruthBox
from vru.evaluation.core import matching
from vru.evaluation.core.matching import CLASSES, FALSE_POSITIVE, TRUE_POSITIVE, Floats, Ints, match_frame, overlaps
from vru.evaluation.core.settings import EvaluationSettings
from vru.evaluation.core.slices import ALL, take
from vru.evaluation.core.tables import ratio
from vru.evaluation.detection.average_precision import average_precision
from vru.evaluation.statistics.bootstrap import influence
from vru.evaluation.statistics.estimates import Estimate, Known, Proportion, Quantile, Rate, Resampled
from vru.evaluation.statistics.resampling import Units
from vru.evaluation.video.alarms import FalseAlarm
from vru.evaluation.video.curves import MISS_RATE, MOST_POINTS, PRECISION_RECALL, Curve, detected_in_time
from vru.evaluation.video.evaluate import SliceEvaluation, _excuse_outside
from vru.evaluation.video.latency import Outcome, TrackOutcome, latency_quantile
from vru.evaluation.video.metrics import METRICS
from vru.evaluation.video.visibility import TrackTiming, Undetected, timing_figures

_NUMBER = {road_user: number for number, road_user in enumerate(CLASSES)}


@dataclass(frozen=True)
class Matches(matching.Matches):
    """With one entry per counted truth box: its frame's position among the evaluated ones, and its track's."""

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
        outcomes, taken = match_frame(
            np.array(boxes),
            np.array([box.box.as_tuple() for _, box in candidates]).reshape(-1, 4),
            np.array([box.ignore for _, box in candidates], dtype=bool),
            iou_threshold,
        )
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
                hits=int(hits_per_track[number]),
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


@dataclass(frozen=True, slots=True)
class _Draws:
    """How often tracks and clips are drawn: ``resamples`` rows of either, then rows that leave out some tracks, then
    rows that leave out some clips.
    """

    tracks: Floats
    clips: Floats
    resamples: int
    groups: tuple[int, int]

    @classmethod
    def of(cls, tracks: int, clips: int, settings: EvaluationSettings) -> "_Draws":
        """Draws of so many tracks, and independently of so many clips."""
        rows = []
        for stream, count in enumerate((tracks, clips)):
            units = Units("", np.arange(count), count)
            blocks = list(units.weights(settings.resamples, (settings.seed, stream)))
            drawn = np.concatenate(blocks) if blocks else np.zeros((settings.resamples, 0))
            rows.append((drawn, units.without()))
        (drawn_tracks, without_tracks), (drawn_clips, without_clips) = rows
        return cls(
            np.concatenate([drawn_tracks, without_tracks, np.ones((len(without_clips), tracks))]),
            np.concatenate([drawn_clips, np.ones((len(without_tracks), clips)), without_clips]),
            settings.resamples,
            (len(without_tracks), len(without_clips)),
        )

    def split(self, figures: Floats) -> tuple[Floats, Floats]:
        """Replicates and influences, from the figures of all rows. Several samples: Davison and Hinkley 1997, 5.3.2."""
        left_out = figures[self.resamples :]
        parts = (left_out[: self.groups[0]], left_out[self.groups[0] :])
        return figures[: self.resamples], np.concatenate([influence(part) for part in parts])


def _or_none(above: float, below: float) -> float | None:
    return above / below if below > 0 else None


class Sample:
    """One slice's tracks and clips, and their resamples.

    Two kinds of independent unit are drawn, each with replacement and independently of the other: tracks, which carry
    the hits and the misses, and clips, which carry the false positives. So a video in which someone is always visible
    still has as many units as it has road users and time segments.
    """

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
        self.frame_times = np.fromiter(frames.values(), dtype=np.float64, count=len(frames))
        self.clip_of_frame, self.clip_minutes = clips(frames, settings.clip_seconds, settings.excluded)
        self.gaps = before_gaps(frames, settings.excluded)
        self.clip_count = len(self.clip_minutes)
        row = {number: position for position, number in enumerate(track_numbers)}
        self.row_of_track = row
        self.draws = _Draws.of(len(outcomes), self.clip_count, settings)

    def estimates(
        self,
        alarms: Sequence[FalseAlarm],
        timings: Sequence[TrackTiming],
        *,
        not_evaluated: int,
        false_positives_known: bool,
    ) -> dict[str, Estimate]:
        """Every metric. Figures that count false positives have no value if those cannot be told for the slice."""
        result: dict[str, Estimate] = dict(self._track_figures())
        result |= timing_figures(timings)
        result |= self._box_figures(known=false_positives_known)
        result["ap50"] = self._average_precision(known=false_positives_known)
        starts = np.array([alarm.first_frame for alarm in alarms], dtype=np.int64)
        per_clip = np.bincount(self.clip_of_frame[starts], minlength=self.clip_count).astype(np.float64)
        minutes = float(self.clip_minutes.sum()) if false_positives_known else 0.0
        rates = ratio(self.draws.clips @ per_clip, self.draws.clips @ self.clip_minutes)
        result["false_alarms_per_minute"] = Rate(
            len(alarms), minutes, self.clip_count, *self._split(np.nan_to_num(rates), "clips")
        )
        result["tracks_not_evaluated"] = Known(float(not_evaluated), len(self.outcomes) + not_evaluated, "tracks")
        return {name: result[name] for name in METRICS}

    def _track_figures(self) -> dict[str, Estimate]:
        detected = [track for track in self.outcomes if track.outcome == Outcome.DETECTED]
        # What is not known is set to its extremes: a track cut short might have been detected the moment after.
        earliest = np.sort([np.inf if t.outcome == Outcome.MISSED else t.observed_ms for t in self.outcomes])
        latest = np.sort([t.observed_ms if t.outcome == Outcome.DETECTED else np.inf for t in self.outcomes])
        steps = np.delete(np.diff(self.frame_times), self.gaps)
        return {
            "track_recall": Proportion(len(detected), len(self.outcomes)),
            "latency_median_ms": Quantile(latency_quantile(self.outcomes, 0.5), 0.5, earliest, latest),
            "latency_p95_ms": Quantile(latency_quantile(self.outcomes, 0.95), 0.95, earliest, latest),
            "latency_resolution_ms": Known(float(steps.max()) * 1000 if len(steps) else None, len(self.frame_times)),
        }

    def _box_figures(self, *, known: bool) -> dict[str, Estimate]:
        hits = np.array([track.hits for track in self.outcomes], dtype=np.float64)
        boxes = np.array([track.boxes for track in self.outcomes], dtype=np.float64)
        counted = self.matches.score >= self.settings.score_threshold
        wrong_frames = self.matches.frame[counted & (self.matches.outcome == FALSE_POSITIVE)]
        wrong = np.bincount(self.clip_of_frame[wrong_frames], minlength=self.clip_count).astype(np.float64)
        said = len(np.unique(self.clip_of_frame[self.matches.frame[counted & (self.matches.outcome >= 0)]]))

        all_hits, all_boxes, all_wrong = float(hits.sum()), float(boxes.sum()), float(wrong.sum())
        hits_drawn, boxes_drawn = self.draws.tracks @ hits, self.draws.tracks @ boxes
        wrong_drawn = self.draws.clips @ wrong
        fewest = min(len(self.outcomes), self.clip_count)
        smaller = "tracks" if fewest == len(self.outcomes) else "clips"
        precision = _or_none(all_hits, all_hits + all_wrong) if known else None
        f1 = _or_none(2 * all_hits, all_hits + all_wrong + all_boxes) if known else None
        return {
            "recall": Resampled(
                _or_none(all_hits, all_boxes),
                len(self.outcomes),
                *self._split(ratio(hits_drawn, boxes_drawn), "tracks"),
            ),
            "precision": Resampled(precision, said, *self._split(ratio(hits_drawn, hits_drawn + wrong_drawn), "clips")),
            "f1": Resampled(
                f1, fewest, *self._split(ratio(2 * hits_drawn, hits_drawn + wrong_drawn + boxes_drawn), smaller)
            ),
        }

    def _split(self, figures: Floats, units: str) -> tuple[Floats, str, Floats]:
        replicates, influences = self.draws.split(figures)
        return replicates, units, influences

    def _average_precision(self, *, known: bool) -> Estimate:
        """Mean over the classes that the truth holds, of all detections whatever their score."""
        matches = self.matches
        boxes = np.array([track.boxes for track in self.outcomes], dtype=np.float64)
        classes = [CLASSES.index(track.road_user) for track in self.outcomes]
        rows = len(self.draws.tracks)
        values, replicates, present = [], np.zeros(rows), np.zeros(rows)
        for road_user in sorted(set(classes)):
            mine = np.array([number == road_user for number in classes])
            chosen = np.flatnonzero((matches.road_user == road_user) & (matches.outcome >= 0))
            chosen = chosen[np.argsort(-matches.score[chosen], kind="stable")]
            hit = matches.outcome[chosen] == TRUE_POSITIVE
            owner = np.array(
                [self.row_of_track.get(track, -1) for track in matches.track[chosen].tolist()], dtype=np.int64
            )
            clip = self.clip_of_frame[matches.frame[chosen]]
            values.append(average_precision(hit.astype(float), (~hit).astype(float), float(boxes[mine].sum())))
            if not known:
                continue
            for number in range(rows):
                tracks_drawn, clips_drawn = self.draws.tracks[number], self.draws.clips[number]
                value = average_precision(
                    np.where(hit, tracks_drawn[owner], 0.0),
                    np.where(hit, 0.0, clips_drawn[clip]),
                    float(tracks_drawn[mine] @ boxes[mine]),
                )
                if value is not None:
                    replicates[number] += value
                    present[number] += 1
        fewest = min(len(self.outcomes), self.clip_count)
        units = "tracks" if fewest == len(self.outcomes) else "clips"
        determined = [value for value in values if value is not None]
        mean = float(np.mean(determined)) if determined and known else None
        return Resampled(mean, fewest, *self._split(ratio(replicates, present), units))


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
    hit, wrong = matches.outcome == TRUE_POSITIVE, matches.outcome == FALSE_POSITIVE
    truths = len(matches.truth_frame)
    found = [_precision_recall("all", hit, wrong, matches.score, truths)]
    order = np.argsort(-matches.score, kind="stable")
    if truths and len(order) and frames:
        fppi, missed = np.cumsum(wrong[order]) / frames, 1 - np.cumsum(hit[order]) / truths
        found.append(Curve(MISS_RATE, "all", _thinned(fppi, missed)))
    found.append(detected_in_time(tracks))
    return tuple(curve for curve in found if curve)


def _precision_recall(
    series: str, hit: NDArray[np.bool_], wrong: NDArray[np.bool_], score: Floats, truths: int
) -> Curve | None:
    """After each detection by falling score; those that do not count are left out."""
    counted = np.asarray(hit | wrong)
    if not truths or not counted.any():
        return None
    order = np.argsort(-score[counted], kind="stable")
    hits, wrongs = np.cumsum(hit[counted][order]), np.cumsum(wrong[counted][order])
    return Curve(PRECISION_RECALL, series, _thinned(hits / truths, hits / (hits + wrongs)))


def _thinned(x: Floats, y: Floats) -> tuple[tuple[float, float], ...]:
    """At most ``MOST_POINTS`` points, evenly chosen, the first and the last always."""
    chosen = np.unique(np.linspace(0, len(x) - 1, min(len(x), MOST_POINTS)).round().astype(int))
    return tuple((round(float(a), 6), round(float(b), 6)) for a, b in zip(x[chosen], y[chosen], strict=True))


def slice_at_once(
    name: str,
    truth: GroundTruth,
    detections: Sequence[Detection],
    evaluated: Mapping[int, float],
    settings: EvaluationSettings,
) -> SliceEvaluation:
    """One slice of the evaluation. Its timings are those of a video without excluded parts."""
    truth, frames = without(truth, dict(sorted(evaluated.items())), settings.excluded)
    sliced = take(name, truth, detections)
    matches = match(sliced.truth, sliced.detections, frames, settings.iou_threshold)
    matches = replace(matches, outcome=_excuse_outside(sliced, matches.outcome, matches.boxes))
    outcomes, not_evaluated = track_outcomes(sliced.truth, matches, frames, settings.score_threshold)
    timings = track_timings(
        sliced.truth, matches, frames, settings.score_threshold, settings.reasonable_height
    )  # fmt: skip
    number_of = {track.track_id: number for number, track in enumerate(sliced.truth.tracks)}
    known = sliced.in_slice is not None
    gaps = before_gaps(frames, settings.excluded).tolist()
    alarms = false_alarms(matches, settings.score_threshold, settings.alarm_link_iou, gaps) if known else []
    sample = Sample(matches, outcomes, [number_of[track.track_id] for track in outcomes], frames, settings)
    counted = matches.outcome[matches.score >= settings.score_threshold]
    hits = int((counted == TRUE_POSITIVE).sum())
    return SliceEvaluation(
        name=name,
        estimates=sample.estimates(alarms, timings, not_evaluated=len(not_evaluated), false_positives_known=known),
        tracks=tuple(outcomes),
        timings=tuple(timings),
        not_evaluated=tuple(not_evaluated),
        true_positives=hits,
        false_positives=int((counted == FALSE_POSITIVE).sum()) if known else None,
        false_negatives=len(matches.truth_frame) - hits,
        alarms=alarms,
        curves=video_curves(matches, outcomes, len(frames)) if name == ALL else (),
    )
