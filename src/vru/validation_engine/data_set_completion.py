"""The evidence of a run over a data set, and back: all recordings in the same files, each line with its number."""

import asyncio
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from gzip import GzipFile
from pathlib import Path
from typing import Any

from vru.domain import ShardState, VruClass, VruError
from vru.evaluation import Roster
from vru.reports.evidence import DETECTIONS, FRAMES, MANIFEST, RECORDINGS, TRUTH, read_json, read_lines
from vru.service.database.sessions import Database, ReadSession
from vru.service.database.tables import Project, Run, Shard
from vru.service.schemas import CriterionBody, RunSettings, SetAsideClip
from vru.validation_engine import recordings, repository, sealing
from vru.validation_engine.analysis import Analysis
from vru.validation_engine.data_set_analysis import DataSetAnalysing, Measured
from vru.validation_engine.detectors import imported_note, predictions_facts
from vru.validation_engine.packing import (
    box_rows,
    compressed,
    cut,
    detection_row,
    detector_facts,
    finish_files,
    to_detection,
    to_roster,
    to_truth,
    write_rows,
)
from vru.validation_engine.recordings import Recording
from vru.validation_engine.settings import WorkerSettings

# Frames that are evaluated at a time when evidence is computed again; the figures do not depend on it.
_AT_ONCE = 300


async def named_inputs(session: ReadSession, run: Run, found: Sequence[Recording]) -> dict[str, Any]:
    """The inputs of a run over a data set by name, with their digests.

    Raises:
        VruError: the data set is gone.
    """
    version = run.data_set_version
    if version is None:
        raise VruError("The run's data set is gone.")
    predictions = await predictions_facts(session, run.predictions_id) if run.predictions_id else None
    return {
        "data_set": {
            "name": version.name,
            "version": version.number,
            "note": version.note or None,
            "sha256": version.sha256,
            "recordings": version.recording_count,
            "frozen_at": version.frozen_at.isoformat() if version.frozen_at else None,
        },
        "recordings": [item.facts for item in found],
        **detector_facts(run, predictions),
    }


async def prepare(run: Run, settings: WorkerSettings, database: Database) -> str:
    """Evaluate a run over a data set and keep the files of its evidence; the SHA-256 of their manifest.

    Raises:
        VruError: it cannot be evaluated, or what was processed is not what the run was started for.
        OSError: the folder of evidence cannot be written.
    """
    if run.data_set_version_id is None:
        raise TypeError("a run without a data set")
    async with database.read() as session:
        found = await recordings.of_version(session, run.data_set_version_id)
        kinds = await recordings.road_users(session, run.data_set_version_id)
        shards = await repository.shards(session, run.id)
        named = await named_inputs(session, run, found)
        project = await session.get(Project, run.project_id)
    if project is None:
        raise VruError("The run's project is gone.")
    opened = _opened(run, found, shards, settings)
    predictions = named.get("predictions")
    analysing = DataSetAnalysing(
        [Measured(item.number, item.name, item.slices) for item in found],
        kinds,
        RunSettings.model_validate(run.settings),
        [CriterionBody.model_validate(criterion) for criterion in run.criteria],
        run.model or "",
        [SetAsideClip.model_validate(clip) for clip in run.set_aside],
        [imported_note(predictions["made_by"])] if predictions else [],
    )
    folder = await asyncio.to_thread(sealing.new_folder, settings.evidence_dir)
    try:
        with ExitStack() as stack:
            names = (RECORDINGS, FRAMES, TRUTH, DETECTIONS)
            files = {name: stack.enter_context(compressed(folder / name)) for name in names}
            for item in found:
                mine = [shard for shard in shards if shard.recording == item.number]
                await _recording(item, mine, analysing, files, database)
        digest = await asyncio.to_thread(
            lambda: finish_files(folder, run, analysing.result(), named, project.name, opened)
        )
        await asyncio.to_thread(sealing.keep, settings.evidence_dir, folder, digest)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return digest


