"""Curves behind the figures: precision over recall, miss rate over false positives, share of road users found."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vru.evaluation.core.ordering import falling, stable_order
from vru.evaluation.core.tables import Bools, Floats, Ints
from vru.evaluation.detection.miss_rate import miss_rate
from vru.evaluation.detection.outcomes import FALSE_POSITIVE, TRUE_POSITIVE, Outcomes
from vru.evaluation.video.latency import Outcome, TrackOutcome
from vru.evaluation.video.ranked_detections import RankedDetections

# A curve is drawn a few hundred pixels wide: more points would only make the report large.
MOST_POINTS = 200
# Beyond so many classes a chart is a tangle: then all classes are drawn as one line.
_MOST_CLASSES = 6

PRECISION_RECALL, MISS_RATE, DETECTED_IN_TIME = "precision_recall", "miss_rate", "detected_in_time"


@dataclass(frozen=True, slots=True)
class Curve:
    """One line of a chart: ``chart`` names it, ``series`` the line in it; ``points`` are (x, y), x never falling.

    Units: shares from 0 to 1, except x of ``miss_rate`` (false positives per image) and of ``detected_in_time`` (ms).
    """

    chart: str
    series: str
    points: tuple[tuple[float, float], ...]


def data_set_curves(outcomes: Outcomes, view: int, overlap: int, *, miss_rates: bool) -> tuple[Curve, ...]:
    """Precision over recall, and with ``miss_rates`` miss rate over false positives per image, for each class."""
    data = outcomes.data
    labels = range(len(data.labels)) if len(data.labels) <= _MOST_CLASSES else ()
    lines: list[tuple[str, int | None]] = [(data.labels[label], label) for label in labels] or [("all", None)]
    found = []
    for series, label in lines:
        score = data.found.score[outcomes.kept[outcomes.of_label(label)]]
        outcome = outcomes.outcome(view, overlap, label)
        truth = outcomes.counted_truth(view)
        if label is not None:
            truth = truth & (data.truth.label == label)
        counted = (outcome == TRUE_POSITIVE) | (outcome == FALSE_POSITIVE)
        order = stable_order(falling(score[counted]))
        curve = _precision_recall(series, outcome[counted][order] == TRUE_POSITIVE, int(truth.sum()))
        found += [curve] if curve else []
    for series, label in lines if miss_rates else ():
        if label is None:
            continue
        rate = miss_rate(outcomes, view, overlap, label)
        if rate.log_average is not None and len(rate.fppi):
            found.append(Curve(MISS_RATE, series, _thinned(rate.fppi, rate.miss_rate)))
    return tuple(found)


def video_curves(detections: RankedDetections, tracks: Sequence[TrackOutcome], frames: int) -> tuple[Curve, ...]:
    """The curves of one video with ``frames`` evaluated frames, all classes together."""
    hit, counted = detections.hit, detections.counted
    truths = sum(track.boxes for track in tracks)
    found = [_precision_recall("all", hit[counted], truths)]
    if truths and len(hit) and frames:
        places = _places(len(hit))
        true_positives = _so_far(hit, places)
        found.append(
            Curve(
                MISS_RATE,
                "all",
                _rounded((_so_far(counted, places) - true_positives) / frames, 1 - true_positives / truths),
            )
        )
    found.append(detected_in_time(tracks))
    return tuple(curve for curve in found if curve)


def detected_in_time(tracks: Sequence[TrackOutcome]) -> Curve | None:
    """The share of all road users found within a time (ms) of becoming visible, as a staircase; None without any.

    Kaplan and Meier's estimate (1958) turned upside down, censored as ``latency_quantile`` censors: who left the
    picture unseen stays among the undetected for good, so the curve ends below 1 by the share that was missed.
    """
    if not tracks:
        return None
    remaining, undetected = len(tracks), 1.0
    points = [(0.0, 0.0)]
    leaving = [track for track in tracks if track.outcome != Outcome.MISSED]
    for track in sorted(leaving, key=lambda track: (track.observed_ms, track.outcome == Outcome.CUT_SHORT)):
        if track.outcome == Outcome.DETECTED:
            points.append((track.observed_ms, 1 - undetected))
            undetected *= 1 - 1 / remaining
            points.append((track.observed_ms, 1 - undetected))
        remaining -= 1
    end = max(track.observed_ms for track in tracks)
    points.append((max(end, points[-1][0]), 1 - undetected))
    table = np.asarray(points)
    return Curve(DETECTED_IN_TIME, "all", _thinned(table[:, 0], table[:, 1]))


def _precision_recall(series: str, hit: Bools, truths: int) -> Curve | None:
    """After each detection that counts, which come by falling score."""
    if not truths or not len(hit):
        return None
    places = _places(len(hit))
    true_positives = _so_far(hit, places)
    return Curve(PRECISION_RECALL, series, _rounded(true_positives / truths, true_positives / (places + 1)))


def _places(count: int) -> Ints:
    """At most ``MOST_POINTS`` of so many points, evenly chosen, the first and the last always."""
    return np.linspace(0, count - 1, min(count, MOST_POINTS)).round().astype(np.int64)


def _so_far(flags: Bools, places: Ints) -> Ints:
    """How many flags are set up to each of the ``places`` and in it; the last place is the last flag's."""
    return np.cumsum(np.add.reduceat(flags, np.concatenate([[0], places[:-1] + 1]), dtype=np.int64))


def _thinned(x: Floats, y: Floats) -> tuple[tuple[float, float], ...]:
    chosen = _places(len(x))
    return _rounded(x[chosen], y[chosen])


def _rounded(x: Floats, y: Floats) -> tuple[tuple[float, float], ...]:
    return tuple((round(float(a), 6), round(float(b), 6)) for a, b in zip(x, y, strict=True))
