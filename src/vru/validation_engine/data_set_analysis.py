"""From the detections of a run over a data set to its metrics and verdict: all recordings together, and each."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from vru.domain import Detection, GroundTruth, Verdict, VruClass
from vru.domain.slices import SLICES
from vru.evaluation import EvaluationSettings, Frames, Roster, judge
from vru.evaluation.dataset.findings_log import FindingsLog
from vru.evaluation.video.metrics import ClipCounts
from vru.evaluation.video.pooled import PooledEvaluation, PooledEvaluator
from vru.service.schemas import (
    CriterionBody,
    CriterionResultBody,
    CurveBody,
    DataSetRunMetrics,
    DataSetTrackResult,
    MeasurementBody,
    RecordingResult,
    RunSettings,
    SetAsideClip,
)
from vru.validation_engine.analysis import Analysis, to_criterion


@dataclass(frozen=True, slots=True)
class Measured:
    """A recording as the analysis knows it: its number and name, and the slices that it belongs to as a whole."""

    number: int
    name: str
    slices: Sequence[str]


class DataSetAnalysing:
    """Evaluates and judges a run over a data set, recording by recording, each piece by piece.

    Besides "all" it measures each slice of attributes and tags, the criteria's slices, and each class if there is more
    than one. Frames of clips that were ``set_aside`` count nowhere, nor does a recording of which no frame is left;
    with any of them the verdict cannot be PASS. Methods take seconds: call them outside of the event loop.
    """

    def __init__(
        self,
        recordings: Sequence[Measured],
        road_users: Sequence[VruClass],
        settings: RunSettings,
        criteria: Sequence[CriterionBody],
        model: str,
        set_aside: Sequence[SetAsideClip] = (),
        notes: Sequence[str] = (),
    ) -> None:
        """Begin. ``road_users`` are the classes in the truth of all recordings; ``notes`` say what else limits the
        figures.
        """
        self._recordings, self._settings, self._notes = recordings, settings, notes
        self._place = {recording.number: place for place, recording in enumerate(recordings)}
        self._criteria = [to_criterion(criterion) for criterion in criteria]
        self._set_aside = [clip for clip in set_aside if clip.recording is not None]
        classes = [f"class:{road_user}" for road_user in road_users] if len(road_users) > 1 else []
        asked = [criterion.slice for criterion in criteria if criterion.slice in SLICES]
        self._frames = dict.fromkeys(range(len(recordings)), 0)
        self._findings = FindingsLog(settings.iou_threshold, settings.score_threshold)
        self._evaluator = PooledEvaluator(
            EvaluationSettings(
                score_threshold=settings.score_threshold,
                iou_threshold=settings.iou_threshold,
                seed=settings.seed,
                model=model,
                slices=tuple(dict.fromkeys([*classes, *asked])),
            ),
            [recording.slices for recording in recordings],
        )

    def begin(self, number: int, roster: Roster, times: Sequence[float]) -> None:
        """The recording with this number comes next; ``times`` are the media seconds of all its frames.

        Raises:
            VruError: the inputs contradict each other, or the model under test made its ground truth.
        """
        place = self._place[number]
        excluded = [(clip.first_frame, clip.last_frame) for clip in self._set_aside if clip.recording == number]
        frames = Frames.every(self._settings.frame_stride, times).without(excluded)
        self._frames[place] = len(frames)
        self._evaluator.begin(place, roster, frames)
        self._findings.begin(self._name(place), frames, _attributes(self._recordings[place].slices))

    def add(self, truth: GroundTruth, detections: Sequence[Detection]) -> None:
        """The next piece of the recording: all truth and detections in a range of frames.

        Raises:
            VruError: truth and detections contradict each other.
        """
        self._evaluator.add(truth, detections)
        self._findings.add(truth, detections)

    def result(self) -> Analysis:
        """The outcome; nothing can be added after it.

        Raises:
            VruError: no recording could be processed.
        """
        pooled = self._evaluator.result()
        report = judge(pooled.evaluation, self._criteria)
        reasons = [CriterionResultBody.model_validate(result).model_dump(mode="json") for result in report.results]
        verdict = report.verdict
        if self._set_aside and verdict == Verdict.PASS:
            verdict = Verdict.INCONCLUSIVE
        failed = self._failed()
        notes = [f"Recording {self._name(place)} failed, and counts nowhere: {why}" for place, why in failed.items()]
        notes += [
            f"{self._name(place)}: {clip.name} could not be processed: {clip.reason} Its frames count nowhere."
            for clip in self._set_aside
            if (place := self._place[clip.recording or 0]) not in failed
        ]
        notes += [*self._notes, *pooled.evaluation.notes]
        metrics = self._metrics(pooled, failed)
        return Analysis(metrics.model_dump(mode="json"), verdict, reasons, notes, self._findings.document())

    def _name(self, place: int) -> str:
        return self._recordings[place].name

    def _failed(self) -> dict[int, str]:
        """Why recordings of which no frame could be processed failed, by place."""
        reasons: dict[int, str] = {}
        for clip in self._set_aside:
            place = self._place[clip.recording or 0]
            if not self._frames[place]:
                reasons[place] = clip.reason or "nobody knows why."
        return reasons

    def _metrics(self, pooled: PooledEvaluation, failed: Mapping[int, str]) -> DataSetRunMetrics:
        evaluation, overall = pooled.evaluation, pooled.evaluation.overall
        tracks = []
        for track in overall.tracks:
            place, track_id = pooled.owner[track.track_id]
            tracks.append(
                DataSetTrackResult(
                    recording=self._name(place),
                    track_id=track_id,
                    road_user=track.road_user,
                    first_visible_s=track.first_visible_s,
                    last_visible_s=track.last_visible_s,
                    first_detected_s=track.first_detected_s,
                    latency_ms=track.latency_ms,
                )
            )
        return DataSetRunMetrics(
            measurements=[MeasurementBody(**asdict(measured)) for measured in evaluation.measurements],
            tracks=tracks,
            true_positives=overall.true_positives,
            false_positives=overall.false_positives or 0,  # always known for "all"
            false_negatives=overall.false_negatives,
            ground_truth_approved=evaluation.approved,
            curves=[CurveBody(**asdict(curve)) for curve in overall.curves],
            recordings=self._rows(pooled, failed),
        )

    def _rows(self, pooled: PooledEvaluation, failed: Mapping[int, str]) -> list[RecordingResult]:
        """Those that failed first, then the worst by F1; one that holds nothing comes last."""
        units = {place: unit for unit, place in enumerate(pooled.places)}
        rows = [
            self._row(place, pooled.counts, units.get(place), failed.get(place))
            for place in range(len(self._recordings))
        ]
        return sorted(rows, key=lambda row: (row.failed is None, row.f1 is None, row.f1 or 0.0, row.number))

    def _row(self, place: int, counts: ClipCounts, unit: int | None, failed: str | None) -> RecordingResult:
        def of(column: str) -> float:
            return 0.0 if unit is None else float(getattr(counts, column)[unit])

        found, wrong, boxes = of("true_positives"), of("false_positives"), of("boxes")
        return RecordingResult(
            number=self._recordings[place].number,
            name=self._name(place),
            failed=failed,
            frames=self._frames[place],
            minutes=of("minutes"),
            true_positives=int(found),
            false_positives=int(wrong),
            false_negatives=int(boxes - found),
            tracks=int(of("tracks")),
            tracks_missed=int(of("tracks") - of("detected")),
            false_alarms=int(of("alarms")),
            recall=found / boxes if boxes else None,
            precision=found / (found + wrong) if found + wrong else None,
            f1=2 * found / (found + wrong + boxes) if found + wrong + boxes else None,
        )


def _attributes(slices: Sequence[str]) -> dict[str, str]:
    """What the slices of a recording say of it as attributes; a tag is no attribute, for it has no other value."""
    pairs = (name.split(":", 1) for name in slices)
    return {kind: value for kind, value in pairs if kind != "tag"}
