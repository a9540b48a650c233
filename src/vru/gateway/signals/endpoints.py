"""Recordings of signals over HTTP."""

import asyncio
import uuid
from collections.abc import Callable
from functools import partial
from pathlib import PurePath
from typing import Annotated, TypeVar

from fastapi import APIRouter, Query, Request, status

from vru.formats import MarkerRecording, SignalRecording, read_markers, read_signals
from vru.formats.annotations import FormatError
from vru.gateway.auth.current import CurrentUser
from vru.gateway.parameters import Identity, Limit, Name, Offset, problems
from vru.gateway.resources import Gateway
from vru.gateway.signals import service
from vru.gateway.signals.schemas import SignalsBody, SignalsList
from vru.gateway.uploads import UNLIMITED, announced_size, raw_body
from vru.gateway.videos.service import find_video
from vru.gateway.videos.store import MEGABYTE, MediaStore, Received
from vru.service.database.sessions import Reading
from vru.service.errors import UnprocessableError

router = APIRouter(tags=["signals"])
_Parsed = TypeVar("_Parsed")
MOST_SIGNALS = 1_000_000
_LARGEST_INTEGER = 2**63 - 1  # PostgreSQL's
# A parsed file takes a multiple of its size: one at a time bounds the memory.
_parsing = asyncio.Semaphore(1)


@router.get("/videos/{video_id}/signals", summary="List a video's recordings of signals", responses=problems(401, 404))
async def list_signals(
    video_id: Identity, _: CurrentUser, session: Reading, limit: Limit = 100, offset: Offset = 0
) -> SignalsList:
    """Newest first."""
    found, total = await service.list_recordings(session, video_id, limit, offset)
    return SignalsList(items=[SignalsBody.model_validate(item) for item in found], total=total)


@router.post(
    "/videos/{video_id}/signals",
    summary="Upload a recording of signals",
    status_code=status.HTTP_201_CREATED,
    responses=problems(401, 404, 413, 422, 507),
    max_body_size=UNLIMITED,
    openapi_extra=raw_body("text/csv", "application/x-ndjson", "application/octet-stream"),
)
async def upload_signals(
    video_id: Identity,
    name: Annotated[Name, Query(description="what to call it", examples=["signals.csv"])],
    request: Request,
    _: CurrentUser,
    gateway: Gateway,
    poll_ms: Annotated[
        float, Query(ge=0, le=60_000, description="period in which the receiver looked for signals")
    ] = 0.0,
    offset_ns: Annotated[
        int | None, Query(ge=0, le=_LARGEST_INTEGER, description="what the signals' clock shows at media time 0")
    ] = None,
    offset_uncertainty_ms: Annotated[
        float | None, Query(ge=0, le=1e9, description="standard uncertainty of offset_ns")
    ] = None,
) -> SignalsBody:
    """The body is the file itself: CSV with a header, or JSON Lines, of at most 1,000,000 signals.

    Without ``offset_ns`` its clock is joined with the video's by the markers that are uploaded next.
    """
    if (offset_ns is None) != (offset_uncertainty_ms is None):
        raise UnprocessableError(
            "An offset and its uncertainty are known together, or not at all.",
            "Give offset_ns and offset_uncertainty_ms, or upload markers.",
        )
    offset = None if offset_ns is None or offset_uncertainty_ms is None else (offset_ns, offset_uncertainty_ms)
    async with gateway.database.read() as reading:
        video = await find_video(reading, video_id)
    store = MediaStore(gateway.settings.media_dir)
    async with (
        store.receive(
            request.stream(),
            limit_bytes=gateway.settings.max_upload_mb * MEGABYTE,
            announced_bytes=announced_size(request),
        ) as received,
        _parsing,
    ):
        signals = await asyncio.to_thread(_signals, received, name, {video.name, PurePath(video.name).stem})
        recording_id = uuid.uuid4()
        path = store.keep(received, f"{recording_id}.signals", store.signals)
        try:
            async with gateway.database.write() as writing:
                stored = await service.store_recording(
                    writing,
                    recording_id=recording_id,
                    video_id=video_id,
                    name=name,
                    path=path,
                    sha256=received.sha256,
                    signals=signals,
                    poll_ms=poll_ms,
                    offset=offset,
                )
        except BaseException:
            store.delete(path)
            raise
    return SignalsBody.model_validate(stored)


def _signals(received: Received, name: str, videos: set[str]) -> SignalRecording:
    signals = _parsed(partial(read_signals, received.path, videos=videos, most=MOST_SIGNALS, name=name))
    if not signals:
        raise UnprocessableError(
            f"{name} holds nothing: no signal came.", "`vru evaluate --protocol camera` measures a silent device."
        )
    return signals


def _markers(received: Received, name: str) -> MarkerRecording:
    return _parsed(partial(read_markers, received.path, name=name))


def _parsed(read: Callable[[], _Parsed]) -> _Parsed:
    try:
        return read()
    except FormatError as error:
        raise UnprocessableError(error.message, error.fix) from error


@router.get("/signals/{signals_id}", summary="Get a recording of signals", responses=problems(401, 404))
async def get_signals(signals_id: Identity, _: CurrentUser, session: Reading) -> SignalsBody:
    """Its facts, without its signals."""
    return SignalsBody.model_validate(await service.find_recording(session, signals_id))


@router.post(
    "/signals/{signals_id}/markers",
    summary="Upload the markers of a recording",
    responses=problems(401, 404, 409, 413, 422, 507),
    max_body_size=UNLIMITED,
    openapi_extra=raw_body("text/csv", "application/x-ndjson", "application/octet-stream"),
)
async def upload_markers(
    signals_id: Identity,
    request: Request,
    _: CurrentUser,
    gateway: Gateway,
    name: Annotated[Name, Query(description="what messages call it", examples=["markers.csv"])] = "markers",
) -> SignalsBody:
    """They join the signals' clock with the video's. Refused if it is joined already: runs may rest on that."""
    async with gateway.database.read() as reading:
        service.check_not_joined(await service.find_recording(reading, signals_id))
    store = MediaStore(gateway.settings.media_dir)
    async with (
        store.receive(
            request.stream(),
            limit_bytes=gateway.settings.max_ground_truth_mb * MEGABYTE,
            announced_bytes=announced_size(request),
        ) as received,
        _parsing,
    ):
        markers = await asyncio.to_thread(_markers, received, name)
        path = store.keep(received, f"{uuid.uuid4()}.markers", store.signals)
        try:
            async with gateway.database.write() as writing:
                joined = await service.store_markers(writing, signals_id, path=path, received=received, markers=markers)
        except BaseException:
            store.delete(path)
            raise
    return SignalsBody.model_validate(joined)


@router.delete(
    "/signals/{signals_id}",
    summary="Delete a recording of signals",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=problems(401, 404, 409),
)
async def delete_signals(signals_id: Identity, _: CurrentUser, gateway: Gateway) -> None:
    """Refused if a run was made with it."""
    async with gateway.database.write() as session:
        paths = await service.delete_recording(session, signals_id)
    MediaStore(gateway.settings.media_dir).delete(*paths)
