"""The camera service as it runs: a real server process, real videos, real restarts."""

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import httpx2
import numpy as np
import pytest
from tests.callers import Calling
from tests.conftest import free_port, stop


class Service:
    """``python -m vru.camera_service`` with a media directory and a state directory."""

    def __init__(self, folder: Path, **more: str) -> None:
        self.more = more
        self.media, self.state, self.log = folder / "media", folder / "state", folder / "log"
        (self.media / "videos").mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.client = httpx2.Client(
            base_url=f"http://127.0.0.1:{self.port}", timeout=30, auth=Calling("camera_service")
        )
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        environment = os.environ | {
            "VRU_CAMERA_SERVICE_PORT": str(self.port),
            "VRU_MEDIA_DIR": str(self.media),
            "VRU_CAMERA_STATE_DIR": str(self.state),
            **self.more,
        }
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([sys.executable, "-m", "vru.camera_service"], env=environment, stdout=log)
        ends = time.monotonic() + 120  # a busy machine takes its time
        while time.monotonic() < ends:
            try:
                if self.client.get("/ready").status_code == 200:
                    return
            except httpx2.TransportError:
                pass
            time.sleep(0.1)
        raise TimeoutError(self.log.read_text())

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(how)
        return self.process.wait(20)

    def add(self, **camera: Any) -> dict[str, Any]:
        answer = self.client.post("/cameras", json=camera)
        assert answer.status_code == 201, answer.text
        body: dict[str, Any] = answer.json()
        return body


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    service = Service(tmp_path_factory.mktemp("cameras"))
    service.start()
    yield service
    assert service.process is not None
    stop(service.process)


@pytest.fixture
def service(shared: Service) -> Service:
    """The running service, without a camera."""
    for camera in shared.client.get("/cameras").json()["items"]:
        assert shared.client.delete(f"/cameras/{camera['id']}").status_code == 204
    return shared


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Service]:
    """A service that a test may end."""
    service = Service(tmp_path)
    service.start()
    yield service
    if service.process is not None:
        stop(service.process)


def test_virtual_camera_from_start_to_stop(service: Service) -> None:
    camera = service.add(name="street", kind="virtual", source="crossing")
    assert (camera["state"], camera["frames_read"], camera["last_frame_at"]) == ("stopped", 0, None)
    url = f"/cameras/{camera['id']}"
    started = service.client.post(f"{url}/start").json()
    assert started["state"] == "running"
    assert (started["width"], started["height"]) == (640, 360)
    first = service.client.get(f"{url}/snapshot")
    assert first.headers["content-type"] == "image/jpeg"
    assert cv2.imdecode(np.frombuffer(first.content, np.uint8), cv2.IMREAD_COLOR).shape == (360, 640, 3)
    time.sleep(0.6)
    second = service.client.get(f"{url}/snapshot")
    assert float(second.headers["X-VRU-Media-Time-S"]) > float(first.headers["X-VRU-Media-Time-S"])
    assert int(second.headers["X-VRU-Monotonic-Ns"]) > int(first.headers["X-VRU-Monotonic-Ns"])
    wall = datetime.fromisoformat(second.headers["X-VRU-Wall-Time"])
    assert abs((datetime.now(UTC) - wall).total_seconds()) < 20
    assert service.client.post(f"{url}/start").json()["state"] == "running"  # again: nothing happens
    assert service.client.post(f"{url}/stop").json()["state"] == "stopped"
    refused = service.client.get(f"{url}/snapshot")
    assert refused.status_code == 409
    assert refused.json()["detail"] == "Camera 'street' is stopped."


def test_file_camera_ends_when_it_does_not_loop(service: Service, make_video: Callable[..., Path]) -> None:
    make_video(service.media / "videos" / "short.mp4", frames=5)
    camera = service.add(name="short", kind="file", source="videos/short.mp4", loop=False)
    service.client.post(f"/cameras/{camera['id']}/start")
    for _ in range(100):
        body = service.client.get(f"/cameras/{camera['id']}").json()
        if body["state"] == "ended":
            break
        time.sleep(0.1)
    assert (body["state"], body["frames_read"], body["last_frame_media_s"]) == ("ended", 5, 0.4)


