"""Videos over HTTP."""

import mimetypes
import uuid
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Query, Request, Response, status
from fastapi.responses import FileResponse

from vru.gateway.auth.current import CurrentUser
from vru.gateway.parameters import Identity, Limit, Offset, problems
from vru.gateway.projects.service import find_project
from vru.gateway.ranges import check_range
from vru.gateway.resources import Gateway
from vru.gateway.uploads import UNLIMITED, announced_size, raw_body
from vru.gateway.videos import service
from vru.gateway.videos.probe import VideoFacts
from vru.gateway.videos.schemas import FrameTimes, UploadLimits, VideoBody, VideoList
from vru.gateway.videos.store import MEGABYTE, MediaStore
from vru.media.facts import limits
from vru.service.database.sessions import Reading
from vru.service.schemas import Name

router = APIRouter(tags=["videos"])


@router.get("/projects/{project_id}/videos", summary="List a project's videos", responses=problems(401, 404))
async def list_videos(
    project_id: Identity, _: CurrentUser, session: Reading, limit: Limit = 100, offset: Offset = 0
) -> VideoList:
    """Newest first."""
    videos, total = await service.list_videos(session, project_id, limit, offset)
    return VideoList(items=[VideoBody.model_validate(video) for video in videos], total=total)


@router.get("/upload-limits", summary="Say how large uploads may be", responses=problems(401))
async def get_upload_limits(_: CurrentUser, gateway: Gateway) -> UploadLimits:
    """So that a client can refuse a file before it sends it."""
    videos = gateway.settings.max_upload_mb * MEGABYTE
    truths = gateway.settings.max_ground_truth_mb * MEGABYTE
    return UploadLimits(video_bytes=videos, ground_truth_bytes=truths, signals_bytes=videos)


@router.post(
    "/projects/{project_id}/videos",
    summary="Upload a video",
    status_code=status.HTTP_201_CREATED,
    responses=problems(401, 404, 413, 422, 507),
    max_body_size=UNLIMITED,
    openapi_extra=raw_body("video/mp4", "application/octet-stream"),
)
async def upload_video(
    project_id: Identity,
    name: Annotated[Name, Query(description="what to call it", examples=["crossing.mp4"])],
    request: Request,
    _: CurrentUser,
    gateway: Gateway,
) -> VideoBody:
    """The body is the file itself. It is streamed to disk, then every frame is decoded and its time read.

    What is no video, is damaged or cut short, is refused and leaves nothing behind.
    """
    async with gateway.database.read() as reading:
        await find_project(reading, project_id)
    store = MediaStore(gateway.settings.media_dir)
    limit = gateway.settings.max_upload_mb * MEGABYTE
    async with store.receive(request.stream(), limit_bytes=limit, announced_bytes=announced_size(request)) as received:
        async with gateway.probing:
            facts = await gateway.sandbox.read(
                "vru.gateway.videos.probe:probe", received.path, VideoFacts, limits=limits(received.size_bytes)
            )
        video_id = uuid.uuid4()
        path = store.keep(received, f"{video_id}{facts.extension}")
        try:
            async with gateway.database.write() as writing:
                video = await service.store_video(
                    writing,
                    project_id=project_id,
                    video_id=video_id,
                    name=name,
                    path=path,
                    sha256=received.sha256,
                    size_bytes=received.size_bytes,
                    facts=facts,
                )
        except BaseException:
            store.delete(path)
            raise
    return VideoBody.model_validate(video)


@router.get("/videos/{video_id}", summary="Get a video's facts", responses=problems(401, 404))
async def get_video(video_id: Identity, _: CurrentUser, session: Reading) -> VideoBody:
    """One video, without its picture."""
    return VideoBody.model_validate(await service.find_video(session, video_id))


@router.delete(
    "/videos/{video_id}",
    summary="Delete a video",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=problems(401, 404, 409),
)
async def delete_video(video_id: Identity, _: CurrentUser, gateway: Gateway) -> None:
    """Deletes its ground truth and its signals as well. Refused if a run was made with it."""
    async with gateway.database.write() as session:
        paths = await service.delete_video(session, video_id)
    MediaStore(gateway.settings.media_dir).delete(*paths)


@router.get(
    "/videos/{video_id}/file",
    summary="Get the video itself",
    response_class=FileResponse,
    responses={200: {"content": {"video/*": {}}}, 206: {"description": "A part"}, **problems(401, 404, 416)},
)
async def get_video_file(video_id: Identity, request: Request, _: CurrentUser, gateway: Gateway) -> Response:
    """Parts of it on request (``Range``), so that a player can jump."""
    # No session is held while the file is sent: that may take minutes.
    async with gateway.database.read() as session:
        video = await service.find_video(session, video_id)
    path = MediaStore(gateway.settings.media_dir).locate(video.path)
    media_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    headers = {
        "Content-Disposition": f"inline; filename*=UTF-8''{quote(video.name, safe='')}",
        "Cache-Control": "private, max-age=86400, immutable",
        "X-Content-Type-Options": "nosniff",
    }
    if gateway.settings.media_accel:
        headers["X-Accel-Redirect"] = f"/_media/{quote(video.path)}"
        return Response(media_type=media_type, headers=headers)
    check_range(request, path.stat().st_size)
    return FileResponse(path, media_type=media_type, headers=headers)


@router.get("/videos/{video_id}/frame-times", summary="Get each frame's time", responses=problems(401, 404))
async def get_frame_times(video_id: Identity, _: CurrentUser, session: Reading) -> FrameTimes:
    """Seconds of media time, ``pts * time_base``, in presentation order."""
    times = await service.frame_times(session, video_id)
    return FrameTimes(items=times, total=len(times))
