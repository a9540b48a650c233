"""What can be done with runs."""

import asyncio
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from procrastinate import App
from sqlalchemy import func
from sqlalchemy.exc import IntegrityError

from vru.domain import RunState, ShardState, VruError
from vru.evaluation import check_criteria, check_independent
from vru.service.database.sessions import ReadSession, WriteSession
from vru.service.database.tables import GroundTruthSet, Project, Run, SignalRecording, Video
from vru.service.errors import ConflictError, NotFoundError, UnprocessableError
from vru.service.queue import defer
from vru.service.schemas import CameraRunCreate, CriterionBody, DataSetRunCreate, ModelBody, RunChange, RunCreate
from vru.validation_engine import camera_runs, detectors, jobs, repository, workflow
from vru.validation_engine.analysis import to_criterion


async def get_run(session: ReadSession, run_id: uuid.UUID) -> Run:
    """One run.

    Raises:
        NotFoundError: there is none with this id.
    """
    run = await repository.find_run(session, run_id)
    if run is None:
        raise NotFoundError(f"There is no run {run_id}.", "GET /runs lists them.")
    return run


async def create_run(session: WriteSession, queue: App, body: RunCreate, model: ModelBody | None, user: str) -> Run:
    """Store a run and defer its first job, in the session's transaction. Without ``model`` its predictions are what
    is under test.

    Raises:
        NotFoundError: its project, video, ground truth or predictions do not exist.
        UnprocessableError: they do not belong together, the criteria name no known metric or slice, or the model
            under test made the ground truth.
        ConflictError: one of them was deleted meanwhile.
    """
    project, video, truth = await _inputs(session, body)
    criteria = body.criteria
    if criteria is None:
        criteria = [CriterionBody.model_validate(criterion) for criterion in project.criteria]
    try:
        check_criteria([to_criterion(criterion) for criterion in criteria])
        detector = await detectors.detector_of(session, body, model, {video.id: video.name})
        check_independent(truth.source, detector.name)
    except (NotFoundError, UnprocessableError):
        raise
    except VruError as error:
        raise UnprocessableError(error.message, error.fix) from error
    frames = len(range(0, video.frame_count, body.settings.frame_stride))
    about = {"video_id": video.id, "ground_truth_id": truth.id, "video_sha256": video.sha256}
    return await begin(session, queue, body, criteria, user, frames_total=frames, **about, **detector.columns())


async def create_camera_run(
    session: WriteSession, queue: App, body: CameraRunCreate, media_dir: Path, user: str
) -> Run:
    """Store a run of a recording of signals and defer its first job, in the session's transaction.

    Raises:
        NotFoundError: its project, video, ground truth or recording does not exist.
        UnprocessableError: they do not belong together, the clocks are not or cannot be joined, the criteria name
            nothing that is measured, or the camera under test made the ground truth.
        ConflictError: one of them was deleted meanwhile.
    """
    project, video, truth = await _inputs(session, body)
    recording = await session.get(SignalRecording, body.signals_id)
    if recording is None:
        raise NotFoundError(f"There is no recording of signals {body.signals_id}.")
    if recording.video_id != video.id:
        raise UnprocessableError(f"Recording {recording.name} does not belong to video {video.name}.")
    criteria = body.criteria
    if criteria is None:
        criteria = camera_runs.fitting([CriterionBody.model_validate(criterion) for criterion in project.criteria])
    try:
        camera_runs.check_criteria(criteria)
        check_independent(truth.source, project.camera_model)
        await asyncio.to_thread(camera_runs.clocks_of, recording, media_dir)
    except VruError as error:
        raise UnprocessableError(error.message, error.fix) from error
    about = {"video_id": video.id, "ground_truth_id": truth.id, "video_sha256": video.sha256}
    return await begin(session, queue, body, criteria, user, signals_id=recording.id, frames_total=0, **about)


async def _inputs(session: ReadSession, body: RunCreate | CameraRunCreate) -> tuple[Project, Video, GroundTruthSet]:
    project, video, truth = await repository.inputs(session, body.project_id, body.video_id, body.ground_truth_id)
    if project is None:
        raise NotFoundError(f"There is no project {body.project_id}.")
    if video is None:
        raise NotFoundError(f"There is no video {body.video_id}.")
    if truth is None:
        raise NotFoundError(f"There is no ground truth {body.ground_truth_id}.")
    if video.project_id != project.id:
        raise UnprocessableError(f"Video {video.name} does not belong to project {project.name}.")
    if truth.video_id != video.id:
        raise UnprocessableError(f"Ground truth {truth.name} does not belong to video {video.name}.")
    return project, video, truth


