"""The ML engine as it runs: a real server process, real requests."""

import asyncio
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import cv2
import numpy as np
import pytest
from tests.callers import calling
from tests.conftest import free_port, stop

from vru.ml_engine.hog import HogDetector, HogParameters
from vru.ml_engine.readers import Readers
from vru.ml_engine.repository import ModelRepository
from vru.scenes import Scene
from vru.service.opened import opened
from vru.service.schemas import FrameDetections, StreamEnd

DETECT = "/models/opencv-hog/1/detect"
DETECT_VIDEO = "/models/opencv-hog/1/detect-video"
VIDEO = "videos/crossing.mp4"


@pytest.fixture(scope="module")
def server(media_dir: Path, models_dir: Path) -> Iterator[str]:
    """The address of ``python -m vru.ml_engine``."""
    port = free_port()
    environment = os.environ | {
        "VRU_ML_ENGINE_PORT": str(port),
        "VRU_MEDIA_DIR": str(media_dir),
        "VRU_MODELS_DIR": str(models_dir),
        "VRU_ML_CONCURRENCY": "2",
        "VRU_ML_MAX_IMAGE_MB": "1",
        "VRU_ML_MAX_IMAGE_MEGAPIXELS": "4",
    }
    process = subprocess.Popen([sys.executable, "-m", "vru.ml_engine"], env=environment, stdout=subprocess.DEVNULL)
    try:
        asyncio.run(_wait_ready(f"http://127.0.0.1:{port}"))
        yield f"http://127.0.0.1:{port}"
    finally:
        stop(process)


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
    raise TimeoutError("the ML engine did not become ready")


@pytest.fixture
async def client(server: str) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(server, middlewares=(calling("ml_engine"),)) as session:
        yield session


async def _frames(client: aiohttp.ClientSession, **request: Any) -> tuple[list[FrameDetections], StreamEnd]:
    async with client.post(DETECT_VIDEO, json={"path": VIDEO} | request) as response:
        assert response.status == 200, await response.text()
        assert response.content_type == "application/x-ndjson"
        *lines, end = (await response.text()).splitlines()
    return [FrameDetections.model_validate_json(line) for line in lines], StreamEnd.model_validate_json(end)


async def test_lists_models(client: aiohttp.ClientSession) -> None:
    async with client.get("/models") as response:
        models = await response.json()
    assert models["total"] == len(models["items"]) == 1
    assert models["items"][0]["name"] == "opencv-hog"
    assert len(models["items"][0]["sha256"]) == 64
    assert models["items"][0]["provider"] == "OpenCV"
    assert models.pop("unusable") == []
    async with client.get("/models/opencv-hog") as response:
        assert await response.json() == models
    async with client.get("/models/opencv-hog/1") as response:
        assert await response.json() == models["items"][0]


@pytest.mark.parametrize("path", ["/models/yolo", "/models/yolo/1", "/models/opencv-hog/2"])
async def test_unknown_model_is_404_and_says_what_there_is(client: aiohttp.ClientSession, path: str) -> None:
    async with client.get(path) as response:
        problem = await response.json()
    assert response.status == 404
    assert response.content_type == "application/problem+json"
    assert ("yolo" if "yolo" in path else "'2'") in problem["detail"]
    assert problem["fix"].startswith("There is:")


async def test_unknown_model_is_404_for_a_video_too(client: aiohttp.ClientSession) -> None:
    async with client.post("/models/yolo/1/detect-video", json={"path": VIDEO, "last_frame": 0}) as response:
        assert response.status == 404


@pytest.mark.parametrize("extension", [".jpg", ".png"])
async def test_detects_in_an_image(client: aiohttp.ClientSession, crossing: Scene, extension: str) -> None:
    frame = crossing.frame(45)
    data = cv2.imencode(extension, frame.image)[1].tobytes()
    async with client.post(DETECT, data=data) as response:
        answer = await response.json()
    assert response.status == 200
    assert (answer["width"], answer["height"]) == (640, 360)
    assert len(answer["detections"]) >= 2
    assert all(detection["score"] >= 0.5 for detection in answer["detections"])
    async with client.post(DETECT, params={"score_threshold": 0}, data=data) as response:
        assert len((await response.json())["detections"]) > len(answer["detections"])


