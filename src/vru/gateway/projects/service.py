"""What happens to projects in the database."""

import uuid

from sqlalchemy import delete, func, select
from sqlalchemy.exc import IntegrityError

from vru.domain import RunState
from vru.gateway.projects.schemas import ProjectCreate, ProjectUpdate
from vru.gateway.signals.files import recording_paths
from vru.service.database.sessions import ReadSession, WriteSession
from vru.service.database.tables import DataSet, PredictionSet, Project, Run, Video
from vru.service.errors import ConflictError, NotFoundError

_FINAL = [state for state in RunState if state.is_final]


async def find_project(session: ReadSession, project_id: uuid.UUID) -> Project:
    """The project.

    Raises:
        NotFoundError: there is none with this id.
    """
    project = await session.get(Project, project_id)
    if project is None:
        raise NotFoundError(f"There is no project {project_id}.", "GET /api/v1/projects lists what there is.")
    return project


async def list_projects(session: ReadSession, limit: int, offset: int) -> tuple[list[Project], int]:
    """One page of projects, newest first, and how many there are."""
    query = select(Project).order_by(Project.created_at.desc(), Project.id).limit(limit).offset(offset)
    total = await session.scalar(select(func.count()).select_from(Project))
    return list(await session.scalars(query)), total or 0


async def _store(session: WriteSession, project: Project) -> Project:
    name = project.name  # after a failed flush it could not be read any more
    try:
        await session.flush()
    except IntegrityError as error:
        if "uq_projects_name" not in str(error.orig):
            raise
        raise ConflictError(f"There is a project {name!r} already.", "Choose another name.") from error
    await session.refresh(project)
    return project


async def create_project(session: WriteSession, body: ProjectCreate, created_by: uuid.UUID) -> Project:
    """A new project.

    Raises:
        ConflictError: the name is taken.
    """
    project = Project(**body.model_dump(mode="json"), created_by=created_by)
    session.add(project)
    return await _store(session, project)


async def update_project(session: WriteSession, project_id: uuid.UUID, body: ProjectUpdate) -> Project:
    """The project, after the given fields were changed.

    Raises:
        NotFoundError: there is none.
        ConflictError: the new name is taken.
    """
    project = await find_project(session, project_id)
    for name, value in body.model_dump(mode="json", exclude_unset=True).items():
        setattr(project, name, value)
    return await _store(session, project)


async def delete_project(session: WriteSession, project_id: uuid.UUID) -> list[str]:
    """Delete a project with its runs, videos and ground truth. Returns the paths of the files that are to go too.

    Raises:
        NotFoundError: there is none.
        ConflictError: one of its runs has not ended.
    """
    # The lock keeps new runs and videos out until this transaction ends.
    project = await session.scalar(select(Project).where(Project.id == project_id).with_for_update())
    if project is None:
        await find_project(session, project_id)
    busy = await session.scalar(
        select(func.count()).select_from(Run).where(Run.project_id == project_id, Run.state.not_in(_FINAL))
    )
    if busy:
        raise ConflictError(f"{busy} of the project's runs have not ended.", "Cancel them, or wait for their end.")
    paths = list(await session.scalars(select(Video.path).where(Video.project_id == project_id)))
    paths += await recording_paths(session, select(Video.id).where(Video.project_id == project_id))
    # What keeps videos from going, first.
    for table in (Run, DataSet, PredictionSet):
        await session.execute(delete(table).where(table.project_id == project_id))
    await session.execute(delete(Project).where(Project.id == project_id))
    return paths
