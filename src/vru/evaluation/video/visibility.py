"""When a visible road user was not detected: after it reached a size, in gaps, and after it was hidden."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from vru.domain import Track
from vru.evaluation.core.frames import Frames
from vru.evaluation.core.settings import UnseenUnit
from vru.evaluation.core.tables import Floats, Ints
from vru.evaluation.statistics.draws import Draws
from vru.evaluation.statistics.estimates import Estimate, Quantile
from vru.evaluation.statistics.survival import SurvivalCurve, with_misses
from vru.evaluation.video.latency import Outcome
from vru.evaluation.video.visible_boxes import VisibleBox


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
    ``reacquisitions``: how many times there are, after the first detection, from a frame in which it was not detected,
    or in which it came back after being hidden, to the next detection; 0 ms if it came back and was detected at once.
    ``slowest_reacquisition``: the longest of them, one that never ended being longer than any; None without any.
    """

    track_id: int
    reasonable: Undetected | None
    longest_gap: Undetected
    reacquisitions: int
    slowest_reacquisition: Undetected | None


class TimingLog:
    """The times of each track, piece by piece of the video. It holds a few numbers a track.

    A road user is visible in the boxes that count (not ``ignore``). It is hidden where an evaluated frame between two
    of its boxes has none. Times begin with its first box, whether or not that frame was evaluated, and end at evaluated
    frames: they may be too long by the time between two of them, never too short. Nobody knows what happened in an
    excluded part: a gap that reaches one is cut short there, and one that is found to go on after it is another.
    ``reasonable_height`` is in pixels: 50 in Caltech's "reasonable" (Dollár et al. 2012).
    """

    def __init__(self, frames: Frames, reasonable_height: float) -> None:
        self._frames, self._height = frames, reasonable_height
        self._cuts = frozenset(frames.gaps.tolist())
        self._walks: dict[int, _Walk] = {}

    def add(self, number: int, track: Track, seen: Sequence[VisibleBox]) -> None:
        """More of the track with this ``number``: a ``track`` cut to a piece that follows those before."""
        if number not in self._walks:
            self._walks[number] = _Walk(track.track_id, self._frames.times, self._cuts, self._height)
        for sighting in seen:
            self._walks[number].see(sighting)

    def timings(self) -> dict[int, TrackTiming]:
        """The times of each track that an evaluated frame shows, by number, rising. Nothing can be added after it."""
        ended = ((number, walk.end()) for number, walk in sorted(self._walks.items()))
        return {number: timing for number, timing in ended if timing is not None}


class _Times:
    """The longest of some times, and what they amount to together."""

    __slots__ = ("count", "cut", "last", "longest", "missed")

    def __init__(self) -> None:
        self.count, self.cut = 0, False
        self.last: Outcome | None = None
        self.longest: Undetected | None = None
        self.missed: Undetected | None = None

    def add(self, time: Undetected) -> None:
        self.count += 1
        self.last = time.outcome
        self.cut |= time.outcome == Outcome.CUT_SHORT
        if self.longest is None or time.observed_ms > self.longest.observed_ms:
            self.longest = time
        if time.outcome == Outcome.MISSED and (self.missed is None or time.observed_ms > self.missed.observed_ms):
            self.missed = time

    def worst(self) -> Undetected | None:
        """The longest, one that never ended being longer than any; one that was cut short may have become it."""
        if self.missed is not None or self.longest is None:
            return self.missed
        return replace(self.longest, outcome=Outcome.CUT_SHORT) if self.cut else self.longest


