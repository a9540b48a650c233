"""The step ``analysing -> completed``: measure, judge, seal, store. What is sealed is what was measured."""

import asyncio
import shutil
import time
import uuid
from collections.abc import AsyncIterator, Callable

import aiohttp
from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert

from vru.domain import GroundTruth, RunKind, RunState, ShardState, Verdict, VruError
from vru.evaluation import Frames
from vru.service.database.sessions import Database
from vru.service.database.tables import Run, Seal, Shard
from vru.service.opened import opened
from vru.service.schemas import CameraRunSettings, CriterionBody, RunSettings, SetAsideClip
from vru.validation_engine import camera_runs, data_set_completion, metrics, repository, sealing
from vru.validation_engine.analysis import Analysing, Analysis
from vru.validation_engine.detectors import imported_note, predictions_facts
from vru.validation_engine.packing import Clip, Inputs, Processed, pack
from vru.validation_engine.settings import WorkerSettings

# Truth of a clip, and what the model found in it.
Pieces = AsyncIterator[Clip]


async def complete(
    run_id: uuid.UUID, settings: WorkerSettings, database: Database, http: aiohttp.ClientSession
) -> Verdict | None:
    """Bring a run that is being analysed to its end; its verdict, or None if it is not being analysed any more.

    Raises:
        VruError: it cannot be evaluated or sealed, or what was processed is not what the run was started for.
    """
    async with database.read() as session:
        run = await repository.find_run(session, run_id)
        if run is None or run.state != RunState.ANALYSING:
            return None
        prepared = await session.scalar(select(Seal.manifest_sha256).where(Seal.run_id == run_id))
    try:
        if not (prepared and sealing.is_kept(settings.evidence_dir, prepared)):
            began = time.monotonic()
            digest = await _prepare(run, settings, database)
            metrics.analysis_seconds.observe(time.monotonic() - began)
            if not await _store_prepared(run_id, digest, prepared, database):
                return None
        sealed = await sealing.request_seal(http, settings.signer_url, run_id)
        outcome = await asyncio.to_thread(sealing.store_sealed, settings.evidence_dir, run_id, sealed)
    except OSError as error:
        raise VruError(
            f"The evidence cannot be stored in {settings.evidence_dir}: {error.strerror or error}.",
            "Make room or mend the folder, then retry the run.",
        ) from error
    if outcome is None:
        # Another worker was faster; or the disk of this one is not that of the one who prepared it.
        async with database.read() as session:
            now = await repository.find_run(session, run_id)
        if now is None or now.state != RunState.ANALYSING:
            return None
        raise VruError(
            f"The files that were sealed for the run are not in {settings.evidence_dir}.",
            "Restore the folder from a backup and retry the run, or start a new run.",
        )
    seal = sealed.seal
    signed = {
        "position": seal.position,
        "document": seal.document().decode(),
        "signature": seal.signature,
    }
    async with database.write() as session:
        analysing = (RunState.ANALYSING,)
        if not await repository.enter(session, run_id, analysing, state=RunState.COMPLETED, **outcome):
            return None
        await session.execute(update(Seal).where(Seal.run_id == run_id).values(**signed))
    sealing.remove_unsealed(settings.evidence_dir, str(seal.manifest_sha256))
    return Verdict(outcome["verdict"])


async def _store_prepared(run_id: uuid.UUID, manifest_sha256: str, lost: str | None, database: Database) -> bool:
    """Store what waits for its seal, if nothing does but what was ``lost``; False if the run is over."""
    async with database.write() as session:
        # Locks the run's row: what is prepared is that of a run which is being analysed.
        if not await repository.enter(session, run_id, (RunState.ANALYSING,), state=RunState.ANALYSING):
            return False
        row = insert(Seal).values(run_id=run_id, manifest_sha256=manifest_sha256)
        mine = {"manifest_sha256": manifest_sha256}
        unsigned = (Seal.document.is_(None)) & (Seal.manifest_sha256 == lost)
        await session.execute(row.on_conflict_do_update(index_elements=["run_id"], set_=mine, where=unsigned))
    return True


async def _prepare(run: Run, settings: WorkerSettings, database: Database) -> str:
    if run.data_set_version_id is not None:
        return await data_set_completion.prepare(run, settings, database)
    inputs = await _inputs(run, database)
    if run.kind == RunKind.CAMERA:
        clips, analyse = await _of_signals(run, inputs, settings, database)
        processed = await asyncio.to_thread(_open_video, run, inputs, settings)
    else:
        clips, analyse = await _of_detections(run, inputs, settings, database)
        processed = await _processed(run, inputs, settings, database)
    async with database.read() as session:
        roster = await repository.roster(session, inputs.truth)
        times = await repository.frame_times(session, inputs.video.id)
    folder = await asyncio.to_thread(sealing.new_folder, settings.evidence_dir)
    try:
        digest = await pack(folder, run, inputs, processed, roster, times, clips, analyse, settings.media_dir)
        await asyncio.to_thread(sealing.keep, settings.evidence_dir, folder, digest)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return digest


