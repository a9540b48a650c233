"""The jobs that make a run. Each may be killed at any moment, and done again: the database decides what counts.

A step begins by asking the database whether it is still wanted, and ends in one transaction that changes the state
from the one it found, stores the results and defers the next step. If that state is no longer there, nothing is stored.
"""

import asyncio
import sys
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import aiohttp
import structlog
from procrastinate import App
from redis.asyncio import Redis
from sqlalchemy import func, select
from sqlalchemy.exc import InterfaceError, OperationalError

from vru.domain import RunKind, RunState, ShardState, VruError
from vru.service.database.sessions import Database, ReadSession
from vru.service.database.tables import DataSetRecording, Run, Shard, Video
from vru.service.queue import defer
from vru.service.schemas import RunEvent, RunSettings, SetAsideClip
from vru.validation_engine import events, jobs, metrics, recordings, repository, workflow
from vru.validation_engine.completion import complete
from vru.validation_engine.imported import ImportedSpec, take_imported
from vru.validation_engine.settings import WorkerSettings
from vru.validation_engine.shards import (
    EngineUnavailableError,
    RefusedError,
    ShardError,
    ShardResult,
    ShardSpec,
    execute,
    plan,
)

# A shard of a model's, or of imported predictions.
Spec = ShardSpec | ImportedSpec

log = structlog.get_logger("vru.worker")

# How often a shard that is being worked on looks whether its run was cancelled.
_WATCH_S = 1.0
_DATABASE_AWAY = (OperationalError, InterfaceError, OSError)


class _Outdated(Exception):
    """The state that a step wanted to change is gone. Rolls the transaction back."""


class _Cancelled(Exception):
    """The run is over: no need to go on."""


