"""From matches to estimates: every metric of one slice, and the clips behind the bounds."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vru.domain.metrics import CAMERA_METRICS, MODEL_METRICS
from vru.evaluation.core.frames import Frames, clip_of
from vru.evaluation.core.settings import EvaluationSettings, UnseenUnit
from vru.evaluation.core.tables import CLASSES, Floats, Ints, ratio
from vru.evaluation.detection.average_precision import Ranked
from vru.evaluation.statistics.draws import Draws
from vru.evaluation.statistics.estimates import Estimate, Fixed, Quantile, Replicates, Resampled
from vru.evaluation.statistics.resampling import resampled
from vru.evaluation.video.alarms import Alarms
from vru.evaluation.video.latency import Outcome, TrackOutcome, latency_quantile
from vru.evaluation.video.ranked_detections import RankedDetections
from vru.evaluation.video.visibility import TrackTiming, timing_metrics

# Resamples from which the spread of the average precision is read.
_SPREAD_ROWS = 200

# Every metric's name and unit, and those of further metrics of camera runs.
METRICS: Mapping[str, str] = {name: metric.unit for name, metric in MODEL_METRICS.items()}
CAMERA_UNITS: Mapping[str, str] = {name: metric.unit for name, metric in CAMERA_METRICS.items()}

# Those of tracking that are counted.
TRACKING_UNITS: Mapping[str, str] = {"id_switches": "switches", "fragmentations": "gaps"}


def unit_of(metric: str) -> str:
    """The unit of a metric, "" if it has none."""
    return METRICS.get(metric) or CAMERA_UNITS.get(metric) or TRACKING_UNITS.get(metric, "")


@dataclass(frozen=True, slots=True)
class Clips:
    """The clips that the evaluated frames were cut into: of each frame its clip, numbered from 0 without gaps; of each
    clip its ``minutes`` and how many ``frames`` it has. ``name`` is what these units are called.
    """

    of_frame: NDArray[np.int32]
    minutes: Floats
    frames: Floats
    name: str = "clips"

    @classmethod
    def of(cls, frames: Frames, clip_seconds: float) -> "Clips":
        """Cut into clips of ``clip_seconds`` of media time.

        A frame lasts until the next evaluated one, the last, and the last before an excluded part, as long as the
        median frame; a single frame lasts no known time: 0.
        """
        times = frames.times
        if not len(times):
            return cls(np.zeros(0, dtype=np.int32), np.zeros(0), np.zeros(0))
        steps = np.diff(times)
        if len(steps):
            steps[frames.gaps] = np.median(steps)
        lasting = np.append(steps, np.median(steps) if len(steps) else 0.0)
        _, numbers = np.unique(clip_of(times, float(times[0]), clip_seconds), return_inverse=True)
        minutes = np.bincount(numbers, weights=lasting) / 60
        return cls(numbers.astype(np.int32), minutes, np.bincount(numbers).astype(np.float64))

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.minutes)

    def of_alarms(self, alarms: Alarms) -> Floats:
        """How many false alarms begin in each clip."""
        return np.bincount(self.of_frame[alarms.first_frames], minlength=self.count).astype(np.float64)

    def at(self, seconds: Sequence[float], frames: Frames) -> Ints:
        """The clip of each media time: that of the first frame from then on, or of the last one."""
        place = np.searchsorted(frames.times, np.asarray(seconds, dtype=np.float64) - 1e-6)
        return self.of_frame[np.minimum(place, len(frames) - 1)].astype(np.int64)


class Sample:
    """One slice's clips, the independent units. A clip has the tracks that begin in it, with all their boxes, and the
    false positives in its frames: tracks that are visible together share the scene, and are not independent.
    """

    def __init__(
        self,
        detections: RankedDetections,
        outcomes: Mapping[int, TrackOutcome],
        clip_of: Ints,
        clips: Clips,
        settings: EvaluationSettings,
    ) -> None:
        """``outcomes`` are those of the tracks with these numbers; the numbers are those of ``detections``. ``clip_of``
        is the clip of each.
        """
        self._detections, self._tracks, self._settings = detections, tuple(outcomes.values()), settings
        self._clips, self._clip_of = clips, clip_of
        self._numbers = np.array(list(outcomes), dtype=np.int64)
        self._draws = Draws(clips.count, settings.resamples, settings.seed)

    def estimates(
        self,
        counts: "ClipCounts",
        timings: Sequence[TrackTiming],
        *,
        not_evaluated: int,
        resolution_ms: float | None,
        false_positives_known: bool,
    ) -> dict[str, Estimate]:
        """Every metric. Metrics that count false positives have no value if those cannot be told for the slice."""
        result: dict[str, Estimate] = dict(self._count_metrics(counts, known=false_positives_known))
        result |= self._latencies()
        result["latency_resolution_ms"] = Fixed(resolution_ms, int(self._clips.frames.sum()))
        clip_of = dict(zip((track.track_id for track in self._tracks), self._clip_of.tolist(), strict=True))
        result |= timing_metrics(timings, clip_of, self._draws, self._settings.unseen)
        result["ap50"] = self._average_precision(known=false_positives_known)
        result["tracks_not_evaluated"] = Fixed(float(not_evaluated), len(self._tracks) + not_evaluated, "tracks")
        return {name: self._named(result[name]) for name in METRICS}

    def _named(self, estimate: Estimate) -> Estimate:
        return replace(estimate, units=self._clips.name) if isinstance(estimate, Resampled | Quantile) else estimate

    def counts(self, alarms: Floats) -> "ClipCounts":
        """What can be added up, clip by clip; ``alarms`` is how many false alarms each has."""
        return ClipCounts(
            true_positives=self._of_tracks(lambda track: track.true_positives),
            false_positives=self._detections.false_positives_in.sum(axis=0),
            boxes=self._of_tracks(lambda track: track.boxes),
            detected=self._of_tracks(lambda track: track.outcome == Outcome.DETECTED),
            tracks=self._per_clip(self._clip_of),
            alarms=alarms,
            minutes=self._clips.minutes,
        )

    def _per_clip(self, clips: Ints, values: Floats | None = None) -> Floats:
        return np.bincount(clips, weights=values, minlength=self._clips.count).astype(np.float64)

    def _of_tracks(self, value: Callable[[TrackOutcome], float]) -> Floats:
        return self._per_clip(self._clip_of, np.array([value(track) for track in self._tracks], dtype=np.float64))

    def _count_metrics(self, counts: "ClipCounts", *, known: bool) -> dict[str, Resampled]:
        metrics = count_metrics(counts, self._clips.frames, self._draws, self._settings.unseen)
        needs_false_positives = ("precision", "f1", "false_alarms_per_minute")
        return {
            name: metric if known or name not in needs_false_positives else replace(metric, value=None)
            for name, metric in metrics.items()
        }

    def _latencies(self) -> dict[str, Estimate]:
        # What is not known is set to its extremes: a track cut short might have been detected the moment after.
        earliest = np.array([np.inf if t.outcome == Outcome.MISSED else t.observed_ms for t in self._tracks])
        latest = np.array([t.observed_ms if t.outcome == Outcome.DETECTED else np.inf for t in self._tracks])
        unseen = self._settings.unseen.truths(self._per_clip(self._clip_of))

        def quantile(share: float) -> Quantile:
            value = latency_quantile(self._tracks, share)
            return Quantile(value, share, earliest, latest, self._clip_of, self._draws, unseen)

        return {
            "latency_median_ms": quantile(0.5),
            "latency_p95_ms": quantile(0.95),
        }

    def _average_precision(self, *, known: bool) -> Estimate:
        """Mean over the classes that the truth holds, of all detections whatever their score."""
        values: list[float] = []
        sums, present = np.zeros((3, self._draws.resamples)), 0
        classes = np.array([CLASSES.index(track.road_user) for track in self._tracks], dtype=np.int64)
        boxes = np.array([track.boxes for track in self._tracks], dtype=np.float64)
        for road_user in np.unique(classes).tolist() if known else ():
            mine = classes == road_user
            of_clip = self._per_clip(self._clip_of[mine], boxes[mine])
            ranked = self._ranked(road_user)
            value = ranked.average_precision(np.ones(self._clips.count), float(of_clip.sum()))
            if value is None:
                continue
            values.append(value)
            sums += self._redrawn(ranked, of_clip)
            present += 1
        shown = len(np.unique(self._clip_of))
        if not present:
            return Resampled(None, shown, Replicates())
        seen, low, high = sums / present
        # A few rows show the spread well enough: only how many more units are needed rests on it.
        return Resampled(float(np.mean(values)), shown, Replicates(seen[:_SPREAD_ROWS], low, high))

    def _redrawn(self, ranked: Ranked, boxes: Floats) -> Floats:
        """One class's figure under each row of weights: of the clips seen, with the worst one and with the best
        one that may not have been seen; 3 x rows.
        """
        unseen = self._settings.unseen
        wrong, hits = (
            self._detections.false_positives_in.sum(axis=0),
            self._of_tracks(lambda track: track.true_positives),
        )
        most, false_positives = unseen.truths(boxes), unseen.false_positives(wrong, self._clips.frames, hits)
        result = np.zeros((3, self._draws.resamples))
        row = 0
        for block, weights in self._draws.blocks():
            totals = block @ boxes
            for seen, total, unseen_weight in zip(block, totals.tolist(), weights.tolist(), strict=True):
                more = most * unseen_weight
                if row < _SPREAD_ROWS:
                    result[0, row] = ranked.average_precision(seen, total) or 0.0
                result[1, row] = (
                    ranked.average_precision(seen, total + more, false_positives=false_positives * unseen_weight) or 0.0
                )
                result[2, row] = ranked.average_precision(seen, total + more, true_positives=more) or 0.0
                row += 1
        return result

    def _ranked(self, road_user: int) -> Ranked:
        """A class's detections that count, with the clip of each."""
        of = self._detections
        unit = of.unit[(of.road_user == road_user) & of.counted]
        hit = unit >= 0
        clip = np.zeros(int(self._numbers.max(initial=-1)) + 1, dtype=np.int32)
        clip[self._numbers] = self._clip_of
        column = -1 - unit
        column[hit] = clip[unit[hit]]
        return Ranked.of(hit, column, self._clips.count)


