"""What happens to live runs in the database."""

import uuid
from collections.abc import Sequence

from sqlalchemy import case, func, select

from vru.domain import VruClass
from vru.gateway.ground_truths.service import find_ground_truth
from vru.gateway.live_runs.schemas import LiveRunBody, LiveRunCreate
from vru.gateway.videos.service import find_video, frame_times
from vru.service.database.sessions import ReadSession, WriteSession
from vru.service.database.tables import LiveRun, Run, SignalEvent, TruthBoxRow
from vru.service.errors import NotFoundError, UnprocessableError
from vru.service.schemas.captures import CaptureBody, CaptureCreate, PlayTable, RoadUserTimes

UNFINISHED = ("recording", "recorded")


async def capture_of(session: ReadSession, wanted: LiveRunCreate) -> CaptureCreate:
    """What the camera service is asked for: with a rig, who is visible when.

    Raises:
        NotFoundError: the video or the ground truth does not exist.
        UnprocessableError: they do not belong together.
    """
    video = await find_video(session, wanted.video_id)
    truth = await find_ground_truth(session, wanted.ground_truth_id)
    if video.project_id != wanted.project_id:
        raise UnprocessableError("The video is of another project.", "Choose one of this project.")
    if truth.video_id != wanted.video_id:
        raise UnprocessableError("The ground truth is of another video.", "Choose one of this video.")
    if wanted.rig is None:
        return CaptureCreate(source_id=wanted.source_id)
    times = await frame_times(session, wanted.video_id)
    if len(times) < 2:
        raise UnprocessableError("A video of one frame cannot be played.", "Choose another video.")
    counted = case((TruthBoxRow.ignore.is_(False), TruthBoxRow.time_s))
    time = TruthBoxRow.time_s
    rows = await session.execute(
        select(
            TruthBoxRow.track_id,
            TruthBoxRow.road_user,
            func.min(time),
            func.max(time),
            func.min(counted),
            func.max(counted),
        )
        .where(TruthBoxRow.ground_truth_id == wanted.ground_truth_id)
        .group_by(TruthBoxRow.track_id, TruthBoxRow.road_user)
        .order_by(TruthBoxRow.track_id)
    )
    return CaptureCreate(
        source_id=wanted.source_id,
        rig=wanted.rig,
        road_users=[
            RoadUserTimes(
                track_id=track, road_user=VruClass(user), shown_s=shown, gone_s=gone, first_s=first, last_s=last
            )
            for track, user, shown, gone, first, last in rows
        ],
        end_s=times[-1] + (times[-1] - times[0]) / (len(times) - 1),
        tolerance_ms=wanted.settings.tolerance_ms,
    )


async def find_live_run(session: ReadSession, live_run_id: uuid.UUID) -> LiveRun:
    """The live run. Raises NotFoundError if there is none with this id."""
    found = await session.get(LiveRun, live_run_id)
    if found is None:
        raise NotFoundError(f"There is no live run {live_run_id}.", "GET /api/v1/live-runs lists them.")
    return found


async def locked(session: WriteSession, live_run_id: uuid.UUID) -> LiveRun | None:
    """The live run, for this process alone; None if another one has it, or it needs nothing more."""
    query = select(LiveRun).where(LiveRun.id == live_run_id, LiveRun.state.in_(UNFINISHED))
    return await session.scalar(query.with_for_update(skip_locked=True))


async def unfinished(session: ReadSession) -> Sequence[uuid.UUID]:
    """The ids of live runs that something is to be done for: with a rig, up to the start of their run."""
    waits = (LiveRun.state == "recording") | (
        (LiveRun.state == "recorded") & LiveRun.request["rig"].astext.is_not(None)
    )
    return (await session.scalars(select(LiveRun.id).where(waits))).all()


async def events_of(session: ReadSession, capture: CaptureBody) -> Sequence[SignalEvent]:
    """The source's signals in a capture, in order of their times."""
    query = select(SignalEvent).where(
        SignalEvent.spool == capture.spool,
        SignalEvent.position > capture.first,
        SignalEvent.position <= capture.last,
        SignalEvent.source_id == capture.source_id,
        SignalEvent.type == "event",
    )
    return (await session.scalars(query.order_by(SignalEvent.time_ns, SignalEvent.position))).all()


async def list_live_runs(
    session: ReadSession, project_id: uuid.UUID | None, limit: int, offset: int
) -> tuple[list[LiveRunBody], int]:
    """One page, newest first, and how many there are."""
    of = LiveRun.project_id == project_id if project_id is not None else LiveRun.id.is_not(None)
    query = (
        select(LiveRun, Run.state, Run.verdict)
        .outerjoin(Run, Run.id == LiveRun.run_id)
        .where(of)
        .order_by(LiveRun.created_at.desc(), LiveRun.id)
    )
    total = await session.scalar(select(func.count()).select_from(LiveRun).where(of))
    rows = await session.execute(query.limit(limit).offset(offset))
    return [body_of(live, state, verdict) for live, state, verdict in rows], total or 0


async def read_body(session: ReadSession, live_run_id: uuid.UUID) -> LiveRunBody:
    """A live run with the state of its run. Raises NotFoundError if there is none with this id."""
    live = await find_live_run(session, live_run_id)
    run = await session.get(Run, live.run_id) if live.run_id else None
    return body_of(live, run.state if run else None, run.verdict if run else None)


def body_of(live: LiveRun, run_state: str | None = None, verdict: str | None = None) -> LiveRunBody:
    """A row as clients see it."""
    known = {
        name: getattr(live, name)
        for name in (
            *("id", "project_id", "video_id", "ground_truth_id", "source_id", "state", "error", "signals_id"),
            *("run_id", "created_by", "created_at"),
        )
    }
    played = PlayTable.model_validate(live.played) if live.played else None
    return LiveRunBody.model_validate(known | {"run_state": run_state, "verdict": verdict, "played": played})
