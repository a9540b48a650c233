"""A camera run from files: what ``vru evaluate TRUTH SIGNALS --protocol camera`` does."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from vru.domain import VruError
from vru.evaluation.camera.clocks import Clocks, given_offset, join_clocks
from vru.evaluation.camera.run import CameraEvaluation, CameraSettings, RoadUsers, SignalTable, evaluate_camera
from vru.evaluation.dataset.evaluate import Figures
from vru.evaluation.dataset.prepare import to_dataset
from vru.evaluation.dataset.protocol import Protocol
from vru.evaluation.dataset.videos import ground_truth_of
from vru.evaluation.statistics.resampling import Units
from vru.formats import LIMIT_BYTES, Annotations, SignalRecording, read_markers
from vru.formats.annotations import Boxes

# Buses repeat a message every 10 to 100 ms.
_CYCLE_MS = 200


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


def evaluate_recording(
    annotations: Annotations,
    recording: SignalRecording,
    clocks: Clocks,
    protocol: Protocol,
    *,
    poll_ms: float = 0.0,
    hold_ms: float | None = None,
    resamples: int | None = None,
    seed: int = 0,
) -> CameraEvaluation:
    """Evaluate a recording against the annotations of one video. ``hold_ms`` takes the place of the protocol's.

    Raises:
        VruError: the annotations are not of one video with tracks and times, or the recording is of another.
    """
    data = to_dataset(annotations, Boxes(lambda _, position: str(position)))
    times = [picture.time_s for picture in annotations.pictures if picture.time_s is not None]
    if len(data.sequences) != 1 or len(times) != data.pictures or (data.truth.track < 0).any():
        raise VruError(
            "A camera run needs the truth of one video, with tracks and with the media time of every frame.",
            "COCO's images have video_id, frame_index and timestamp_s, its annotations track_id.",
        )
    height = protocol.reasonable_height if protocol.start == "reasonable" else None
    settings = CameraSettings(
        tolerance_s=protocol.tolerance_ms / 1000,
        early_s=protocol.early_ms / 1000,
        reasonable_height=height,
        poll_s=poll_ms / 1000,
        resamples=max(1000 if resamples is None else resamples, 100),
        seed=seed,
    )
    table = SignalTable(np.array(recording.time_ns, dtype=np.int64), np.array(recording.road_user, dtype=np.int64))
    table, note = _warnings(table, protocol.hold_ms if hold_ms is None else hold_ms)
    truth = ground_truth_of(data, times)
    evaluation = evaluate_camera(table, RoadUsers.of(truth, height), sorted(times), clocks, settings)
    return replace(evaluation, notes=(*evaluation.notes, *note))


def _warnings(signals: SignalTable, hold_ms: float) -> tuple[SignalTable, tuple[str, ...]]:
    """The signals that begin a warning, and what to say about the others."""
    begins = signals.begins(hold_ms / 1000)
    repeated = int(len(begins) - begins.sum())
    if hold_ms > 0 and repeated:
        note = (
            f"{repeated} of {len(begins)} signals came within {hold_ms:g} ms after one like them, and repeat a warning."
        )
        return signals.take(begins), (note,)
    close = int(len(begins) - signals.begins(_CYCLE_MS / 1000).sum())
    if not hold_ms and 2 * close > len(begins):
        return signals, (
            f"{close} of {len(begins)} signals came within {_CYCLE_MS} ms after one like them, each counts alone: if "
            f"the device repeats a warning, --hold-ms {_CYCLE_MS} takes it as one.",
        )
    return signals, ()


def to_figures(evaluation: CameraEvaluation) -> Figures:
    """The figures as those of data sets are reported and judged."""
    units = Units("clips", np.zeros(0, dtype=np.int64), evaluation.clips)
    return Figures(evaluation.slices, units, evaluation.resamples, evaluation.notes)
