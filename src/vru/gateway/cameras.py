"""Cameras: the gateway checks who asks, the camera service does the rest."""

from fastapi import APIRouter, Request, Response, status
from fastapi.responses import StreamingResponse

from vru.gateway.auth.current import CurrentUser
from vru.gateway.auth.schemas import UserBody
from vru.gateway.parameters import Identity, problems
from vru.gateway.resources import Gateway, Resources
from vru.gateway.uploads import json_body
from vru.service.proxy import forward
from vru.service.schemas import CameraBody, CameraCreate, Schema

router = APIRouter(prefix="/cameras", tags=["cameras"])


class CameraList(Schema):
    """All cameras."""

    items: list[CameraBody]
    total: int


async def _forward(request: Request, gateway: Resources, user: UserBody, path: str) -> Response:
    return await forward(
        request,
        gateway.http,
        gateway.settings.camera_service_url,
        path,
        service="camera_service",
        headers=gateway.asserter.headers("camera_service", user.email),
    )


@router.get("", summary="List cameras", response_model=CameraList, responses=problems(401, 503))
async def list_cameras(request: Request, user: CurrentUser, gateway: Gateway) -> Response:
    """Each with its state."""
    return await _forward(request, gateway, user, "/cameras")


@router.post(
    "",
    summary="Add a camera",
    status_code=status.HTTP_201_CREATED,
    response_model=CameraBody,
    responses=problems(401, 409, 422, 503),
    openapi_extra=json_body(CameraCreate),
)
async def create_camera(request: Request, user: CurrentUser, gateway: Gateway) -> Response:
    """It is stopped at first."""
    return await _forward(request, gateway, user, "/cameras")


@router.get("/{camera_id}", summary="Get a camera", response_model=CameraBody, responses=problems(401, 404, 503))
async def get_camera(camera_id: Identity, request: Request, user: CurrentUser, gateway: Gateway) -> Response:
    """What it is, and what it is doing."""
    return await _forward(request, gateway, user, f"/cameras/{camera_id}")


@router.delete(
    "/{camera_id}",
    summary="Remove a camera",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=problems(401, 404, 503),
)
async def delete_camera(camera_id: Identity, request: Request, user: CurrentUser, gateway: Gateway) -> Response:
    """A running camera is stopped first."""
    return await _forward(request, gateway, user, f"/cameras/{camera_id}")


@router.post(
    "/{camera_id}/start", summary="Start a camera", response_model=CameraBody, responses=problems(401, 404, 409, 503)
)
async def start_camera(camera_id: Identity, request: Request, user: CurrentUser, gateway: Gateway) -> Response:
    """Begins to read pictures."""
    return await _forward(request, gateway, user, f"/cameras/{camera_id}/start")


@router.post(
    "/{camera_id}/stop", summary="Stop a camera", response_model=CameraBody, responses=problems(401, 404, 409, 503)
)
async def stop_camera(camera_id: Identity, request: Request, user: CurrentUser, gateway: Gateway) -> Response:
    """Ends the reading."""
    return await _forward(request, gateway, user, f"/cameras/{camera_id}/stop")


@router.get(
    "/{camera_id}/snapshot",
    summary="Get the newest picture",
    response_class=StreamingResponse,
    responses={
        200: {"content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}}},
        **problems(401, 404, 409, 503),
    },
)
async def get_snapshot(camera_id: Identity, request: Request, user: CurrentUser, gateway: Gateway) -> Response:
    """A JPEG. A camera that is not running has none."""
    return await _forward(request, gateway, user, f"/cameras/{camera_id}/snapshot")
