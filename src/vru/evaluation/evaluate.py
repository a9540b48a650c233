"""From ground truth and detections to measurements."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from vru.domain import Box, Detection, GroundTruth, Measurement, VruError
from vru.evaluation.alarms import FalseAlarm, false_alarms
from vru.evaluation.curves import Curve, video_curves
from vru.evaluation.estimates import Estimate
from vru.evaluation.exclusion import before_gaps, without
from vru.evaluation.latency import TrackOutcome, detection_curve, track_outcomes
from vru.evaluation.matching import FALSE_POSITIVE, IGNORED, TRUE_POSITIVE, match
from vru.evaluation.measuring import METRICS, Sample
from vru.evaluation.settings import EvaluationSettings
from vru.evaluation.slices import ALL, Sliced, check_slices, take
from vru.evaluation.survival import SurvivalCurve
from vru.evaluation.visibility import TrackTiming, track_timings

# Truth and detections of one frame must carry the same media time, to within rounding.
_SAME_TIME_S = 0.002


@dataclass(frozen=True, slots=True)
class SliceEvaluation:
    """What was measured on one slice. Counts are at the score threshold; they have no figure for true negatives,
    because frames without anyone do not come in countable pieces.
    """

    name: str
    estimates: Mapping[str, Estimate]
    tracks: tuple[TrackOutcome, ...]
    timings: tuple[TrackTiming, ...]
    not_evaluated: tuple[int, ...]
    true_positives: int
    false_positives: int | None
    false_negatives: int
    alarms: tuple[FalseAlarm, ...]
    curves: tuple[Curve, ...] = ()

    def survival(self) -> SurvivalCurve:
        """The share of road users still undetected after so much time; misses stay undetected for good."""
        return detection_curve(self.tracks)

    def measurement(self, metric: str, confidence_level: float) -> Measurement:
        """The metric with its two-sided interval at ``confidence_level``.

        Raises:
            VruError: there is no such metric.
        """
        check_metric(metric)
        estimate = self.estimates[metric]
        low, high = estimate.bounds((1 + confidence_level) / 2)
        return Measurement(
            metric=metric,
            value=estimate.value,
            low=low if math.isfinite(low) and estimate.n else None,
            high=high if math.isfinite(high) and estimate.n else None,
            n=estimate.n,
            unit=METRICS[metric],
            confidence_level=confidence_level,
            slice=self.name,
        )


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Everything that was measured, for "all" and for each slice asked for.

    ``approved`` is whether a person has approved the ground truth; where it is False, every figure drawn from here has
    to say so. ``notes`` are sentences on what limits the figures.
    """

    slices: Mapping[str, SliceEvaluation]
    settings: EvaluationSettings
    approved: bool
    frames: int
    notes: tuple[str, ...]

    @property
    def overall(self) -> SliceEvaluation:
        """The slice "all"."""
        return self.slices[ALL]

    @property
    def measurements(self) -> tuple[Measurement, ...]:
        """Every metric of every slice, with its interval at the settings' confidence level."""
        level = self.settings.confidence_level
        return tuple(part.measurement(metric, level) for part in self.slices.values() for metric in METRICS)


def check_metric(metric: str) -> None:
    """Do nothing if there is a metric of this name.

    Raises:
        VruError: there is none.
    """
    if metric not in METRICS:
        raise VruError(f"There is no metric {metric!r}.", f"Use one of: {', '.join(METRICS)}.")


def check_independent(source: str, model: str | None) -> None:
    """Do nothing if ground truth from ``source`` may judge ``model``.

    ``source`` is ``manual``, ``synthetic``, or ``model:NAME`` with or without a version after ``/``, ``:`` or ``@``.

    Raises:
        VruError: the model under test made the truth, so it would be compared with itself.
    """
    kind, _, maker = source.partition(":")
    if kind.strip().lower() != "model" or model is None:
        return
    name = maker.replace("@", "/").replace(":", "/").partition("/")[0].strip().lower()
    if name == model.strip().lower():
        raise VruError(
            f"The ground truth was made by {maker.strip()}, the model under test: it would be compared with itself.",
            "Use ground truth from another source, for example annotated by hand.",
        )


