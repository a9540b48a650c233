"""What can be done with runs."""

import uuid

from procrastinate import App
from sqlalchemy.exc import IntegrityError

from vru.domain import RunState, VruError
from vru.evaluation import check_criteria, check_independent
from vru.service.database.sessions import ReadSession, WriteSession
from vru.service.database.tables import Run
from vru.service.errors import ConflictError, NotFoundError, UnprocessableError
from vru.service.queue import defer
from vru.service.schemas import CriterionBody, ModelBody, RunCreate
from vru.validation_engine import jobs, repository
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


async def create_run(session: WriteSession, queue: App, body: RunCreate, model: ModelBody, user: str) -> Run:
    """Store a run and defer its first job, in the session's transaction.

    Raises:
        NotFoundError: its project, video or ground truth does not exist.
        UnprocessableError: they do not belong together, the criteria name no known metric or slice, or the model
            under test made the ground truth.
        ConflictError: one of them was deleted meanwhile.
    """
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
    criteria = body.criteria
    if criteria is None:
        criteria = [CriterionBody.model_validate(criterion) for criterion in project.criteria]
    if not criteria:
        raise UnprocessableError("The run has no criteria.", "Give the project or the run at least one.")
    try:
        check_criteria([to_criterion(criterion) for criterion in criteria])
        check_independent(truth.source, body.model)
    except VruError as error:
        raise UnprocessableError(error.message, error.fix) from error

    run = Run(
        project_id=project.id,
        video_id=video.id,
        ground_truth_id=truth.id,
        kind=body.kind,
        model=model.name,
        model_version=model.version,
        settings=body.settings.model_dump(mode="json"),
        criteria=[criterion.model_dump(mode="json") for criterion in criteria],
        state=RunState.QUEUED,
        frames_total=len(range(0, video.frame_count, body.settings.frame_stride)),
        frames_done=0,
        created_by=user,
    )
    session.add(run)
    try:
        await session.flush()
    except IntegrityError as error:
        raise ConflictError("The project, video or ground truth was deleted meanwhile.") from error
    await defer(queue, session, jobs.PREPARE_RUN, [{"run_id": str(run.id)}])
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
        raise ConflictError(f"Run {run_id} is {run.state} already.")
    return run
