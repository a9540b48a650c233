"""Ground truth over HTTP."""

from array import array
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response, status

from vru.gateway.auth.current import CurrentUser
from vru.gateway.ground_truths import service
from vru.gateway.ground_truths.reader import LIMITS, TruthColumns
from vru.gateway.ground_truths.schemas import GroundTruthBody, GroundTruthList, TruthBoxBody, TruthBoxList
from vru.gateway.parameters import CleanText, FrameIndex, Identity, Limit, Offset, problems
from vru.gateway.resources import Gateway
from vru.gateway.uploads import UNLIMITED, announced_size, raw_body
from vru.gateway.videos.store import MEGABYTE, MediaStore
from vru.service.database.sessions import Reading, Writing
from vru.service.schemas import Name

router = APIRouter(tags=["ground truth"])
Source = Annotated[
    CleanText,
    Query(
        max_length=200,
        pattern=r"^(manual|synthetic|model:.+)$",
        description="who or what made the boxes: `manual`, `synthetic`, or `model:NAME`",
    ),
]


@router.get("/videos/{video_id}/ground-truths", summary="List a video's ground truth", responses=problems(401, 404))
async def list_ground_truths(
    video_id: Identity, _: CurrentUser, session: Reading, limit: Limit = 100, offset: Offset = 0
) -> GroundTruthList:
    """Newest first."""
    found, total = await service.list_ground_truths(session, video_id, limit, offset)
    return GroundTruthList(items=[GroundTruthBody.model_validate(item) for item in found], total=total)


@router.post(
    "/videos/{video_id}/ground-truths",
    summary="Upload ground truth",
    status_code=status.HTTP_201_CREATED,
    responses=problems(401, 404, 413, 422, 507),
    max_body_size=UNLIMITED,
    openapi_extra=raw_body("application/json", "application/xml", "application/octet-stream"),
)
async def upload_ground_truth(
    video_id: Identity,
    name: Annotated[Name, Query(description="what to call it", examples=["annotations.coco.json"])],
    request: Request,
    _: CurrentUser,
    gateway: Gateway,
    source: Source = "manual",
) -> GroundTruthBody:
    """The body is the file itself: COCO JSON with track ids, or CVAT for video 1.1 (XML).

    It is checked against the video, box by box. Annotations of another video are refused, and nothing is stored.
    """
    async with gateway.database.read() as reading:
        timeline = await service.video_timeline(reading, video_id)
    store = MediaStore(gateway.settings.media_dir)
    limit = gateway.settings.max_ground_truth_mb * MEGABYTE
    async with store.receive(request.stream(), limit_bytes=limit, announced_bytes=announced_size(request)) as received:
        truth = await gateway.sandbox.read(
            "vru.gateway.ground_truths.reader:read_ground_truth",
            received.path,
            TruthColumns,
            limits=LIMITS,
            width=timeline.width,
            height=timeline.height,
            frame_times=array("d", timeline.frame_times).tobytes(),
            source=source,
        )
        async with gateway.database.write() as writing:
            stored = await service.store_ground_truth(
                writing,
                video_id=video_id,
                name=name,
                sha256=received.sha256,
                source=source,
                truth=truth,
                frame_times=timeline.frame_times,
            )
    return GroundTruthBody.model_validate(stored)


@router.get("/ground-truths/{ground_truth_id}", summary="Get ground truth", responses=problems(401, 404))
async def get_ground_truth(ground_truth_id: Identity, _: CurrentUser, session: Reading) -> GroundTruthBody:
    """Its facts, without its boxes."""
    return GroundTruthBody.model_validate(await service.find_ground_truth(session, ground_truth_id))


@router.delete(
    "/ground-truths/{ground_truth_id}",
    summary="Delete ground truth",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=problems(401, 404, 409),
)
async def delete_ground_truth(ground_truth_id: Identity, _: CurrentUser, session: Writing) -> None:
    """Refused if a run was made with it."""
    await service.delete_ground_truth(session, ground_truth_id)


@router.post("/ground-truths/{ground_truth_id}/approve", summary="Approve ground truth", responses=problems(401, 404))
async def approve_ground_truth(ground_truth_id: Identity, user: CurrentUser, session: Writing) -> GroundTruthBody:
    """Records that you vouch for it. Figures made with unapproved ground truth are marked."""
    return GroundTruthBody.model_validate(await service.approve(session, ground_truth_id, user.email))


@router.get(
    "/ground-truths/{ground_truth_id}/boxes",
    summary="Get the boxes",
    response_model=TruthBoxList,
    responses=problems(401, 404),
)
async def get_boxes(
    ground_truth_id: Identity,
    _: CurrentUser,
    session: Reading,
    first_frame: FrameIndex = None,
    last_frame: FrameIndex = None,
) -> Response:
    """All of them, or those of the frames from ``first_frame`` to ``last_frame``, both included."""
    rows = await service.boxes(session, ground_truth_id, first_frame, last_frame)
    # They were checked when they were stored: checking each of many thousands again would only cost time.
    body = TruthBoxList.model_construct(items=[TruthBoxBody.model_construct(None, **row) for row in rows])
    return Response(body.model_dump_json(warnings=False), media_type="application/json")
