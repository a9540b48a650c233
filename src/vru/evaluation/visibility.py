"""When a visible road user was not detected: after it reached a size, in gaps, and after it was hidden."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vru.domain import GroundTruth, Track, TruthBox
from vru.evaluation.estimates import Estimate, Quantile
from vru.evaluation.latency import Outcome
from vru.evaluation.matching import TRUE_POSITIVE, Matches
from vru.evaluation.survival import SurvivalCurve, with_misses


@dataclass(frozen=True, slots=True)
class Undetected:
    """A time for which a road user was visible and not detected: from ``start_s`` (media seconds) for ``observed_ms``.

    The ``outcome`` says what ended it: a detection, that the road user was no longer visible, or the video's end.
    """

    start_s: float
    observed_ms: float
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class TrackTiming:
    """The times of one track.

    ``reasonable``: from its first box of reasonable size to the first detection from then on, whatever came before;
    None if no evaluated frame shows it from there on. ``longest_gap``: the longest time that it was visible and not
    detected, also before the first detection; one who was never detected has none that ended, and counts as missed.
    ``reacquisitions``: after the first detection, each time from a frame in which it was not detected, or in which it
    came back after being hidden, to the next detection; 0 ms if it came back and was detected at once.
    """

    track_id: int
    reasonable: Undetected | None
    longest_gap: Undetected
    reacquisitions: tuple[Undetected, ...]

    @property
    def slowest_reacquisition(self) -> Undetected | None:
        """The longest of them, one that never ended being longer than any; None without any."""
        return _worst(self.reacquisitions)


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
        tuple(again),
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


def curve(times: Sequence[Undetected]) -> SurvivalCurve:
    """The share still undetected after so much time; misses stay undetected for good."""
    return with_misses(
        [time.observed_ms for time in times],
        [time.outcome == Outcome.DETECTED for time in times],
        [time.outcome == Outcome.MISSED for time in times],
    )


def time_quantile(times: Sequence[Undetected], share: float, units: str = "tracks") -> Quantile:
    """A quantile of the curve, with exact bounds: what is not known is set to its lowest and its highest value."""
    earliest = np.sort([np.inf if time.outcome == Outcome.MISSED else time.observed_ms for time in times])
    latest = np.sort([time.observed_ms if time.outcome == Outcome.DETECTED else np.inf for time in times])
    return Quantile(curve(times).quantile(share), share, earliest, latest, units)


def timing_figures(timings: Sequence[TrackTiming]) -> dict[str, Estimate]:
    """The metrics of these times: medians and 95th percentiles over tracks."""
    groups = {
        "latency_reasonable": [timing.reasonable for timing in timings if timing.reasonable is not None],
        "longest_gap": [timing.longest_gap for timing in timings],
        "reacquisition": [worst for timing in timings if (worst := timing.slowest_reacquisition) is not None],
    }
    return {
        f"{name}_{label}_ms": time_quantile(times, share)
        for name, times in groups.items()
        for label, share in (("median", 0.5), ("p95", 0.95))
    }
