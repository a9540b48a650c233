"""The camera service's HTTP API."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from fastapi import APIRouter, FastAPI, Response, status

from vru.camera_service.cameras import Cameras
from vru.camera_service.captures import Captures
from vru.camera_service.listening import Listening
from vru.camera_service.secrets import Vault
from vru.camera_service.settings import CameraServiceSettings
from vru.camera_service.signal_routes import capture_routes, signal_routes
from vru.camera_service.signal_sources import SignalSources
from vru.camera_service.sources import READERS
from vru.camera_service.store import CameraStore, SourceStore
from vru.sandbox.pool import Sandbox
from vru.service.app import create_app
from vru.service.errors import ConflictError, UnavailableError
from vru.service.schemas import CameraBody, CameraCreate, Problem, Schema

_DESCRIPTION = (
    "Keeps cameras, reads them in real time, shows the newest frame; listens to devices, stores their signals."
)
# Each takes a child. More cameras of files than that would wait for each other.
_MOST_FILES = 64


class CameraList(Schema):
    """All cameras, in order of name."""

    items: list[CameraBody]
    total: int


def create_camera_service(settings: CameraServiceSettings | None = None) -> FastAPI:
    """The camera service, ready for ``vru.service.app.serve``.

    Raises:
        VruError: a file that remembers cameras or signal sources is damaged.
    """
    settings = settings or CameraServiceSettings()
    store = CameraStore(settings.camera_state_dir)
    sandbox = Sandbox(READERS, children=_MOST_FILES, spare=1, niceness=0)
    cameras = Cameras(store, settings.media_dir, sandbox)

    vault = Vault(settings.camera_service_secret.get_secret_value())
    sources = SignalSources(SourceStore(settings.camera_state_dir), vault)
    listening = Listening(sources, settings.camera_state_dir, settings)
    captures = Captures(sources, listening.deliverer)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        sandbox.warm()
        cameras.restore()
        duty = asyncio.create_task(listening.run())
        yield
        duty.cancel()
        with suppress(asyncio.CancelledError):
            await duty
        await asyncio.to_thread(captures.close)
        await asyncio.to_thread(listening.close)
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
    app.include_router(_routes(cameras, sources))
    app.include_router(signal_routes(sources, cameras, listening))
    app.include_router(capture_routes(captures))
    return app


def _problems(*statuses: int) -> dict[int | str, dict[str, object]]:
    return {number: {"model": Problem} for number in statuses}


def _routes(cameras: Cameras, sources: SignalSources) -> APIRouter:
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
        "/{camera_id}", summary="Remove a camera", status_code=status.HTTP_204_NO_CONTENT, responses=_problems(404, 409)
    )
    async def delete_camera(camera_id: uuid.UUID) -> None:
        """A running camera is stopped first. Refused while signal sources belong to it."""
        used = await asyncio.to_thread(sources.of_camera, camera_id)
        if used:
            raise ConflictError(f"Signal sources belong to this camera: {', '.join(used)}.", "Delete them first.")
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
