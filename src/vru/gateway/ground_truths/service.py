"""What happens to ground truth in the database."""

import uuid
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import RowMapping, delete, func, select, update
from sqlalchemy.exc import IntegrityError

from vru.formats.video import Timeline
from vru.gateway.ground_truths.reader import Row, TruthColumns
from vru.gateway.videos.service import find_video, frame_times, used
from vru.service.database.sessions import ReadSession, WriteSession
from vru.service.database.tables import GroundTruthSet, TruthBoxRow
from vru.service.errors import NotFoundError

_COLUMNS = (
    "ground_truth_id",
    "track_id",
    "frame_index",
    "time_s",
    "road_user",
    "x",
    "y",
    "width",
    "height",
    "occluded",
    "truncated",
    "ignore",
)


async def video_timeline(session: ReadSession, video_id: uuid.UUID) -> Timeline:
    """What annotations of this video must agree with.

    Raises:
        NotFoundError: there is no such video.
    """
    video = await find_video(session, video_id)
    return Timeline(video.width, video.height, await frame_times(session, video_id))


async def find_ground_truth(session: ReadSession, ground_truth_id: uuid.UUID) -> GroundTruthSet:
    """The ground truth, without its boxes.

    Raises:
        NotFoundError: there is none with this id.
    """
    found = await session.get(GroundTruthSet, ground_truth_id)
    if found is None:
        raise NotFoundError(
            f"There is no ground truth {ground_truth_id}.", "GET /api/v1/videos/{id}/ground-truths lists a video's."
        )
    return found


async def list_ground_truths(
    session: ReadSession, video_id: uuid.UUID, limit: int, offset: int
) -> tuple[list[GroundTruthSet], int]:
    """One page of a video's ground truth, newest first, and how many there are.

    Raises:
        NotFoundError: there is no such video.
    """
    await find_video(session, video_id)
    mine = GroundTruthSet.video_id == video_id
    newest_first = (GroundTruthSet.created_at.desc(), GroundTruthSet.id)
    query = select(GroundTruthSet).where(mine).order_by(*newest_first).limit(limit).offset(offset)
    total = await session.scalar(select(func.count()).select_from(GroundTruthSet).where(mine))
    return list(await session.scalars(query)), total or 0


async def store_ground_truth(
    session: WriteSession,
    *,
    video_id: uuid.UUID,
    name: str,
    sha256: str,
    source: str,
    truth: TruthColumns,
    frame_times: Sequence[float],
) -> GroundTruthSet:
    """A new ground truth with all its boxes.

    Raises:
        NotFoundError: the video was deleted meanwhile.
    """
    stored = GroundTruthSet(
        id=uuid.uuid4(),
        video_id=video_id,
        name=name,
        format=truth.format,
        sha256=sha256,
        source=source,
        track_count=truth.track_count,
        box_count=len(truth),
    )
    session.add(stored)
    try:
        await session.flush()
    except IntegrityError as error:
        if "fk_ground_truths_video_id" not in str(error.orig):
            raise
        raise NotFoundError(f"Video {video_id} was deleted during the upload.", "Choose another one.") from error
    await _copy_boxes(session, stored.id, truth.rows(frame_times))
    await session.refresh(stored)
    return stored


async def _copy_boxes(session: WriteSession, ground_truth_id: uuid.UUID, rows: Iterable[Row]) -> None:
    # COPY, in the session's own transaction: hundreds of thousands of boxes in a second.
    raw: Any = await (await session.connection()).get_raw_connection()
    async with (
        raw.driver_connection.cursor() as cursor,
        cursor.copy(f"COPY truth_boxes ({', '.join(_COLUMNS)}) FROM STDIN") as copy,
    ):
        for row in rows:
            await copy.write_row((ground_truth_id, *row))


async def approve(session: WriteSession, ground_truth_id: uuid.UUID, email: str) -> GroundTruthSet:
    """Record who vouches for it. Whoever did so first remains.

    Raises:
        NotFoundError: there is none.
    """
    await session.execute(
        update(GroundTruthSet)
        .where(GroundTruthSet.id == ground_truth_id, GroundTruthSet.approved_by.is_(None))
        .values(approved_by=email, approved_at=func.now())
    )
    return await find_ground_truth(session, ground_truth_id)


async def delete_ground_truth(session: WriteSession, ground_truth_id: uuid.UUID) -> None:
    """Delete it with its boxes.

    Raises:
        NotFoundError: there is none.
        ConflictError: a run was made with it, or a data set names it.
    """
    await find_ground_truth(session, ground_truth_id)
    try:
        await session.execute(delete(GroundTruthSet).where(GroundTruthSet.id == ground_truth_id))
    except IntegrityError as error:
        raise used("ground truth", error) from error


async def boxes(
    session: ReadSession, ground_truth_id: uuid.UUID, first_frame: int | None, last_frame: int | None
) -> list[RowMapping]:
    """The boxes of the frames from ``first_frame`` to ``last_frame``, both included, in frame order.

    Raises:
        NotFoundError: there is no such ground truth.
    """
    await find_ground_truth(session, ground_truth_id)
    columns = [column for column in TruthBoxRow.__table__.columns if column.name != "ground_truth_id"]
    query = select(*columns).where(TruthBoxRow.ground_truth_id == ground_truth_id)
    if first_frame is not None:
        query = query.where(TruthBoxRow.frame_index >= first_frame)
    if last_frame is not None:
        query = query.where(TruthBoxRow.frame_index <= last_frame)
    result = await session.execute(query.order_by(TruthBoxRow.frame_index, TruthBoxRow.track_id))
    return list(result.mappings())
