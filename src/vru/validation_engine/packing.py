"""From a run that was analysed to the files of its evidence, and from evidence back to what it was computed from."""

import asyncio
import hashlib
import json
import shutil
from collections.abc import AsyncIterable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from gzip import GzipFile
from importlib.metadata import version
from itertools import chain
from math import inf
from pathlib import Path
from typing import Any

from vru.domain import Box, Detection, GroundTruth, RunKind, RunState, Track, TruthBox, VruClass
from vru.evaluation import Roster
from vru.reports import FORMATS, Report, report_of_run
from vru.reports.canonical import canonical_json
from vru.reports.container import Content
from vru.reports.documents import facts
from vru.reports.evidence import (
    DETECTIONS,
    FINDINGS,
    FRAMES,
    MANIFEST,
    MARKERS,
    METRICS,
    RECORDING,
    REPORT,
    RUN,
    SIGNALS,
    TRUTH,
    VERDICT,
    compressor,
    manifest_of,
    read_json,
)
from vru.reports.model import Fact, Section
from vru.service.database.tables import GroundTruthSet, Project, Run, SignalRecording, Video
from vru.service.schemas import RUN_FIELDS, run_body
from vru.validation_engine.analysis import Analysis
from vru.validation_engine.camera_runs import RecordingFacts, files_of

