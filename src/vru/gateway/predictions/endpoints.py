"""Imported predictions over HTTP."""

import asyncio
import uuid
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, status

from vru.domain import VruClass, VruError, parse_class
from vru.gateway.auth.current import CurrentUser
from vru.gateway.parameters import MAX_INTEGER, CleanText, Identity, Limit, Offset, problems
from vru.gateway.predictions import fit, service
from vru.gateway.predictions.reader import LIMITS, PredictionColumns
from vru.gateway.predictions.schemas import (
    PredictedRecordingBody,
    PredictedRecordingList,
    PredictionsBody,
    PredictionsList,
)
from vru.gateway.resources import Gateway
from vru.gateway.uploads import UNLIMITED, announced_size, raw_body
from vru.gateway.videos.store import MEGABYTE, MediaStore
from vru.service.database.sessions import Reading, Writing
from vru.service.errors import UnprocessableError
from vru.service.schemas import Name

router = APIRouter(tags=["predictions"])


@router.get(
    "/projects/{project_id}/predictions", summary="List a project's imported predictions", responses=problems(401, 404)
)
async def list_predictions(
    project_id: Identity, _: CurrentUser, session: Reading, limit: Limit = 100, offset: Offset = 0
) -> PredictionsList:
    """Newest first."""
    found, total = await service.list_predictions(session, project_id, limit, offset)
    return PredictionsList(items=[PredictionsBody.model_validate(item) for item in found], total=total)


@router.post(
    "/projects/{project_id}/predictions",
    summary="Import predictions",
    status_code=status.HTTP_201_CREATED,
    responses=problems(401, 404, 409, 413, 422, 507),
    max_body_size=UNLIMITED,
    openapi_extra=raw_body("application/json", "text/plain", "application/zip", "application/octet-stream"),
)
async def import_predictions(
    project_id: Identity,
    name: Annotated[Name, Query(description="the detector's name", examples=["yolo-x"])],
    version: Annotated[Name, Query(description="its version", examples=["2026-11-01"])],
    made_by: Annotated[Name, Query(description="who ran it", examples=["Perception team, supplier B"])],
    request: Request,
    user: CurrentUser,
    gateway: Gateway,
    data_set_id: Annotated[uuid.UUID | None, Query(description="the data set that they are about")] = None,
    data_set_version: Annotated[int | None, Query(ge=1, le=MAX_INTEGER, description="the newest, if not given")] = None,
    video_id: Annotated[uuid.UUID | None, Query(description="the one video that they are about instead")] = None,
    file_name: Annotated[Name, Query(description="what messages call the file", examples=["results.zip"])] = "results",
    only_class: Annotated[
        VruClass | None, Query(alias="class", description="what all boxes are of, where the file names no class")
    ] = None,
    classes: Annotated[
        CleanText,
        Query(max_length=4000, description="which class a name or number of the file is: `1=pedestrian,2=cyclist`"),
    ] = "",
    other_classes: Annotated[
        Literal["refuse", "leave_out"], Query(description="what is done with boxes of other classes")
    ] = "refuse",
    missing: Annotated[
        Literal["refuse", "empty"], Query(description="what is done with recordings that the file does not name")
    ] = "refuse",
    first_frame: Annotated[
        int | None, Query(ge=0, le=1, description="from which number the files count frames; as the format does else")
    ] = None,
    shifted: Annotated[
        Literal["refuse", "keep"], Query(description="what is done where the boxes would fit better a frame earlier")
    ] = "refuse",
) -> PredictionsBody:
    """The body is the file itself: COCO results, MOT, KITTI or YOLO, or a zip with a file a recording or a picture.

    Recordings are found by name. What does not fit the recordings, or would fit their truth clearly better in another
    way, is refused, and nothing is stored.
    """
    given = _classes(classes)
    async with gateway.database.read() as reading:
        if (data_set_id is None) == (video_id is None):
            raise UnprocessableError("Predictions are about a data set or about a video.", "Name one of the two.")
        if data_set_id is not None:
            about = await service.about_version(reading, project_id, data_set_id, data_set_version)
        else:
            about = await service.about_video(reading, project_id, uuid.UUID(str(video_id)))
    store = MediaStore(gateway.settings.media_dir)
    limit = gateway.settings.max_upload_mb * MEGABYTE
    async with store.receive(request.stream(), limit_bytes=limit, announced_bytes=announced_size(request)) as received:
        found = await gateway.sandbox.read(
            "vru.gateway.predictions.reader:read_predictions",
            received.path,
            PredictionColumns,
            limits=LIMITS,
            name=file_name,
            recordings=[(item.name, item.width, item.height, item.frame_count) for item in about],
            classes=given,
            only_class=only_class,
            other_classes=other_classes == "leave_out",
            missing_empty=missing == "empty",
            first_frame=first_frame,
        )
        async with gateway.database.read() as reading:
            sample = await fit.sample(reading, about, found)
        await asyncio.to_thread(fit.check, sample, frames=shifted == "refuse")
        facts = {
            "project_id": project_id,
            "name": name,
            "version": version,
            "made_by": made_by,
            "file_name": file_name,
            "sha256": received.sha256,
            "size_bytes": received.size_bytes,
            "created_by": user.email,
        }
        async with gateway.database.write() as writing:
            return PredictionsBody.model_validate(await service.store_predictions(writing, facts, about, found))


def _classes(text: str) -> dict[str, str]:
    given: dict[str, str] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        name, equal, value = (piece.strip() for piece in part.rpartition("="))
        if not (name and equal and value):
            raise UnprocessableError(f"classes: {part!r} is no NAME=CLASS.", "Write it like 1=pedestrian,2=cyclist.")
        try:
            given[name] = parse_class(value)
        except VruError as error:
            raise UnprocessableError(f"classes: {error.message}", error.fix) from error
    return given


@router.get("/predictions/{predictions_id}", summary="Get imported predictions", responses=problems(401, 404))
async def get_predictions(predictions_id: Identity, _: CurrentUser, session: Reading) -> PredictionsBody:
    """Their facts, without their boxes."""
    return PredictionsBody.model_validate(await service.find_predictions(session, predictions_id))


@router.get(
    "/predictions/{predictions_id}/recordings",
    summary="List what predictions are about",
    responses=problems(401, 404),
)
async def list_predicted_recordings(
    predictions_id: Identity, _: CurrentUser, session: Reading, limit: Limit = 100, offset: Offset = 0
) -> PredictedRecordingList:
    """The recordings with the number of their boxes, and the digest over these."""
    found, total = await service.list_recordings(session, predictions_id, limit, offset)
    return PredictedRecordingList(items=[PredictedRecordingBody.model_validate(item) for item in found], total=total)


@router.delete(
    "/predictions/{predictions_id}",
    summary="Delete imported predictions",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=problems(401, 404, 409),
)
async def delete_predictions(predictions_id: Identity, _: CurrentUser, session: Writing) -> None:
    """Refused if a run was made with them."""
    await service.delete_predictions(session, predictions_id)
