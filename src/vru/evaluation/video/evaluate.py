"""From ground truth and detections to measurements."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vru.domain import Detection, GroundTruth, Measurement, VruError
from vru.domain.slices import ALL, check_slices
from vru.evaluation.core.frames import Frames
from vru.evaluation.core.settings import EvaluationSettings
from vru.evaluation.core.slices import class_of
from vru.evaluation.statistics.estimates import Estimate
from vru.evaluation.statistics.survival import SurvivalCurve
from vru.evaluation.video.alarms import FalseAlarm
from vru.evaluation.video.curves import Curve, video_curves
from vru.evaluation.video.latency import TrackOutcome, detection_curve
from vru.evaluation.video.metrics import METRICS, Clips, Sample
from vru.evaluation.video.ranked_detections import Scores
from vru.evaluation.video.slice_log import Collected, Logged, Roster, SliceLog
from vru.evaluation.video.visibility import TrackTiming

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
    alarms: Sequence[FalseAlarm]
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
    to say so. ``minutes`` is how long the evaluated ``frames`` last. ``notes`` are sentences on what limits them.
    """

    slices: Mapping[str, SliceEvaluation]
    settings: EvaluationSettings
    approved: bool
    frames: int
    minutes: float
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
    evaluator = Evaluator(Roster.of(ground_truth), Frames.of(evaluated_frames), settings or EvaluationSettings())
    evaluator.add(ground_truth, detections)
    return evaluator.result()


class Evaluator:
    """Compares detections with ground truth as ``evaluate`` does, piece by piece of a video, and equal to it.

    A piece is a run of frames: the truth cut to it (the roster's tracks, in the roster's order, each with its boxes
    there) and all detections in it. Pieces come in the order of the video, in any size, and together hold everything.
    What is kept between them does not depend on their size: a few numbers a track, 13 bytes a detection and 4 for each
    slice by size or occlusion, 9 bytes a false alarm, and 20 bytes a frame. Classes are read off "all", because
    matching respects class.
    """

    def __init__(self, roster: Roster, frames: Frames, settings: EvaluationSettings) -> None:
        """Begin, with the evaluated ``frames`` of the whole video.

        Raises:
            VruError: as in ``evaluate``, for what is wrong with these.
        """
        check_independent(roster.source, settings.model)
        check_slices(settings.slices)
        self._roster, self._settings = roster, settings
        self._frames = frames.without(settings.excluded)
        _check_rising(self._frames)
        if len({track_id for track_id, _ in roster.tracks}) < len(roster.tracks):
            raise VruError("Two tracks of the ground truth have the same id.", "Give each track its own.")
        self._clips = Clips.of(self._frames, settings.clip_seconds)
        self._names = tuple(dict.fromkeys((ALL, *settings.slices)))
        self._scores = Scores()
        self._logs = {
            name: SliceLog(name, roster, self._frames, self._clips, settings)
            for name in self._names
            if class_of(name) is None
        }
        # Index of the first frame of the video that has not been seen.
        self._next = 0

    def add(self, truth: GroundTruth, detections: Sequence[Detection]) -> None:
        """The next piece.

        Raises:
            VruError: as in ``evaluate``; or the piece begins before the end of one that was added before.
        """
        truth = self._frames.outside(truth)
        indices = [box.frame_index for _, box in truth.boxes()] + [found.frame_index for found in detections]
        if indices and min(indices) < self._next:
            raise VruError(f"Frame {min(indices)} comes after frame {self._next - 1}.", "Add pieces in order of time.")
        _check_times(truth, detections, self._frames)
        matches = [log.add(truth, detections) for log in self._logs.values()]
        # All match the same detections, in the same order.
        self._scores.add(matches[0])
        self._next = max(indices, default=self._next - 1) + 1

    @property
    def roster(self) -> Roster:
        """The ground truth without its boxes."""
        return self._roster

    def collected(self) -> Collected:
        """What was kept of the video, to be pooled with others; nothing can be added after it."""
        return Collected(
            self._roster,
            len(self._frames),
            float(self._clips.minutes.sum()),
            self._frames.longest_step_s,
            *self._scores.columns(),
            {name: log.collected() for name, log in self._logs.items()},
        )

    def result(self) -> Evaluation:
        """Everything that was measured; nothing can be added after it."""
        order, classes = self._scores.ranked()
        found = {}
        for name in list(self._logs):
            # One after the other lets go of what it holds.
            whole = self._logs.pop(name).logged(order, classes)
            found[name] = self._measured(name, whole)
            for part in self._names if name == ALL else ():
                if (road_user := class_of(part)) is not None:
                    found[part] = self._measured(part, whole.only(road_user))
        slices = {name: found[name] for name in self._names}
        return Evaluation(
            slices=slices,
            settings=self._settings,
            approved=self._roster.approved_by is not None,
            frames=len(self._frames),
            minutes=float(self._clips.minutes.sum()),
            notes=(*_notes(self._roster, slices[ALL]), self._settings.unseen.sentence("clips")),
        )

    def _measured(self, name: str, logged: Logged) -> SliceEvaluation:
        tracks = tuple(logged.outcomes.values())
        clip_of = self._clips.at([track.first_visible_s for track in tracks], self._frames)
        sample = Sample(logged.detections, logged.outcomes, clip_of, self._clips, self._settings)
        step = self._frames.longest_step_s
        estimates = sample.estimates(
            sample.counts(self._clips.of_alarms(logged.alarms)),
            tuple(logged.timings.values()),
            not_evaluated=len(logged.not_evaluated),
            resolution_ms=None if step is None else step * 1000,
            false_positives_known=logged.known,
        )
        true_positives = sum(track.true_positives for track in tracks)
        return SliceEvaluation(
            name=name,
            estimates=estimates,
            tracks=tracks,
            timings=tuple(logged.timings.values()),
            not_evaluated=tuple(logged.not_evaluated.values()),
            true_positives=true_positives,
            false_positives=int(logged.detections.false_positives_in.sum()) if logged.known else None,
            false_negatives=sum(track.boxes for track in tracks) - true_positives,
            alarms=logged.alarms,
            curves=video_curves(logged.detections, tracks, len(self._frames)) if name == ALL else (),
        )


