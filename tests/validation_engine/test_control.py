"""Pause, resume, retry, priority, and clips that are set aside. The ML engine is a stand-in for the real one."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx2
import pytest
from tests.callers import Calling
from tests.conftest import free_port, stop
from tests.validation_engine.conftest import FRAMES, REPOSITORY, Rows, Signer, Stored, Worker, answers, store

from vru.service.database.sessions import Database
from vru.service.schemas import RunBody, run_body
from vru.service.settings import ServiceSettings
from vru.validation_engine.app import create_validation_engine

DAMAGED = 33  # lies in clip 3 of ten frames each


@pytest.fixture
def stand_in(tmp_path: Path, video_sha256: str) -> Iterator[str]:
    """The URL of a stand-in for the ML engine that fails at one frame."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.validation.stand_in", str(port), "--frame-s", "0.02"]
    with (tmp_path / "stand_in.log").open("wb") as log:
        command += ["--damaged", str(DAMAGED), "--video-sha256", video_sha256]
        process = subprocess.Popen(command, cwd=REPOSITORY, stdout=log, stderr=log)
    answers(f"http://127.0.0.1:{port}/ready")
    yield f"http://127.0.0.1:{port}"
    stop(process)


@pytest.fixture
async def client(settings: ServiceSettings, stand_in: str) -> AsyncIterator[httpx2.AsyncClient]:
    app = create_validation_engine(
        settings.model_copy(update={"ml_engine_url": stand_in, "database_user": "vru_validation_engine"})
    )
    transport = httpx2.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(
            transport=transport, base_url="http://localhost", auth=Calling("validation_engine")
        ) as client,
    ):
        yield client


@pytest.fixture
async def street(settings: ServiceSettings, media: Path) -> Stored:
    db = Database(settings)
    stored = await store(db, media)
    await db.close()
    return stored


@pytest.fixture
def start_worker(environment: dict[str, str], stand_in: str, signer: Signer, tmp_path: Path):
    workers: list[Worker] = []

    def start(**more: str) -> Worker:
        signer.start()
        given = (
            environment
            | signer.of_workers()
            | {
                "VRU_DATABASE_USER": "vru_validation_worker",
                "VRU_ML_ENGINE_URL": stand_in,
                "VRU_WORKER_METRICS_PORT": str(free_port()),
                "VRU_WORKER_CONCURRENCY": "1",
                "VRU_SHARD_FRAMES": "10",
                "VRU_HEARTBEAT_S": "0.3",
                "VRU_STALLED_AFTER_S": "1.5",
                **more,
            }
        )
        workers.append(Worker(given, tmp_path / f"worker-{len(workers)}.log"))
        return workers[-1]

    yield start
    for worker in workers:
        worker.kill()


async def create(client: httpx2.AsyncClient, stored: Stored, **more: object) -> str:
    response = await client.post("/runs", json=stored.body(model="stand-in", **more))
    assert response.status_code == 201, response.text
    return str(response.json()["id"])


async def get(client: httpx2.AsyncClient, run_id: str) -> RunBody:
    return run_body((await client.get(f"/runs/{run_id}")).json())


async def until(rows: Rows, query: str, expected: object, *arguments: object) -> None:
    await asyncio.to_thread(
        rows.until, lambda: rows.ask(query, *arguments)[0][0] == expected, seconds=60, what=f"{query} is {expected}"
    )


async def until_state(rows: Rows, run_id: str, state: str) -> None:
    await until(rows, "SELECT state FROM runs WHERE id = %s", state, run_id)


async def test_a_clip_that_fails_three_times_is_set_aside_and_named(
    client: httpx2.AsyncClient, street: Stored, start_worker, rows: Rows
) -> None:
    # What any model reaches: without the clip that is missing, the run would pass.
    criterion = {"metric": "latency_resolution_ms", "comparator": "<=", "threshold": 500.0}
    run_id = await create(client, street, criteria=[criterion])
    start_worker()
    await until_state(rows, run_id, "completed")
    run = await get(client, run_id)
    (clip,) = run.set_aside
    assert (clip.number, clip.first_frame, clip.last_frame) == (3, 30, 39)
    assert (clip.first_s, clip.last_s) == (pytest.approx(3.0), pytest.approx(3.9))
    assert clip.reason
    assert f"frame {DAMAGED} is damaged" in clip.reason
    assert run.frames_done == FRAMES - 10
    assert {frame for frame, *_ in rows.detections(run_id)} == set(range(FRAMES)) - set(range(30, 40))
    assert rows.ask("SELECT attempts, token FROM shards WHERE run_id = %s AND number = 3", run_id) == [(3, 3)]
    assert run.verdict == "INCONCLUSIVE"
    assert run.verdict_reasons
    assert [reason.verdict for reason in run.verdict_reasons] == ["PASS"]
    assert run.notes
    assert run.notes[0].startswith("Clip 3 (frames 30 to 39, 3.000 to 3.900 s) could not be processed:")
    assert run.model_sha256 == "0" * 64
    # Nobody looked for false alarms in that second.
    assert run.metrics
    resolution = next(m for m in run.metrics.measurements if m.metric == "latency_resolution_ms" and m.slice == "all")
    assert resolution.value == pytest.approx(100)


async def test_a_run_without_any_clip_left_fails(
    client: httpx2.AsyncClient, street: Stored, start_worker, rows: Rows
) -> None:
    run_id = await create(client, street)
    start_worker(VRU_SHARD_FRAMES="100")
    await until_state(rows, run_id, "failed")
    run = await get(client, run_id)
    assert run.error
    assert "No clip of the run could be processed" in run.error
    assert f"frame {DAMAGED} is damaged" in run.error


