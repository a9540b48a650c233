"""Signal sources: the gateway checks who asks, the camera service does the rest."""

from fastapi import APIRouter, Request, Response, status

from vru.gateway.auth.current import CurrentUser
from vru.gateway.auth.schemas import UserBody
from vru.gateway.parameters import Identity, problems
from vru.gateway.resources import Gateway, Resources
from vru.gateway.uploads import json_body
from vru.service.proxy import forward
from vru.service.schemas import SignalDelivery, SignalSourceBody, SignalSourceCreate, SignalSourceList

router = APIRouter(tags=["signal sources"])


async def _forward(request: Request, gateway: Resources, user: UserBody, path: str) -> Response:
    return await forward(
        request,
        gateway.http,
        gateway.settings.camera_service_url,
        path,
        service="camera_service",
        headers=gateway.asserter.headers("camera_service", user.email),
    )


@router.get(
    "/signal-sources", summary="List signal sources", response_model=SignalSourceList, responses=problems(401, 503)
)
async def list_signal_sources(request: Request, user: CurrentUser, gateway: Gateway) -> Response:
    """Each with its state, its counts and its last fault."""
    return await _forward(request, gateway, user, "/signal-sources")


@router.post(
    "/signal-sources",
    summary="Add a signal source",
    status_code=status.HTTP_201_CREATED,
    response_model=SignalSourceBody,
    responses=problems(401, 409, 422, 503),
    openapi_extra=json_body(SignalSourceCreate),
)
async def create_signal_source(request: Request, user: CurrentUser, gateway: Gateway) -> Response:
    """It is stopped at first. What is secret goes into ``secrets``: it is encrypted, and never shown."""
    return await _forward(request, gateway, user, "/signal-sources")


@router.get(
    "/signal-sources/{source_id}",
    summary="Get a signal source",
    response_model=SignalSourceBody,
    responses=problems(401, 404, 503),
)
async def get_signal_source(source_id: Identity, request: Request, user: CurrentUser, gateway: Gateway) -> Response:
    """What it is, what it is doing, and what it has counted since it was started."""
    return await _forward(request, gateway, user, f"/signal-sources/{source_id}")


@router.delete(
    "/signal-sources/{source_id}",
    summary="Remove a signal source",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=problems(401, 404, 503),
)
async def delete_signal_source(source_id: Identity, request: Request, user: CurrentUser, gateway: Gateway) -> Response:
    """It is stopped first. What it said stays."""
    return await _forward(request, gateway, user, f"/signal-sources/{source_id}")


@router.post(
    "/signal-sources/{source_id}/start",
    summary="Start a signal source",
    response_model=SignalSourceBody,
    responses=problems(401, 404, 503),
)
async def start_signal_source(source_id: Identity, request: Request, user: CurrentUser, gateway: Gateway) -> Response:
    """Answers at once. It runs, also after a restart, until it is stopped; if its device is lost it is opened again."""
    return await _forward(request, gateway, user, f"/signal-sources/{source_id}/start")


@router.post(
    "/signal-sources/{source_id}/stop",
    summary="Stop a signal source",
    response_model=SignalSourceBody,
    responses=problems(401, 404, 503),
)
async def stop_signal_source(source_id: Identity, request: Request, user: CurrentUser, gateway: Gateway) -> Response:
    """Nothing that it said before is lost."""
    return await _forward(request, gateway, user, f"/signal-sources/{source_id}/stop")


@router.get(
    "/signal-delivery",
    summary="Get the state of the delivery of signals",
    response_model=SignalDelivery,
    responses=problems(401, 503),
)
async def get_signal_delivery(request: Request, user: CurrentUser, gateway: Gateway) -> Response:
    """Whether Redis and PostgreSQL take what the sources say, and how much waits for them on disk."""
    return await _forward(request, gateway, user, "/signal-delivery")
