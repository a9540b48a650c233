"""Brings live runs on: from the end of their capture to a recording, and to a camera run.

Each step is a transaction that holds the live run's row: any gateway may do it, and only one does. A gateway that is
killed leaves a step undone or done; the next look finds which.
"""

import asyncio
import csv
import io
import uuid
from collections.abc import AsyncIterator, Sequence
from http import HTTPStatus
from typing import Any

import aiohttp
import structlog
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from vru.domain import VruError
from vru.evaluation.camera.clocks import join_clocks
from vru.gateway.live_runs import service
from vru.gateway.live_runs.schemas import LiveRunCreate
from vru.gateway.resources import Resources
from vru.gateway.videos.store import MEGABYTE, MediaStore
from vru.service.database.sessions import WriteSession
from vru.service.database.tables import LiveRun, Run, SignalEvent, SignalRecording
from vru.service.errors import ConflictError, NotFoundError, UnavailableError, UnprocessableError
from vru.service.schemas import Problem
from vru.service.schemas.captures import CaptureBody, MarkerBody

_LOOK_S = 1.0
_MOST_SIGNALS = 1_000_000
_ERRORS: dict[int, type[VruError]] = {
    HTTPStatus.NOT_FOUND: NotFoundError,
    HTTPStatus.CONFLICT: ConflictError,
    HTTPStatus.UNPROCESSABLE_ENTITY: UnprocessableError,
}

log = structlog.get_logger("vru.gateway")


async def call(
    gateway: Resources, service_name: str, user: str, method: str, path: str, body: dict[str, Any] | None = None
) -> Any:
    """Ask another service for a user. What it answers, parsed.

    Raises:
        NotFoundError, ConflictError, UnprocessableError: it refuses.
        UnavailableError: it does not answer, or cannot now.
    """
    base = {
        "camera_service": gateway.settings.camera_service_url,
        "validation_engine": gateway.settings.validation_engine_url,
    }[service_name].rstrip("/")
    headers = gateway.asserter.headers(service_name, user)
    try:
        async with gateway.http.request(method, base + path, json=body, headers=headers) as answer:
            said = await answer.json(content_type=None)
            if answer.status < HTTPStatus.BAD_REQUEST:
                return said
            problem = Problem.model_validate(said)
            raise _ERRORS.get(answer.status, UnavailableError)(problem.detail, problem.fix or "")
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise UnavailableError(f"The service {service_name} does not answer.", "Try again in a moment.") from error


async def capture_of(gateway: Resources, live: LiveRun) -> CaptureBody:
    """The capture of a live run. Raises as ``call`` does."""
    return CaptureBody.model_validate(
        await call(gateway, "camera_service", live.created_by, "GET", f"/captures/{live.capture_id}")
    )


async def run(gateway: Resources) -> None:
    """Look after all live runs, until it is cancelled."""
    while True:
        await asyncio.sleep(_LOOK_S)
        try:
            async with gateway.database.read() as session:
                waiting = await service.unfinished(session)
        except SQLAlchemyError as error:
            log.warning("live runs wait for the database", reason=str(error).partition("\n")[0])
            continue
        for live_run_id in waiting:
            try:
                await advance(gateway, live_run_id)
            except UnavailableError as error:
                log.info("a live run waits", live_run=str(live_run_id), reason=str(error))
            except Exception:
                # One that cannot be brought on does not keep the others back; it is tried again.
                log.exception("a live run could not be brought on", live_run=str(live_run_id))


async def advance(gateway: Resources, live_run_id: uuid.UUID) -> None:
    """Do the next step for a live run, if there is one to do now.

    Raises:
        UnavailableError: a service does not answer; nothing is changed.
    """
    async with gateway.database.write() as session:
        live = await service.locked(session, live_run_id)
        if live is None:
            return
        try:
            if live.state == "recording":
                capture = await capture_of(gateway, live)
                await _record(gateway, session, live, capture)
            else:
                await _start(gateway, live)
        except UnavailableError:
            raise
        except VruError as error:
            live.state, live.error = "failed", str(error)