class _Walk:
    """One track, box by box."""

    __slots__ = (
        *("again", "begin_s", "begin_where", "cuts", "end_s", "gaps", "height", "reasonable_hit", "reasonable_s"),
        *("reasonable_shown", "seen", "shown", "since", "spell_end_s", "stretch", "times", "track_id"),
    )

    def __init__(self, track_id: int, times: Floats, cuts: frozenset[int], height: float) -> None:
        self.track_id, self.times, self.cuts, self.height = track_id, times, cuts, height
        # The last evaluated frame that shows it, the stretch of that, and its last box of the same spell.
        self.shown: int | None = None
        self.stretch = 0
        self.spell_end_s = self.end_s = -math.inf
        # Its first box after a frame in which it was hidden, and where that lies.
        self.begin_s, self.begin_where = math.inf, (-2, -1)
        # Since when it has been visible and not detected, and whether it has been detected before.
        self.since: float | None = None
        self.seen = False
        self.gaps, self.again = _Times(), _Times()
        self.reasonable_s: float | None = None
        self.reasonable_hit: float | None = None
        self.reasonable_shown = False

    def see(self, box: VisibleBox) -> None:
        """The next box."""
        self.end_s = box.time_s
        if self.reasonable_s is None and box.height >= self.height:
            self.reasonable_s = box.time_s
        if not box.evaluated and self.shown == box.before and self.stretch == box.stretch:
            self.spell_end_s = box.time_s
            return
        # Before it is shown for the first time, it has not been hidden: then only an excluded part begins anew.
        where = (-1 if self.shown is None else box.before - box.evaluated, box.stretch)
        if where != self.begin_where:
            self.begin_s, self.begin_where = box.time_s, where
        if box.evaluated:
            self._look(box, float(self.times[box.before]))

    def _look(self, box: VisibleBox, now: float) -> None:
        if self.shown is None or self.shown + 1 != box.before or self.stretch != box.stretch:
            first = self.shown is None
            self._leave(cut=self.shown in self.cuts)
            # After an excluded part nobody knows for how long it had been back when it was found at once.
            unknown = not first and box.before - 1 in self.cuts
            self.since = None if unknown and box.hit else min(self.begin_s, now)
        if box.hit:
            if self.since is not None:
                self._add(self.since, now, Outcome.DETECTED)
            self.since, self.seen = None, True
        elif self.since is None:
            self.since = now
        self.shown, self.stretch, self.spell_end_s = box.before, box.stretch, box.time_s
        if self.reasonable_s is not None and now >= self.reasonable_s:
            self.reasonable_shown = True
            if box.hit and self.reasonable_hit is None:
                self.reasonable_hit = now

    def _leave(self, *, cut: bool) -> None:
        """It is no longer visible, or nobody looks any more (``cut``)."""
        if self.since is not None and self.shown is not None:
            end = min(max(self.spell_end_s, float(self.times[self.shown])), float(self.times[-1]))
            self._add(self.since, end, Outcome.CUT_SHORT if cut else Outcome.MISSED)

    def _add(self, start: float, end: float, outcome: Outcome) -> None:
        time = _ended(start, end, outcome)
        self.gaps.add(time)
        if self.seen:
            self.again.add(time)

    def end(self) -> TrackTiming | None:
        """Its times; None if no evaluated frame shows it."""
        self._leave(cut=self.spell_end_s >= self.times[-1] or self.shown in self.cuts)
        longest = self.gaps.longest
        if longest is None or self.gaps.last is None:
            return None
        outcome = self.gaps.last
        if self.seen:
            # A gap that was cut off may have become the longest; one that ended with the visibility is over.
            outcome = Outcome.CUT_SHORT if self.gaps.cut else Outcome.DETECTED
        gap = replace(longest, outcome=outcome)
        return TrackTiming(self.track_id, self._reasonable(), gap, self.again.count, self.again.worst())

    def _reasonable(self) -> Undetected | None:
        if self.reasonable_s is None or not self.reasonable_shown:
            return None
        if self.reasonable_hit is not None:
            return _ended(self.reasonable_s, self.reasonable_hit, Outcome.DETECTED)
        last = float(self.times[-1])
        outcome = Outcome.CUT_SHORT if self.end_s >= last else Outcome.MISSED
        return _ended(self.reasonable_s, min(self.end_s, last), outcome)


def _ended(start: float, end: float, outcome: Outcome) -> Undetected:
    return Undetected(start, (end - start) * 1000, outcome)


def curve(times: Sequence[Undetected]) -> SurvivalCurve:
    """The share still undetected after so much time; misses stay undetected for good."""
    return with_misses(
        [time.observed_ms for time in times],
        [time.outcome == Outcome.DETECTED for time in times],
        [time.outcome == Outcome.MISSED for time in times],
    )


def timing_metrics(
    timings: Sequence[TrackTiming], clip_of: Mapping[int, int], draws: Draws, assumed: UnseenUnit
) -> dict[str, Estimate]:
    """The metrics of these times: medians and 95th percentiles over tracks. ``clip_of`` is each track id's clip."""
    groups: dict[str, list[tuple[int, Undetected | None]]] = {
        "latency_reasonable": [(timing.track_id, timing.reasonable) for timing in timings],
        "longest_gap": [(timing.track_id, timing.longest_gap) for timing in timings],
        "reacquisition": [(timing.track_id, timing.slowest_reacquisition) for timing in timings],
    }
    result: dict[str, Estimate] = {}
    for name, rows in groups.items():
        times = [time for _, time in rows if time is not None]
        clips = np.array([clip_of[track_id] for track_id, time in rows if time is not None], dtype=np.int64)
        for label, share in (("median", 0.5), ("p95", 0.95)):
            result[f"{name}_{label}_ms"] = _quantile(times, share, clips, draws, assumed)
    return result


def _quantile(times: Sequence[Undetected], share: float, clips: Ints, draws: Draws, assumed: UnseenUnit) -> Quantile:
    """A quantile of the curve; for the bounds what is not known is set to its lowest and to its highest value."""
    earliest = np.array([np.inf if time.outcome == Outcome.MISSED else time.observed_ms for time in times])
    latest = np.array([time.observed_ms if time.outcome == Outcome.DETECTED else np.inf for time in times])
    unseen = assumed.truths(np.bincount(clips).astype(np.float64))
    return Quantile(curve(times).quantile(share), share, earliest, latest, clips, draws, unseen)
