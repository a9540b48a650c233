"""A camera run from files: what ``vru evaluate TRUTH SIGNALS --protocol camera`` does."""

from pathlib import Path

import numpy as np

from vru.domain import GroundTruth, VruError
from vru.evaluation.camera.clocks import Clocks, given_offset, join_clocks
from vru.evaluation.camera.run import CameraEvaluation, evaluate_camera
from vru.evaluation.camera.signal_matching import CameraSettings, RoadUsers, SignalTable
from vru.evaluation.core.settings import UnseenUnit
from vru.evaluation.dataset.evaluate import DatasetEvaluation
from vru.evaluation.dataset.prepare import to_dataset
from vru.evaluation.dataset.protocol import Protocol
from vru.evaluation.dataset.videos import ground_truth_of
from vru.evaluation.statistics.resampling import Units
from vru.formats import LIMIT_BYTES, Annotations, SignalRecording, read_markers
from vru.formats.annotations import Boxes


def clocks_of(
    markers: Path | None, offset_ns: int | None, uncertainty_ms: float | None, limit_bytes: int = LIMIT_BYTES
) -> Clocks:
    """The clocks joined by a file of markers, or by an offset with its standard uncertainty.

    Raises:
        VruError: neither or both are given, or the markers do not join the clocks.
    """
    if markers is not None and offset_ns is None and uncertainty_ms is None:
        found = read_markers(markers, limit_bytes=limit_bytes)
        return join_clocks(found.media_s, found.time_ns)
    if markers is None and offset_ns is not None and uncertainty_ms is not None:
        return given_offset(offset_ns, uncertainty_ms / 1000)
    raise VruError(
        "The clocks of the video and of the signals are not joined, or joined twice.",
        "Give --markers FILE, or else --offset-ns and --offset-uncertainty-ms.",
    )


def truth_of_video(annotations: Annotations) -> tuple[GroundTruth, list[float]]:
    """The tracks of the one video that is annotated, and the media seconds of its frames.

    Raises:
        VruError: there are several videos, or there are no tracks or times.
    """
    data = to_dataset(annotations, Boxes(lambda _, position: str(position)))
    times = [picture.time_s for picture in annotations.pictures if picture.time_s is not None]
    if len(data.sequences) != 1 or len(times) != data.pictures or (data.truth.track < 0).any():
        raise VruError(
            "A camera run needs the truth of one video, with tracks and with the media time of every frame.",
            "COCO's images have video_id, frame_index and timestamp_s, its annotations track_id.",
        )
    return ground_truth_of(data, times), times


def evaluate_recording(
    annotations: Annotations,
    recording: SignalRecording,
    clocks: Clocks,
    protocol: Protocol,
    *,
    poll_ms: float = 0.0,
    hold_ms: float = 0.0,
    resamples: int | None = None,
    seed: int = 0,
) -> CameraEvaluation:
    """Evaluate a recording against the annotations of one video.

    Raises:
        VruError: the annotations are not of one video with tracks and times, or the recording is of another.
    """
    truth, times = truth_of_video(annotations)
    height = protocol.reasonable_height if protocol.start == "reasonable" else None
    settings = CameraSettings(
        tolerance_s=protocol.tolerance_ms / 1000,
        early_s=protocol.early_ms / 1000,
        reasonable_height=height,
        poll_s=poll_ms / 1000,
        hold_s=hold_ms / 1000,
        resamples=max(1000 if resamples is None else resamples, 100),
        seed=seed,
        unseen=UnseenUnit(protocol.unseen_truth, protocol.unseen_false_boxes),
    )
    table = SignalTable(np.array(recording.time_ns, dtype=np.int64), np.array(recording.road_user, dtype=np.int64))
    return evaluate_camera(table, RoadUsers.of(truth, height), sorted(times), clocks, settings)


def to_metrics(evaluation: CameraEvaluation) -> DatasetEvaluation:
    """The figures as those of data sets are reported and judged."""
    units = Units("clips", np.zeros(0, dtype=np.int64), evaluation.clips)
    return DatasetEvaluation(evaluation.slices, units, evaluation.resamples, evaluation.notes, unseen=evaluation.unseen)
