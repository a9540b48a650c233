"""Live runs over HTTP."""

import asyncio
import uuid
import weakref
from collections.abc import AsyncIterator, Callable
from typing import Annotated

from fastapi import APIRouter, Query, Request, status
from fastapi.responses import StreamingResponse

from vru.domain import VruError
from vru.gateway.auth.current import CurrentUser
from vru.gateway.live_runs import service
from vru.gateway.live_runs.advancing import call, capture_of
from vru.gateway.live_runs.schemas import LiveRunBody, LiveRunCreate, LiveRunList
from vru.gateway.parameters import Identity, Limit, Offset, problems
from vru.gateway.resources import Gateway, Resources
from vru.service.database.sessions import Reading
from vru.service.database.tables import LiveRun
from vru.service.ending import Ending
from vru.service.errors import ConflictError
from vru.service.schemas.captures import CaptureBody

router = APIRouter(prefix="/live-runs", tags=["live runs"])
_LOOK_S = 0.5
_OVER = ("failed", "cancelled")


@router.post(
    "", summary="Start a live run", status_code=status.HTTP_201_CREATED, responses=problems(401, 404, 409, 422, 503)
)
async def create_live_run(wanted: LiveRunCreate, user: CurrentUser, gateway: Gateway) -> LiveRunBody:
    """The source is captured from now on; follow it with ``/live-runs/{live_run_id}/events``.

    With ``rig`` all else goes by itself, up to the verdict of the camera run.
    """
    async with gateway.database.read() as reading:
        asked = await service.capture_of(reading, wanted)
    said = await call(gateway, "camera_service", user.email, "POST", "/captures", asked.model_dump(mode="json"))
    capture = CaptureBody.model_validate(said)
    live = LiveRun(
        id=uuid.uuid4(),
        project_id=wanted.project_id,
        video_id=wanted.video_id,
        ground_truth_id=wanted.ground_truth_id,
        source_id=wanted.source_id,
        capture_id=capture.id,
        request=wanted.model_dump(mode="json"),
        created_by=user.email,
    )
    async with gateway.database.write() as session:
        session.add(live)
    async with gateway.database.read() as reading:
        return _with_capture(await service.read_body(reading, live.id), capture)


@router.get("", summary="List live runs", responses=problems(401))
async def list_live_runs(
    _: CurrentUser,
    session: Reading,
    project_id: Annotated[uuid.UUID | None, Query(description="only this project's")] = None,
    limit: Limit = 100,
    offset: Offset = 0,
) -> LiveRunList:
    """Newest first."""
    items, total = await service.list_live_runs(session, project_id, limit, offset)
    return LiveRunList(items=items, total=total)


@router.get("/{live_run_id}", summary="Get a live run", responses=problems(401, 404, 503))
async def get_live_run(live_run_id: Identity, _: CurrentUser, gateway: Gateway) -> LiveRunBody:
    """Its state; while it is recording, how far it is."""
    return await _look(gateway, live_run_id)


@router.post("/{live_run_id}/finish", summary="Finish a live run", responses=problems(401, 404, 409, 503))
async def finish_live_run(live_run_id: Identity, user: CurrentUser, gateway: Gateway) -> LiveRunBody:
    """Of one without a rig: ends the capture, and keeps its recording. One with a rig is cancelled."""
    async with gateway.database.read() as reading:
        live = await service.find_live_run(reading, live_run_id)
    if live.state != "recording":
        raise ConflictError(f"The live run is {live.state}: it does not record.", "Start another one.")
    await call(gateway, "camera_service", user.email, "POST", f"/captures/{live.capture_id}/stop")
    return await _look(gateway, live_run_id)


@router.get(
    "/{live_run_id}/events",
    summary="Follow a live run",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "Server-sent events named `live_run`; the data of each is a LiveRunBody",
            "content": {"text/event-stream": {"schema": {"$ref": "#/components/schemas/LiveRunBody"}}},
        },
        **problems(401, 404, 503),
    },
)
async def follow_live_run(
    live_run_id: Identity, request: Request, _: CurrentUser, gateway: Gateway
) -> StreamingResponse:
    """Its state at once, and each change of it, to the end of its run. 503 while too many streams are followed."""
    await _look(gateway, live_run_id)
    leave = gateway.streams.enter()
    ending: Ending = request.app.state.ending
    answer = StreamingResponse(
        _events(ending.cut(_changes(gateway, live_run_id)), leave),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"},
    )
    weakref.finalize(answer, leave)
    return answer


async def _events(bodies: AsyncIterator[LiveRunBody], leave: Callable[[], None]) -> AsyncIterator[str]:
    try:
        async for body in bodies:
            yield f"event: live_run\ndata: {body.model_dump_json()}\n\n"
    finally:
        leave()


async def _changes(gateway: Resources, live_run_id: uuid.UUID) -> AsyncIterator[LiveRunBody]:
    before: LiveRunBody | None = None
    while True:
        body = await _look(gateway, live_run_id)
        if body != before:
            yield body
        before = body
        over = body.run_state is not None and body.run_state.is_final
        if over or body.state in _OVER or (body.state == "recorded" and body.played is None):
            return
        await asyncio.sleep(_LOOK_S)


async def _look(gateway: Resources, live_run_id: uuid.UUID) -> LiveRunBody:
    async with gateway.database.read() as reading:
        body = await service.read_body(reading, live_run_id)
        live = await service.find_live_run(reading, live_run_id)
    if body.state != "recording":
        return body
    try:
        return _with_capture(body, await capture_of(gateway, live))
    except VruError:  # how far it is cannot be said now; what becomes of it is told by its state
        return body


def _with_capture(body: LiveRunBody, capture: CaptureBody) -> LiveRunBody:
    return body.model_copy(
        update={"media_s": round(capture.media_s, 2), "end_s": capture.end_s or None, "signals": capture.signals}
    )
