"""Workers and the engine are killed, stopped and woken at random; the ML engine is a stand-in that looks at no picture.

What breaks here is the workflow: queue, fence and recovery, with real processes, PostgreSQL and Redis.
"""

import asyncio
import contextlib
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from tests.callers import Calling
from tests.conftest import free_port, stop
from tests.validation_engine.conftest import FRAMES, REPOSITORY, Rows, Signer, Stored, Worker, answers, store

from vru.service.database.sessions import Database
from vru.service.settings import ServiceSettings

STALLED_S = 1.5
SEED = 20


class Processes:
    """The stand-in, the validation engine and the workers; whatever is still there in the end is killed."""

    def __init__(self, environment: dict[str, str], signer: Signer, video_sha256: str, folder: Path) -> None:
        self.folder = folder
        self.workers: list[Worker] = []
        self.asleep: dict[int, float] = {}
        self.stand_in_port, self.engine_port = free_port(), free_port()
        signer.start()
        self.environment = (
            environment
            | signer.of_workers()
            | {
                "VRU_ML_ENGINE_URL": f"http://127.0.0.1:{self.stand_in_port}",
                "VRU_VALIDATION_ENGINE_PORT": str(self.engine_port),
                "VRU_BIND_HOST": "127.0.0.1",
                "VRU_WORKER_CONCURRENCY": "2",
                "VRU_SHARD_FRAMES": "10",
                "VRU_HEARTBEAT_S": "0.3",
                "VRU_STALLED_AFTER_S": str(STALLED_S),
                # A worker that is killed from outside looks like one that its clip has killed.
                "VRU_CLIP_TRIES": "1000",
            }
        )
        options = ("--frame-s", "0.06", "--video-sha256", video_sha256)
        self.stand_in = self._run("benchmarks.validation.stand_in", str(self.stand_in_port), *options)
        answers(f"http://127.0.0.1:{self.stand_in_port}/ready")
        self.engine = self._run("vru.validation_engine")

    def _run(self, module: str, *arguments: str) -> "subprocess.Popen[bytes]":
        with (self.folder / f"{module}.log").open("ab") as log:
            command = [sys.executable, "-m", module, *arguments]
            return subprocess.Popen(command, env=self.environment, cwd=REPOSITORY, stdout=log, stderr=log)

    def kill_engine(self) -> None:
        self.engine.kill()
        self.engine.wait()
        self.engine = self._run("vru.validation_engine")

    def start_worker(self) -> Worker:
        given = self.environment | {"VRU_WORKER_METRICS_PORT": str(free_port())}
        return Worker(given, self.folder / f"worker-{time.monotonic_ns()}.log")

    def kill_worker(self, number: int) -> None:
        self.asleep.pop(number, None)
        self.workers[number].kill()
        self.workers[number] = self.start_worker()

    def stop_worker(self, number: int) -> None:
        """Stop it for longer than its jobs stay its own."""
        self.workers[number].send(signal.SIGSTOP)
        self.asleep[number] = time.monotonic() + 2 * STALLED_S

    def wake(self, *, everyone: bool = False) -> None:
        for number, until in list(self.asleep.items()):
            if everyone or time.monotonic() >= until:
                self.workers[number].send(signal.SIGCONT)
                del self.asleep[number]

    def end(self) -> None:
        self.wake(everyone=True)
        for worker in self.workers:
            worker.kill()
        stop(self.engine)
        stop(self.stand_in)


@pytest.fixture
def processes(environment: dict[str, str], signer: Signer, video_sha256: str, tmp_path: Path) -> Iterator[Processes]:
    running = Processes(environment, signer, video_sha256, tmp_path)
    yield running
    running.end()


@pytest.fixture
async def street(settings: ServiceSettings, media: Path) -> Stored:
    db = Database(settings)
    stored = await store(db, media)
    await db.close()
    return stored


async def ask_for_a_run(client: httpx2.AsyncClient, stored: Stored) -> None:
    """The engine may be gone at any moment, also between storing a run and saying so."""
    with contextlib.suppress(httpx2.TransportError):
        response = await client.post("/runs", json=stored.body(model="stand-in"))
        assert response.status_code in (201, 503), response.text


@pytest.mark.parametrize(
    ("kills", "stops"), [(10, 3), pytest.param(50, 10, marks=[pytest.mark.slow, pytest.mark.timeout(600)])]
)
async def test_random_kills_and_stops_lose_nothing_and_double_nothing(
    processes: Processes, street: Stored, rows: Rows, kills: int, stops: int
) -> None:
    chance = random.Random(SEED)
    processes.workers = [processes.start_worker() for _ in range(3)]
    url = f"http://127.0.0.1:{processes.engine_port}"
    await asyncio.to_thread(answers, f"{url}/ready")
    unfinished = "SELECT count(*) FROM runs WHERE state NOT IN ('completed', 'failed', 'cancelled')"

    def over() -> bool:
        processes.wake()
        return rows.ask(unfinished) == [(0,)]

    async with httpx2.AsyncClient(base_url=url, auth=Calling("validation_engine"), timeout=5) as client:
        await ask_for_a_run(client, street)
        await asyncio.to_thread(rows.until, over, seconds=60, what="the undisturbed run is over")
        ((undisturbed,),) = rows.ask("SELECT id FROM runs")

        blows = ["kill"] * kills + ["stop"] * stops
        chance.shuffle(blows)
        for blow in blows:
            while int(str(rows.ask(unfinished)[0][0])) < 3:
                await ask_for_a_run(client, street)
                await asyncio.sleep(0.05)
            await asyncio.sleep(chance.uniform(0.1, 1.0))
            processes.wake()
            victim = chance.randrange(4)  # the fourth is the engine
            if blow == "stop":
                processes.stop_worker(victim % 3)
            elif victim == 3:
                processes.kill_engine()
            else:
                processes.kill_worker(victim)
        await asyncio.to_thread(rows.until, over, seconds=120, what="all runs are over")

    expected = rows.detections(str(undisturbed))
    assert len(expected) == FRAMES * 5
    runs = rows.ask("SELECT id, state, error, frames_done, metrics FROM runs")
    assert len(runs) > 3
    figures = next(run[4] for run in runs if run[0] == undisturbed)
    for run_id, *outcome in runs:
        assert outcome == ["completed", None, FRAMES, figures]
        assert rows.detections(str(run_id)) == expected
    ((deaths, tries),) = rows.ask("SELECT sum(deaths), max(token) FROM shards")
    assert int(str(deaths)) > 0  # some blows did hit a clip
    assert int(str(tries)) > 1