async def test_image_that_is_none_or_damaged_or_too_large_is_refused(
    client: aiohttp.ClientSession, crossing: Scene
) -> None:
    png = cv2.imencode(".png", crossing.frame(0).image)[1].tobytes()
    huge = png[:16] + (30_000).to_bytes(4, "big") * 2 + png[24:]
    for data, status, word in (
        (b"", 422, "not a JPEG or PNG"),
        (b"text", 422, "not a JPEG or PNG"),
        (png[:5000], 422, "damaged"),
        (huge, 413, "30000 x 30000"),
        (bytes(2 * 1024 * 1024), 413, "larger than 1 MiB"),
    ):
        async with client.post(DETECT, data=data) as response:
            problem = await response.json(content_type="application/problem+json")
        assert response.status == problem["status"] == status
        assert word in problem["detail"]


async def test_a_video_that_is_written_to_while_it_is_read_is_an_error(
    client: aiohttp.ClientSession, media_dir: Path
) -> None:
    changing = media_dir / "videos" / "changing.mp4"
    shutil.copy(media_dir / VIDEO, changing)
    request = {"path": "videos/changing.mp4", "first_frame": 0, "last_frame": 40, "score_threshold": 0.0}
    async with client.post(DETECT_VIDEO, json=request) as response:
        await response.content.readline()
        with changing.open("ab") as file:
            file.write(b"more")
        *_, last = [line async for line in response.content]
    assert "changing.mp4 was changed while it was read" in (StreamEnd.model_validate_json(last).error or "")


async def test_video_gives_what_the_detector_gives_frame_by_frame(
    client: aiohttp.ClientSession, media_dir: Path, models_dir: Path, readers: Readers
) -> None:
    frames, end = await _frames(client, first_frame=38, last_frame=43)
    version = ModelRepository(models_dir).get("opencv-hog")
    sha256 = hashlib.sha256((media_dir / VIDEO).read_bytes()).hexdigest()
    assert end == StreamEnd(frames=6, video_sha256=sha256, model_sha256=version.sha256, provider="OpenCV")
    detector = HogDetector(HogParameters.model_validate(version.card.parameters))
    with opened(media_dir / VIDEO) as file:
        pictures = list(readers.frames(file, 38, 43))
    for frame, picture in zip(frames, pictures, strict=True):
        assert (frame.frame_index, frame.time_s) == (picture.frame_index, picture.time_s)
        found = detector.detect(picture.image)
        assert [(one.score, one.x, one.y, one.width, one.height) for one in frame.detections] == [
            (one.score, *one.box.as_tuple()) for one in found
        ]
        assert all((one.frame_index, one.time_s) == (frame.frame_index, frame.time_s) for one in frame.detections)


async def test_range_with_stride_equals_slice_of_the_whole(client: aiohttp.ClientSession) -> None:
    whole, end = await _frames(client, last_frame=59, score_threshold=0.3)
    assert end.frames == 60
    assert end.provider == "OpenCV"
    assert [frame.time_s for frame in whole] == [index / 10 for index in range(60)]
    part, end = await _frames(client, first_frame=21, last_frame=50, frame_stride=4, score_threshold=0.3)
    assert part == whole[21:51:4]
    assert end.frames == len(part) == 8


