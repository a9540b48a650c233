"""Runs done by real worker processes, which are killed, stopped and woken at bad moments."""

import asyncio
import json
import random
import signal
import time
import urllib.request
from pathlib import Path

import httpx2
import psycopg
import pytest
from tests.conftest import free_port
from tests.validation_engine.conftest import FRAMES, MlEngine, Rows, StartWorker, Stored, answers, store

from vru.domain import RunState
from vru.service import cache
from vru.service.database.sessions import Database
from vru.service.schemas import RunBody, run_body
from vru.service.settings import ServiceSettings
from vru.validation_engine import repository
from vru.validation_engine.events import channel


async def start_run(client: httpx2.AsyncClient, stored: Stored, **more: object) -> str:
    response = await client.post("/runs", json=stored.body(**more))
    assert response.status_code == 201, response.text
    return str(response.json()["id"])


async def until(rows: Rows, run_id: str, state: str, seconds: float = 90) -> None:
    def reached() -> bool:
        now = rows.state(run_id)
        if now != state and RunState(now).is_final:
            raise AssertionError(f"{now}: {rows.ask('SELECT error FROM runs WHERE id = %s', run_id)}")
        return now == state

    await asyncio.to_thread(rows.until, reached, seconds=seconds, what=f"run is {state}")


async def done(client: httpx2.AsyncClient, run_id: str) -> RunBody:
    return run_body((await client.get(f"/runs/{run_id}")).json())


async def wait_for_shards(rows: Rows, run_id: str, number: int, *, state: str = "done", seconds: float = 60) -> None:
    query = "SELECT count(*) FROM shards WHERE run_id = %s AND state = %s"
    await asyncio.to_thread(
        rows.until,
        lambda: int(str(rows.ask(query, run_id, state)[0][0])) >= number,
        seconds=seconds,
        what=f"{number} shards {state}",
    )


async def test_a_run_comes_to_its_verdict(
    client: httpx2.AsyncClient, stored: Stored, start_worker: StartWorker, rows: Rows, settings: ServiceSettings
) -> None:
    worker = start_worker(shard_frames=8, concurrency=2)
    redis = cache.connect(settings)
    listener = redis.pubsub(ignore_subscribe_messages=True)
    run_id = await start_run(client, stored, settings={"frame_stride": 2, "score_threshold": 0.3})
    await listener.subscribe(channel(run_id))
    await until(rows, run_id, "completed")
    run = await done(client, run_id)
    assert (run.frames_done, run.frames_total) == (50, 50)
    assert run.started_at
    assert run.finished_at
    assert run.started_at <= run.finished_at
    assert run.verdict
    assert len(run.verdict_reasons or []) == 6
    assert run.metrics
    assert run.metrics.ground_truth_approved
    assert len(run.metrics.tracks) == 5
    found = rows.detections(run_id)
    assert len(found) >= run.metrics.true_positives > 0
    assert {frame % 2 for frame, *_ in found} == {0}  # type: ignore[operator]
    events: list[dict[str, object]] = []
    while not events or events[-1]["state"] != "completed":
        message = await listener.get_message(timeout=5)
        if message:
            events.append(json.loads(message["data"]))
    assert any(0 < int(str(event["frames_done"])) < 50 for event in events)
    await listener.aclose()
    await redis.aclose()

    answers(worker.url("/health"))
    answers(worker.url("/ready"))
    with urllib.request.urlopen(worker.url("/metrics"), timeout=5) as response:
        text = response.read().decode()
    assert 'vru_worker_shards_total{outcome="done"} 7.0' in text
    assert "vru_queue_jobs_waiting 0.0" in text
    assert worker.terminate() == 0


