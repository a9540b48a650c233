"""Comparisons over HTTP."""

import asyncio
import uuid

from fastapi import APIRouter
from sqlalchemy import select

from vru.domain import RunState, VruError
from vru.service.database.sessions import Reading, ReadSession
from vru.service.database.tables import DataSetRecording, Run
from vru.service.errors import ConflictError, UnprocessableError
from vru.service.schemas import DataSetRunMetrics, Problem, RunSettings
from vru.service.schemas.comparisons import ComparisonBody, ComparisonRequest
from vru.validation_engine import service
from vru.validation_engine.comparison import compare
from vru.validation_engine.recordings import slices_of

router = APIRouter(
    prefix="/comparisons", tags=["runs"], responses={status: {"model": Problem} for status in (404, 409, 422)}
)
# What decides which boxes are right: it must be the same in both.
_SAME = ("iou_threshold", "frame_stride")


@router.post("", summary="Compare two runs over a data set")
async def compare_runs(body: ComparisonRequest, session: Reading) -> ComparisonBody:
    """The second against the first, paired recording by recording, on all and on each slice of attributes and tags."""
    before, after = [await _measured(session, run_id) for run_id in (body.before, body.after)]
    if before.data_set_version_id != after.data_set_version_id:
        raise UnprocessableError(
            "The runs are over different versions of data sets, so their recordings are no pairs.",
            "Compare runs over one version.",
        )
    for name in _SAME:
        if before.settings[name] != after.settings[name]:
            raise UnprocessableError(
                f"The runs have different settings: {name} is {before.settings[name]} and {after.settings[name]}.",
                "Compare runs of the same settings.",
            )
    columns = select(DataSetRecording.name, DataSetRecording.attributes, DataSetRecording.tags)
    rows = await session.execute(columns.where(DataSetRecording.version_id == before.data_set_version_id))
    slices = {name: slices_of(attributes, tags) for name, attributes, tags in rows}
    pair = DataSetRunMetrics.model_validate(before.metrics), DataSetRunMetrics.model_validate(after.metrics)
    settings = RunSettings.model_validate(before.settings)
    try:
        return await asyncio.to_thread(compare, pair, slices, settings, body.margins)
    except VruError as error:
        raise UnprocessableError(error.message, error.fix) from error


async def _measured(session: ReadSession, run_id: uuid.UUID) -> Run:
    run = await service.get_run(session, run_id)
    if run.data_set_version_id is None:
        raise UnprocessableError(f"Run {run_id} is not over a data set.", "Compare runs over a version of a data set.")
    if run.state != RunState.COMPLETED:
        raise ConflictError(f"Run {run_id} is {run.state}: it has no figures.", "Compare completed runs.")
    return run