@pytest.mark.parametrize(
    ("request_body", "status", "word"),
    [
        ({"path": VIDEO, "last_frame": 60}, 422, "0 to 59"),
        ({"path": VIDEO, "first_frame": 5, "last_frame": 4}, 422, "no frames 5 to 4"),
        ({"path": "videos/gone.mp4", "last_frame": 0}, 404, "videos/gone.mp4"),
        ({"path": "../../etc/passwd", "last_frame": 0}, 422, "media directory"),
        ({"path": "/etc/passwd", "last_frame": 0}, 422, "media directory"),
        ({"path": VIDEO, "last_frame": 0, "frame_strid": 2}, 422, "frame_strid"),
    ],
)
async def test_bad_request_is_a_problem_before_the_stream(
    client: aiohttp.ClientSession, request_body: dict[str, Any], status: int, word: str
) -> None:
    async with client.post(DETECT_VIDEO, json=request_body) as response:
        problem = await response.json(content_type="application/problem+json")
    assert response.status == status
    assert word in f"{problem['detail']} {problem.get('fix')}"


async def test_damaged_video_ends_the_stream_with_an_error(client: aiohttp.ClientSession, media_dir: Path) -> None:
    data = bytearray((media_dir / VIDEO).read_bytes())
    half = (data.index(b"mdat") + len(data)) // 2
    data[half:] = bytes(len(data) - half)
    (media_dir / "videos" / "damaged.mp4").write_bytes(data)
    frames, end = await _frames(client, path="videos/damaged.mp4", last_frame=59)
    assert end.frames == len(frames) < 60
    assert "damaged" in str(end.error)


async def _looked_at(client: aiohttp.ClientSession) -> float:
    async with client.get("/metrics") as response:
        lines = (await response.text()).splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("vru_ml_frames_total{"))


async def test_work_ends_when_the_client_goes_away(client: aiohttp.ClientSession, server: str) -> None:
    before = await _looked_at(client)
    async with aiohttp.ClientSession(server, middlewares=(calling("ml_engine"),)) as leaving:
        response = await leaving.post(DETECT_VIDEO, json={"path": VIDEO, "last_frame": 59})
        first = json.loads(await response.content.readline())
        assert first["frame_index"] == 0
        response.close()
    last, now = -1.0, await _looked_at(client)
    while now != last:  # on a busy machine the frames in work may take a while
        await asyncio.sleep(1.5)
        last, now = now, await _looked_at(client)
    assert now - before < 40


async def test_answers_while_a_video_is_worked_on(client: aiohttp.ClientSession) -> None:
    working = asyncio.create_task(_frames(client, last_frame=40))
    slowest = 0.0
    while not working.done():
        began = time.perf_counter()
        async with client.get("/health") as response:
            assert response.status == 200
        slowest = max(slowest, time.perf_counter() - began)
        await asyncio.sleep(0.05)
    frames, _ = await working
    assert len(frames) == 41
    assert slowest < 1.0


async def test_a_wrong_card_makes_its_model_unusable_and_the_others_run(models_dir: Path, tmp_path: Path) -> None:
    models = tmp_path / "models"
    shutil.copytree(models_dir, models)
    (models / "m" / "1").mkdir(parents=True)
    (models / "m" / "1" / "model.yaml").write_text("name: m\n")
    port = free_port()
    places = {"VRU_ML_ENGINE_PORT": str(port), "VRU_MODELS_DIR": str(models), "VRU_MEDIA_DIR": str(tmp_path)}
    process = subprocess.Popen(
        [sys.executable, "-m", "vru.ml_engine"], env=os.environ | places, stdout=subprocess.DEVNULL
    )
    try:
        await _wait_ready(f"http://127.0.0.1:{port}")
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}", middlewares=(calling("ml_engine"),)) as session:
            async with session.get("/models/m/1") as response:
                assert response.status == 422
                assert response.content_type == "application/problem+json"
                assert "model.yaml is not valid: version" in await response.text()
            async with session.get("/models") as response:
                listed = await response.json()
            assert [(one["name"], one["version"]) for one in listed["unusable"]] == [("m", "1")]
            picture = cv2.imencode(".png", np.zeros((64, 64, 3), np.uint8))[1].tobytes()
            async with session.post(DETECT, data=picture) as response:
                assert response.status == 200
    finally:
        stop(process)
