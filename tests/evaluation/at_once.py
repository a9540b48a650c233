"""The evaluation of a whole video at once, with all truth and detections held: what ``evaluate`` has to be equal to.

It is written from the definitions, slowly, for the whole video: there is nothing here that could go wrong at the border
of two pieces, and no figure comes from the code that it checks. It shares the plain records of tracks and times.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from tests.evaluation.at_once_figures import Known, Sample
from tests.evaluation.at_once_matches import (
    FALSE_POSITIVE,
    IGNORED,
    TRUE_POSITIVE,
    Floats,
    Matches,
    before_gaps,
    false_alarms,
    match,
    track_outcomes,
    without,
)

from vru.domain import Box, Detection, GroundTruth, Track, TruthBox
from vru.evaluation.core.settings import EvaluationSettings
from vru.evaluation.video.alarms import FalseAlarm
from vru.evaluation.video.curves import Curve
from vru.evaluation.video.latency import Outcome, TrackOutcome
from vru.evaluation.video.visibility import TrackTiming, Undetected


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