def evaluate(
    ground_truth: GroundTruth,
    detections: Sequence[Detection],
    evaluated_frames: Mapping[int, float],
    settings: EvaluationSettings | None = None,
) -> Evaluation:
    """Compare ``detections`` with ``ground_truth`` in the ``evaluated_frames`` (frame index to media seconds).

    Only evaluated frames count: truth in the frames between them is neither found nor missed, and latencies are
    known to within the time between two of them. ``detections`` are all the model's, whatever their score.

    Raises:
        VruError: the model under test made the ground truth; there is no evaluated frame; the times of the frames do
            not rise, or disagree with those of the truth or the detections; two tracks share an id; a detection lies in
            a frame that was not evaluated; a score is not a number; a slice does not exist.
    """
    settings = settings or EvaluationSettings()
    check_independent(ground_truth.source, settings.model)
    check_slices(settings.slices)
    frames = dict(sorted(evaluated_frames.items()))
    if settings.excluded:
        ground_truth, frames = without(ground_truth, frames, settings.excluded)
    _check_times(ground_truth, detections, frames)
    ids = [track.track_id for track in ground_truth.tracks]
    if len(set(ids)) < len(ids):
        raise VruError("Two tracks of the ground truth have the same id.", "Give each track its own.")
    names = dict.fromkeys((ALL, *settings.slices))
    slices = {name: _evaluate_slice(name, ground_truth, detections, frames, settings) for name in names}
    return Evaluation(
        slices=slices,
        settings=settings,
        approved=ground_truth.approved_by is not None,
        frames=len(frames),
        notes=tuple(_notes(ground_truth, slices[ALL])),
    )


def _check_times(truth: GroundTruth, detections: Sequence[Detection], frames: Mapping[int, float]) -> None:
    if not frames:
        raise VruError("No frame was evaluated.", "Evaluate at least one frame of the video.")
    times = np.fromiter(frames.values(), dtype=np.float64, count=len(frames))
    if not np.isfinite(times).all() or (np.diff(times) <= 0).any():
        raise VruError("The times of the evaluated frames do not rise.", "Use each frame's presentation time.")
    for track, box in truth.boxes():
        if box.frame_index in frames and abs(box.time_s - frames[box.frame_index]) > _SAME_TIME_S:
            raise VruError(
                f"Track {track.track_id} has frame {box.frame_index} at {box.time_s:.4f} s, the video has it at "
                f"{frames[box.frame_index]:.4f} s.",
                "Both must be media time, on one clock.",
            )
    for detection in detections:
        index = detection.frame_index
        if index not in frames:
            raise VruError(f"A detection lies in frame {index}, which was not evaluated.")
        if not math.isfinite(detection.score):
            raise VruError(f"A detection in frame {index} has a score that is not a finite number.")
        if abs(detection.time_s - frames[index]) > _SAME_TIME_S:
            raise VruError(
                f"A detection has frame {index} at {detection.time_s:.4f} s, the video has it at {frames[index]:.4f} s."
            )


def _evaluate_slice(
    name: str,
    truth: GroundTruth,
    detections: Sequence[Detection],
    frames: Mapping[int, float],
    settings: EvaluationSettings,
) -> SliceEvaluation:
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
        alarms=tuple(alarms),
        curves=video_curves(matches, outcomes, len(frames)) if name == ALL else (),
    )


def _excuse_outside(
    sliced: Sliced, outcome: np.typing.NDArray[np.int64], boxes: np.typing.NDArray[np.float64]
) -> np.typing.NDArray[np.int64]:
    """False positives outside the slice do not count for it."""
    if sliced.in_slice is None:
        return outcome
    excused = outcome.copy()
    for number in np.flatnonzero(outcome == FALSE_POSITIVE):
        if not sliced.in_slice(Box(*boxes[number].tolist())):
            excused[number] = IGNORED
    return excused


def _notes(truth: GroundTruth, overall: SliceEvaluation) -> list[str]:
    notes = []
    if truth.approved_by is None:
        notes.append("The ground truth is not approved: no person has vouched for it.")
    resolution = overall.estimates["latency_resolution_ms"].value
    if resolution is not None:
        notes.append(f"Latencies are known to within {resolution:.1f} ms, the longest time between evaluated frames.")
    if overall.not_evaluated:
        ids = ", ".join(map(str, overall.not_evaluated[:10])) + (", ..." if len(overall.not_evaluated) > 10 else "")
        notes.append(f"{len(overall.not_evaluated)} tracks are in no evaluated frame and count nowhere: {ids}.")
    missed = sum(track.latency_ms is None for track in overall.tracks)
    if missed:
        notes.append(
            f"{missed} of {len(overall.tracks)} tracks were never detected; they are censored in the latencies."
        )
    return notes