async def test_a_clip_that_takes_its_workers_with_it_is_set_aside_and_no_other_is(
    client: httpx2.AsyncClient, street: Stored, start_worker, rows: Rows
) -> None:
    run_id = await create(client, street)
    running = "SELECT count(*) FROM shards WHERE run_id = %s AND number = 7 AND state = 'running' AND deaths = %s"
    for deaths in range(3):
        worker = start_worker(VRU_WORKER_CONCURRENCY="4")
        await until(rows, running, 1, run_id, deaths)
        worker.kill()
    start_worker()
    await until_state(rows, run_id, "completed")
    named = {clip.number: clip.reason or "" for clip in (await get(client, run_id)).set_aside}
    assert set(named) == {3, 7}
    assert named[7].startswith("3 workers died")
    assert "damaged" in named[3]


async def test_a_paused_run_starts_no_clip_until_it_is_resumed(
    client: httpx2.AsyncClient, street: Stored, start_worker, rows: Rows
) -> None:
    run_id = await create(client, street)
    start_worker()
    await until(rows, "SELECT count(*) > 0 FROM shards WHERE run_id = %s AND state = 'done'", True, run_id)
    paused = await client.post(f"/runs/{run_id}/pause")
    assert paused.status_code == 200
    assert paused.json()["paused_at"]
    again = await client.post(f"/runs/{run_id}/pause")
    assert again.status_code == 409
    assert "paused already" in again.json()["detail"]
    await until(rows, "SELECT count(*) FROM shards WHERE run_id = %s AND state = 'running'", 0, run_id)
    before = await get(client, run_id)
    # Longer than a sweep and than many clips: nothing finds a reason to go on.
    await asyncio.sleep(2.5)
    after = await get(client, run_id)
    assert after.frames_done == before.frames_done < FRAMES
    assert rows.ask("SELECT count(*) FROM procrastinate_jobs") == [(0,)]
    assert (await client.post(f"/runs/{run_id}/resume")).json()["paused_at"] is None
    assert (await client.post(f"/runs/{run_id}/resume")).status_code == 409
    await until_state(rows, run_id, "completed")
    assert (await client.post(f"/runs/{run_id}/pause")).status_code == 409


async def test_a_run_that_waits_can_be_paused(client: httpx2.AsyncClient, street: Stored, rows: Rows) -> None:
    run_id = await create(client, street)
    await client.post(f"/runs/{run_id}/pause")
    assert rows.ask("SELECT count(*) FROM procrastinate_jobs") == [(0,)]
    await client.post(f"/runs/{run_id}/resume")
    assert rows.ask("SELECT task_name FROM procrastinate_jobs") == [("prepare_run",)]


async def test_a_retried_run_continues_with_what_is_done(
    client: httpx2.AsyncClient, street: Stored, start_worker, rows: Rows
) -> None:
    run_id = await create(client, street)
    assert (await client.post(f"/runs/{run_id}/retry")).status_code == 409
    start_worker()
    await until(rows, "SELECT count(*) > 1 FROM shards WHERE run_id = %s AND state = 'done'", True, run_id)
    await client.post(f"/runs/{run_id}/cancel")
    await until(rows, "SELECT count(*) FROM procrastinate_jobs", 0)
    done = rows.ask("SELECT id, token FROM shards WHERE run_id = %s AND state = 'done' ORDER BY number", run_id)
    answered = await asyncio.gather(*(client.post(f"/runs/{run_id}/retry") for _ in range(2)))
    assert sorted(response.status_code for response in answered) == [200, 409]
    await until_state(rows, run_id, "completed")
    run = await get(client, run_id)
    assert run.frames_done == FRAMES - 10
    assert run.error is None
    found = rows.detections(run_id)
    assert len(found) == len(set(found)) == (FRAMES - 10) * 5
    tokens = dict(rows.ask("SELECT id, token FROM shards WHERE run_id = %s", run_id))
    assert [(shard, tokens[shard]) for shard, _ in done] == done
    over = await client.post(f"/runs/{run_id}/retry")
    assert over.status_code == 409
    assert over.json()["fix"] == "Start a new run."


async def test_clips_of_the_run_with_the_highest_priority_are_next(
    client: httpx2.AsyncClient, street: Stored, start_worker, rows: Rows
) -> None:
    low = await create(client, street)
    high = await create(client, street, priority=5)
    raised = await create(client, street)
    changed = await client.patch(f"/runs/{raised}", json={"priority": 9})
    assert changed.json()["priority"] == 9
    assert (await client.patch(f"/runs/{low}", json={"priority": 101})).status_code == 422
    start_worker()
    for run_id in (low, high, raised):
        await until_state(rows, run_id, "completed")
    first = "SELECT run_id::text FROM shards WHERE number = 0 ORDER BY started_at"
    assert [row[0] for row in rows.ask(first)] == [raised, high, low]
    assert (await client.patch(f"/runs/{low}", json={"priority": 1})).status_code == 409


async def test_who_follows_a_run_hears_of_a_pause(client: httpx2.AsyncClient, street: Stored) -> None:
    run_id = await create(client, street)
    following = asyncio.create_task(client.get(f"/runs/{run_id}/events"))
    await asyncio.sleep(0.5)
    for action in ("pause", "resume", "cancel"):
        await client.post(f"/runs/{run_id}/{action}")
        await asyncio.sleep(0.2)
    text = (await asyncio.wait_for(following, 10)).text
    heard = [line for line in text.splitlines() if line.startswith("data: ")]
    assert ['"paused":true' in line.replace(" ", "") for line in heard] == [False, True, False, False]
    assert '"cancelled"' in heard[-1]
