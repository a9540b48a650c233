"""The readers of the ML engine and of the camera service, and the services themselves, under hostile files."""

import asyncio
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import aiohttp
import cv2
import numpy as np
import pytest
from tests.callers import calling
from tests.conftest import free_port, stop
from tests.sandbox import corpus
from tests.sandbox.test_hostile_files import CHEAP, over_a_limit

from vru.media.facts import TableFacts
from vru.sandbox.errors import FileRefusedError, FileUnreadableError
from vru.sandbox.limits import MEBIBYTE, Limits
from vru.sandbox.pool import Sandbox

VIDEOS = [item for item in corpus.CORPUS if item.kind == "video"]
# With what lies in shared memory still less than 300 MB.
CHEAP_PICTURES = Limits(memory_bytes=CHEAP.memory_bytes, cpu_s=5.0, wall_s=60.0, shared_bytes=16 * MEBIBYTE)
_MODELS = Path(__file__).parents[2] / "models"


@pytest.fixture(scope="module")
def readers() -> Iterator[Sandbox]:
    sandbox = Sandbox(["vru.media.frames", "vru.media.images"], children=2, niceness=0)
    assert asyncio.run(sandbox.start()) == {}
    yield sandbox
    sandbox.close()


def _detected(readers: Sandbox, file: Path) -> int:
    """Read every frame as the ML engine does; how many there are."""
    table = readers.call("vru.media.frames:frame_table", file, TableFacts, limits=CHEAP, name="video")
    asked = {"wanted": table.pts, "entry": None, "first": 0, "step": 1}
    frames = readers.stream("vru.media.frames:frames", file, int, limits=CHEAP_PICTURES, name="video", **asked)
    with closing(frames):
        return sum(1 for _ in frames)


def _played(readers: Sandbox, file: Path) -> int:
    """Read every frame as the camera service does; how many there are."""
    frames = readers.stream("vru.media.frames:play", file, float, limits=CHEAP_PICTURES, name="video")
    with closing(frames):
        return sum(1 for _ in frames)


@pytest.mark.parametrize("read", [_detected, _played])
@pytest.mark.parametrize("item", VIDEOS, ids=lambda item: item.name)
def test_hostile_videos_are_refused_cheaply(readers, item, read, tmp_path):
    """Seconds of processor time and memory are limited: nothing but what is marked so may need that to be stopped."""
    file = tmp_path / "file"
    file.write_bytes(item.make())
    try:
        frames = read(readers, file)
    except FileRefusedError as error:
        assert error.message
        assert error.fix
        assert error.status == 422
    except FileUnreadableError as error:
        assert item.by_limit or not over_a_limit(error), error.message
    else:
        # A player shows what is there of a file that is cut short; the gateway has refused it before.
        assert item.may_be_read or frames <= 20


def _image(width: int, height: int, rows: int) -> bytes:
    return corpus.png(width, height, bytes((width + 1) * rows))


HOSTILE_IMAGES = {
    "nothing": b"",
    "text": b"text",
    "a PNG of 30000x30000": _image(30_000, 30_000, 100),
    "a PNG of 2147483647x1": _image(2**31 - 1, 1, 0),
    "a PNG of 0x0": _image(0, 0, 0),
    "a PNG without rows": _image(2000, 2000, 0),
    "a PNG cut short": _image(2000, 2000, 2000)[:100],
    "a JPEG's first bytes": b"\xff\xd8\xff\xe0",
    "a JPEG of markers": b"\xff\xd8" + b"\xff\xe0\x00\x02" * 500_000,
    "a JPEG of fill bytes": b"\xff\xd8" + b"\xff" * 2_000_000,
    "a JPEG with an endless segment": b"\xff\xd8\xff\xe0\x00\x00" * 100_000,
}


