"""The figures of a whole video at once, with their bounds. See ``at_once``."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from tests.evaluation.at_once_matches import (
    CLASSES,
    FALSE_POSITIVE,
    IGNORED,
    TRUE_POSITIVE,
    Floats,
    Ints,
    Matches,
    before_gaps,
)

from vru.evaluation.core.settings import EvaluationSettings
from vru.evaluation.video.alarms import FalseAlarm
from vru.evaluation.video.latency import Outcome, TrackOutcome
from vru.evaluation.video.visibility import TrackTiming, Undetected


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
