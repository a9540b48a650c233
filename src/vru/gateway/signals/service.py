"""What happens to recordings of signals in the database."""

import uuid

from sqlalchemy import ColumnElement, delete, exists, func, select
from sqlalchemy.exc import IntegrityError

from vru.gateway.signals.reader import SignalFacts
from vru.gateway.videos.service import find_video
from vru.gateway.videos.store import Received
from vru.service.database import tables
from vru.service.database.sessions import ReadSession, WriteSession
from vru.service.errors import ConflictError, NotFoundError

_ROW = tables.SignalRecording


async def find_recording(session: ReadSession, signals_id: uuid.UUID) -> tables.SignalRecording:
    """The recording.

    Raises:
        NotFoundError: there is none with this id.
    """
    found = await session.get(_ROW, signals_id)
    if found is None:
        raise NotFoundError(
            f"There is no recording of signals {signals_id}.", "GET /api/v1/videos/{id}/signals lists a video's."
        )
    return found


async def list_recordings(
    session: ReadSession, video_id: uuid.UUID, limit: int, offset: int
) -> tuple[list[tables.SignalRecording], int]:
    """One page of a video's recordings, newest first, and how many there are.

    Raises:
        NotFoundError: there is no such video.
    """
    await find_video(session, video_id)
    mine = _ROW.video_id == video_id
    query = select(_ROW).where(mine).order_by(_ROW.created_at.desc(), _ROW.id).limit(limit).offset(offset)
    total = await session.scalar(select(func.count()).select_from(_ROW).where(mine))
    return list(await session.scalars(query)), total or 0


async def store_recording(
    session: WriteSession,
    *,
    recording_id: uuid.UUID,
    video_id: uuid.UUID,
    name: str,
    path: str,
    sha256: str,
    signals: SignalFacts,
    poll_ms: float,
    offset: tuple[int, float] | None,
) -> tables.SignalRecording:
    """A new recording's row. ``offset`` is in nanoseconds, with its standard uncertainty in milliseconds.

    Raises:
        NotFoundError: the video was deleted meanwhile.
    """
    stored = _ROW(
        id=recording_id,
        video_id=video_id,
        name=name,
        path=path,
        sha256=sha256,
        signal_count=signals.count,
        first_ns=signals.first_ns,
        last_ns=signals.last_ns,
        poll_ms=poll_ms,
        offset_ns=offset[0] if offset else None,
        offset_uncertainty_ms=offset[1] if offset else None,
    )
    session.add(stored)
    try:
        await session.flush()
    except IntegrityError as error:
        if "fk_signal_recordings_video_id" not in str(error.orig):
            raise
        raise NotFoundError(f"Video {video_id} was deleted during the upload.", "Choose another one.") from error
    await session.refresh(stored)
    return stored


async def check_not_used(session: ReadSession, recording: tables.SignalRecording) -> None:
    """Do nothing if no run was made with the recording: until then its clock may be joined anew.

    Raises:
        ConflictError: one was.
    """
    if await session.scalar(select(_used(recording.id))):
        raise ConflictError(
            f"Runs were made with recording {recording.name} as its clock is joined with the video's.",
            "Upload the recording a second time to join it in another way.",
        )


def _used(signals_id: uuid.UUID) -> ColumnElement[bool]:
    return exists().where(tables.Run.signals_id == signals_id)


async def store_markers(
    session: WriteSession, signals_id: uuid.UUID, *, path: str, received: Received, markers: int
) -> tuple[tables.SignalRecording, str | None]:
    """Join a recording's clock with the video's by ``markers`` markers, in the place of what joined it before.

    Returns the recording, and the path of the markers' file that is not needed any more.

    Raises:
        NotFoundError: there is no such recording.
        ConflictError: a run was made with it.
    """
    # Locked: a run that is made at the same moment waits, or is seen here.
    recording = await session.scalar(select(_ROW).where(_ROW.id == signals_id).with_for_update())
    if recording is None:
        recording = await find_recording(session, signals_id)
    await check_not_used(session, recording)
    before = recording.markers_path
    recording.markers_path, recording.markers_sha256 = path, received.sha256
    recording.marker_count = markers
    recording.offset_ns = recording.offset_uncertainty_ms = None
    await session.flush()
    await session.refresh(recording)
    return recording, before


async def delete_recording(session: WriteSession, signals_id: uuid.UUID) -> list[str]:
    """Delete a recording's row. Returns the paths of its files, which are to go too.

    Raises:
        NotFoundError: there is none.
        ConflictError: a run was made with it.
    """
    recording = await find_recording(session, signals_id)
    try:
        await session.execute(delete(_ROW).where(_ROW.id == signals_id))
    except IntegrityError as error:
        raise ConflictError(
            "Validation runs were made with this recording: it is part of their evidence.",
            "Delete the whole project if neither is needed any more.",
        ) from error
    return [path for path in (recording.path, recording.markers_path) if path is not None]