async def _inputs(run: Run, database: Database) -> Inputs:
    async with database.read() as session:
        project, video, truth = await repository.inputs(session, run.project_id, run.video_id, run.ground_truth_id)
        recording = await repository.recording(session, run)
        predictions = await predictions_facts(session, run.predictions_id) if run.predictions_id else None
    if project is None or video is None or truth is None:
        raise VruError("The run's video or ground truth is gone.")
    if run.kind == RunKind.CAMERA and recording is None:
        raise VruError("The run's recording of signals is gone.")
    return Inputs(project, video, truth, recording, predictions)


async def _processed(run: Run, inputs: Inputs, settings: WorkerSettings, database: Database) -> Processed:
    """What the ML engine said that it opened for the run's clips; the worker compared it clip by clip."""
    opened_by = select(Shard.video_sha256, Shard.model_sha256, Shard.engine_image, Shard.engine_provider).where(
        Shard.run_id == run.id, Shard.state == ShardState.DONE
    )
    async with database.read() as session:
        rows = (await session.execute(opened_by.distinct())).all()
    videos, models = ({row[column] for row in rows} for column in (0, 1))
    expected = {run.video_sha256 or inputs.video.sha256, None}, {run.model_sha256 or next(iter(models)), None}
    if not (videos <= expected[0] and models <= expected[1]):
        raise VruError(
            "The clips of the run were not all made of the video and the model that it was started with.",
            "Start a new run.",
        )
    images, providers = (sorted({row[column] for row in rows}, key=str) for column in (2, 3))
    return Processed(_one(videos), _one(models), images, providers, settings.image or None)


def _one(digests: set[str | None]) -> str | None:
    return next(iter(digests)) if len(digests) == 1 else None


def _open_video(run: Run, inputs: Inputs, settings: WorkerSettings) -> Processed:
    """A camera run processes the times of the video that was shown: it must still be that video."""
    expected = run.video_sha256 or inputs.video.sha256
    try:
        with opened(settings.media_dir / inputs.video.path) as file:
            found = file.sha256()
    except OSError as error:
        raise VruError(
            f"The video {inputs.video.name} cannot be read in the media store: {error.strerror}.",
            "Restore it from a backup.",
        ) from error
    if found != expected:
        raise VruError(
            f"The video {inputs.video.name} in the media store is not the one that was uploaded: its SHA-256 is "
            f"{found}, not {expected}.",
            "Restore it from a backup, or upload it again and start a new run.",
        )
    return Processed(found, None, (), (), settings.image or None)


async def _of_detections(
    run: Run, inputs: Inputs, settings: WorkerSettings, database: Database
) -> tuple[Pieces, Callable[[], Analysis]]:
    asked = RunSettings.model_validate(run.settings)
    set_aside = [SetAsideClip.model_validate(clip) for clip in run.set_aside]
    async with database.read() as session:
        roster = await repository.roster(session, inputs.truth)
        frames = Frames.every(asked.frame_stride, await repository.frame_times(session, inputs.video.id))
    notes = [imported_note(inputs.predictions["made_by"])] if inputs.predictions else []
    analysing = Analysing(roster, frames, asked, _criteria(run), run.model or "", set_aside, notes, inputs.video.name)

    async def clips() -> Pieces:
        # A clip's truth and detections are in memory at a time. Nothing changes them any more: the clips need no
        # transaction in common, which would stay open for minutes.
        step = settings.shard_frames * asked.frame_stride
        for first in range(0, inputs.video.frame_count, step):
            last = first + step - 1
            async with database.read() as session:
                truth = await repository.ground_truth(session, inputs.truth, inputs.video, first, last)
                detections = await repository.detected(session, run.id, first, last)
            await asyncio.to_thread(analysing.add, truth, detections)
            yield truth.tracks, detections

    return clips(), analysing.result


async def _of_signals(
    run: Run, inputs: Inputs, settings: WorkerSettings, database: Database
) -> tuple[Pieces, Callable[[], Analysis]]:
    asked = CameraRunSettings.model_validate(run.settings)
    video, stored, recording = inputs.video, inputs.truth, inputs.recording
    if recording is None:
        raise TypeError("a camera run without a recording")
    facts = camera_runs.RecordingFacts.of(recording)
    async with database.read() as session:
        times = await repository.frame_times(session, video.id)
        whole = repository.tracks(session, stored, 0, video.frame_count - 1)
        tracks = tuple([camera_runs.outline(track, asked) async for track in whole])
    truth = GroundTruth(video.width, video.height, video.frame_count, tracks, stored.source, stored.approved_by)

    async def clips() -> Pieces:
        step = settings.shard_frames
        for first in range(0, video.frame_count, step):
            async with database.read() as session:
                shown = [track async for track in repository.tracks(session, stored, first, first + step - 1)]
            yield shown, ()

    def analyse() -> Analysis:
        recorded = camera_runs.read_recording(facts, *camera_runs.files_of(recording, settings.media_dir))
        return camera_runs.analyse_signals(truth, recorded, times, asked, _criteria(run))

    return clips(), analyse


def _criteria(run: Run) -> list[CriterionBody]:
    return [CriterionBody.model_validate(criterion) for criterion in run.criteria]
