"""What happens to videos in the database."""

import uuid

from sqlalchemy import delete, func, select, update
from sqlalchemy.exc import IntegrityError

from vru.gateway.projects.service import find_project
from vru.gateway.signals.files import recording_paths
from vru.gateway.videos.probe import VideoFacts
from vru.service.database.sessions import ReadSession, WriteSession
from vru.service.database.tables import Project, Video
from vru.service.errors import ConflictError, NotFoundError


async def find_video(session: ReadSession, video_id: uuid.UUID) -> Video:
    """The video, without its frames' times.

    Raises:
        NotFoundError: there is none with this id.
    """
    video = await session.get(Video, video_id)
    if video is None:
        raise NotFoundError(f"There is no video {video_id}.", "GET /api/v1/projects/{id}/videos lists a project's.")
    return video


async def frame_times(session: ReadSession, video_id: uuid.UUID) -> list[float]:
    """Seconds of media time of each frame.

    Raises:
        NotFoundError: there is no such video.
    """
    times = await session.scalar(select(Video.frame_times).where(Video.id == video_id))
    if times is None:
        await find_video(session, video_id)
    return list(times or [])


async def list_videos(session: ReadSession, project_id: uuid.UUID, limit: int, offset: int) -> tuple[list[Video], int]:
    """One page of a project's videos, newest first, and how many there are.

    Raises:
        NotFoundError: there is no such project.
    """
    await find_project(session, project_id)
    mine = Video.project_id == project_id
    query = select(Video).where(mine).order_by(Video.created_at.desc(), Video.id).limit(limit).offset(offset)
    total = await session.scalar(select(func.count()).select_from(Video).where(mine))
    return list(await session.scalars(query)), total or 0


async def store_video(
    session: WriteSession,
    *,
    project_id: uuid.UUID,
    video_id: uuid.UUID,
    name: str,
    path: str,
    sha256: str,
    size_bytes: int,
    facts: VideoFacts,
) -> Video:
    """A new video's row. A project that has a video is no draft any more.

    Raises:
        NotFoundError: the project was deleted meanwhile.
    """
    video = Video(
        id=video_id,
        project_id=project_id,
        name=name,
        path=path,
        sha256=sha256,
        size_bytes=size_bytes,
        codec=facts.codec,
        width=facts.width,
        height=facts.height,
        frame_count=facts.frame_count,
        duration_s=facts.duration_s,
        frame_times=facts.frame_times,
    )
    session.add(video)
    drafts = update(Project).where(Project.id == project_id, Project.state == "draft")
    await session.execute(drafts.values(state="active"))
    try:
        await session.flush()
    except IntegrityError as error:
        if "fk_videos_project_id" not in str(error.orig):
            raise
        raise NotFoundError(f"Project {project_id} was deleted during the upload.", "Choose another one.") from error
    await session.refresh(video)
    return video


async def delete_video(session: WriteSession, video_id: uuid.UUID) -> list[str]:
    """Delete a video's row, its ground truth and its signals. Returns the paths of the files that are to go too.

    Raises:
        NotFoundError: there is none.
        ConflictError: a run was made with it, or a data set or imported predictions name it.
    """
    video = await find_video(session, video_id)
    paths = [video.path, *await recording_paths(session, select(Video.id).where(Video.id == video_id))]
    try:
        await session.execute(delete(Video).where(Video.id == video_id))
    except IntegrityError as error:
        raise used("video", error) from error
    return paths


def used(what: str, error: IntegrityError) -> ConflictError:
    """The error for a video or a ground truth that cannot be deleted."""
    if "data_set_recordings" in str(error.orig):
        return ConflictError(f"A data set names this {what}.", "Delete the data set, or leave the recording in it.")
    if "predicted_recordings" in str(error.orig):
        return ConflictError(f"Predictions about this {what} were imported.", "Delete them first.")
    return ConflictError(
        f"Validation runs were made with this {what}: it is part of their evidence.",
        "Delete the whole project if neither is needed any more.",
    )