async def test_workers_that_are_killed_lose_nothing_and_double_nothing(
    client: httpx2.AsyncClient, stored: Stored, start_worker: StartWorker, rows: Rows
) -> None:
    halved = {"frame_stride": 2}
    run_id = await start_run(client, stored, settings=halved)
    chance = random.Random(3)
    for kill in range(3):
        worker = start_worker(shard_frames=6)
        if kill:
            await wait_for_shards(rows, run_id, kill)
        else:
            await asyncio.to_thread(
                rows.until, lambda: rows.state(run_id) != "queued", seconds=90, what="the run is begun"
            )
        await asyncio.sleep(chance.uniform(0, 0.6))
        worker.kill()
    start_worker(shard_frames=6)
    await until(rows, run_id, "completed")
    undisturbed = await start_run(client, stored, settings=halved)
    await until(rows, undisturbed, "completed")
    assert rows.detections(run_id) == rows.detections(undisturbed)
    killed, quiet = await done(client, run_id), await done(client, undisturbed)
    assert (killed.frames_done, killed.frames_total) == (FRAMES // 2, FRAMES // 2)
    assert killed.metrics == quiet.metrics
    assert killed.verdict_reasons == quiet.verdict_reasons


async def test_a_worker_that_was_stopped_and_woken_stores_nothing(
    client: httpx2.AsyncClient, stored: Stored, start_worker: StartWorker, rows: Rows
) -> None:
    run_id = await start_run(client, stored)
    sleeper = start_worker(shard_frames=25)
    await wait_for_shards(rows, run_id, 1, state="running")
    sleeper.send(signal.SIGSTOP)
    other = start_worker(shard_frames=25)
    await wait_for_shards(rows, run_id, 4)
    sleeper.send(signal.SIGCONT)
    await until(rows, run_id, "completed")
    log = sleeper.log.read_text
    await asyncio.to_thread(
        rows.until, lambda: "step was done by another worker" in log(), seconds=30, what="the woken worker gives up"
    )
    undisturbed = await start_run(client, stored)
    await until(rows, undisturbed, "completed")
    assert rows.detections(run_id) == rows.detections(undisturbed)
    tokens = rows.ask("SELECT token FROM shards WHERE run_id = %s ORDER BY number", run_id)
    assert max(tokens) > (1,)
    other.kill()
    # The woken worker works again.
    after = await start_run(client, stored, settings={"frame_stride": 10})
    await until(rows, after, "completed", seconds=40)


async def test_a_worker_that_is_told_to_stop_gives_its_shard_back(
    client: httpx2.AsyncClient, stored: Stored, start_worker: StartWorker, rows: Rows
) -> None:
    run_id = await start_run(client, stored)
    worker = start_worker(shard_frames=100, VRU_WORKER_GRACE_S="0.2")
    await wait_for_shards(rows, run_id, 1, state="running")
    began = time.monotonic()
    assert worker.terminate() == 0
    assert time.monotonic() - began < 8
    ((state, token),) = rows.ask("SELECT state, token FROM shards WHERE run_id = %s", run_id)
    assert (state, token) == ("queued", 1)
    jobs = rows.ask("SELECT status::text FROM procrastinate_jobs WHERE task_name = 'run_shard' AND status = 'todo'")
    assert jobs == [("todo",)]


async def test_a_cancelled_run_stops_soon_and_stores_nothing_more(
    client: httpx2.AsyncClient, stored: Stored, start_worker: StartWorker, rows: Rows
) -> None:
    run_id = await start_run(client, stored)
    worker = start_worker(shard_frames=100)
    await wait_for_shards(rows, run_id, 1, state="running")
    await client.post(f"/runs/{run_id}/cancel")
    log = worker.log.read_text
    # It says so when it stops, and also when the shard was through just before it looked.
    await asyncio.to_thread(rows.until, lambda: "the run is over" in log(), seconds=15, what="the shard stops")
    assert rows.detections(run_id) == []
    assert rows.state(run_id) == "cancelled"


async def test_a_missing_video_fails_the_run_and_is_named(
    client: httpx2.AsyncClient, db: Database, start_worker: StartWorker, rows: Rows, media: Path
) -> None:
    run_id = await start_run(client, await store(db, media, path="videos/gone.mp4"))
    start_worker()
    await until(rows, run_id, "failed", seconds=40)
    run = await done(client, run_id)
    assert run.error
    assert "videos/gone.mp4" in run.error
    assert "Clip" in run.error


@pytest.mark.slow
async def test_a_damaged_part_of_a_video_is_set_aside(
    client: httpx2.AsyncClient, db: Database, start_worker: StartWorker, rows: Rows, media: Path
) -> None:
    whole = (media / "videos" / "street.mp4").read_bytes()
    kept = len(whole) * 6 // 10
    (media / "videos" / "damaged.mp4").write_bytes(whole[:kept] + bytes(len(whole) - kept))
    run_id = await start_run(client, await store(db, media, path="videos/damaged.mp4"), settings={"frame_stride": 10})
    start_worker(shard_frames=5)
    await until(rows, run_id, "completed", seconds=60)
    run = await done(client, run_id)
    (clip,) = run.set_aside
    assert (clip.number, clip.first_frame, clip.last_frame) == (1, 50, 90)
    assert "damaged" in (clip.reason or "")
    assert run.verdict in ("FAIL", "INCONCLUSIVE")
    assert rows.ask("SELECT state, attempts, token FROM shards WHERE run_id = %s AND number = 1", run_id) == [
        ("failed", 3, 3)
    ]


@pytest.mark.slow
async def test_an_ml_engine_that_comes_back_is_waited_for(
    client: httpx2.AsyncClient, stored: Stored, start_worker: StartWorker, rows: Rows, ml_engine: MlEngine
) -> None:
    run_id = await start_run(client, stored, settings={"frame_stride": 5})
    ml_engine.kill()
    start_worker(shard_frames=10)
    query = "SELECT count(*) FROM shards WHERE run_id = %s AND error LIKE '%%cannot be reached%%'"
    await asyncio.to_thread(
        rows.until, lambda: rows.ask(query, run_id) == [(2,)], seconds=40, what="both shards wait for the ML engine"
    )
    ml_engine.start()
    await until(rows, run_id, "completed", seconds=40)
    assert rows.ask("SELECT max(attempts) FROM shards WHERE run_id = %s", run_id) == [(0,)]


@pytest.mark.slow
async def test_a_lost_connection_to_the_database_is_survived(
    client: httpx2.AsyncClient, stored: Stored, start_worker: StartWorker, rows: Rows, postgres
) -> None:
    run_id = await start_run(client, stored)
    start_worker(shard_frames=10)
    for number in (2, 5):
        await wait_for_shards(rows, run_id, number)
        postgres.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE pid <> pg_backend_pid() AND application_name IN ('vru', 'vru-queue')"
        )
    await until(rows, run_id, "completed")
    assert (await done(client, run_id)).frames_done == FRAMES


