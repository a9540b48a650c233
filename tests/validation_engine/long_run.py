"""Evidence of a made-up run of any length: ``python -m tests.validation_engine.long_run MINUTES``.

It prints the process's largest resident memory in bytes.
"""

import asyncio
import sys
import tempfile
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

from tests.evaluation.long_video import CLASSES, RATE, USERS, VISIBLE, pieces
from tests.peak import peak_bytes

from vru.domain import GroundTruth, RunKind, RunState, Track, Verdict
from vru.evaluation import Roster
from vru.service.database.tables import GroundTruthSet, Project, Run, Video
from vru.service.schemas import RunMetrics, RunSettings
from vru.validation_engine.analysis import Analysis
from vru.validation_engine.packing import Clip, Inputs, Processed, pack

_ID, _AT = uuid.UUID(int=1), datetime(2026, 1, 1, tzinfo=UTC)


def completed(count: int) -> tuple[Run, Inputs, Analysis]:
    """A run over a video of so many frames, as the database gives it."""
    metrics = RunMetrics(
        measurements=[], tracks=[], true_positives=0, false_positives=0, false_negatives=0, ground_truth_approved=True
    )
    run = Run(
        id=_ID, project_id=_ID, video_id=_ID, ground_truth_id=_ID, kind=RunKind.MODEL, model="m", model_version="1",
        settings=RunSettings().model_dump(mode="json"), criteria=[], state=RunState.ANALYSING, frames_total=count,
        frames_done=count, set_aside=[], created_by="a@b.example", created_at=_AT, started_at=_AT, priority=0,
        revision=0,
    )  # fmt: skip
    video = Video(
        name="long.mp4", sha256="0", size_bytes=1, codec="h264", width=640, height=480, frame_count=count,
        duration_s=count / RATE,
    )  # fmt: skip
    truth = GroundTruthSet(name="long", format="coco", sha256="0", source="manual", approved_by="nobody")
    analysis = Analysis(metrics.model_dump(mode="json"), Verdict.FAIL, [], [])
    return run, Inputs(Project(name="long"), video, truth), analysis


async def _clips(count: int, at_once: int) -> AsyncIterator[Clip]:
    for truth, found in pieces(count):
        first = found[0].frame_index
        for start in range(first, found[-1].frame_index + 1, at_once):
            frames = range(start, start + at_once)
            yield _cut(truth, frames), [one for one in found if one.frame_index in frames]


def _cut(truth: GroundTruth, frames: range) -> list[Track]:
    cut = [(track, tuple(box for box in track.boxes if box.frame_index in frames)) for track in truth.tracks]
    return [Track(track.track_id, track.road_user, boxes) for track, boxes in cut if boxes]


def packed(folder: Path, count: int, at_once: int = 500) -> str:
    """Write the evidence of so many frames, taken ``at_once``; the digest of its manifest."""
    run, inputs, analysis = completed(count)
    tracks = tuple((track, CLASSES[track % 2]) for track in range(-(-count // VISIBLE) * USERS))
    roster = Roster(tracks, "manual", "nobody")
    times = [frame / RATE for frame in range(count)]
    clips = _clips(count, at_once)
    processed = Processed("0", "0", [None], [None], None)
    return asyncio.run(pack(folder, run, inputs, processed, roster, times, clips, lambda: analysis, folder))


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        packed(Path(folder), int(float(sys.argv[1]) * 60 * RATE))
    print(peak_bytes())


if __name__ == "__main__":
    main()
