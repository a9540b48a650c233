"""From a stored run to its report and its evidence, and from evidence back to what it was computed from."""

import asyncio
import json
import shutil
import tempfile
from collections.abc import AsyncIterable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from gzip import GzipFile
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO, cast

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from vru.domain import Box, Detection, GroundTruth, Track, TruthBox, VruClass
from vru.evaluation import Roster
from vru.reports import FORMATS, Report, report_of_run
from vru.reports.container import Content
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
    compressor,
)
from vru.reports.model import Section
from vru.reports.signing import signing_key
from vru.service.database.tables import GroundTruthSet, Project, Run, SignalRecording, Video
from vru.service.schemas import ModelBody, RunBody
from vru.validation_engine.camera_runs import RecordingFacts, files_of

_OF_VIDEO = ("name", "sha256", "size_bytes", "codec", "width", "height", "frame_count", "duration_s")
_OF_TRUTH = ("name", "format", "sha256", "source", "track_count", "box_count", "approved_by")
_OF_SET = ("width", "height", "frame_count", "source", "approved_by")
# Of a range of frames: the tracks with their boxes there, and the detections by frame.
Clip = tuple[Iterable[Track], Iterable[Detection]]


@dataclass(frozen=True, slots=True)
class Folders:
    """Where the media are, and where the key that signs is; there must be room for two copies of the evidence."""

    media: Path
    evidence: Path


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


async def write_evidence(
    file: BinaryIO,
    run: Run,
    inputs: Inputs,
    roster: Roster,
    frames: Sequence[float],
    clips: AsyncIterable[Clip],
    folders: Folders,
    image: str,
) -> None:
    """Write the signed evidence of a completed run. ``frames`` are the media seconds of each frame of the video,
    ``clips`` what was stored of it in order of time; the same run gives the same bytes in clips of any length.

    What it needs of memory does not grow with the detections and boxes; they wait in temporary files in
    ``folders.evidence``, compressed.

    Raises:
        VruError: a file of the recording is missing, the key cannot be used, or the evidence would be too large.
    """
    key = await asyncio.to_thread(signing_key, folders.evidence)
    with ExitStack() as stack:

        def temporary() -> BinaryIO:
            return cast(BinaryIO, stack.enter_context(tempfile.TemporaryFile(dir=folders.evidence)))

        streams = {name: temporary() for name in (TRUTH, FRAMES)}
        found = streams[DETECTIONS] = temporary()
        with compressor(streams[TRUTH]) as truth_lines, compressor(found) as lines:
            _write(truth_lines, [_head(inputs, roster)])
            async for tracks, detections in clips:
                await asyncio.to_thread(_write, truth_lines, _of_boxes(tracks))
                await asyncio.to_thread(_write, lines, map(_of_detection, detections))
        measured: dict[str, Content] = {}
        if inputs.recording:
            del streams[DETECTIONS]
            measured[RECORDING] = canonical_json(RecordingFacts.of(inputs.recording).model_dump())
            for name, path in zip((SIGNALS, MARKERS), files_of(inputs.recording, folders.media), strict=True):
                if path:
                    streams[name] = temporary()
                    await asyncio.to_thread(_copy, path, streams[name])

        def finish() -> None:
            with compressor(streams[FRAMES]) as times:
                _write(times, frames)
            file.writelines(_built(run, inputs, streams | measured, image, key))

        await asyncio.to_thread(finish)


def _built(
    run: Run, inputs: Inputs, files: Mapping[str, Content], image: str, key: Ed25519PrivateKey
) -> Iterator[bytes]:
    body = RunBody.model_validate(run).model_dump(mode="json")
    metrics, verdict = body.pop("metrics"), {"verdict": body.pop("verdict"), "criteria": body.pop("verdict_reasons")}
    contents = {
        RUN: canonical_json(body),
        METRICS: canonical_json(metrics),
        VERDICT: canonical_json(verdict),
        REPORT: FORMATS["html"].render(report_of(run, inputs)),
        **files,
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
    return build(made, contents, key)


def _copy(path: Path, file: BinaryIO) -> None:
    with path.open("rb") as uploaded, compressor(file) as packed:
        shutil.copyfileobj(uploaded, packed)


def _write(file: GzipFile, rows: Iterable[object]) -> None:
    # One write a line, so that the compressed bytes do not depend on how many rows come at a time.
    for row in rows:
        file.write(json.dumps(row, separators=(",", ":"), allow_nan=False).encode() + b"\n")


def _of_detection(found: Detection) -> list[object]:
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


def _of_boxes(tracks: Iterable[Track]) -> Iterator[object]:
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