async def _recording(
    item: Recording,
    shards: Sequence[Shard],
    analysing: DataSetAnalysing,
    files: Mapping[str, GzipFile],
    database: Database,
) -> None:
    """Evaluate and write one recording, shard by shard: what one holds is in memory at a time."""
    async with database.read() as session:
        roster = await repository.roster(session, item.truth)
        times = await repository.frame_times(session, item.video.id)
    await asyncio.to_thread(analysing.begin, item.number, roster, times)
    head = {"number": item.number, "name": item.name, "slices": item.slices, **_head(item, roster)}
    await asyncio.to_thread(write_rows, files[RECORDINGS], [head])
    await asyncio.to_thread(write_rows, files[FRAMES], [times])
    # The frames between two evaluated ones belong to the shard before.
    ends = [shard.first_frame - 1 for shard in shards[1:]] + [item.video.frame_count - 1]
    for shard, last in zip(shards, ends, strict=True):
        async with database.read() as session:
            truth = await repository.ground_truth(session, item.truth, item.video, shard.first_frame, last)
            done = shard.state == ShardState.DONE
            detections = await repository.detected_in(session, shard.id) if done else []
        await asyncio.to_thread(analysing.add, truth, detections)
        boxes = ([item.number, *row] for row in box_rows(truth.tracks))
        await asyncio.to_thread(write_rows, files[TRUTH], boxes)
        rows = ([item.number, *detection_row(one)] for one in detections)
        await asyncio.to_thread(write_rows, files[DETECTIONS], rows)


def _head(item: Recording, roster: Roster) -> dict[str, object]:
    return {
        "width": item.video.width,
        "height": item.video.height,
        "frame_count": item.video.frame_count,
        "source": roster.source,
        "approved_by": roster.approved_by,
        "tracks": [[track_id, str(road_user)] for track_id, road_user in roster.tracks],
    }


def _opened(run: Run, found: Sequence[Recording], shards: Sequence[Shard], settings: WorkerSettings) -> dict[str, Any]:
    """What the ML engine said that it opened, recording by recording; the worker compared it clip by clip.

    Raises:
        VruError: it is not what the run was started with.
    """
    done = [shard for shard in shards if shard.state == ShardState.DONE]
    videos: dict[str, str | None] = {}
    for item in found:
        seen = {shard.video_sha256 for shard in done if shard.recording == item.number}
        if not seen <= {item.video_sha256, None}:
            raise VruError(f"The clips of {item.name} were not all made of the video of the data set.", "Run it again.")
        videos[item.name] = next(iter(seen)) if len(seen) == 1 else None
    models = {shard.model_sha256 for shard in done}
    if not models <= {run.model_sha256, None}:
        raise VruError(
            "The clips of the run were not all made with the model that it was started with.", "Run it again."
        )
    return {
        "opened": {
            "recordings": videos,
            "model_sha256": next(iter(models)) if len(models) == 1 else None,
        },
        "images": {
            "validation_worker": settings.image or None,
            "ml_engine": sorted({shard.engine_image for shard in done}, key=str),
        },
        "providers": sorted({shard.engine_provider for shard in done}, key=str),
    }


def again(path: Path, run: Mapping[str, Any]) -> Analysis:
    """The figures of a run over a data set once more, from its evidence alone.

    Raises:
        VruError: a part is missing, or cannot be evaluated.
    """
    heads = list(read_lines(path, RECORDINGS))
    kinds = {kind for head in heads for _, kind in head["tracks"]}
    predictions = read_json(path, MANIFEST)["inputs"].get("predictions")
    analysing = DataSetAnalysing(
        [Measured(head["number"], head["name"], head["slices"]) for head in heads],
        [kind for kind in VruClass if kind in kinds],
        RunSettings.model_validate(run["settings"]),
        [CriterionBody.model_validate(row) for row in run["criteria"]],
        run["model"],
        [SetAsideClip.model_validate(row) for row in run["set_aside"]],
        [imported_note(predictions["made_by"])] if predictions else [],
    )
    truth, found = _Numbered(read_lines(path, TRUTH)), _Numbered(read_lines(path, DETECTIONS))
    for head, times in zip(heads, read_lines(path, FRAMES), strict=True):
        analysing.begin(head["number"], to_roster(head), [float(seconds) for seconds in times])
        boxes = cut(truth.of(head["number"]), len(times), _AT_ONCE)
        for shown, rows in zip(boxes, cut(found.of(head["number"]), len(times), _AT_ONCE), strict=True):
            analysing.add(to_truth(head, shown), [to_detection(row) for row in rows])
    return analysing.result()


class _Numbered:
    """Lines that begin with the number of a recording, recording by recording."""

    def __init__(self, rows: Iterator[Any]) -> None:
        self._rows = rows
        self._next = next(rows, None)

    def of(self, number: int) -> Iterator[list[Any]]:
        """The lines of this recording, without its number."""
        while self._next is not None and self._next[0] == number:
            row = self._next[1:]
            self._next = next(self._rows, None)
            yield row
