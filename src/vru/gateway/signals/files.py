"""The files of recordings in the media store."""

import uuid

from sqlalchemy import Select, select

from vru.service.database.sessions import ReadSession
from vru.service.database.tables import SignalRecording


async def recording_paths(session: ReadSession, videos: Select[uuid.UUID]) -> list[str]:
    """The paths of all files of signals and of markers that belong to these videos."""
    columns = select(SignalRecording.path, SignalRecording.markers_path).where(SignalRecording.video_id.in_(videos))
    return [path for row in await session.execute(columns) for path in row if path is not None]