@dataclass(frozen=True, slots=True)
class Steps:
    """The three kinds of job, with what they work with."""

    settings: WorkerSettings
    database: Database
    queue: App
    redis: Redis
    http: aiohttp.ClientSession

    def register(self) -> None:
        """Make the steps known to the queue."""
        self.queue.task(name=jobs.PREPARE_RUN)(self.prepare_run)
        self.queue.task(name=jobs.RUN_SHARD)(self.run_shard)
        self.queue.task(name=jobs.ANALYSE_RUN)(self.analyse_run)

    async def prepare_run(self, run_id: str) -> None:
        """Cut the run's video into shards and defer a job for each."""
        await self._guarded(uuid.UUID(run_id), self._prepare)

    async def analyse_run(self, run_id: str) -> None:
        """Evaluate the detections and store metrics and verdict."""
        await self._guarded(uuid.UUID(run_id), self._analyse)

    async def run_shard(self, run_id: str, shard_id: str) -> None:
        """Detect in one shard's frames and store what was found, once."""
        await self._guarded(uuid.UUID(run_id), lambda run: self._shard(run, uuid.UUID(shard_id)))

    async def _guarded(self, run_id: uuid.UUID, step: Callable[[uuid.UUID], Awaitable[None]]) -> None:
        with structlog.contextvars.bound_contextvars(run_id=str(run_id)):
            try:
                await step(run_id)
            except _Outdated:
                log.info("step was done by another worker, or the run is over")
            except _DATABASE_AWAY:
                # The database is away. The sweep finds the step again once it is back.
                raise
            except VruError as error:
                await self._fail(run_id, str(error))
                return
            except Exception as error:  # the boundary of a job: a run must not hang on a mistake in this program
                log.exception("unexpected error")
                await self._fail(run_id, f"The validation worker made an error ({type(error).__name__}: {error}).")
                raise
        await events.announce(self.redis, self.database, run_id)

    async def _fail(self, run_id: uuid.UUID, reason: str) -> None:
        async with self.database.write() as session:
            if await repository.end_run(session, run_id, RunState.FAILED, reason):
                log.error("run failed", reason=reason)
        await events.announce(self.redis, self.database, run_id)

    async def _prepare(self, run_id: uuid.UUID) -> None:
        async with self.database.write() as session:
            waiting = (RunState.QUEUED, RunState.PREPARING)
            begun = {"state": RunState.PREPARING, "started_at": func.coalesce(Run.started_at, func.now())}
            if not await repository.enter(session, run_id, waiting, paused=False, **begun):
                raise _Outdated
        await events.announce(self.redis, self.database, run_id)
        async with self.database.write() as session:
            # This also locks the run's row: a second worker at the same step waits here, and then finds it done.
            if not await repository.enter(session, run_id, (RunState.PREPARING,), state=RunState.RUNNING):
                raise _Outdated
            run = await repository.find_run(session, run_id)
            if run is None:
                raise _Outdated
            if run.kind == RunKind.CAMERA:
                # Its signals are recorded already: there is nothing to run before the analysis.
                if run.paused_at is not None:
                    raise _Outdated
                await repository.enter(session, run_id, (RunState.RUNNING,), state=RunState.ANALYSING)
                await workflow.defer_missing(self.queue, session, run_id)
                return
            settings = RunSettings.model_validate(run.settings)
            videos = await _videos(session, run)
            # Boxes that are there already are taken recording by recording: their digest is over all of one.
            at_once = sys.maxsize if run.predictions_id else self.settings.shard_frames
            parts: list[repository.Part] = []
            for number, video in videos:
                mine = plan(video.frame_count, settings.frame_stride, at_once)
                if not mine:
                    raise VruError(f"Video {video.name} has no frame.", "Upload it again.")
                parts += [(number, first, last) for first, last in mine]
            shards = await repository.add_shards(session, run_id, parts)
            run.frames_total = sum(len(range(0, video.frame_count, settings.frame_stride)) for _, video in videos)
            arguments = [{"run_id": str(run_id), "shard_id": str(shard)} for shard in shards]
            if run.paused_at is None:
                await defer(self.queue, session, jobs.RUN_SHARD, arguments, priority=run.priority)

    async def _shard(self, run_id: uuid.UUID, shard_id: uuid.UUID) -> None:
        async with self.database.write() as session:
            shard = await repository.start_shard(session, shard_id)
            if shard is None:
                raise _Outdated
            spec = await _spec(session, run_id, shard)
        log.info("shard started", shard=shard.number, token=shard.token)
        began = time.monotonic()
        try:
            if isinstance(spec, ImportedSpec):
                async with self.database.read() as session:
                    result = await take_imported(session, spec)
            else:
                result = await self._detect(run_id, shard, spec)
        except _Cancelled:
            log.info("shard stopped: the run is over", shard=shard.number)
            return
        except asyncio.CancelledError:
            # The worker must stop now: the shard goes to another at once.
            await asyncio.shield(self._give_back(run_id, shard, None, delay_s=0))
            raise
        except EngineUnavailableError as error:
            if shard.waits >= jobs.MAX_WAITS:
                raise VruError(str(error), "Start the ML engine, then retry the run.") from error
            await self._give_back(run_id, shard, str(error), delay_s=jobs.UNAVAILABLE_DELAY_S)
            return
        except RefusedError as error:
            if shard.recording is not None:
                # The other recordings can still be measured.
                await self._failed(run_id, shard, str(error), final=True)
                return
            raise VruError(f"{SetAsideClip.model_validate(shard).name} cannot be run. {error}") from error
        except ShardError as error:
            await self._failed(run_id, shard, str(error))
            return
        await self._finish(run_id, shard, result)
        metrics.shards.labels("done").inc()
        metrics.frames.inc(result.frames)
        metrics.shard_seconds.observe(time.monotonic() - began)

    async def _detect(self, run_id: uuid.UUID, shard: Shard, spec: ShardSpec) -> ShardResult:
        progress = events.Progress(self.redis, run_id, shard.number)
        newest: RunEvent | None = None

        async def on_frames(frames: int) -> None:
            if newest:
                await progress.report(newest, frames)

        async def until_over() -> None:
            # Looks for the run's end even while the ML engine says nothing.
            nonlocal newest
            while True:
                try:
                    async with self.database.read() as session:
                        newest = await repository.run_event(session, run_id)
                except _DATABASE_AWAY as error:
                    log.warning("cannot see whether the run goes on", reason=str(error).strip().splitlines()[:1])
                else:
                    if newest is None or newest.state.is_final:
                        return
                await asyncio.sleep(_WATCH_S)

        detecting = asyncio.create_task(execute(spec, self.http, self.settings.ml_engine_url, on_frames))
        watching = asyncio.create_task(until_over())
        try:
            await asyncio.wait((detecting, watching), return_when=asyncio.FIRST_COMPLETED)
            if not detecting.done():
                watching.result()
                raise _Cancelled
            return detecting.result()
        finally:
            for task in (detecting, watching):
                task.cancel()
            await asyncio.gather(detecting, watching, return_exceptions=True)

    async def _finish(self, run_id: uuid.UUID, shard: Shard, result: ShardResult) -> None:
        """One transaction behind the fence: either all of it happens, and once, or nothing."""
        async with self.database.write() as session:
            done = {"state": ShardState.DONE, "finished_at": func.now(), "error": None}
            processed = {
                "video_sha256": result.video_sha256,
                "model_sha256": result.model_sha256,
                "engine_image": result.engine_image,
                "engine_provider": result.engine_provider,
            }
            if not await repository.fenced(session, shard.id, shard.token, **done, **processed):
                metrics.shards.labels("outdated").inc()
                raise _Outdated
            await repository.store_detections(session, run_id, shard.id, result.detections)
            if not await workflow.settle(self.queue, session, run_id, result.frames):
                raise _Outdated
        log.info("shard done", shard=shard.number, token=shard.token, detections=len(result.detections))

    async def _give_back(self, run_id: uuid.UUID, shard: Shard, reason: str | None, *, delay_s: float) -> None:
        """Let another try. With a ``reason``, which is then the ML engine's absence, the try counts as a wait."""
        async with self.database.write() as session:
            changes = {"state": ShardState.QUEUED, "error": reason, "waits": shard.waits + (reason is not None)}
            if not await repository.fenced(session, shard.id, shard.token, **changes):
                raise _Outdated
            suspect = shard.attempts + shard.deaths > 0
            await workflow.defer_shard(self.queue, session, shard, suspect=suspect, delay_s=delay_s)
        metrics.shards.labels("given_back").inc()
        log.warning("shard given back", shard=shard.number, token=shard.token, reason=reason)

    async def _failed(self, run_id: uuid.UUID, shard: Shard, reason: str, *, final: bool = False) -> None:
        """Count a failure; the last one, or a ``final`` one, sets the clip aside, and the run goes on without it."""
        metrics.shards.labels("failed").inc()
        failures = shard.attempts + 1
        log.warning("shard failed", shard=shard.number, token=shard.token, failures=failures, reason=reason)
        async with self.database.write() as session:
            changes = {"state": ShardState.QUEUED, "attempts": failures, "error": reason}
            if not await repository.fenced(session, shard.id, shard.token, **changes):
                raise _Outdated
            if final or failures >= self.settings.clip_tries:
                await workflow.set_aside(self.queue, session, shard, reason)
                log.error("shard set aside", shard=shard.number, reason=reason)
            else:
                delay_s = float(2 ** min(failures - 1, 5))
                await workflow.defer_shard(self.queue, session, shard, suspect=True, delay_s=delay_s)

    async def _analyse(self, run_id: uuid.UUID) -> None:
        verdict = await complete(run_id, self.settings, self.database, self.http)
        if verdict is None:
            raise _Outdated
        log.info("run completed", verdict=verdict)