async def begin(
    session: WriteSession,
    queue: App,
    body: RunCreate | CameraRunCreate | DataSetRunCreate,
    criteria: Sequence[CriterionBody],
    user: str,
    **more: Any,
) -> Run:
    """Store a run and defer its first job. ``more`` are the columns that say what it is about, and of which detector.

    Raises:
        UnprocessableError: it has no criteria.
        ConflictError: one of its inputs was deleted meanwhile.
    """
    if not criteria:
        raise UnprocessableError("The run has no criteria.", "Give the project or the run at least one.")
    run = Run(
        project_id=body.project_id,
        kind=body.kind,
        settings=body.settings.model_dump(mode="json"),
        criteria=[criterion.model_dump(mode="json") for criterion in criteria],
        state=RunState.QUEUED,
        frames_done=0,
        priority=body.priority,
        created_by=user,
        **more,
    )
    session.add(run)
    try:
        await session.flush()
    except IntegrityError as error:
        raise ConflictError("One of the run's inputs was deleted meanwhile.") from error
    await defer(queue, session, jobs.PREPARE_RUN, [{"run_id": str(run.id)}], priority=run.priority)
    await session.refresh(run)
    return run


async def cancel_run(session: WriteSession, run_id: uuid.UUID) -> Run:
    """Make a run ``cancelled``. Its workers notice within a second or so, and store nothing any more.

    Raises:
        NotFoundError: there is none with this id.
        ConflictError: it is over.
    """
    cancelled = await repository.end_run(session, run_id, RunState.CANCELLED, None)
    run = await get_run(session, run_id)
    if not cancelled:
        raise ConflictError(f"Run {run_id} is {run.state} already: there is nothing to cancel.")
    await workflow.drop_waiting(session, run_id)
    return run


_BEFORE_ANALYSIS = (RunState.QUEUED, RunState.PREPARING, RunState.RUNNING)
_NEXT_REVISION = Run.revision + 1


async def pause_run(session: WriteSession, run_id: uuid.UUID) -> Run:
    """Start no more of the run's clips; those that are being worked on are finished.

    Raises:
        NotFoundError: there is none with this id.
        ConflictError: it is paused, or has no clip left to start.
    """
    changes = {"paused_at": func.now(), "revision": _NEXT_REVISION}
    paused = await repository.enter(session, run_id, _BEFORE_ANALYSIS, paused=False, **changes)
    run = await get_run(session, run_id)
    if not paused and run.paused_at:
        raise ConflictError(f"Run {run_id} is paused already.", "POST /runs/{run_id}/resume lets it go on.")
    if not paused:
        raise ConflictError(f"Run {run_id} is {run.state}: it has no clip left to hold back.")
    await workflow.drop_waiting(session, run_id)
    return run


async def resume_run(session: WriteSession, queue: App, run_id: uuid.UUID) -> Run:
    """Let a paused run go on.

    Raises:
        NotFoundError: there is none with this id.
        ConflictError: it is not paused.
    """
    changes = {"paused_at": None, "revision": _NEXT_REVISION}
    resumed = await repository.enter(session, run_id, _BEFORE_ANALYSIS, paused=True, **changes)
    run = await get_run(session, run_id)
    if not resumed:
        fix = "POST /runs/{run_id}/retry continues it." if run.state in _CAN_RETRY else ""
        raise ConflictError(f"Run {run_id} is {run.state}, and not paused.", fix)
    await workflow.defer_missing(queue, session, run_id)
    return run


_CAN_RETRY = (RunState.FAILED, RunState.CANCELLED)


async def retry_run(session: WriteSession, queue: App, run_id: uuid.UUID) -> Run:
    """Continue a run that failed or was cancelled: what is done stays, each other clip gets all its tries again.

    Raises:
        NotFoundError: there is none with this id.
        ConflictError: it neither failed nor was cancelled.
    """
    # Locks the row: of two retries the second finds the run under way.
    fresh: dict[str, Any] = {"error": None, "finished_at": None, "deaths": 0, "revision": _NEXT_REVISION}
    again = await repository.enter(session, run_id, _CAN_RETRY, state=RunState.QUEUED, **fresh)
    if not again:
        run = await get_run(session, run_id)
        fix = "Start a new run." if run.state == RunState.COMPLETED else "It goes on by itself."
        raise ConflictError(f"Run {run_id} is {run.state}: only a failed or cancelled run is retried.", fix)
    states = await workflow.start_over(session, run_id)
    if states:
        done = all(state == ShardState.DONE for state in states)
        state = RunState.ANALYSING if done else RunState.RUNNING
        if not done:
            await repository.forget_prepared(session, run_id)
        await repository.enter(session, run_id, (RunState.QUEUED,), state=state)
    await workflow.defer_missing(queue, session, run_id)
    return await get_run(session, run_id)


async def change_run(session: WriteSession, run_id: uuid.UUID, change: RunChange) -> Run:
    """Give a run another priority; its waiting clips move in the queue.

    Raises:
        NotFoundError: there is none with this id.
        ConflictError: it is over.
    """
    active = [state for state in RunState if not state.is_final]
    changed = await repository.enter(session, run_id, active, priority=change.priority, revision=_NEXT_REVISION)
    run = await get_run(session, run_id)
    if not changed:
        raise ConflictError(f"Run {run_id} is {run.state}: its priority decides nothing any more.")
    await workflow.reorder(session, run_id, change.priority)
    return run
