"""From matches to estimates: every metric of one slice, and the resampling behind the intervals."""

from collections.abc import Mapping, Sequence

import numpy as np

from vru.evaluation.alarms import FalseAlarm
from vru.evaluation.average_precision import average_precision
from vru.evaluation.estimates import Estimate, Known, Proportion, Quantile, Rate, Resampled
from vru.evaluation.exclusion import before_gaps
from vru.evaluation.latency import Outcome, TrackOutcome, latency_quantile
from vru.evaluation.matching import CLASSES, FALSE_POSITIVE, TRUE_POSITIVE, Floats, Ints, Matches
from vru.evaluation.settings import EvaluationSettings

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
    "false_alarms_per_minute": "1/min",
    "tracks_not_evaluated": "tracks",
}


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


def _weights(rng: np.random.Generator, units: int, resamples: int) -> Floats:
    """How often each unit was drawn in each resample: ``resamples`` x ``units``."""
    if units == 0:
        return np.zeros((resamples, 0))
    return np.asarray(rng.multinomial(units, np.full(units, 1 / units), size=resamples), dtype=np.float64)


def _ratio(above: Floats, below: Floats) -> Floats:
    """Quotient, NaN where nothing is below the line."""
    return np.asarray(np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0), dtype=np.float64)


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
        rng = np.random.default_rng(settings.seed)
        self.track_weights = _weights(rng, len(outcomes), settings.resamples)
        self.clip_weights = _weights(rng, self.clip_count, settings.resamples)

    def estimates(
        self, alarms: Sequence[FalseAlarm], *, not_evaluated: int, false_positives_known: bool
    ) -> dict[str, Estimate]:
        """Every metric. Figures that count false positives have no value if those cannot be told for the slice."""
        result: dict[str, Estimate] = dict(self._track_figures())
        result |= self._box_figures(known=false_positives_known)
        result["ap50"] = self._average_precision(known=false_positives_known)
        starts = np.array([alarm.first_frame for alarm in alarms], dtype=np.int64)
        per_clip = np.bincount(self.clip_of_frame[starts], minlength=self.clip_count).astype(np.float64)
        minutes = float(self.clip_minutes.sum()) if false_positives_known else 0.0
        rates = _ratio(self.clip_weights @ per_clip, self.clip_weights @ self.clip_minutes)
        result["false_alarms_per_minute"] = Rate(len(alarms), minutes, self.clip_count, np.nan_to_num(rates))
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

        all_hits, all_boxes, all_wrong = float(hits.sum()), float(boxes.sum()), float(wrong.sum())
        hits_drawn, boxes_drawn = self.track_weights @ hits, self.track_weights @ boxes
        wrong_drawn = self.clip_weights @ wrong
        fewest = min(len(self.outcomes), self.clip_count)
        return {
            "recall": Resampled(_or_none(all_hits, all_boxes), len(self.outcomes), _ratio(hits_drawn, boxes_drawn)),
            "precision": Resampled(
                _or_none(all_hits, all_hits + all_wrong) if known else None,
                self.clip_count,
                _ratio(hits_drawn, hits_drawn + wrong_drawn),
                "clips",
            ),
            "f1": Resampled(
                _or_none(2 * all_hits, all_hits + all_wrong + all_boxes) if known else None,
                fewest,
                _ratio(2 * hits_drawn, hits_drawn + wrong_drawn + boxes_drawn),
                "tracks" if fewest == len(self.outcomes) else "clips",
            ),
        }

    def _average_precision(self, *, known: bool) -> Estimate:
        """Mean over the classes that the truth holds, of all detections whatever their score."""
        matches = self.matches
        boxes = np.array([track.boxes for track in self.outcomes], dtype=np.float64)
        classes = [CLASSES.index(track.road_user) for track in self.outcomes]
        values, replicates = [], np.zeros(self.settings.resamples)
        present = np.zeros(self.settings.resamples)
        for road_user in sorted(set(classes)):
            mine = np.array([number == road_user for number in classes])
            chosen = np.flatnonzero((matches.road_user == road_user) & (matches.outcome >= 0))
            chosen = chosen[np.argsort(-matches.score[chosen], kind="stable")]
            hit = matches.outcome[chosen] == TRUE_POSITIVE
            rows = np.array(
                [self.row_of_track.get(track, -1) for track in matches.track[chosen].tolist()], dtype=np.int64
            )
            clip = self.clip_of_frame[matches.frame[chosen]]
            values.append(average_precision(hit.astype(float), (~hit).astype(float), float(boxes[mine].sum())))
            if not known:
                continue
            for number in range(self.settings.resamples):
                tracks_drawn, clips_drawn = self.track_weights[number], self.clip_weights[number]
                value = average_precision(
                    np.where(hit, tracks_drawn[rows], 0.0),
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
        return Resampled(mean, fewest, _ratio(replicates, present), units)