def test_missing_file_is_a_clear_error_and_the_camera_can_start_once_it_is_there(
    service: Service, make_video: Callable[..., Path]
) -> None:
    camera = service.add(name="late", kind="file", source="videos/late.mp4")
    answer = service.client.post(f"/cameras/{camera['id']}/start")
    assert answer.status_code == 409
    assert "no video 'videos/late.mp4' in the media directory" in answer.json()["detail"]
    body = service.client.get(f"/cameras/{camera['id']}").json()
    assert body["state"] == "failed"
    assert "late.mp4" in body["error"]
    make_video(service.media / "videos" / "late.mp4")
    assert service.client.post(f"/cameras/{camera['id']}/start").json()["state"] == "running"


def test_text_file_is_a_clear_error(service: Service) -> None:
    (service.media / "videos" / "text.mp4").write_text("text " * 1000)
    camera = service.add(name="text", kind="file", source="videos/text.mp4")
    answer = service.client.post(f"/cameras/{camera['id']}/start")
    assert answer.status_code == 409
    assert "is not a video" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("camera", "status", "word"),
    [
        ({"name": "a", "kind": "virtual", "source": "nowhere"}, 422, "nowhere"),
        ({"name": "a", "kind": "file", "source": "../../etc/passwd"}, 422, "media directory"),
        ({"name": "a", "kind": "file", "source": "/etc/passwd"}, 422, "media directory"),
        ({"name": "a", "kind": "rtsp", "source": "x"}, 422, "kind"),
        ({"name": "", "kind": "virtual", "source": "empty"}, 422, "name"),
        ({"name": "taken", "kind": "virtual", "source": "empty"}, 409, "taken"),
    ],
)
def test_bad_cameras_are_refused(service: Service, camera: dict[str, str], status: int, word: str) -> None:
    service.add(name="taken", kind="virtual", source="empty")
    answer = service.client.post("/cameras", json=camera)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert word in answer.json()["detail"]
    assert service.client.get("/cameras").json()["total"] == 1


@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("DELETE", ""), ("POST", "/start"), ("GET", "/snapshot")])
def test_unknown_camera_is_404(service: Service, method: str, path: str) -> None:
    number = uuid.uuid4()
    answer = service.client.request(method, f"/cameras/{number}{path}")
    assert answer.status_code == 404
    assert str(number) in answer.json()["detail"]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_cameras_survive_a_restart_and_those_that_ran_run_again(own: Service, how: signal.Signals) -> None:
    running = own.add(name="running", kind="virtual", source="occluded")
    resting = own.add(name="resting", kind="virtual", source="empty")
    own.client.post(f"/cameras/{running['id']}/start")
    code = own.end(how)
    assert code in (0, -signal.SIGTERM, -signal.SIGKILL)
    own.start()
    for _ in range(100):
        states = {camera["name"]: camera["state"] for camera in own.client.get("/cameras").json()["items"]}
        if states["running"] == "running":
            break
        time.sleep(0.1)
    assert states == {"running": "running", "resting": "stopped"}
    assert own.client.delete(f"/cameras/{running['id']}").status_code == 204
    assert [camera["id"] for camera in own.client.get("/cameras").json()["items"]] == [resting["id"]]


def test_a_camera_whose_file_is_gone_after_a_restart_is_shown_as_failed_and_tried_again(
    own: Service, make_video: Callable[..., Path]
) -> None:
    make_video(own.media / "videos" / "one.mp4")
    camera = own.add(name="one", kind="file", source="videos/one.mp4")
    own.client.post(f"/cameras/{camera['id']}/start")
    own.end()
    (own.media / "videos" / "one.mp4").unlink()
    own.start()
    for _ in range(100):
        body = own.client.get(f"/cameras/{camera['id']}").json()
        if body["state"] == "failed":
            break
        time.sleep(0.1)
    assert body["state"] == "failed"
    assert "videos/one.mp4" in body["error"]
    own.end()
    make_video(own.media / "videos" / "one.mp4")
    own.start()
    own.client.get(f"/cameras/{camera['id']}/snapshot")  # waits for the first frame
    assert own.client.get(f"/cameras/{camera['id']}").json()["state"] == "running"


def test_running_cameras_do_not_hold_up_the_end(own: Service) -> None:
    for number in range(3):
        camera = own.add(name=f"camera {number}", kind="virtual", source="crossing")
        own.client.post(f"/cameras/{camera['id']}/start")
    began = time.monotonic()
    own.end()
    assert time.monotonic() - began < 10