def _check_rising(frames: Frames) -> None:
    if not len(frames):
        raise VruError("No frame was evaluated.", "Evaluate at least one frame of the video.")
    if not np.isfinite(frames.times).all() or (np.diff(frames.times) <= 0).any():
        raise VruError("The times of the evaluated frames do not rise.", "Use each frame's presentation time.")


def _check_times(truth: GroundTruth, detections: Sequence[Detection], frames: Frames) -> None:
    owned = list(truth.boxes())
    found = frames.positions(np.array([box.frame_index for _, box in owned], dtype=np.int64))
    for (track, box), position in zip(owned, found.tolist(), strict=True):
        if position >= 0 and abs(box.time_s - frames.times[position]) > _SAME_TIME_S:
            raise VruError(
                f"Track {track.track_id} has frame {box.frame_index} at {box.time_s:.4f} s, the video has it at "
                f"{frames.times[position]:.4f} s.",
                "Both must be media time, on one clock.",
            )
    found = frames.positions(np.array([detection.frame_index for detection in detections], dtype=np.int64))
    for detection, position in zip(detections, found.tolist(), strict=True):
        index = detection.frame_index
        if position < 0:
            raise VruError(f"A detection lies in frame {index}, which was not evaluated.")
        if not math.isfinite(detection.score):
            raise VruError(f"A detection in frame {index} has a score that is not a finite number.")
        if abs(detection.time_s - frames.times[position]) > _SAME_TIME_S:
            raise VruError(
                f"A detection has frame {index} at {detection.time_s:.4f} s, the video has it at "
                f"{frames.times[position]:.4f} s."
            )


def _notes(roster: Roster, overall: SliceEvaluation) -> list[str]:
    notes = []
    if roster.approved_by is None:
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