async def test_a_step_without_a_job_is_found(
    client: httpx2.AsyncClient, stored: Stored, start_worker: StartWorker, rows: Rows
) -> None:
    run_id = await start_run(client, stored, settings={"frame_stride": 10})
    with psycopg.connect(rows.conninfo, autocommit=True) as connection:
        connection.execute("DELETE FROM procrastinate_jobs")
    start_worker()
    await until(rows, run_id, "completed", seconds=40)


async def test_a_woken_worker_s_token_is_outdated(
    client: httpx2.AsyncClient, stored: Stored, db: Database, rows: Rows
) -> None:
    """The fence by itself, without processes."""
    import uuid

    run_id = uuid.UUID(await start_run(client, stored))
    async with db.write() as session:
        await repository.enter(session, run_id, (RunState.QUEUED,), state=RunState.RUNNING)
        (shard_id,) = await repository.add_shards(session, run_id, [(None, 0, 99)])
    async with db.write() as session:
        first = await repository.start_shard(session, shard_id)
    async with db.write() as session:
        second = await repository.start_shard(session, shard_id)
    assert first
    assert second
    assert (first.token, second.token) == (1, 2)
    async with db.write() as session:
        assert not await repository.fenced(session, shard_id, first.token, state="done")
        assert await repository.fenced(session, shard_id, second.token, state="done")
        assert not await repository.fenced(session, shard_id, second.token, state="done")
        assert await repository.start_shard(session, shard_id) is None


async def test_a_worker_without_a_database_waits_and_can_be_told_to_stop(start_worker: StartWorker) -> None:
    worker = start_worker(VRU_DATABASE_PORT=str(free_port()))
    await asyncio.to_thread(answers, worker.url("/health"))
    assert worker.terminate() == 0


@pytest.mark.slow
async def test_a_worker_that_is_there_before_the_database_waits_for_it(
    start_worker: StartWorker, postgres, migrated_template: str
) -> None:
    name = "later"
    worker = start_worker(VRU_DATABASE_NAME=name)
    await asyncio.to_thread(answers, worker.url("/health"))
    log = worker.log.read_text
    await asyncio.to_thread(rows_until, lambda: "waiting for the database" in log())
    postgres.execute("CREATE DATABASE {} TEMPLATE {}", name, migrated_template)
    try:
        await asyncio.to_thread(rows_until, lambda: '"working"' in log())
        assert worker.terminate() == 0
    finally:
        postgres.drop_database(name)


def rows_until(condition) -> None:
    Rows("").until(condition, seconds=90, what="the worker says so")


@pytest.mark.slow
async def test_many_random_kills_of_two_workers(
    client: httpx2.AsyncClient, stored: Stored, start_worker: StartWorker, rows: Rows
) -> None:
    chance = random.Random(11)
    run_ids = [await start_run(client, stored) for _ in range(2)]
    workers = [start_worker(shard_frames=9, concurrency=2) for _ in range(2)]
    for _ in range(12):
        await asyncio.sleep(chance.uniform(0.5, 3.0))
        victim = chance.randrange(2)
        workers[victim].kill()
        workers[victim] = start_worker(shard_frames=9, concurrency=2)
    for run_id in run_ids:
        await until(rows, run_id, "completed", seconds=200)
    undisturbed = await start_run(client, stored)
    await until(rows, undisturbed, "completed", seconds=100)
    expected = rows.detections(undisturbed)
    assert [rows.detections(run_id) == expected for run_id in run_ids] == [True, True]
