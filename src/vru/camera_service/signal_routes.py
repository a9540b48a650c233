"""Signal sources over HTTP."""

import asyncio
import uuid

from fastapi import APIRouter, status

from vru.camera_service.cameras import Cameras
from vru.camera_service.captures import Captures
from vru.camera_service.listening import Listening
from vru.camera_service.signal_sources import SignalSources
from vru.service.errors import NotFoundError, UnprocessableError
from vru.service.schemas import Problem, SignalDelivery, SignalSourceBody, SignalSourceCreate, SignalSourceList
from vru.service.schemas.captures import CaptureBody, CaptureCreate


def _problems(*statuses: int) -> dict[int | str, dict[str, object]]:
    return {number: {"model": Problem} for number in statuses}


def _create(wanted: SignalSourceCreate, sources: SignalSources, cameras: Cameras) -> SignalSourceBody:
    if wanted.camera_id is not None:
        try:
            cameras.get(wanted.camera_id)
        except NotFoundError as error:
            raise UnprocessableError(error.message, error.fix) from error
    return sources.create(wanted)


def signal_routes(sources: SignalSources, cameras: Cameras, listening: Listening) -> APIRouter:
    """The routes of signal sources, and of the delivery of what they say."""
    router = APIRouter(tags=["signal sources"])

    @router.get("/signal-sources", summary="List signal sources")
    async def list_sources() -> SignalSourceList:
        items = await asyncio.to_thread(sources.list)
        return SignalSourceList(items=items, total=len(items))

    @router.post(
        "/signal-sources",
        summary="Add a signal source",
        status_code=status.HTTP_201_CREATED,
        responses=_problems(409, 422),
    )
    async def create_source(wanted: SignalSourceCreate) -> SignalSourceBody:
        """It is stopped at first."""
        return await asyncio.to_thread(_create, wanted, sources, cameras)

    @router.get("/signal-sources/{source_id}", summary="Get a signal source", responses=_problems(404))
    async def get_source(source_id: uuid.UUID) -> SignalSourceBody:
        return await asyncio.to_thread(sources.get, source_id)

    @router.delete(
        "/signal-sources/{source_id}",
        summary="Remove a signal source",
        status_code=status.HTTP_204_NO_CONTENT,
        responses=_problems(404),
    )
    async def delete_source(source_id: uuid.UUID) -> None:
        """It is stopped first. What it said stays."""
        await asyncio.to_thread(sources.delete, source_id)

    @router.post("/signal-sources/{source_id}/start", summary="Start a signal source", responses=_problems(404))
    async def start_source(source_id: uuid.UUID) -> SignalSourceBody:
        """Answers at once. It runs, also after a restart of the service, until it is stopped."""
        return await asyncio.to_thread(sources.start, source_id)

    @router.post("/signal-sources/{source_id}/stop", summary="Stop a signal source", responses=_problems(404))
    async def stop_source(source_id: uuid.UUID) -> SignalSourceBody:
        return await asyncio.to_thread(sources.stop, source_id)

    @router.get("/signal-delivery", summary="Get the state of the delivery of signals")
    async def get_delivery() -> SignalDelivery:
        return await asyncio.to_thread(listening.state)

    return router


def capture_routes(captures: Captures) -> APIRouter:
    """The routes of captures."""
    router = APIRouter(tags=["captures"])

    @router.post(
        "/captures", summary="Begin a capture", status_code=status.HTTP_201_CREATED, responses=_problems(404, 409, 422)
    )
    async def begin_capture(wanted: CaptureCreate) -> CaptureBody:
        """With a rig it ends with the play."""
        return await asyncio.to_thread(captures.begin, wanted)

    @router.get("/captures/{capture_id}", summary="Get a capture", responses=_problems(404))
    async def get_capture(capture_id: uuid.UUID) -> CaptureBody:
        return await asyncio.to_thread(captures.get, capture_id)

    @router.post("/captures/{capture_id}/stop", summary="End a capture", responses=_problems(404))
    async def stop_capture(capture_id: uuid.UUID) -> CaptureBody:
        return await asyncio.to_thread(captures.stop, capture_id)

    return router
