"""A real gateway on real PostgreSQL and Redis, and a client that is logged in."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from vru.gateway.app import create_gateway
from vru.gateway.settings import GatewaySettings

EMAIL, PASSWORD = "admin@example.com", "a-long-password"


@pytest.fixture
def gateway_settings(settings) -> Callable[..., GatewaySettings]:
    """``gateway_settings(**changes)``: the gateway's settings on this test's servers."""

    def make(**changes: Any) -> GatewaySettings:
        values = settings.model_dump() | {
            "database_user": "vru_api_gateway",
            "redis_user": "api_gateway",
            "secret_key": "k" * 40,
            "admin_email": EMAIL,
            "admin_password": PASSWORD,
            "max_upload_mb": 5,
            "max_ground_truth_mb": 5,
            # Nobody listens there, unless a test says otherwise.
            "ml_engine_url": "http://127.0.0.1:9",
            "camera_service_url": "http://127.0.0.1:9",
            "validation_engine_url": "http://127.0.0.1:9",
            "frontend_url": "http://127.0.0.1:9",
        }
        return GatewaySettings(**values | changes)

    return make


@pytest.fixture
def start_gateway(serve_app, gateway_settings) -> Callable[..., str]:
    """``start_gateway(**changes)`` runs a gateway and returns its address."""
    return lambda **changes: serve_app(create_gateway(gateway_settings(**changes)))


@dataclass
class Api:
    """A client of the public API that is logged in."""

    client: httpx2.Client
    token: str
    media: Path

    def project(self, name: str = "Project") -> str:
        """A new project's id."""
        answer = self.client.post("/projects", json={"name": name})
        assert answer.status_code == 201, answer.text
        return answer.json()["id"]

    def upload(self, project_id: str, path: Path, name: str = "video.mp4") -> httpx2.Response:
        """Upload a video."""
        return self.client.post(f"/projects/{project_id}/videos", params={"name": name}, content=path.read_bytes())

    def stored_files(self) -> list[str]:
        """Every file in the media directory."""
        return sorted(str(path.relative_to(self.media)) for path in self.media.rglob("*") if path.is_file())


@pytest.fixture
def connect(settings) -> Iterator[Callable[..., Api]]:
    """``connect(address)`` logs in to a gateway."""
    clients: list[httpx2.Client] = []

    def make(address: str) -> Api:
        client = httpx2.Client(base_url=f"{address}/api/v1", timeout=30)
        clients.append(client)
        answer = client.post("/auth/login", json={"email": EMAIL, "password": PASSWORD})
        assert answer.status_code == 200, answer.text
        client.cookies.clear()
        client.headers["Authorization"] = f"Bearer {answer.json()['token']}"
        return Api(client, answer.json()["token"], settings.media_dir)

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def api(start_gateway, connect) -> Api:
    """A gateway of this test's own, and a client that is logged in."""
    return connect(start_gateway())


@dataclass(frozen=True)
class Recorded:
    """A video in a project, with its ground truth."""

    video: str
    truth: str


Record = Callable[..., Recorded]


@pytest.fixture
def record(api: Api, make_video, coco, tmp_path: Path) -> Record:
    """``record(project, name, approved=True)`` uploads a video of its own (64x48, 20 frames) and its truth: two tracks
    of four boxes.
    """
    made = 0

    def make(project: str, name: str, *, approved: bool = True) -> Recorded:
        nonlocal made
        made += 1
        path = make_video(tmp_path / f"{made}.mp4")
        # The same pictures, another file: a box of MP4 that players skip.
        path.write_bytes(path.read_bytes() + (12).to_bytes(4, "big") + b"free" + made.to_bytes(4, "big"))
        video = api.upload(project, path, name).json()["id"]
        answer = api.client.post(f"/videos/{video}/ground-truths", params={"name": f"{name}.json"}, content=coco())
        truth = answer.json()["id"]
        if approved:
            assert api.client.post(f"/ground-truths/{truth}/approve").status_code == 200
        return Recorded(video, truth)

    return make
