"""What is under test in a run: a model of the ML engine, or predictions that were imported."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from vru.service.database.sessions import ReadSession
from vru.service.database.tables import PredictedRecording, PredictionSet
from vru.service.errors import NotFoundError, UnprocessableError
from vru.service.schemas import DataSetRunCreate, ModelBody, RunCreate

_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Detector:
    """A detector by name, version and the SHA-256 of its files, or of that of its boxes; and what is known of it."""

    name: str
    version: str
    sha256: str
    card: Mapping[str, Any]
    predictions_id: uuid.UUID | None = None

    def columns(self) -> dict[str, Any]:
        """As a run's row has it."""
        return {
            "model": self.name,
            "model_version": self.version,
            "model_sha256": self.sha256,
            "model_card": dict(self.card),
            "predictions_id": self.predictions_id,
        }


def imported_note(made_by: str) -> str:
    """What a run of imported predictions says of where its boxes are from."""
    return f"The detections were made elsewhere, by {made_by}, and imported: this platform did not run the detector."


async def detector_of(
    session: ReadSession, body: RunCreate | DataSetRunCreate, model: ModelBody | None, videos: Mapping[uuid.UUID, str]
) -> Detector:
    """The detector that a request names. ``videos`` are the names of those that it must say something about.

    Raises:
        NotFoundError: there are no such predictions.
        UnprocessableError: they are another project's, or say nothing about one of the videos.
    """
    if model is not None:
        return Detector(model.name, model.version, model.sha256, model.model_dump(mode="json"))
    found = await session.get(PredictionSet, body.predictions_id)
    if found is None:
        raise NotFoundError(
            f"There are no predictions {body.predictions_id}.", "GET /projects/{id}/predictions lists a project's."
        )
    if found.project_id != body.project_id:
        raise UnprocessableError(f"Predictions {found.name} do not belong to the project.")
    query = select(PredictedRecording.video_id).where(PredictedRecording.prediction_set_id == found.id)
    there = set(await session.scalars(query))
    absent = [name for video, name in videos.items() if video not in there]
    if absent:
        listed = ", ".join(absent[:_SHOWN]) + (", ..." if len(absent) > _SHOWN else "")
        raise UnprocessableError(
            f"Predictions {found.name} {found.version} say nothing about {len(absent)} of {len(videos)} recordings: "
            f"{listed}.",
            "Import predictions about this version of the data set.",
        )
    names = ("made_by", "format", "file_name", "size_bytes", "box_count")
    card = {name: getattr(found, name) for name in names}
    card |= {"imported": True, "source": f"imported; made by {found.made_by}", "licence": "not stated"}
    return Detector(found.name, found.version, found.sha256, card, found.id)


async def predictions_facts(session: ReadSession, predictions_id: uuid.UUID) -> dict[str, Any]:
    """What evidence says of imported predictions: who made them, the digest of the file, and that over each recording's
    boxes.
    """
    found = await session.get(PredictionSet, predictions_id)
    if found is None:
        raise NotFoundError("The run's predictions are gone.")
    query = select(PredictedRecording).where(PredictedRecording.prediction_set_id == predictions_id)
    rows = await session.scalars(query.order_by(PredictedRecording.first_position, PredictedRecording.name))
    names = ("name", "version", "made_by", "format", "file_name", "sha256", "size_bytes", "box_count", "notes")
    return {name: getattr(found, name) for name in names} | {
        "imported_by": found.created_by,
        "imported_at": found.created_at.isoformat(),
        "recordings": {row.name: {"sha256": row.sha256, "boxes": row.box_count} for row in rows},
    }