@dataclass(frozen=True, slots=True)
class ClipCounts:
    """What can be added up over clips, an entry for each: hits, false positives and truth boxes at the score threshold,
    tracks detected and in all, false alarms, and the minutes that it lasts.
    """

    true_positives: Floats
    false_positives: Floats
    boxes: Floats
    detected: Floats
    tracks: Floats
    alarms: Floats
    minutes: Floats

    def table(self) -> Floats:
        """Clips x 7."""
        return np.column_stack([getattr(self, name) for name in self.__slots__])

    def unseen(self, assumed: UnseenUnit, frames: Floats) -> Floats:
        """The worst clip that may not have been seen and the best one, as rows of the table."""
        boxes, tracks = assumed.truths(self.boxes), assumed.truths(self.tracks)
        false_positives, alarms = (
            assumed.false_positives(self.false_positives, frames, self.true_positives),
            assumed.false_positives(self.alarms, frames),
        )
        minutes = float(self.minutes.max(initial=0.0))
        return np.array(
            [[0, false_positives, boxes, 0, tracks, alarms, minutes], [boxes, 0, boxes, tracks, tracks, 0, minutes]]
        )


def clip_rates(sums: Floats) -> dict[str, Floats]:
    """The figures of each row of sums over clips (m x 7, see ``ClipCounts``); NaN where nothing divides."""
    true_positives, false_positives, boxes, detected, tracks, alarms, minutes = sums.T
    return {
        "recall": ratio(true_positives, boxes),
        "precision": ratio(true_positives, true_positives + false_positives),
        "f1": ratio(2 * true_positives, true_positives + false_positives + boxes),
        "track_recall": ratio(detected, tracks),
        "false_alarms_per_minute": ratio(alarms, minutes),
    }


def count_metrics(counts: ClipCounts, frames: Floats, draws: Draws, assumed: UnseenUnit) -> dict[str, Resampled]:
    """What follows from sums over units that have so many ``frames`` each."""
    shown, said = (int(np.count_nonzero(of)) for of in (counts.tracks, counts.true_positives + counts.false_positives))
    resting = {"precision": said, "f1": shown or said, "false_alarms_per_minute": len(frames)}
    found = resampled(draws, counts.table(), clip_rates, counts.unseen(assumed, frames))
    return {
        name: Resampled(figure.value, resting.get(name, shown), figure.replicates) for name, figure in found.items()
    }
