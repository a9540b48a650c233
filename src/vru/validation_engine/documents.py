"""A run's report and evidence over HTTP."""

import asyncio
import uuid
from enum import StrEnum
from typing import Annotated

import aiohttp
from fastapi import APIRouter, Depends, Request
from fastapi.responses import FileResponse, Response

from vru.domain import RunState
from vru.reports import FORMATS, Report
from vru.reports.html import content_policy
from vru.service.database.sessions import Reading
from vru.service.database.tables import Run, Seal
from vru.service.errors import ConflictError, NotFoundError, UnavailableError
from vru.service.schemas import Problem, run_body
from vru.validation_engine import data_set_completion, recordings, repository, service
from vru.validation_engine.detectors import predictions_facts
from vru.validation_engine.packing import Inputs, named_inputs, report_of, sealed_report
from vru.validation_engine.sealing import sealed_path
from vru.validation_engine.settings import EngineSettings

_FINGERPRINT = "X-VRU-Key-Fingerprint"

router = APIRouter(tags=["runs"], responses={404: {"model": Problem}, 409: {"model": Problem}})


class ReportFormat(StrEnum):
    """How a report is written: the ends of file names. See ``vru.reports.FORMATS``."""

    HTML = "html"
    PDF = "pdf"
    JSON = "json"
    CSV = "csv"
    TRACKS_CSV = "tracks.csv"
    JUNIT_XML = "xml"


async def _finished(run_id: uuid.UUID, session: Reading) -> Run:
    run = await service.get_run(session, run_id)
    if not RunState(run.state).is_final:
        raise ConflictError(f"Run {run_id} is {run.state}: it is not over yet.", "Ask again when it has ended.")
    return run


Finished = Annotated[Run, Depends(_finished)]


async def _report(request: Request, run: Run, session: Reading) -> Report:
    """From what was sealed, where it was: rows of the database may have changed since."""
    settings: EngineSettings = request.app.state.settings
    sealed = sealed_path(settings.evidence_dir, run.id)
    if run.state == RunState.COMPLETED and sealed.exists():
        return await asyncio.to_thread(sealed_report, sealed)
    body = run_body(run).model_dump(mode="json")
    project, video, truth = await repository.inputs(session, run.project_id, run.video_id, run.ground_truth_id)
    if run.data_set_version_id is not None and project is not None:
        found = await recordings.of_version(session, run.data_set_version_id)
        return report_of(body, await data_set_completion.named_inputs(session, run, found), project.name)
    if project is None or video is None or truth is None:
        raise NotFoundError("The run's project, video or ground truth is gone.")
    predictions = await predictions_facts(session, run.predictions_id) if run.predictions_id else None
    inputs = Inputs(project, video, truth, await repository.recording(session, run), predictions)
    return report_of(body, named_inputs(run, inputs), project.name)


@router.get("/runs/{run_id}/report.{form}", summary="Get a run's report", response_class=Response)
async def run_report(form: ReportFormat, request: Request, run: Finished, session: Reading) -> Response:
    """HTML, PDF, JSON, CSV (figures, or tracks), or JUnit XML."""
    chosen = FORMATS[form.value]
    content = await asyncio.to_thread(chosen.render, await _report(request, run, session))
    headers = {"Content-Disposition": f'inline; filename="vru-run-{run.id}.{form.value}"'}
    if form.value == "html":
        # It has a script of its own, and no business with this site: not even its cookies.
        headers["Content-Security-Policy"] = f"{content_policy()}; sandbox allow-scripts; frame-ancestors 'none'"
    return Response(content, media_type=chosen.media_type, headers=headers)


@router.get("/runs/{run_id}/evidence", summary="Get a run's sealed evidence", response_class=FileResponse)
async def run_evidence(request: Request, run: Finished, session: Reading) -> FileResponse:
    """The file that was sealed when the run completed; ``vru evidence verify`` checks it."""
    if run.state != RunState.COMPLETED:
        raise ConflictError(f"Run {run.id} is {run.state}: it has no figures to sign.", "Start it again.")
    settings: EngineSettings = request.app.state.settings
    path = sealed_path(settings.evidence_dir, run.id)
    if not path.exists():
        if await session.get(Seal, run.id):
            raise NotFoundError(f"The sealed evidence of run {run.id} is missing: {path}.", "Restore it from a backup.")
        raise ConflictError(
            f"Run {run.id} was completed by a release that did not seal evidence, and nothing is sealed afterwards.",
            "Start a new run.",
        )
    return FileResponse(path, media_type="application/zip", filename=f"vru-run-{run.id}.evidence.zip")


async def _of_signer(request: Request, path: str) -> Response:
    settings: EngineSettings = request.app.state.settings
    try:
        async with request.app.state.http.get(f"{settings.signer_url}{path}") as answer:
            content = await answer.read()
    except (aiohttp.ClientError, TimeoutError) as error:
        raise UnavailableError("The signer does not answer.", "Try again in a minute.") from error
    kept = {name: answer.headers[name] for name in ("Content-Disposition", _FINGERPRINT) if name in answer.headers}
    return Response(content, answer.status, kept, answer.headers.get("Content-Type"))


@router.get("/evidence-key", summary="Get the public key that signs evidence", response_class=Response)
async def evidence_key(request: Request) -> Response:
    """PEM. Its fingerprint is in the header ``X-VRU-Key-Fingerprint``."""
    return await _of_signer(request, "/key")


@router.get("/evidence-ledger", summary="Get every seal that was given out", response_class=Response)
async def evidence_ledger(request: Request) -> Response:
    """JSON lines; ``vru evidence verify --ledger FILE`` looks evidence up in it."""
    return await _of_signer(request, "/ledger")