@pytest.mark.parametrize("name", HOSTILE_IMAGES)
def test_hostile_images_are_refused_cheaply(readers, name, tmp_path):
    file = tmp_path / "file"
    file.write_bytes(HOSTILE_IMAGES[name])
    limits = Limits(memory_bytes=CHEAP.memory_bytes, cpu_s=5.0, wall_s=60.0, shared_bytes=48 * MEBIBYTE)
    arguments = {"limits": limits, "max_pixels": 16_000_000}
    with closing(readers.stream("vru.media.images:decode", file, type(None), **arguments)) as pictures:
        try:
            assert next(pictures)[1].shape == (2000, 2000, 3)
        except FileRefusedError as error:
            assert error.fix
            assert error.status in (413, 422)
        else:
            assert name == "a PNG without rows"


def _start(module: str, **places: object) -> tuple[subprocess.Popen[bytes], str]:
    port = free_port()
    environment = os.environ | {f"VRU_{name}": str(value) for name, value in places.items()}
    environment[f"VRU_{module.upper()}_PORT"] = str(port)
    process = subprocess.Popen([sys.executable, "-m", f"vru.{module}"], env=environment, stdout=subprocess.DEVNULL)
    return process, f"http://127.0.0.1:{port}"


async def _wait_ready(address: str) -> None:
    async with aiohttp.ClientSession(address) as session:
        for _ in range(600):
            try:
                async with session.get("/ready") as response:
                    if response.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.1)
    raise TimeoutError(address)


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A media store that holds a sound video and the hostile ones, as if somebody had got them past the gateway."""
    folder = tmp_path_factory.mktemp("media")
    (folder / "sound.mp4").write_bytes(corpus.video("mp4", "libx264"))
    for number, item in enumerate(VIDEOS):
        (folder / f"{number}.mp4").write_bytes(item.make())
    return folder


@pytest.fixture(scope="module")
def ml_engine(media: Path) -> Iterator[tuple[int, str]]:
    process, address = _start("ml_engine", MEDIA_DIR=media, MODELS_DIR=_MODELS)
    try:
        asyncio.run(_wait_ready(address))
        yield process.pid, address
    finally:
        stop(process)


@pytest.fixture
async def engine(ml_engine: tuple[int, str]) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(ml_engine[1], middlewares=(calling("ml_engine"),)) as session:
        yield session


async def _detect(engine: aiohttp.ClientSession, path: str, last: int = 19) -> tuple[int, str]:
    """The status, and all that was said; a wrong end of a stream is told as 422."""
    body = {"path": path, "last_frame": last}
    async with engine.post("/models/opencv-hog/1/detect-video", json=body) as response:
        return response.status, await response.text()


async def _answers_while(address: str, work: "asyncio.Future[Any]") -> list[float]:
    """Seconds that ``/ready`` takes, again and again, until the work is done."""
    times: list[float] = []
    async with aiohttp.ClientSession(address) as session:
        while not work.done():
            began = time.perf_counter()
            async with session.get("/ready") as response:
                assert response.status == 200
            times.append(time.perf_counter() - began)
            await asyncio.sleep(0.02)
    return times


def _assert_prompt(idle: list[float], meanwhile: list[float]) -> None:
    # A machine that is busy with other things answers late even without files: then the median is asked.
    busy = os.getloadavg()[0] >= (os.cpu_count() or 1)
    slow = sorted(meanwhile)[int((0.5 if busy else 0.95) * len(meanwhile))]
    assert slow < max(0.2, 5 * statistics.median(idle)), sorted(meanwhile)[-5:]


NASTIEST = ("four PNG frames of 8000x8000", "PNG of 65535x65535", "10000000 samples of one size", "boxes in boxes")


async def test_the_engine_answers_while_it_refuses_hostile_videos(ml_engine, engine):
    idle = await _answers_while(ml_engine[1], asyncio.ensure_future(asyncio.sleep(1)))
    nasty = [number for number, item in enumerate(VIDEOS) if item.name in NASTIEST]
    assert len(nasty) == len(NASTIEST)
    work = asyncio.gather(*(_detect(engine, f"{number}.mp4") for number in nasty))
    meanwhile = await _answers_while(ml_engine[1], work)
    for status, text in await work:
        assert status == 422 or '"error":"' in text, text
    _assert_prompt(idle, meanwhile)
    status, text = await _detect(engine, "sound.mp4")
    assert status == 200
    assert '"frames":20,"error":null' in text


def _children(parent: int) -> dict[int, str]:
    """The children of a process, and what they are."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if int((folder / "stat").read_text().rpartition(")")[2].split()[1]) == parent:
                found[int(folder.name)] = (folder / "cmdline").read_bytes().decode().replace("\0", " ")
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


