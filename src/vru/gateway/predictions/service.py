"""What happens to imported predictions in the database."""

import asyncio
import uuid
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from sqlalchemy import delete, func, insert, select
from sqlalchemy.exc import IntegrityError

from vru.gateway.data_sets.service import find_version
from vru.gateway.predictions.reader import PredictionColumns
from vru.gateway.projects.service import find_project
from vru.gateway.videos.service import find_video
from vru.service.database.sessions import ReadSession, WriteSession
from vru.service.database.tables import DataSetRecording, PredictedRecording, PredictionSet, Video
from vru.service.errors import ConflictError, NotFoundError, UnprocessableError
from vru.service.predictions import RowsDigest

# Boxes that are stored before other requests have their turn.
_AT_ONCE = 1000
_COLUMNS = ("prediction_set_id", "position", "frame_index", "road_user", "score", "x", "y", "width", "height")


class About(NamedTuple):
    """A recording that predictions are about; without truth where it is a single video."""

    name: str
    video_id: uuid.UUID
    width: int
    height: int
    frame_count: int
    ground_truth_id: uuid.UUID | None


async def about_version(
    session: ReadSession, project_id: uuid.UUID, data_set_id: uuid.UUID, number: int | None
) -> list[About]:
    """The recordings of a data set's version, in its order.

    Raises:
        NotFoundError: there is no such project, data set or version.
        UnprocessableError: the data set is another project's.
    """
    await find_project(session, project_id)
    version = await find_version(session, data_set_id, number)
    if version.data_set.project_id != project_id:
        raise UnprocessableError(f"Data set {version.data_set.name} does not belong to the project.")
    columns = (
        *(DataSetRecording.name, DataSetRecording.video_id, Video.width, Video.height, Video.frame_count),
        DataSetRecording.ground_truth_id,
    )
    query = select(*columns).join(Video, Video.id == DataSetRecording.video_id)
    rows = await session.execute(
        query.where(DataSetRecording.version_id == version.id).order_by(DataSetRecording.number)
    )
    return [About(*row) for row in rows]


async def about_video(session: ReadSession, project_id: uuid.UUID, video_id: uuid.UUID) -> list[About]:
    """One video, as the only recording.

    Raises:
        NotFoundError: there is no such project or video.
        UnprocessableError: the video is another project's.
    """
    await find_project(session, project_id)
    video = await find_video(session, video_id)
    if video.project_id != project_id:
        raise UnprocessableError(f"Video {video.name} does not belong to the project.")
    return [About(video.name, video.id, video.width, video.height, video.frame_count, None)]


async def find_predictions(session: ReadSession, predictions_id: uuid.UUID) -> PredictionSet:
    """The predictions.

    Raises:
        NotFoundError: there are none with this id.
    """
    found = await session.get(PredictionSet, predictions_id)
    if found is None:
        raise NotFoundError(
            f"There are no predictions {predictions_id}.", "GET /api/v1/projects/{id}/predictions lists a project's."
        )
    return found


async def list_predictions(
    session: ReadSession, project_id: uuid.UUID, limit: int, offset: int
) -> tuple[list[PredictionSet], int]:
    """One page of a project's predictions, newest first, and how many there are.

    Raises:
        NotFoundError: there is no such project.
    """
    await find_project(session, project_id)
    mine = PredictionSet.project_id == project_id
    query = select(PredictionSet).where(mine).order_by(PredictionSet.created_at.desc(), PredictionSet.id)
    total = await session.scalar(select(func.count()).select_from(PredictionSet).where(mine))
    return list(await session.scalars(query.limit(limit).offset(offset))), total or 0


async def list_recordings(
    session: ReadSession, predictions_id: uuid.UUID, limit: int, offset: int
) -> tuple[list[PredictedRecording], int]:
    """One page of the recordings that predictions are about, and how many there are.

    Raises:
        NotFoundError: there are no such predictions.
    """
    await find_predictions(session, predictions_id)
    mine = PredictedRecording.prediction_set_id == predictions_id
    order = (PredictedRecording.first_position, PredictedRecording.name)
    query = select(PredictedRecording).where(mine).order_by(*order).limit(limit).offset(offset)
    total = await session.scalar(select(func.count()).select_from(PredictedRecording).where(mine))
    return list(await session.scalars(query)), total or 0


async def store_predictions(
    session: WriteSession, facts: dict[str, Any], about: Sequence[About], found: PredictionColumns
) -> PredictionSet:
    """New predictions with all their boxes. ``facts`` are the values of the row that come from the request.

    Raises:
        ConflictError: the project or a video was deleted meanwhile.
    """
    stored = PredictionSet(id=uuid.uuid4(), format=found.format, notes=found.notes, box_count=len(found), **facts)
    session.add(stored)
    try:
        await session.flush()
        digests = [RowsDigest() for _ in about]
        await _copy(session, stored.id, _digested(found, about, digests))
        rows, position = [], 0
        for recording, count, digest in zip(about, found.counts, digests, strict=True):
            rows.append(
                {
                    "prediction_set_id": stored.id,
                    "video_id": recording.video_id,
                    "name": recording.name,
                    "first_position": position,
                    "box_count": count,
                    "sha256": digest.hexdigest(),
                }
            )
            position += count
        await session.execute(insert(PredictedRecording), rows)
    except IntegrityError as error:
        raise ConflictError("The project or one of its videos was deleted meanwhile.", "Try again.") from error
    await session.refresh(stored)
    return stored


def _digested(
    found: PredictionColumns, about: Sequence[About], digests: Sequence[RowsDigest]
) -> Iterator[tuple[object, ...]]:
    for recording, *row in found.rows([item.frame_count for item in about]):
        digests[recording].add(row)
        yield tuple(row)


async def _copy(session: WriteSession, stored: uuid.UUID, rows: Iterator[tuple[object, ...]]) -> None:
    # COPY, in the session's own transaction: hundreds of thousands of boxes in a second.
    raw: Any = await (await session.connection()).get_raw_connection()
    async with (
        raw.driver_connection.cursor() as cursor,
        cursor.copy(f"COPY predicted_boxes ({', '.join(_COLUMNS)}) FROM STDIN") as copy,
    ):
        for position, row in enumerate(rows):
            await copy.write_row((stored, position, *row))
            if position % _AT_ONCE == 0:
                await asyncio.sleep(0)


async def delete_predictions(session: WriteSession, predictions_id: uuid.UUID) -> None:
    """Delete predictions with their boxes.

    Raises:
        NotFoundError: there are none.
        ConflictError: a run was made with them.
    """
    await find_predictions(session, predictions_id)
    try:
        await session.execute(delete(PredictionSet).where(PredictionSet.id == predictions_id))
    except IntegrityError as error:
        raise ConflictError(
            "Validation runs were made with these predictions: they are part of their evidence.",
            "Delete the whole project if neither is needed any more.",
        ) from error
