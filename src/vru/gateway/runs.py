"""Validation runs: the gateway checks who asks, the validation engine does the rest."""

import uuid
import weakref
from collections.abc import AsyncIterable, AsyncIterator, Callable
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response, status
from fastapi.responses import StreamingResponse

from vru.gateway.auth.current import CurrentUser
from vru.gateway.auth.schemas import UserBody
from vru.gateway.parameters import MAX_INTEGER, FrameIndex, Identity, Limit, Offset, problems
from vru.gateway.resources import Gateway, Resources
from vru.gateway.uploads import json_body
from vru.service.proxy import forward
from vru.service.schemas import CameraRunCreate, DataSetRunCreate, DetectionBody, RunBody, RunChange, RunCreate, Schema
from vru.service.schemas.comparisons import ComparisonBody, ComparisonRequest

router = APIRouter(prefix="/runs", tags=["runs"])
keys = APIRouter(tags=["runs"])
comparisons = APIRouter(prefix="/comparisons", tags=["runs"])


class RunList(Schema):
    """One page of runs, newest first, and how many there are in all."""

    items: list[RunBody]
    total: int


class DetectionList(Schema):
    """What the model found in the asked frames, in frame order."""

    items: list[DetectionBody]


async def _forward(request: Request, gateway: Resources, user: UserBody, path: str) -> Response:
    return await forward(
        request,
        gateway.http,
        gateway.settings.validation_engine_url,
        path,
        service="validation_engine",
        headers=gateway.asserter.headers("validation_engine", user.email),
    )


@router.post(
    "",
    summary="Start a validation run",
    status_code=status.HTTP_201_CREATED,
    response_model=RunBody,
    responses=problems(401, 404, 409, 422, 503),
    openapi_extra=json_body(RunCreate, CameraRunCreate, DataSetRunCreate),
)
async def create_run(request: Request, user: CurrentUser, gateway: Gateway) -> Response:
    """The run is queued; follow it with ``/runs/{run_id}/events``. Without ``criteria`` the project's apply.

    With ``kind`` "camera" it is one of recorded signals instead of a model; with ``data_set_id`` it is over all
    recordings of a data set; with ``predictions_id`` in the place of ``model`` it is one of imported predictions.
    """
    return await _forward(request, gateway, user, "/runs")


@router.get("", summary="List runs", response_model=RunList, responses=problems(401, 503))
async def list_runs(
    request: Request,
    user: CurrentUser,
    gateway: Gateway,
    project_id: Annotated[uuid.UUID | None, Query(description="only this project's")] = None,
    limit: Limit = 100,
    offset: Offset = 0,
) -> Response:
    """Newest first."""
    return await _forward(request, gateway, user, "/runs")


@router.get("/{run_id}", summary="Get a run", response_model=RunBody, responses=problems(401, 404, 503))
async def get_run(run_id: Identity, request: Request, user: CurrentUser, gateway: Gateway) -> Response:
    """Its state, and once it is completed its metrics and verdict."""
    return await _forward(request, gateway, user, f"/runs/{run_id}")


@router.post("/{run_id}/cancel", summary="Cancel a run", response_model=RunBody, responses=problems(401, 404, 409, 503))
async def cancel_run(run_id: Identity, request: Request, user: CurrentUser, gateway: Gateway) -> Response:
    """A run that has ended cannot be cancelled."""
    return await _forward(request, gateway, user, f"/runs/{run_id}/cancel")


@router.post("/{run_id}/pause", summary="Pause a run", response_model=RunBody, responses=problems(401, 404, 409, 503))
async def pause_run(run_id: Identity, request: Request, user: CurrentUser, gateway: Gateway) -> Response:
    """No more of its clips are started; those that are being worked on are finished."""
    return await _forward(request, gateway, user, f"/runs/{run_id}/pause")


@router.post("/{run_id}/resume", summary="Resume a run", response_model=RunBody, responses=problems(401, 404, 409, 503))
async def resume_run(run_id: Identity, request: Request, user: CurrentUser, gateway: Gateway) -> Response:
    """A paused run goes on."""
    return await _forward(request, gateway, user, f"/runs/{run_id}/resume")


@router.post("/{run_id}/retry", summary="Retry a run", response_model=RunBody, responses=problems(401, 404, 409, 503))
async def retry_run(run_id: Identity, request: Request, user: CurrentUser, gateway: Gateway) -> Response:
    """A failed or cancelled run continues with what is done; only its other clips are done again."""
    return await _forward(request, gateway, user, f"/runs/{run_id}/retry")


@router.patch(
    "/{run_id}",
    summary="Change a run's priority",
    response_model=RunBody,
    responses=problems(401, 404, 409, 422, 503),
    openapi_extra=json_body(RunChange),
)
async def change_run(run_id: Identity, request: Request, user: CurrentUser, gateway: Gateway) -> Response:
    """Waiting clips of runs with a higher priority are done first."""
    return await _forward(request, gateway, user, f"/runs/{run_id}")