async def _videos(session: ReadSession, run: Run) -> list[tuple[int | None, Video]]:
    """What a run is about: its video, or the numbered recordings of its data set."""
    if run.data_set_version_id is not None:
        return [(item.number, item.video) for item in await recordings.of_version(session, run.data_set_version_id)]
    video = await session.get(Video, run.video_id)
    if video is None:
        raise _Outdated
    return [(None, video)]


async def _spec(session: ReadSession, run_id: uuid.UUID, shard: Shard) -> Spec:
    run = await repository.find_run(session, run_id)
    if run is None:
        raise _Outdated
    video, video_sha256 = await _video_of(session, run, shard)
    settings = RunSettings.model_validate(run.settings)
    if run.predictions_id is not None:
        frames = range(shard.first_frame, shard.last_frame + 1, settings.frame_stride)
        return ImportedSpec(run.predictions_id, video.id, frames)
    if run.model is None or run.model_version is None:
        raise VruError("The run names no model, so nothing can detect in its clips.")
    return ShardSpec(
        model=run.model,
        model_version=run.model_version,
        model_sha256=run.model_sha256,
        video_path=video.path,
        video_sha256=video_sha256,
        first_frame=shard.first_frame,
        last_frame=shard.last_frame,
        frame_stride=settings.frame_stride,
        score_threshold=min(jobs.SCORE_FLOOR, settings.score_threshold),
    )


async def _video_of(session: ReadSession, run: Run, shard: Shard) -> tuple[Video, str]:
    """The video of a shard, and the digest that it must have."""
    if shard.recording is None:
        video = await session.get(Video, run.video_id)
        if video is None:
            raise _Outdated
        return video, run.video_sha256 or video.sha256
    query = (
        select(Video, DataSetRecording.video_sha256)
        .join(DataSetRecording, DataSetRecording.video_id == Video.id)
        .where(DataSetRecording.version_id == run.data_set_version_id, DataSetRecording.number == shard.recording)
    )
    row = (await session.execute(query)).one_or_none()
    if row is None:
        raise _Outdated
    return row[0], row[1]
