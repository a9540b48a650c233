"""Projects over HTTP."""

from fastapi import APIRouter, status

from vru.gateway.auth.current import CurrentUser
from vru.gateway.parameters import Identity, Limit, Offset, problems
from vru.gateway.projects import service
from vru.gateway.projects.schemas import ProjectBody, ProjectCreate, ProjectList, ProjectUpdate
from vru.gateway.resources import Gateway
from vru.gateway.videos.store import MediaStore
from vru.service.database.sessions import Reading, Writing

router = APIRouter(prefix="/projects", tags=["projects"])


@router.get("", summary="List projects", responses=problems(401))
async def list_projects(_: CurrentUser, session: Reading, limit: Limit = 100, offset: Offset = 0) -> ProjectList:
    """Newest first."""
    projects, total = await service.list_projects(session, limit, offset)
    return ProjectList(items=[ProjectBody.model_validate(project) for project in projects], total=total)


@router.post("", summary="Create a project", status_code=status.HTTP_201_CREATED, responses=problems(401, 409, 422))
async def create_project(body: ProjectCreate, user: CurrentUser, session: Writing) -> ProjectBody:
    """A project's name is its own: no two have the same."""
    return ProjectBody.model_validate(await service.create_project(session, body, user.id))


@router.get("/{project_id}", summary="Get a project", responses=problems(401, 404))
async def get_project(project_id: Identity, _: CurrentUser, session: Reading) -> ProjectBody:
    """One project."""
    return ProjectBody.model_validate(await service.find_project(session, project_id))


@router.patch("/{project_id}", summary="Change a project", responses=problems(401, 404, 409, 422))
async def update_project(project_id: Identity, body: ProjectUpdate, _: CurrentUser, session: Writing) -> ProjectBody:
    """Runs keep the criteria that they were started with."""
    return ProjectBody.model_validate(await service.update_project(session, project_id, body))


@router.delete(
    "/{project_id}",
    summary="Delete a project",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=problems(401, 404, 409),
)
async def delete_project(project_id: Identity, _: CurrentUser, gateway: Gateway) -> None:
    """Deletes its videos, ground truth and runs as well. Refused while a run has not ended."""
    async with gateway.database.write() as session:
        paths = await service.delete_project(session, project_id)
    # Only after the commit: a file without a row is litter, a row without its file is an error.
    MediaStore(gateway.settings.media_dir).delete(*paths)
