"""The engine while models come, change and go: a real server, real ONNX models in their locked processes."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import cv2
import numpy as np
import pytest
from tests.callers import calling
from tests.conftest import free_port, stop
from tests.ml_engine.onnx_models import add_version, constant, served, three_boxes

from vru.ml_engine.lanes import Priority

GREY = np.full((48, 64, 3), 114, np.uint8)
PNG = cv2.imencode(".png", GREY)[1].tobytes()


def _model(root: Path, name: str, score: float) -> None:
    """A version ``NAME/1`` that finds one road user with this score, whatever it sees."""
    outputs = three_boxes() | {"scores": np.array([score, 0, 0], np.float32)}
    add_version(root, name, constant(outputs).SerializeToString())


@dataclass
class Server:
    address: str
    models: Path
    process: subprocess.Popen[bytes]

    def session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(self.address, middlewares=(calling("ml_engine"),))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """``python -m vru.ml_engine`` with one model, ``one/1``; not ready yet."""
    models, port = tmp_path / "models", free_port()
    models.mkdir()
    _model(models, "one", 0.6)
    environment = os.environ | {
        "VRU_ML_ENGINE_PORT": str(port),
        "VRU_MEDIA_DIR": str(tmp_path),
        "VRU_MODELS_DIR": str(models),
        "VRU_ML_CONCURRENCY": "2",
        "VRU_ML_MAX_REQUESTS": "2",
    }
    process = subprocess.Popen([sys.executable, "-m", "vru.ml_engine"], env=environment, stdout=subprocess.DEVNULL)
    yield Server(f"http://127.0.0.1:{port}", models, process)
    stop(process)


async def _ready(session: aiohttp.ClientSession) -> list[int]:
    """Wait until it is ready; every status of ``/ready`` on the way."""
    statuses = []
    for _ in range(900):
        try:
            async with session.get("/ready") as response:
                statuses.append(response.status)
                if response.status == 200:
                    return statuses
        except aiohttp.ClientError:
            pass
        await asyncio.sleep(0.05)
    raise TimeoutError("the ML engine did not become ready")


async def _detect(session: aiohttp.ClientSession, model: str, **parameters: Any) -> tuple[int, Any]:
    async with session.post(f"/models/{model}/detect", params=parameters, data=PNG) as response:
        return response.status, await response.json(content_type=None)


async def _until(session: aiohttp.ClientSession, model: str, status: int) -> None:
    for _ in range(600):
        async with session.get(f"/models/{model}") as response:
            if response.status == status:
                return
        await asyncio.sleep(0.05)
    raise TimeoutError(f"{model} did not become {status}")


async def test_ready_only_when_warm_then_reload_without_a_dropped_request(server: Server) -> None:
    async with server.session() as session:
        statuses = await _ready(session)
        assert statuses[-1] == 200 and set(statuses[:-1]) <= {503}
        assert statuses[0] == 503  # it answers before its models are loaded, and says so
        statuses, scores, ended = [], set(), asyncio.Event()

        async def ask() -> None:
            while not ended.is_set():
                status, answer = await _detect(session, "one/1")
                statuses.append(status)
                scores.add(round(answer["detections"][0]["score"], 2))

        asking = asyncio.create_task(ask())
        try:
            _model(server.models, "two", 0.7)  # a new one
            await _until(session, "two/1", 200)
            (server.models / "one" / "1" / "model.yaml").unlink()  # the same version with other weights
            _rewrite(server.models, "one", 0.9)
            while 0.9 not in scores and not asking.done():
                await asyncio.sleep(0.02)
        finally:
            ended.set()
            await asking
        assert set(statuses) == {200}
        assert scores == {0.6, 0.9}
        (server.models / "two" / "1" / "model.yaml").unlink()  # one that goes
        await _until(session, "two/1", 404)
        text = await _metrics_without(session, 'model="two"')
        assert 'vru_ml_model_info{model="one",provider="CPUExecutionProvider",version="1"} 1.0' in text


async def _metrics_without(session: aiohttp.ClientSession, unwanted: str) -> str:
    """The metrics, once what was unloaded has left nothing behind."""
    for _ in range(600):
        async with session.get("/metrics") as response:
            if unwanted not in (text := await response.text()):
                return text
        await asyncio.sleep(0.05)
    raise TimeoutError(f"the metrics keep {unwanted}")


def _rewrite(root: Path, name: str, score: float) -> None:
    """As ``_model``, in one step: a version is changed by putting another folder in its place."""
    other = root.parent / "other"
    _model(other, name, score)
    old = root.parent / f"old-{name}"
    folder = root / name
    folder.rename(old)
    (other / name).rename(folder)


async def test_too_many_and_too_late_are_told_so(server: Server) -> None:
    async with server.session() as session:
        await _ready(session)
        status, problem = await _detect(session, "one/1", timeout_ms=0.001)
        assert (status, problem["status"]) == (504, 504) and "its time is over" in problem["detail"]

        gate = asyncio.Event()
        requests = [asyncio.create_task(session.post("/models/one/1/detect", data=_slowly(gate))) for _ in range(3)]
        (turned_away,), others = await asyncio.wait(requests, timeout=60, return_when=asyncio.FIRST_COMPLETED)
        response = await turned_away
        assert response.status == 429
        assert 1 <= int(response.headers["Retry-After"]) <= 60
        assert response.content_type == "application/problem+json"
        response.close()
        gate.set()
        for request in others:
            response = await request
            assert response.status == 200
            await response.read()


async def _slowly(gate: asyncio.Event) -> AsyncIterator[bytes]:
    """A picture whose second half comes when it may."""
    yield PNG[:50]
    await gate.wait()
    yield PNG[50:]


async def test_drains_before_it_ends(server: Server) -> None:
    async with server.session() as session:
        await _ready(session)
        gate = asyncio.Event()

        request = asyncio.create_task(session.post("/models/one/1/detect", data=_slowly(gate)))
        await asyncio.sleep(0.5)
        server.process.send_signal(signal.SIGTERM)
        await asyncio.sleep(0.5)
        assert server.process.poll() is None
        gate.set()
        response = await request
        assert response.status == 200 and len((await response.json())["detections"]) == 1
    # uvicorn hands the signal on once all is done.
    assert await asyncio.to_thread(server.process.wait, 60) in (0, -signal.SIGTERM)


async def test_a_model_whose_process_was_killed_answers_the_next_request(server: Server) -> None:
    async with server.session() as session:
        await _ready(session)
        children = [
            int(folder.name) for folder in Path("/proc").glob("[0-9]*") if _is_model_of(folder, server.process.pid)
        ]
        assert len(children) == 1
        os.kill(children[0], signal.SIGKILL)
        status, answer = await _detect(session, "one/1")
        if status != 200:  # it was asked before its end was seen: that request is told, by name
            assert status == 422 and "The model one/1 stopped" in answer["detail"]
            status, answer = await _detect(session, "one/1")
        assert status == 200 and len(answer["detections"]) == 1


def _is_model_of(folder: Path, parent: int) -> bool:
    try:
        stat, command = (folder / "stat").read_text(), (folder / "cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return int(stat.rpartition(")")[2].split()[1]) == parent and b"vru.ml_engine.onnx.held" in command


def test_a_version_in_use_stays_until_it_is_let_go(tmp_path: Path) -> None:
    _model(tmp_path / "models", "one", 0.6)
    with served(tmp_path / "models") as models:
        assert not models.refresh_if_changed()
        with models.use("one") as before:
            _rewrite(tmp_path / "models", "one", 0.9)
            assert models.refresh_if_changed()
            with models.use("one") as after:
                assert after.version.sha256 != before.version.sha256
                for one, score in ((before, 0.6), (after, 0.9)):
                    (found,) = one.lane.put(GREY, Priority.BULK).result(30).seen.found
                    assert round(found.score, 2) == score
