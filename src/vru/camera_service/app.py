"""The camera service's HTTP API."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import APIRouter, FastAPI, Response, status

from vru.camera_service.cameras import Cameras
from vru.camera_service.settings import CameraServiceSettings
from vru.camera_service.sources import READERS
from vru.camera_service.store import CameraStore
from vru.sandbox.pool import Sandbox
from vru.service.app import create_app
from vru.service.errors import UnavailableError
from vru.service.schemas import CameraBody, CameraCreate, Problem, Schema

_DESCRIPTION = "Keeps cameras (video files and virtual scenes), reads them in real time, and shows the newest frame."
# Each takes a child. More cameras of files than that would wait for each other.
_MOST_FILES = 64


class CameraList(Schema):
    """All cameras, in order of name."""

    items: list[CameraBody]
    total: int


def create_camera_service(settings: CameraServiceSettings | None = None) -> FastAPI:
    """The camera service, ready for ``vru.service.app.serve``.

    Raises:
        VruError: the file that remembers the cameras is damaged.
    """
    settings = settings or CameraServiceSettings()
    store = CameraStore(settings.camera_state_dir)
    sandbox = Sandbox(READERS, children=_MOST_FILES, spare=1, niceness=0)
    cameras = Cameras(store, settings.media_dir, sandbox)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        sandbox.warm()
        cameras.restore()
        yield
        await asyncio.to_thread(cameras.close)
        sandbox.close()

    async def check_media() -> None:
        if not settings.media_dir.is_dir():
            raise UnavailableError(f"The media directory {settings.media_dir} is missing.")

    async def check_state() -> None:
        store.check()

    app = create_app(
        title="Camera service",
        description=_DESCRIPTION,
        settings=settings,
        lifespan=lifespan,
        checks={"media": check_media, "state": check_state},
    )
    app.include_router(_routes(cameras))
    return app


def _problems(*statuses: int) -> dict[int | str, dict[str, object]]:
    return {number: {"model": Problem} for number in statuses}


def _routes(cameras: Cameras) -> APIRouter:
    router = APIRouter(prefix="/cameras", tags=["cameras"])

    @router.get("", summary="List cameras")
    async def list_cameras() -> CameraList:
        items = await asyncio.to_thread(cameras.list)
        return CameraList(items=items, total=len(items))

    @router.post("", summary="Add a camera", status_code=status.HTTP_201_CREATED, responses=_problems(409, 422))
    async def create_camera(wanted: CameraCreate) -> CameraBody:
        """It is stopped at first."""
        return await asyncio.to_thread(cameras.create, wanted)

    @router.get("/{camera_id}", summary="Get a camera", responses=_problems(404))
    async def get_camera(camera_id: uuid.UUID) -> CameraBody:
        return await asyncio.to_thread(cameras.get, camera_id)

    @router.delete(
        "/{camera_id}", summary="Remove a camera", status_code=status.HTTP_204_NO_CONTENT, responses=_problems(404)
    )
    async def delete_camera(camera_id: uuid.UUID) -> None:
        """A running camera is stopped first."""
        await asyncio.to_thread(cameras.delete, camera_id)

    @router.post("/{camera_id}/start", summary="Start a camera", responses=_problems(404, 409))
    async def start_camera(camera_id: uuid.UUID) -> CameraBody:
        """Answers when the first frame has come. It runs, also after a restart of the service, until it is stopped."""
        return await asyncio.to_thread(cameras.start, camera_id)

    @router.post("/{camera_id}/stop", summary="Stop a camera", responses=_problems(404))
    async def stop_camera(camera_id: uuid.UUID) -> CameraBody:
        return await asyncio.to_thread(cameras.stop, camera_id)

    @router.get(
        "/{camera_id}/snapshot",
        summary="Get the newest frame",
        response_class=Response,
        responses={
            200: {"content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}}},
            **_problems(404, 409, 503),
        },
    )
    async def get_snapshot(camera_id: uuid.UUID) -> Response:
        """A JPEG. Its three times are in the headers.

        ``X-VRU-Media-Time-S`` (seconds in the source), ``X-VRU-Monotonic-Ns`` and ``X-VRU-Wall-Time`` (ISO 8601).
        """
        jpeg, newest = await asyncio.to_thread(cameras.snapshot, camera_id)
        headers = {
            "X-VRU-Media-Time-S": repr(newest.media_s),
            "X-VRU-Monotonic-Ns": str(newest.monotonic_ns),
            "X-VRU-Wall-Time": newest.at.isoformat(),
            "Cache-Control": "no-store",
        }
        return Response(jpeg, media_type="image/jpeg", headers=headers)

    return router
