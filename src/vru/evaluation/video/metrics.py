"""From matches to estimates: every metric of one slice, and the resampling behind the intervals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vru.evaluation.core.frames import Frames
from vru.evaluation.core.matching import CLASSES, Floats
from vru.evaluation.core.settings import EvaluationSettings
from vru.evaluation.core.tables import ratio
from vru.evaluation.detection.average_precision import Ranked
from vru.evaluation.statistics.bootstrap import influence
from vru.evaluation.statistics.estimates import Estimate, Known, Proportion, Quantile, Rate, Resampled
from vru.evaluation.statistics.resampling import Units
from vru.evaluation.video.alarms import Alarms
from vru.evaluation.video.latency import Outcome, TrackOutcome, latency_quantile
from vru.evaluation.video.true_positives import Tally
from vru.evaluation.video.visibility import TrackTiming, timing_figures

# Draws that are in memory as floating-point numbers at a time.
_ROWS = 64

# Every metric's name and unit.
METRICS: Mapping[str, str] = {
    "precision": "",
    "recall": "",
    "f1": "",
    "ap50": "",
    "track_recall": "",
    "latency_median_ms": "ms",
    "latency_p95_ms": "ms",
    "latency_resolution_ms": "ms",
    "latency_reasonable_median_ms": "ms",
    "latency_reasonable_p95_ms": "ms",
    "longest_gap_median_ms": "ms",
    "longest_gap_p95_ms": "ms",
    "reacquisition_median_ms": "ms",
    "reacquisition_p95_ms": "ms",
    "false_alarms_per_minute": "1/min",
    "tracks_not_evaluated": "tracks",
}

# Further metrics of camera runs, and theirs.
CAMERA_UNITS: Mapping[str, str] = {
    "latency_jitter_ms": "ms",
    "latency_drift_ppm": "ppm",
    "latency_uncertainty_ms": "ms",
    "false_alarm_signals": "signals",
    "early_signals": "signals",
    "duplicate_signals": "signals",
    "ambiguous_detections": "tracks",
    "offset_ms": "ms",
    "offset_drift_ppm": "ppm",
    "offset_jitter_ms": "ms",
}

# Those of tracking that are counted.
TRACKING_UNITS: Mapping[str, str] = {"id_switches": "switches", "fragmentations": "gaps"}


def unit_of(metric: str) -> str:
    """The unit of a metric, "" if it has none."""
    return METRICS.get(metric) or CAMERA_UNITS.get(metric) or TRACKING_UNITS.get(metric, "")


def clips(frames: Frames, clip_seconds: float) -> tuple[NDArray[np.int32], Floats]:
    """Cut the evaluated frames into clips of ``clip_seconds`` of media time.

    Returns the clip of each evaluated frame, numbered from 0 without gaps, and the minutes that each clip lasts. A
    frame lasts until the next evaluated one, the last, and the last before an excluded part, as long as the median
    frame; a single frame lasts no known time: 0.
    """
    times = frames.times
    if not len(times):
        return np.zeros(0, dtype=np.int32), np.zeros(0)
    steps = np.diff(times)
    if len(steps):
        steps[frames.gaps] = np.median(steps)
    lasting = np.append(steps, np.median(steps) if len(steps) else 0.0)
    # A rounding error must not open a new clip one frame late: times are exact to far less than a microsecond.
    segments = np.floor((times - times[0] + 1e-6) / clip_seconds).astype(np.int64)
    _, numbers = np.unique(segments, return_inverse=True)
    return numbers.astype(np.int32), np.bincount(numbers, weights=lasting) / 60


@dataclass(frozen=True, slots=True)
class _Draws:
    """How often tracks and clips are drawn: ``resamples`` rows of either, then rows that leave out some tracks, then
    rows that leave out some clips. One byte each, for a long video has thousands of tracks: that one of n is drawn 256
    times has a chance below n / 256!, which is 1e-500.
    """

    tracks: NDArray[np.uint8]
    clips: NDArray[np.uint8]
    resamples: int
    groups: tuple[int, int]

    @classmethod
    def of(cls, tracks: int, clips: int, settings: EvaluationSettings) -> "_Draws":
        """Draws of so many tracks, and independently of so many clips."""
        units = [Units("", np.arange(count), count) for count in (tracks, clips)]
        without = [len(one.without()) for one in units]
        rows = settings.resamples + sum(without)
        table = [np.ones((rows, one.count), dtype=np.uint8) for one in units]
        for stream, (one, drawn) in enumerate(zip(units, table, strict=True)):
            start = 0
            for block in one.weights(settings.resamples, (settings.seed, stream)):
                drawn[start : start + len(block)] = block
                start += len(block)
            own = settings.resamples + sum(without[:stream])
            drawn[own : own + without[stream]] = one.without()
        return cls(table[0], table[1], settings.resamples, (without[0], without[1]))

    def of_tracks(self, counts: Floats) -> Floats:
        """Sums of the tracks' ``counts`` in all rows. Whole numbers add up to the same in any order."""
        parts = range(0, len(self.tracks), _ROWS)
        return np.concatenate([self.tracks[start : start + _ROWS].astype(np.float64) @ counts for start in parts])

    def of_clips(self, values: Floats) -> Floats:
        """Sums of the clips' ``values`` in all rows."""
        return np.asarray(self.clips.astype(np.float64) @ values)

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
        tally: Tally,
        outcomes: Mapping[int, TrackOutcome],
        frames: Frames,
        clip_minutes: Floats,
        settings: EvaluationSettings,
    ) -> None:
        """``outcomes`` are those of the tracks with these numbers; the numbers, and those of clips, are the tally's."""
        self.tally, self.outcomes, self.settings = tally, tuple(outcomes.values()), settings
        self.frames, self.clip_minutes = frames, clip_minutes
        self.clip_count = len(clip_minutes)
        self.numbers = np.array(list(outcomes), dtype=np.int64)
        self.draws = _Draws.of(len(outcomes), self.clip_count, settings)

    def estimates(
        self,
        alarms: Alarms,
        clip_of_frame: NDArray[np.int32],
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
        per_clip = np.bincount(clip_of_frame[alarms.first_frames], minlength=self.clip_count).astype(np.float64)
        minutes = float(self.clip_minutes.sum()) if false_positives_known else 0.0
        rates = ratio(self.draws.of_clips(per_clip), self.draws.of_clips(self.clip_minutes))
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
        steps = np.delete(np.diff(self.frames.times), self.frames.gaps)
        return {
            "track_recall": Proportion(len(detected), len(self.outcomes)),
            "latency_median_ms": Quantile(latency_quantile(self.outcomes, 0.5), 0.5, earliest, latest),
            "latency_p95_ms": Quantile(latency_quantile(self.outcomes, 0.95), 0.95, earliest, latest),
            "latency_resolution_ms": Known(float(steps.max()) * 1000 if len(steps) else None, len(self.frames)),
        }

    def _box_figures(self, *, known: bool) -> dict[str, Estimate]:
        hits = np.array([track.hits for track in self.outcomes], dtype=np.float64)
        boxes = np.array([track.boxes for track in self.outcomes], dtype=np.float64)
        wrong = self.tally.wrong_in.sum(axis=0)
        # A clip without a detection of the slice says nothing about its precision.
        said = int(np.count_nonzero(self.tally.counted_in.sum(axis=0)))
        all_hits, all_boxes, all_wrong = float(hits.sum()), float(boxes.sum()), float(wrong.sum())
        hits_drawn, boxes_drawn = self.draws.of_tracks(hits), self.draws.of_tracks(boxes)
        wrong_drawn = self.draws.of_clips(wrong)
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
        boxes = np.array([track.boxes for track in self.outcomes], dtype=np.float64)
        classes = np.array([CLASSES.index(track.road_user) for track in self.outcomes], dtype=np.int64)
        rows = len(self.draws.tracks)
        values, replicates, present = [], np.zeros(rows), np.zeros(rows)
        for road_user in np.unique(classes).tolist():
            mine = classes == road_user
            ranked = self._ranked(road_user)
            values.append(ranked.average_precision(np.ones(len(ranked.all_of)), float(boxes[mine].sum())))
            if not known:
                continue
            for number in range(rows):
                tracks_drawn = self.draws.tracks[number]
                weights = np.concatenate([tracks_drawn, self.draws.clips[number]]).astype(np.float64)
                value = ranked.average_precision(weights, float(tracks_drawn[mine] @ boxes[mine]))
                if value is not None:
                    replicates[number] += value
                    present[number] += 1
        fewest = min(len(self.outcomes), self.clip_count)
        units = "tracks" if fewest == len(self.outcomes) else "clips"
        determined = [value for value in values if value is not None]
        mean = float(np.mean(determined)) if determined and known else None
        return Resampled(mean, fewest, *self._split(ratio(replicates, present), units))

    def _ranked(self, road_user: int) -> Ranked:
        """A class's detections that count. Their units are the tracks, then the clips."""
        tally = self.tally
        unit = tally.unit[(tally.road_user == road_user) & tally.counted]
        hit = unit >= 0
        place = np.zeros(int(self.numbers.max(initial=-1)) + 1, dtype=np.int32)
        place[self.numbers] = np.arange(len(self.numbers))
        column = len(self.outcomes) - 1 - unit
        column[hit] = place[unit[hit]]
        return Ranked.of(hit, column, len(self.outcomes) + self.clip_count)