async def test_a_reader_that_is_killed_in_the_middle_is_named_and_the_next_request_works(ml_engine, engine, media):
    long = media / "long.mp4"
    if not long.exists():
        long.write_bytes(corpus.video("mp4", "libx264", 1920, 1080, 150))
    body = {"path": "long.mp4", "last_frame": 149}
    async with engine.post("/models/opencv-hog/1/detect-video", json=body) as response:
        assert response.status == 200
        await response.content.readline()
        for pid, what in _children(ml_engine[0]).items():
            if "vru.media.frames" in what:
                os.kill(pid, signal.SIGKILL)
        *_, end = [line async for line in response.content]
    assert b"long.mp4 cannot be read: its reader was killed" in end
    status, text = await _detect(engine, "sound.mp4")
    assert (status, '"frames":20,"error":null' in text) == (200, True)


async def test_an_image_reader_that_is_killed_is_replaced(ml_engine, engine):
    picture = cv2.imencode(".png", np.zeros((64, 64, 3), np.uint8))[1].tobytes()
    for _ in range(2):
        async with engine.post("/models/opencv-hog/1/detect", data=picture) as response:
            assert response.status == 200
        for pid, what in _children(ml_engine[0]).items():
            if "vru.media.images" in what:
                os.kill(pid, signal.SIGKILL)
                while Path(f"/proc/{pid}/fd").exists() and any(Path(f"/proc/{pid}/fd").iterdir()):
                    await asyncio.sleep(0.05)


async def test_the_camera_service_answers_while_it_refuses_hostile_videos(media, tmp_path):
    process, address = _start("camera_service", MEDIA_DIR=media, CAMERA_STATE_DIR=tmp_path)
    try:
        await _wait_ready(address)
        async with aiohttp.ClientSession(address, middlewares=(calling("camera_service"),)) as session:
            idle = await _answers_while(address, asyncio.ensure_future(asyncio.sleep(1)))

            async def run(path: str) -> tuple[int, dict[str, Any]]:
                camera = {"name": path, "kind": "file", "source": path}
                async with session.post("/cameras", json=camera) as response:
                    number = (await response.json())["id"]
                async with session.post(f"/cameras/{number}/start") as response:
                    return response.status, await response.json()

            nasty = [number for number, item in enumerate(VIDEOS) if item.name in NASTIEST]
            work = asyncio.gather(*(run(f"{number}.mp4") for number in nasty))
            meanwhile = await _answers_while(address, work)
            assert [status for status, _ in await work] == [409] * len(nasty)
            _assert_prompt(idle, meanwhile)
            status, camera = await run("sound.mp4")
            assert (status, camera["state"]) == (200, "running")
            for pid, what in _children(process.pid).items():
                if "vru.media.frames" in what:
                    os.kill(pid, signal.SIGKILL)
            await _until_failed(session, camera["id"])
            async with session.post(f"/cameras/{camera['id']}/start") as response:
                assert (response.status, (await response.json())["state"]) == (200, "running")
    finally:
        stop(process)


async def _until_failed(session: aiohttp.ClientSession, camera: str) -> None:
    for _ in range(300):
        async with session.get(f"/cameras/{camera}") as response:
            body = await response.json()
        if body["state"] == "failed":
            assert "its reader was killed" in body["error"]
            return
        await asyncio.sleep(0.1)
    raise TimeoutError(body)


@pytest.mark.parametrize("module", ["vru.ml_engine.app", "vru.ml_engine.cli.run_detect", "vru.camera_service.sources"])
def test_who_only_looks_at_pictures_has_no_decoder_of_videos(module):
    allowed = "vru.scenes" if "camera" in module else "nothing"
    program = (
        "import sys\n"
        f"if {allowed!r} != 'nothing': import vru.scenes\n"
        "before = set(sys.modules)\n"
        f"import {module}\n"
        "print([name for name in set(sys.modules) - before if name == 'av' or name == 'onnx'])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
