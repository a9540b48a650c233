"""From matches to estimates: every metric of one slice, and the resampling behind the intervals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vru.evaluation.alarms import FalseAlarm
from vru.evaluation.average_precision import average_precision
from vru.evaluation.bootstrap import influence
from vru.evaluation.estimates import Estimate, Known, Proportion, Quantile, Rate, Resampled
from vru.evaluation.exclusion import before_gaps
from vru.evaluation.latency import Outcome, TrackOutcome, latency_quantile
from vru.evaluation.matching import CLASSES, FALSE_POSITIVE, TRUE_POSITIVE, Floats, Ints, Matches
from vru.evaluation.resampling import Units
from vru.evaluation.settings import EvaluationSettings
from vru.evaluation.tables import ratio
from vru.evaluation.visibility import TrackTiming, timing_figures

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
        # A clip without a detection of the slice says nothing about its precision.
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
