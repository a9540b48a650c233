"""From a run's detections to its metrics and verdict."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from vru.domain import Criterion, Detection, GroundTruth, Verdict
from vru.evaluation import Evaluation, EvaluationSettings, Evaluator, Frames, Roster, judge
from vru.evaluation.dataset.findings_log import FindingsLog
from vru.service.schemas import (
    CriterionBody,
    CriterionResultBody,
    CurveBody,
    MeasurementBody,
    RunMetrics,
    RunSettings,
    SetAsideClip,
    TrackResult,
)


@dataclass(frozen=True, slots=True)
class Analysis:
    """A run's outcome as it is stored."""

    metrics: dict[str, Any]
    verdict: Verdict
    reasons: list[dict[str, Any]]
    notes: list[str]
    # What was missed and what was false; camera runs have no boxes.
    findings: dict[str, Any] | None = None


def to_criterion(body: CriterionBody) -> Criterion:
    """The criterion that a body describes."""
    return Criterion(**body.model_dump())


class Analysing:
    """Evaluates and judges a run, piece by piece of its video.

    Besides "all" it measures the criteria's slices, and each class if there is more than one. The frames of
    clips that were ``set_aside`` count nowhere, and the verdict cannot be PASS: nobody knows what the model would have
    found in them. ``notes`` are sentences on what else limits the figures. Both methods take seconds of a long video:
    call them outside of the event loop.
    """

    def __init__(
        self,
        roster: Roster,
        frames: Frames,
        settings: RunSettings,
        criteria: Sequence[CriterionBody],
        model: str,
        set_aside: Sequence[SetAsideClip] = (),
        notes: Sequence[str] = (),
        video: str = "",
    ) -> None:
        """Begin, with the tracks of the whole ground truth and the evaluated ``frames`` of the whole ``video``.

        Raises:
            VruError: the inputs contradict each other, or the model under test made the ground truth.
        """
        classes = dict.fromkeys(f"class:{road_user}" for _, road_user in roster.tracks)
        slices = dict.fromkeys(criterion.slice for criterion in criteria) | (classes if len(classes) > 1 else {})
        self._criteria, self._set_aside = [to_criterion(criterion) for criterion in criteria], set_aside
        self._notes = notes
        excluded = tuple((clip.first_frame, clip.last_frame) for clip in set_aside)
        self._findings = FindingsLog(settings.iou_threshold, settings.score_threshold)
        self._findings.begin(video, frames.without(excluded))
        self._evaluator = Evaluator(
            roster,
            frames,
            EvaluationSettings(
                score_threshold=settings.score_threshold,
                iou_threshold=settings.iou_threshold,
                seed=settings.seed,
                model=model,
                slices=tuple(slices),
                excluded=excluded,
            ),
        )

    def add(self, truth: GroundTruth, detections: Sequence[Detection]) -> None:
        """The next piece: all truth and detections in a range of frames.

        Raises:
            VruError: truth and detections contradict each other.
        """
        self._evaluator.add(truth, detections)
        self._findings.add(truth, detections)

    def result(self) -> Analysis:
        """The outcome; nothing can be added after it."""
        evaluation = self._evaluator.result()
        report = judge(evaluation, self._criteria)
        reasons = [CriterionResultBody.model_validate(result).model_dump(mode="json") for result in report.results]
        verdict = report.verdict
        if self._set_aside and verdict == Verdict.PASS:
            verdict = Verdict.INCONCLUSIVE
        notes = [
            f"{clip.name} could not be processed: {clip.reason} Its frames count nowhere." for clip in self._set_aside
        ]
        notes += [*self._notes, *evaluation.notes]
        metrics = _metrics(evaluation).model_dump(mode="json")
        return Analysis(metrics, verdict, reasons, notes, self._findings.document())


def _metrics(evaluation: Evaluation) -> RunMetrics:
    overall = evaluation.overall
    return RunMetrics(
        measurements=[MeasurementBody(**asdict(measured)) for measured in evaluation.measurements],
        tracks=[
            TrackResult(
                track_id=track.track_id,
                road_user=track.road_user,
                first_visible_s=track.first_visible_s,
                last_visible_s=track.last_visible_s,
                first_detected_s=track.first_detected_s,
                latency_ms=track.latency_ms,
            )
            for track in overall.tracks
        ],
        true_positives=overall.true_positives,
        false_positives=overall.false_positives or 0,  # always known for "all"
        false_negatives=overall.false_negatives,
        ground_truth_approved=evaluation.approved,
        curves=[CurveBody(**asdict(curve)) for curve in overall.curves],
    )