@router.get(
    "/{run_id}/events",
    summary="Follow a run",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "Server-sent events named `run`; the data of each is a RunEvent",
            "content": {"text/event-stream": {"schema": {"$ref": "#/components/schemas/RunEvent"}}},
        },
        **problems(401, 404, 503),
    },
)
async def follow_run(run_id: Identity, request: Request, user: CurrentUser, gateway: Gateway) -> Response:
    """The current state comes first; the stream ends after a final state. 503 while too many are followed."""
    leave = gateway.streams.enter()
    try:
        answer = await forward(
            request,
            gateway.streams.http,
            gateway.settings.validation_engine_url,
            f"/runs/{run_id}/events",
            service="validation_engine",
            headers=gateway.asserter.headers("validation_engine", user.email),
        )
    except BaseException:
        leave()
        raise
    answer.body_iterator = _counted(answer.body_iterator, leave)
    # A client that is gone before the first byte never begins the iterator.
    weakref.finalize(answer, leave)
    return answer


async def _counted(chunks: AsyncIterable[Any], leave: Callable[[], None]) -> AsyncIterator[Any]:
    try:
        async for chunk in chunks:
            yield chunk
    finally:
        leave()


@router.get(
    "/{run_id}/report.{form}",
    summary="Get a run's report",
    response_class=StreamingResponse,
    responses={
        200: {"description": "The report as a file", "content": {"text/html": {}, "application/pdf": {}}},
        **problems(401, 404, 409, 422, 503),
    },
)
async def get_report(
    run_id: Identity,
    form: Literal["html", "pdf", "json", "csv", "tracks.csv", "xml"],
    request: Request,
    user: CurrentUser,
    gateway: Gateway,
) -> Response:
    """A run that is over, to read (HTML, PDF), to work on (JSON, CSV), or for a pipeline (JUnit XML)."""
    return await _forward(request, gateway, user, f"/runs/{run_id}/report.{form}")


@router.get(
    "/{run_id}/evidence",
    summary="Get a run's sealed evidence",
    response_class=StreamingResponse,
    responses={
        200: {"description": "The evidence as a file", "content": {"application/zip": {}}},
        **problems(401, 404, 409, 503),
    },
)
async def get_evidence(run_id: Identity, request: Request, user: CurrentUser, gateway: Gateway) -> Response:
    """Digests of all inputs, detections, metrics, verdict and report, sealed when the run completed.

    `vru evidence verify` checks it.
    """
    return await _forward(request, gateway, user, f"/runs/{run_id}/evidence")


@router.get(
    "/{run_id}/detections",
    summary="Get a run's detections",
    response_model=DetectionList,
    responses=problems(401, 404, 422, 503),
)
async def get_detections(
    run_id: Identity,
    request: Request,
    user: CurrentUser,
    gateway: Gateway,
    first_frame: FrameIndex = None,
    last_frame: FrameIndex = None,
    recording: Annotated[
        int | None, Query(ge=1, le=MAX_INTEGER, description="of a run over a data set: the recording's number")
    ] = None,
) -> Response:
    """All of them, or those from ``first_frame`` to ``last_frame``, both included."""
    return await _forward(request, gateway, user, f"/runs/{run_id}/detections")


@keys.get(
    "/evidence-key",
    summary="Get the public key that signs evidence",
    response_class=StreamingResponse,
    responses={
        200: {"description": "PEM", "content": {"application/x-pem-file": {}}},
        **problems(401, 503),
    },
)
async def get_evidence_key(request: Request, user: CurrentUser, gateway: Gateway) -> Response:
    """Publish its fingerprint (the header ``X-VRU-Key-Fingerprint``) where those who check evidence will look."""
    return await _forward(request, gateway, user, "/evidence-key")


@keys.get(
    "/evidence-ledger",
    summary="Get every seal that was given out",
    response_class=StreamingResponse,
    responses={
        200: {"description": "JSON lines, the oldest seal first", "content": {"application/x-ndjson": {}}},
        **problems(401, 503),
    },
)
async def get_evidence_ledger(request: Request, user: CurrentUser, gateway: Gateway) -> Response:
    """Each seal carries the hash of the one before: none can be taken out or put in.

    `vru evidence verify --ledger FILE` looks evidence up in it.
    """
    return await _forward(request, gateway, user, "/evidence-ledger")


@comparisons.post(
    "",
    summary="Compare two runs over a data set",
    response_model=ComparisonBody,
    responses=problems(401, 404, 409, 422, 503),
    openapi_extra=json_body(ComparisonRequest),
)
async def compare_runs(request: Request, user: CurrentUser, gateway: Gateway) -> Response:
    """The second against the first, paired recording by recording, on all and on each slice of attributes and tags.

    Says who is newly missed and newly found by name; with ``margins`` also whether the second is not worse.
    """
    return await _forward(request, gateway, user, "/comparisons")
