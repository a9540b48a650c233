"""A shard of imported predictions: the boxes of one recording, if they are those that were imported."""

import uuid
from dataclasses import dataclass

from sqlalchemy import select

from vru.domain import VruClass
from vru.service.database.sessions import ReadSession
from vru.service.database.tables import PredictedBox, PredictedRecording
from vru.service.predictions import RowsDigest
from vru.service.schemas import DetectionBody
from vru.validation_engine import repository
from vru.validation_engine.shards import RefusedError, ShardResult

PROVIDER = "imported predictions"
_AT_ONCE = 2000


@dataclass(frozen=True, slots=True)
class ImportedSpec:
    """The boxes of a prediction set about one video, in the evaluated ``frames``."""

    predictions_id: uuid.UUID
    video_id: uuid.UUID
    frames: range


async def take_imported(session: ReadSession, spec: ImportedSpec) -> ShardResult:
    """The boxes, with the media times of their frames. All of the recording's are read, so that they can be hashed.

    Raises:
        RefusedError: they are gone, or are not those that were imported.
    """
    about = await session.get(PredictedRecording, (spec.predictions_id, spec.video_id))
    if about is None:
        raise RefusedError("The run's predictions are gone.", "Import them again, and start a new run.")
    times = await repository.frame_times(session, spec.video_id)
    box = PredictedBox
    last = about.first_position + about.box_count - 1
    columns = select(box.frame_index, box.road_user, box.score, box.x, box.y, box.width, box.height)
    query = (
        columns.where(box.prediction_set_id == spec.predictions_id, box.position.between(about.first_position, last))
        .order_by(box.position)
        .execution_options(yield_per=_AT_ONCE)
    )
    digest, found = RowsDigest(), []
    async for row in await session.stream(query):
        digest.add(row)
        frame, road_user, score, x, y, width, height = row
        if frame in spec.frames:
            # They were checked when they were stored, and the digest says that they are the same.
            body = DetectionBody.model_construct(
                frame_index=frame,
                time_s=times[frame],
                road_user=VruClass(road_user),
                score=score,
                x=x,
                y=y,
                width=width,
                height=height,
            )
            found.append(body)
    if digest.hexdigest() != about.sha256:
        raise RefusedError(
            f"The boxes of {about.name} are not those that were imported: their SHA-256 differs.",
            "Restore the database from a backup, or import them again and start a new run.",
        )
    return ShardResult(found, len(spec.frames), None, None, None, PROVIDER)