async def _record(gateway: Resources, session: WriteSession, live: LiveRun, capture: CaptureBody) -> None:
    """Once the capture has ended: its signals become a recording of the video, whose clock the markers join."""
    if capture.state == "failed":
        raise VruError(capture.error or "The capture failed.")
    if capture.state != "ended":
        return
    if live.request["rig"] is not None and capture.stopped:
        live.state = "cancelled"
        return
    live.played = capture.table.model_dump() if capture.table else None
    events = await service.events_of(session, capture)
    if not events:
        raise VruError("No signal came.", "See the source's counts: GET /api/v1/signal-sources/{source_id}.")
    if len(events) > _MOST_SIGNALS:
        raise VruError(f"{len(events):,} signals came, more than {_MOST_SIGNALS:,}.", "Use a shorter video.")
    if capture.markers:
        join_clocks([one.media_s for one in capture.markers], [one.time_ns for one in capture.markers])
    live.signals_id = await _store(gateway, session, live, events, capture.markers)
    live.state = "recorded"


async def _store(
    gateway: Resources,
    session: WriteSession,
    live: LiveRun,
    events: Sequence[SignalEvent],
    markers: Sequence[MarkerBody],
) -> uuid.UUID:
    recording_id = uuid.uuid4()
    store = MediaStore(gateway.settings.media_dir)
    limit = gateway.settings.max_upload_mb * MEGABYTE
    kept: list[str] = []
    digests: list[str] = []
    files = [(f"{recording_id}.signals", signals_csv(events))]
    if markers:
        files.append((f"{recording_id}.markers", markers_csv(markers)))
    try:
        for name, content in files:
            async with store.receive(_once(content), limit_bytes=limit, announced_bytes=None) as received:
                digests.append(received.sha256)
                kept.append(store.keep(received, name, store.signals))
        session.add(
            SignalRecording(
                id=recording_id,
                video_id=live.video_id,
                name=f"live-{live.id}.csv",
                path=kept[0],
                sha256=digests[0],
                signal_count=len(events),
                first_ns=events[0].time_ns,
                last_ns=events[-1].time_ns,
                poll_ms=0.0,
                markers_path=kept[1] if markers else None,
                markers_sha256=digests[1] if markers else None,
                marker_count=len(markers) or None,
            )
        )
        await session.flush()
    except BaseException:
        store.delete(*kept)
        raise
    return recording_id


async def _start(gateway: Resources, live: LiveRun) -> None:
    """Start the camera run, unless a gateway that was killed had started it already."""
    async with gateway.database.read() as session:
        found = await session.scalar(select(Run.id).where(Run.signals_id == live.signals_id))
    if found is None:
        asked = LiveRunCreate.model_validate(live.request)
        body = asked.model_dump(
            mode="json", include={"project_id", "video_id", "ground_truth_id", "settings", "criteria", "priority"}
        )
        body |= {"kind": "camera", "signals_id": str(live.signals_id)}
        started = await call(gateway, "validation_engine", live.created_by, "POST", "/runs", body)
        found = uuid.UUID(started["id"])
    live.run_id, live.state = found, "started"


async def _once(content: bytes) -> AsyncIterator[bytes]:
    yield content


def signals_csv(events: Sequence[SignalEvent]) -> bytes:
    """A recording of signals as ``vru.formats`` reads it."""
    rows = ((one.time_ns, one.kind, one.road_user or "", one.value, one.source, one.id) for one in events)
    return _csv(("time_ns", "kind", "class", "value", "source", "id"), rows)


def markers_csv(markers: Sequence[MarkerBody]) -> bytes:
    """Markers as ``vru.formats`` reads them."""
    return _csv(("media_s", "time_ns"), ((repr(one.media_s), one.time_ns) for one in markers))


def _csv(header: tuple[str, ...], rows: Any) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue().encode()
