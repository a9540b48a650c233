"""A run's report and evidence over HTTP."""

import asyncio
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from enum import StrEnum
from typing import Annotated, BinaryIO, cast

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response, StreamingResponse

from vru.domain import RunState
from vru.reports import FORMATS
from vru.reports.container import pieces
from vru.reports.html import content_policy
from vru.reports.signing import fingerprint, public_pem, signing_key
from vru.service.database.sessions import Database, Reading
from vru.service.database.tables import Run, SignalRecording
from vru.service.errors import ConflictError, NotFoundError
from vru.service.schemas import ModelBody, Problem
from vru.validation_engine import repository, service
from vru.validation_engine.models import find_model
from vru.validation_engine.packing import Clip, Folders, Inputs, report_of, write_evidence
from vru.validation_engine.settings import EngineSettings

router = APIRouter(tags=["runs"], responses={404: {"model": Problem}, 409: {"model": Problem}})


class ReportFormat(StrEnum):
    """How a report is written: the ends of file names. See ``vru.reports.FORMATS``."""

    HTML = "html"
    PDF = "pdf"
    JSON = "json"
    CSV = "csv"
    TRACKS_CSV = "tracks.csv"
    JUNIT_XML = "xml"


# Packing reads all of a run from the database and takes a processor: one at a time.
_packing = asyncio.Semaphore(1)
# Frames whose boxes are in memory at a time.
_AT_ONCE = 300


async def _finished(run_id: uuid.UUID, session: Reading) -> Run:
    run = await service.get_run(session, run_id)
    if not RunState(run.state).is_final:
        raise ConflictError(f"Run {run_id} is {run.state}: it is not over yet.", "Ask again when it has ended.")
    return run


Finished = Annotated[Run, Depends(_finished)]


async def _model(request: Request, run: Run) -> ModelBody | None:
    if run.model is None:
        return None
    settings: EngineSettings = request.app.state.settings
    try:
        return await find_model(request.app.state.http, settings.ml_engine_url, run.model, run.model_version)
    except NotFoundError:
        # The version was taken out of the repository since; the documents say so.
        return None


async def _inputs(request: Request, run: Run, session: Reading) -> Inputs:
    project, video, truth = await repository.inputs(session, run.project_id, run.video_id, run.ground_truth_id)
    if project is None or video is None or truth is None:
        raise NotFoundError("The run's project, video or ground truth is gone.")
    recording = await session.get(SignalRecording, run.signals_id) if run.signals_id else None
    return Inputs(project, video, truth, await _model(request, run), recording)


@router.get("/runs/{run_id}/report.{form}", summary="Get a run's report", response_class=Response)
async def run_report(form: ReportFormat, request: Request, run: Finished, session: Reading) -> Response:
    """HTML, PDF, JSON, CSV (figures, or tracks), or JUnit XML."""
    chosen = FORMATS[form.value]
    report = report_of(run, await _inputs(request, run, session))
    content = await asyncio.to_thread(chosen.render, report)
    headers = {"Content-Disposition": f'inline; filename="vru-run-{run.id}.{form.value}"'}
    if form.value == "html":
        # It has a script of its own, and no business with this site: not even its cookies.
        headers["Content-Security-Policy"] = f"{content_policy()}; sandbox allow-scripts; frame-ancestors 'none'"
    return Response(content, media_type=chosen.media_type, headers=headers)


def _temporary(request: Request) -> Iterator[BinaryIO]:
    """A file without a name on the disk of the evidence's key (/tmp is memory in the images). It is gone when the
    answer is sent, or the client is.
    """
    settings: EngineSettings = request.app.state.settings
    settings.evidence_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=settings.evidence_dir) as file:
        yield cast(BinaryIO, file)


async def _clips(database: Database, run: Run, inputs: Inputs) -> AsyncIterator[Clip]:
    # Only a retry or the end of its project changes them, which is looked for afterwards: the clips need no
    # transaction in common, which would stay open for minutes.
    for first in range(0, inputs.video.frame_count, _AT_ONCE):
        last = first + _AT_ONCE - 1
        async with database.read() as session:
            tracks = [track async for track in repository.tracks(session, inputs.truth, first, last)]
            found = await repository.detected(session, run.id, first, last)
        yield tracks, found


@router.get("/runs/{run_id}/evidence", summary="Get a run's signed evidence", response_class=StreamingResponse)
async def run_evidence(
    request: Request, run: Finished, session: Reading, file: Annotated[BinaryIO, Depends(_temporary)]
) -> StreamingResponse:
    """One file; ``vru evidence verify`` checks it."""
    if run.state != RunState.COMPLETED:
        raise ConflictError(f"Run {run.id} is {run.state}: it has no figures to sign.", "Start it again.")
    settings: EngineSettings = request.app.state.settings
    database: Database = request.app.state.database
    inputs = await _inputs(request, run, session)
    # Gives the connection back: those who wait must not keep the one who packs from having one.
    await session.commit()
    async with _packing:
        async with database.read() as reading:
            roster = await repository.roster(reading, inputs.truth)
            times = await repository.frame_times(reading, run.video_id)
        folders = Folders(settings.media_dir, settings.evidence_dir)
        clips = _clips(database, run, inputs)
        await write_evidence(file, run, inputs, roster, times, clips, folders, settings.image)
        async with database.read() as reading:
            if (await service.get_run(reading, run.id)).revision != run.revision:
                raise ConflictError(f"Run {run.id} changed while its evidence was made.", "Ask again.")
    headers = {
        "Content-Disposition": f'attachment; filename="vru-run-{run.id}.evidence.zip"',
        "Content-Length": str(file.tell()),
    }
    return StreamingResponse(pieces(file), media_type="application/zip", headers=headers)


@router.get("/evidence-key", summary="Get the public key that signs evidence", response_class=Response)
async def evidence_key(request: Request) -> Response:
    """PEM. Its fingerprint is in the header ``X-VRU-Key-Fingerprint``."""
    settings: EngineSettings = request.app.state.settings
    key = (await asyncio.to_thread(signing_key, settings.evidence_dir)).public_key()
    headers = {"X-VRU-Key-Fingerprint": fingerprint(key)}
    return Response(public_pem(key), media_type="application/x-pem-file", headers=headers)
