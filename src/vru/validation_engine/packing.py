"""From a stored run to its report and its evidence, and from evidence back to what it was computed from."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from vru.domain import Box, Detection, GroundTruth, Track, TruthBox, VruClass
from vru.reports import FORMATS, Report, report_of_run
from vru.reports.documents import facts
from vru.reports.evidence import (
    DETECTIONS,
    FRAMES,
    MARKERS,
    METRICS,
    RECORDING,
    REPORT,
    RUN,
    SIGNALS,
    TRUTH,
    VERDICT,
    build,
    canonical_json,
    compressed,
)
from vru.reports.model import Section
from vru.service.database.tables import GroundTruthSet, Project, Run, SignalRecording, Video
from vru.service.schemas import ModelBody, RunBody
from vru.validation_engine.camera_runs import RecordingFacts, files_of

_OF_VIDEO = ("name", "sha256", "size_bytes", "codec", "width", "height", "frame_count", "duration_s")
_OF_TRUTH = ("name", "format", "sha256", "source", "track_count", "box_count", "approved_by")


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a run was made of, as it is stored.

    ``model`` is None where its version is no longer in the repository, and in camera runs, which have a ``recording``.
    """

    project: Project
    video: Video
    truth: GroundTruthSet
    model: ModelBody | None
    recording: SignalRecording | None = None


def _named(run: Run, inputs: Inputs) -> dict[str, dict[str, Any]]:
    """The inputs by name, with their digests."""
    approved_at = inputs.truth.approved_at
    named = {
        "video": {name: getattr(inputs.video, name) for name in _OF_VIDEO},
        "ground_truth": {name: getattr(inputs.truth, name) for name in _OF_TRUTH}
        | {"approved_at": approved_at.isoformat() if approved_at else None},
    }
    if inputs.recording:
        return named | {"signals": RecordingFacts.of(inputs.recording).model_dump()}
    model = inputs.model.model_dump(mode="json") if inputs.model else {}
    return named | {"model": model | {"name": run.model, "version": run.model_version, "sha256": run.model_sha256}}


def report_of(run: Run, inputs: Inputs) -> Report:
    """The report on a run that is over."""
    body = RunBody.model_validate(run).model_dump(mode="json")
    named = _named(run, inputs)
    sections = [
        Section("Video", facts(named["video"])),
        Section("Ground truth", facts(named["ground_truth"] | {"approved_by": inputs.truth.approved_by or "nobody"})),
    ]
    if inputs.recording:
        under_test = inputs.recording.name
        sections.append(Section("Signals", facts(named["signals"])))
        if body["metrics"]:
            sections.append(Section("Timing: standard uncertainties", facts(body["metrics"]["clocks"])))
    else:
        under_test = f"{run.model} {run.model_version}"
        shown = {name: named["model"].get(name) for name in ("name", "version", "sha256", "source", "licence")}
        sections.append(Section("Model", facts(shown | {"sha256": shown["sha256"] or "not recorded"})))
    title = f"{under_test} on {inputs.video.name}, {inputs.project.name}"
    return report_of_run(body, title, sections)


def evidence_of(
    run: Run,
    inputs: Inputs,
    truth: GroundTruth,
    measured: Mapping[str, bytes],
    frames: Sequence[float],
    image: str,
    key: Callable[[], Ed25519PrivateKey],
) -> Iterator[bytes]:
    """The signed evidence of a completed run, in pieces. ``frames`` are the media seconds of each frame of the video,
    ``measured`` what the thing under test said: see ``files_of_detections`` and ``files_of_signals``.

    Takes seconds for a long video, and as much memory as its detections: call it outside of the event loop.
    """
    body = RunBody.model_validate(run).model_dump(mode="json")
    metrics, verdict = body.pop("metrics"), {"verdict": body.pop("verdict"), "criteria": body.pop("verdict_reasons")}
    contents = {
        RUN: canonical_json(body),
        METRICS: canonical_json(metrics),
        VERDICT: canonical_json(verdict),
        **measured,
        TRUTH: compressed(_lines(_of_tracks(truth))),
        FRAMES: compressed(_lines(iter(frames))),
        REPORT: FORMATS["html"].render(report_of(run, inputs)),
    }
    made = {
        "run": {name: body[name] for name in ("id", "kind", "state", "created_by", "created_at", "finished_at")}
        | {"verdict": verdict["verdict"], "project": inputs.project.name},
        "inputs": _named(run, inputs),
        "settings": body["settings"],
        "criteria": body["criteria"],
        "ground_truth_approved": metrics["ground_truth_approved"],
        # Without ``image`` it was made outside of the images, by ``vru local`` for example.
        "platform": {"version": version("vru-platform"), "image": image or None},
    }
    return build(made, contents, key())


def files_of_detections(detections: Sequence[Detection]) -> dict[str, bytes]:
    """What a model said, as files of evidence."""
    return {DETECTIONS: compressed(_lines(_of_detection(found) for found in detections))}


def files_of_signals(recording: SignalRecording, media_dir: Path) -> dict[str, bytes]:
    """What a device said, as files of evidence: the uploads themselves.

    Raises:
        VruError: a file is missing.
    """
    signals, markers = files_of(recording, media_dir)
    files = {
        RECORDING: canonical_json(RecordingFacts.of(recording).model_dump()),
        SIGNALS: compressed(signals.read_bytes()),
    }
    return files | ({MARKERS: compressed(markers.read_bytes())} if markers else {})


def _lines(rows: Iterator[object]) -> bytes:
    return "".join(json.dumps(row, separators=(",", ":"), allow_nan=False) + "\n" for row in rows).encode()


def _of_detection(found: Detection) -> list[object]:
    return [found.frame_index, found.time_s, str(found.road_user), found.score, *found.box.as_tuple()]


def to_detection(row: Sequence[Any]) -> Detection:
    """A detection from its line in evidence."""
    frame, time_s, road_user, score, *box = row
    return Detection(frame, time_s, VruClass(road_user), score, Box(*box))


def _of_tracks(truth: GroundTruth) -> Iterator[object]:
    yield {
        "width": truth.width,
        "height": truth.height,
        "frame_count": truth.frame_count,
        "source": truth.source,
        "approved_by": truth.approved_by,
    }
    for track in truth.tracks:
        boxes = [
            [box.frame_index, box.time_s, *box.box.as_tuple(), box.occluded, box.truncated, box.ignore]
            for box in track.boxes
        ]
        yield {"track_id": track.track_id, "road_user": str(track.road_user), "boxes": boxes}


def to_truth(rows: Iterator[Any]) -> GroundTruth:
    """The ground truth from its lines in evidence."""
    head = next(rows)
    tracks = tuple(
        Track(
            row["track_id"],
            VruClass(row["road_user"]),
            tuple(TruthBox(frame, time_s, Box(*box[:4]), *box[4:]) for frame, time_s, *box in row["boxes"]),
        )
        for row in rows
    )
    return GroundTruth(tracks=tracks, **head)
