"""The validation engine's HTTP API. Who asks stands in the assertion that the gateway signed."""

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated

import aiohttp
from fastapi import APIRouter, Body, Depends, Header, Query, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent
from procrastinate import App
from redis.asyncio import Redis

from vru.service.access import CallingUser
from vru.service.database.sessions import Database, Reading, WriteSession, Writing
from vru.service.database.tables import Run
from vru.service.ending import Ending
from vru.service.errors import NotFoundError, UnprocessableError
from vru.service.schemas import (
    AnyRunCreate,
    CameraRunCreate,
    DataSetRunCreate,
    DetectionBody,
    Problem,
    RunBody,
    RunChange,
    RunEvent,
    Schema,
    run_body,
)
from vru.validation_engine import events, repository, service
from vru.validation_engine.data_set_runs import create_data_set_run
from vru.validation_engine.models import find_model
from vru.validation_engine.settings import EngineSettings
from vru.validation_engine.stream import Position, follow

router = APIRouter(
    prefix="/runs", tags=["runs"], responses={404: {"model": Problem}, 422: {"model": Problem}, 409: {"model": Problem}}
)

Frame = Annotated[int | None, Query(ge=0)]
# PostgreSQL's largest integer: a range without an end.
_LAST_FRAME = 2**31 - 1
# How soon a browser connects again when a stream breaks off, as it does when the service is replaced.
_RECONNECT_MS = 1000


class RunList(Schema):
    """Runs, newest first."""

    items: list[RunBody]
    total: int


class DetectionList(Schema):
    """Detections, by frame and falling score."""

    items: list[DetectionBody]


def _queue(request: Request) -> App:
    queue: App = request.app.state.queue
    return queue


def _redis(request: Request) -> Redis:
    redis: Redis = request.app.state.redis
    return redis


def _http(request: Request) -> aiohttp.ClientSession:
    session: aiohttp.ClientSession = request.app.state.http
    return session


Queue = Annotated[App, Depends(_queue)]
Cache = Annotated[Redis, Depends(_redis)]
Http = Annotated[aiohttp.ClientSession, Depends(_http)]


async def _event(run_id: uuid.UUID, session: Reading) -> RunEvent:
    event = await repository.run_event(session, run_id)
    if event is None:
        raise NotFoundError(f"There is no run {run_id}.", "GET /runs lists them.")
    return event


@router.post("", status_code=201, summary="Start a run")
async def create_run(
    body: Annotated[AnyRunCreate, Body()],
    request: Request,
    session: Writing,
    queue: Queue,
    http: Http,
    user: CallingUser,
) -> RunBody:
    """Store a run and queue it, in one transaction."""
    settings: EngineSettings = request.app.state.settings
    if isinstance(body, CameraRunCreate):
        run = await service.create_camera_run(session, queue, body, settings.media_dir, user)
    else:
        model = None
        if body.model is not None:
            model = await find_model(http, settings.ml_engine_url, body.model, body.model_version)
        create = create_data_set_run if isinstance(body, DataSetRunCreate) else service.create_run
        run = await create(session, queue, body, model, user)  # type: ignore[arg-type] # each its own body
    return run_body(run)


@router.get("", summary="List runs")
async def list_runs(
    session: Reading,
    project_id: uuid.UUID | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    offset: Annotated[int, Query(ge=0)] = 0,
) -> RunList:
    """Newest first."""
    runs, total = await repository.list_runs(session, project_id, limit, offset)
    return RunList(items=[run_body(run) for run in runs], total=total)


@router.get("/{run_id}", summary="Get a run")
async def get_run(run_id: uuid.UUID, session: Reading) -> RunBody:
    """One run with its figures and verdict, once it has them."""
    return run_body(await service.get_run(session, run_id))


async def _told(
    request: Request, redis: Redis, run_id: uuid.UUID, change: Callable[[WriteSession], Awaitable[Run]]
) -> RunBody:
    """Change a run, and tell who follows it: after the commit, for whoever hears of it may ask at once."""
    database: Database = request.app.state.database
    async with database.write() as session:
        run = run_body(await change(session))
    await events.announce(redis, database, run_id)
    return run


@router.patch("/{run_id}", summary="Change a run's priority")
async def change_run(request: Request, run_id: uuid.UUID, body: RunChange, redis: Cache) -> RunBody:
    """Its waiting clips move in the queue; those that are being worked on stay where they are."""
    return await _told(request, redis, run_id, lambda session: service.change_run(session, run_id, body))


@router.post("/{run_id}/cancel", summary="Cancel a run")
async def cancel_run(request: Request, run_id: uuid.UUID, redis: Cache) -> RunBody:
    """Stops its shards within a second or so."""
    return await _told(request, redis, run_id, lambda session: service.cancel_run(session, run_id))


@router.post("/{run_id}/pause", summary="Pause a run")
async def pause_run(request: Request, run_id: uuid.UUID, redis: Cache) -> RunBody:
    """No more of its clips are started; those that are being worked on are finished."""
    return await _told(request, redis, run_id, lambda session: service.pause_run(session, run_id))


@router.post("/{run_id}/resume", summary="Resume a run")
async def resume_run(request: Request, run_id: uuid.UUID, redis: Cache, queue: Queue) -> RunBody:
    """A paused run goes on."""
    return await _told(request, redis, run_id, lambda session: service.resume_run(session, queue, run_id))


@router.post("/{run_id}/retry", summary="Retry a run")
async def retry_run(request: Request, run_id: uuid.UUID, redis: Cache, queue: Queue) -> RunBody:
    """A failed or cancelled run continues with what is done; only the other clips are done again."""
    return await _told(request, redis, run_id, lambda session: service.retry_run(session, queue, run_id))


@router.get("/{run_id}/events", summary="Follow a run", response_class=EventSourceResponse)
async def run_events(
    run_id: uuid.UUID,
    request: Request,
    redis: Cache,
    first: Annotated[RunEvent, Depends(_event, scope="function")],
    last_event_id: Annotated[str, Header(max_length=100)] = "",
) -> AsyncIterator[ServerSentEvent]:
    """Server-sent events named "run": the state now, then each change, until a final state.

    Each has an id. Who connects again with ``Last-Event-ID`` goes on from there, as browsers do by themselves.
    """
    ending: Ending = request.app.state.ending
    changes = follow(request.app.state.database, redis, first, Position.parse(last_event_id))
    async for event in ending.cut(changes):
        yield ServerSentEvent(event="run", data=event, id=str(Position.of(event)), retry=_RECONNECT_MS)


@router.get("/{run_id}/detections", summary="Get a run's detections")
async def run_detections(
    run_id: uuid.UUID,
    session: Reading,
    first_frame: Frame = None,
    last_frame: Frame = None,
    recording: Annotated[int | None, Query(ge=1, le=_LAST_FRAME)] = None,
) -> DetectionList:
    """The detections in a range of frames, both ends included; all without a range. Of a run over a data set those in
    one recording, by its number.
    """
    run = await service.get_run(session, run_id)
    if (run.data_set_version_id is None) != (recording is None):
        kind = "one video" if recording else "a data set"
        raise UnprocessableError(
            f"The run is over {kind}.", "recording names one of a data set's recordings, and is for those runs alone."
        )
    first, last = first_frame or 0, _LAST_FRAME if last_frame is None else last_frame
    if last < first:
        raise UnprocessableError(f"The range ends ({last}) before it begins ({first}).")
    found = await repository.detections(session, run_id, min(first, _LAST_FRAME), min(last, _LAST_FRAME), recording)
    return DetectionList(items=found)