_OF_VIDEO = ("name", "sha256", "size_bytes", "codec", "width", "height", "frame_count", "duration_s")
_OF_TRUTH = ("name", "format", "sha256", "source", "track_count", "box_count", "approved_by")
_OF_SET = ("width", "height", "frame_count", "source", "approved_by")
# Of a range of frames: the tracks with their boxes there, and the detections by frame.
Clip = tuple[Iterable[Track], Iterable[Detection]]


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a run was made of, as it is stored. Camera runs have a ``recording``, and those of imported predictions what
    is known about these.
    """

    project: Project
    video: Video
    truth: GroundTruthSet
    recording: SignalRecording | None = None
    predictions: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Processed:
    """What those who opened the files said that they opened: SHA-256 of the video and of the model's files, the images
    that they run in, and what ran the model. None is what nobody said: an older release worked on the run, or no image
    was used.
    """

    video_sha256: str | None
    model_sha256: str | None
    ml_engine_images: Sequence[str | None]
    providers: Sequence[str | None]
    worker_image: str | None

    def facts(self, run: Run) -> dict[str, Any]:
        """As the manifest says it."""
        opened: dict[str, Any] = {"video_sha256": self.video_sha256}
        images: dict[str, Any] = {"validation_worker": self.worker_image}
        if run.kind == RunKind.CAMERA:
            return {"opened": opened, "images": images}
        return {
            "opened": opened | {"model_sha256": self.model_sha256},
            "images": images | {"ml_engine": list(self.ml_engine_images)},
            "providers": list(self.providers),
        }


def named_inputs(run: Run, inputs: Inputs) -> dict[str, dict[str, Any]]:
    """The inputs by name, with the digests that the run was started with."""
    approved_at = inputs.truth.approved_at
    video = {name: getattr(inputs.video, name) for name in _OF_VIDEO}
    named = {
        "video": video | {"sha256": run.video_sha256 or inputs.video.sha256},
        "ground_truth": {name: getattr(inputs.truth, name) for name in _OF_TRUTH}
        | {"approved_at": approved_at.isoformat() if approved_at else None},
    }
    if inputs.recording:
        return named | {"signals": RecordingFacts.of(inputs.recording).model_dump()}
    return named | detector_facts(run, inputs.predictions)


def detector_facts(run: Run, predictions: Mapping[str, Any] | None) -> dict[str, dict[str, Any]]:
    """The detector under test, with the digest that the run was started with; and where imported boxes are from."""
    model = {"name": run.model, "version": run.model_version, "sha256": run.model_sha256}
    named = {"model": (run.model_card or {}) | model}
    return named | {"predictions": dict(predictions)} if predictions else named


def report_of(
    body: Mapping[str, Any], named: Mapping[str, Any], project: str, findings: Mapping[str, Any] | None = None
) -> Report:
    """The report on a run that is over: ``body`` is its ``RunBody`` as JSON, ``named`` are its inputs, ``findings`` say
    what was missed and what was false.
    """
    sections = _sections_of_data_set(body, named) if "data_set" in named else _sections_of_video(named)
    if "signals" in named:
        under_test = named["signals"]["name"]
        sections.append(Section("Signals", facts(named["signals"])))
        if body["metrics"]:
            sections.append(Section("Timing: standard uncertainties", facts(body["metrics"]["clocks"])))
    else:
        model = named["model"]
        under_test = f"{model['name']} {model['version']}"
        shown = {name: model.get(name) for name in ("name", "version", "sha256", "source", "licence")}
        sections.append(Section("Model", facts(shown | {"sha256": shown["sha256"] or "not recorded"})))
    if "predictions" in named:
        known = {name: value for name, value in named["predictions"].items() if name not in ("recordings", "notes")}
        read = {"read": " ".join(named["predictions"]["notes"]) or None}
        sections.append(Section("Imported predictions: made elsewhere", facts(known | read)))
    on = f"{named['data_set']['name']}, version {named['data_set']['version']}" if "data_set" in named else None
    return report_of_run(body, f"{under_test} on {on or named['video']['name']}, {project}", sections, findings)


def _sections_of_video(named: Mapping[str, Any]) -> list[Section]:
    truth = named["ground_truth"]
    return [
        Section("Video", facts(named["video"])),
        Section("Ground truth", facts({**truth, "approved_by": truth["approved_by"] or "nobody"})),
    ]


def _sections_of_data_set(body: Mapping[str, Any], named: Mapping[str, Any]) -> list[Section]:
    sections = [Section("Data set", facts(named["data_set"]))]
    rows = (body["metrics"] or {}).get("recordings", ())
    if rows:
        told = tuple(Fact(row["name"], _told(row)) for row in rows)
        sections.append(Section("Recordings, the worst first", told))
    return sections


def _told(row: Mapping[str, Any]) -> str:
    """One recording in words."""
    if row["failed"]:
        return f"failed, and counts nowhere: {row['failed']}"
    boxes = row["true_positives"] + row["false_negatives"]
    shown = {name: "-" if row[name] is None else f"{row[name]:.3f}" for name in ("recall", "precision", "f1")}
    return (
        f"F1 {shown['f1']}, recall {shown['recall']} ({row['true_positives']} of {boxes} boxes), precision "
        f"{shown['precision']}; {row['tracks_missed']} of {row['tracks']} road users missed, "
        f"{row['false_alarms']} false alarms in {row['minutes'] * 60:.1f} s"
    )


def sealed_report(path: Path) -> Report:
    """The report on the run of a sealed file."""
    made, verdict = read_json(path, MANIFEST), read_json(path, VERDICT)
    outcome = {
        "metrics": read_json(path, METRICS),
        "verdict": verdict["verdict"],
        "verdict_reasons": verdict["criteria"],
    }
    findings = read_json(path, FINDINGS) if FINDINGS in made["files"] else None
    return report_of(read_json(path, RUN) | outcome, made["inputs"], made["run"]["project"], findings)


async def pack(
    folder: Path,
    run: Run,
    inputs: Inputs,
    processed: Processed,
    roster: Roster,
    frames: Sequence[float],
    clips: AsyncIterable[Clip],
    analyse: Callable[[], Analysis],
    media: Path,
) -> str:
    """Write everything of a run's evidence but its seal into ``folder``; the SHA-256 of its manifest.

    ``frames`` are the media seconds of each frame of the video, ``clips`` what was stored of it in order of time;
    ``analyse`` is called, on a thread, once all of them were taken. What this needs of memory does not grow with the
    detections and boxes.

    Raises:
        VruError: a file of the recording is missing, or what ``analyse`` raises.
        OSError: the folder cannot be written.
    """
    with ExitStack() as stack:
        truth = stack.enter_context(compressed(folder / TRUTH))
        found = None if inputs.recording else stack.enter_context(compressed(folder / DETECTIONS))
        write_rows(truth, [_head(inputs, roster)])
        async for tracks, detections in clips:
            await asyncio.to_thread(write_rows, truth, box_rows(tracks))
            if found:
                await asyncio.to_thread(write_rows, found, map(detection_row, detections))

    def finish() -> str:
        with compressed(folder / FRAMES) as times:
            write_rows(times, frames)
        if inputs.recording:
            facts_of = RecordingFacts.of(inputs.recording).model_dump()
            (folder / RECORDING).write_bytes(canonical_json(facts_of))
            for name, path in zip((SIGNALS, MARKERS), files_of(inputs.recording, media), strict=True):
                if path:
                    with path.open("rb") as uploaded, compressed(folder / name) as packed:
                        shutil.copyfileobj(uploaded, packed)
        return finish_files(
            folder, run, analyse(), named_inputs(run, inputs), inputs.project.name, processed.facts(run)
        )

    return await asyncio.to_thread(finish)


def finish_files(
    folder: Path,
    run: Run,
    analysis: Analysis,
    named: Mapping[str, Any],
    project: str,
    processed: Mapping[str, Any],
) -> str:
    """Write what follows from the ``analysis``, and the manifest: ``named`` are the run's inputs, ``processed`` says
    what was opened. The SHA-256 of the manifest.

    Raises:
        OSError: the folder cannot be written.
    """
    outcome = {
        "state": RunState.COMPLETED,
        "metrics": analysis.metrics,
        "verdict": analysis.verdict,
        "verdict_reasons": analysis.reasons,
        "notes": analysis.notes,
        "finished_at": datetime.now(UTC),
        "error": None,
    }
    stored = {name: getattr(run, name) for name in RUN_FIELDS}
    body = run_body(stored | outcome).model_dump(mode="json")
    report = FORMATS["html"].render(report_of(body, named, project, analysis.findings))
    metrics, verdict = body.pop("metrics"), {"verdict": body.pop("verdict"), "criteria": body.pop("verdict_reasons")}
    documents = {
        RUN: canonical_json(body),
        METRICS: canonical_json(metrics),
        VERDICT: canonical_json(verdict),
        REPORT: report,
    }
    if analysis.findings is not None:
        documents[FINDINGS] = canonical_json(analysis.findings)
    for name, content in documents.items():
        (folder / name).write_bytes(content)
    made = {
        "run": {name: body[name] for name in ("id", "kind", "state", "created_by", "created_at", "finished_at")}
        | {"verdict": verdict["verdict"], "project": project},
        "inputs": named,
        "settings": body["settings"],
        "criteria": body["criteria"],
        "ground_truth_approved": metrics["ground_truth_approved"],
        "platform": {"version": version("vru-platform")},
        **processed,
    }
    with open_contents(folder) as contents:
        manifest = manifest_of(made, contents)
    (folder / MANIFEST).write_bytes(manifest)
    return hashlib.sha256(manifest).hexdigest()


@contextmanager
def open_contents(folder: Path) -> Iterator[dict[str, Content]]:
    """The files in a folder, open, by name."""
    with ExitStack() as stack:
        yield {path.name: stack.enter_context(path.open("rb")) for path in sorted(folder.iterdir())}


@contextmanager
def compressed(path: Path) -> Iterator[GzipFile]:
    """A new file, whose content is compressed."""
    with path.open("wb") as file, compressor(file) as packed:
        yield packed


def write_rows(file: GzipFile, rows: Iterable[object]) -> None:
    """Write rows as lines of JSON."""
    # One write a line, so that the compressed bytes do not depend on how many rows come at a time.
    for row in rows:
        file.write(json.dumps(row, separators=(",", ":"), allow_nan=False).encode() + b"\n")


def detection_row(found: Detection) -> list[object]:
    """A detection as its line in evidence."""
    return [found.frame_index, found.time_s, str(found.road_user), found.score, *found.box.as_tuple()]


def to_detection(row: Sequence[Any]) -> Detection:
    """A detection from its line in evidence."""
    frame, time_s, road_user, score, *box = row
    return Detection(frame, time_s, VruClass(road_user), score, Box(*box))


def _head(inputs: Inputs, roster: Roster) -> dict[str, object]:
    video = inputs.video
    size = {"width": video.width, "height": video.height, "frame_count": video.frame_count}
    return size | {
        "source": roster.source,
        "approved_by": roster.approved_by,
        "tracks": [[track_id, str(road_user)] for track_id, road_user in roster.tracks],
    }


def box_rows(tracks: Iterable[Track]) -> Iterator[list[object]]:
    """By frame, whatever the clip, then as the tracks are ordered."""
    shown = [(track, box) for track in tracks for box in track.boxes]
    for track, box in sorted(shown, key=lambda row: row[1].frame_index):
        place = box.frame_index, box.time_s, track.track_id, str(track.road_user)
        yield [*place, *box.box.as_tuple(), box.occluded, box.truncated, box.ignore]


def to_roster(head: Mapping[str, Any]) -> Roster:
    """The ground truth without its boxes, from its first line in evidence."""
    tracks = tuple((track_id, VruClass(road_user)) for track_id, road_user in head["tracks"])
    return Roster(tracks, head["source"], head["approved_by"])


def to_truth(head: Mapping[str, Any], rows: Iterable[Sequence[Any]]) -> GroundTruth:
    """The ground truth in some of its lines in evidence, of which ``head`` is the first."""
    boxes: dict[tuple[int, str], list[TruthBox]] = {}
    for frame, time_s, track_id, road_user, x, y, width, height, *flags in rows:
        boxes.setdefault((track_id, road_user), []).append(TruthBox(frame, time_s, Box(x, y, width, height), *flags))
    tracks = tuple(
        Track(track_id, VruClass(road_user), tuple(shown)) for (track_id, road_user), shown in sorted(boxes.items())
    )
    return GroundTruth(tracks=tracks, **{name: head[name] for name in _OF_SET})


def cut(rows: Iterator[Any], frame_count: int, at_once: int) -> Iterator[list[Any]]:
    """Rows, which begin with a frame and are in order of frames, in pieces of so many frames; the last holds all that
    are left.
    """
    row = next(rows, None)
    for end in chain(range(at_once, frame_count, at_once), [inf]):
        piece = []
        while row is not None and row[0] < end:
            piece.append(row)
            row = next(rows, None)
        yield piece
