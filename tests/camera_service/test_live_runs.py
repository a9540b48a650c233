"""A live camera run from its request to its sealed evidence: every service is real, the signals are UDP."""

import gzip
import io
import json
import socket
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.camera_service.test_app import Service
from tests.camera_service.test_signal_sources import udp_port, until
from tests.gateway.conftest import (  # noqa: F401 - fixtures
    Api,
    connect,
    gateway_settings,
    start_gateway,
)
from tests.validation_engine.conftest import (  # noqa: F401 - fixtures
    MlEngine,
    StartWorker,
    Stored,
    db,
    engine_settings,
    media,
    signer,
    start_worker,
    stored,
)

from vru.reports.evidence import MARKERS, SIGNALS
from vru.validation_engine.app import create_validation_engine

CRITERIA = [
    {"metric": "track_recall", "comparator": ">=", "threshold": 0.3},
    {"metric": "latency_p95_ms", "comparator": "<=", "threshold": 900},
]


@pytest.fixture
def ml_engine(environment: dict[str, str], tmp_path: Path) -> MlEngine:
    """One that is not started: a camera run asks no model."""
    return MlEngine(9, environment, tmp_path / "log")


@pytest.fixture
def cameras(environment: dict[str, str], tmp_path: Path) -> Iterator[Service]:
    needed = {name: value for name, value in environment.items() if name.startswith(("VRU_DATABASE", "VRU_REDIS"))}
    own = {"VRU_DATABASE_USER": "vru_camera_service", "VRU_REDIS_USER": "camera_service"}
    service = Service(tmp_path / "cameras", **needed | own)
    service.start()
    yield service
    service.end()


@pytest.fixture
def api(cameras: Service, start_gateway: Callable[..., str], connect: Callable[[str], Api], serve_app, engine_settings):  # noqa: F811
    engine = serve_app(create_validation_engine(engine_settings))
    address = f"http://127.0.0.1:{cameras.port}"
    return connect(start_gateway(camera_service_url=address, validation_engine_url=engine))


def source(client: httpx2.Client, port: int) -> str:
    body = {"name": "front", "driver": "udp", "settings": {"port": port}, "payload": {"format": "json"}}
    answer = client.post("/signal-sources", json=body)
    assert answer.status_code == 201, answer.text
    path = f"/signal-sources/{answer.json()['id']}"
    client.post(f"{path}/start")
    until(lambda: client.get(path).json()["state"] == "running")
    return str(answer.json()["id"])


def follow(client: httpx2.Client, live_run: str) -> list[dict[str, Any]]:
    """The bodies of the event stream, to its end."""
    with client.stream("GET", f"/live-runs/{live_run}/events", timeout=300) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        return [json.loads(line[6:]) for line in answer.iter_lines() if line.startswith("data: ")]


async def test_a_live_run_goes_from_the_rig_to_sealed_evidence(
    api: Api,
    stored: Stored,  # noqa: F811
    start_worker: StartWorker,  # noqa: F811
) -> None:
    client = api.client
    start_worker()
    body = stored.body(
        source_id=source(client, udp_port()),
        rig={"device": {"delay": {"distribution": "constant", "ms": 60}}, "seed": 3},
        criteria=CRITERIA,
    )
    del body["model"]
    answer = client.post("/live-runs", json=body)
    assert answer.status_code == 201, answer.text
    live = answer.json()
    assert (live["state"], live["run_id"], live["end_s"]) == ("recording", None, pytest.approx(10.0, abs=0.11))
    again = client.post("/live-runs", json=body)
    assert (again.status_code, "captured already" in again.json()["detail"]) == (409, True)
    events = follow(client, live["id"])
    states = list(dict.fromkeys(one["state"] for one in events))
    assert states[0] == "recording"
    assert states[-1] == "started", events[-1]
    assert any(one["media_s"] and one["media_s"] > 1 for one in events)
    last = events[-1]
    assert last["run_state"] == "completed"
    assert last["verdict"] in ("PASS", "FAIL", "INCONCLUSIVE")
    run = client.get(f"/runs/{last['run_id']}").json()
    played = last["played"]
    assert played["detections"] == played["road_users"] > 0
    assert run["metrics"]["detections"] == played["detections"]
    assert run["metrics"]["clocks"]["markers"] >= 15
    latencies = [track["latency_ms"] for track in run["metrics"]["tracks"]]
    assert len(latencies) == played["road_users"]
    assert all(55 < latency < 800 for latency in latencies)  # a busy machine sends late, never early
    evidence = zipfile.ZipFile(io.BytesIO(client.get(f"/runs/{last['run_id']}/evidence").content))
    names = {Path(name).name: name for name in evidence.namelist()}
    lines = gzip.decompress(evidence.read(names[Path(SIGNALS).name])).decode().splitlines()
    assert len(lines) == 1 + played["road_users"]
    assert all(line.split(",")[4] == "front" for line in lines[1:])
    assert Path(MARKERS).name in names
    assert (
        client.get("/live-runs", params={"project_id": body["project_id"]}).json()["items"][0]["verdict"]
        == last["verdict"]
    )


async def test_a_live_run_of_a_real_device_keeps_its_recording(api: Api, stored: Stored) -> None:  # noqa: F811
    client, port = api.client, udp_port()
    body = stored.body(source_id=source(client, port))
    del body["model"]
    live = client.post("/live-runs", json=body).json()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as device:
        for number in range(3):
            device.sendto(json.dumps({"value": f"warning {number}", "class": "cyclist"}).encode(), ("127.0.0.1", port))
            time.sleep(0.01)
    until(lambda: client.get(f"/live-runs/{live['id']}").json()["signals"] == 3)
    assert client.post(f"/live-runs/{live['id']}/finish").status_code == 200
    last = follow(client, live["id"])[-1]
    assert (last["state"], last["run_id"]) == ("recorded", None)
    recording = client.get(f"/signals/{last['signals_id']}").json()
    assert (recording["signal_count"], recording["marker_count"]) == (3, None)
    assert client.post(f"/live-runs/{live['id']}/finish").status_code == 409


async def test_wrong_live_runs_are_refused(api: Api, stored: Stored) -> None:  # noqa: F811
    body = stored.body(source_id=source(api.client, udp_port()), rig={})
    del body["model"]
    nobody = "00000000-0000-0000-0000-000000000009"
    for change, status, word in (
        ({"source_id": nobody}, 404, "no signal source"),
        ({"rig": {"scenario": "/etc/passwd"}}, 422, "no scenario"),
        ({"rig": {"device": {"speed": 1}}}, 422, "rig.device.speed"),
        ({"ground_truth_id": nobody}, 404, "no ground truth"),
    ):
        answer = api.client.post("/live-runs", json=body | change)
        assert (answer.status_code, word in answer.json()["detail"]) == (status, True), answer.text
    assert api.client.get("/live-runs").json()["total"] == 0
