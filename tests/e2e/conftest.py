"""One bare server for the whole suite, and the real `vru` that deploys to it.

``VRU_E2E=1`` makes a missing Docker engine a failure instead of a skip.
"""

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.api import Api
from tests.e2e.bareserver import BareServer, docker_answers
from tests.e2e.laptop import ADDRESS, REPOSITORY, Laptop, copy_project
from tests.e2e.recordings import write_scene


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if REPOSITORY / "tests" / "e2e" in item.path.parents:
            item.add_marker(pytest.mark.e2e)
            item.add_marker(pytest.mark.timeout(1800))


@pytest.fixture(scope="session", autouse=True)
def engine() -> None:
    if docker_answers():
        return
    if os.environ.get("VRU_E2E") == "1":
        pytest.fail("VRU_E2E=1, but no Docker engine answers")
    pytest.skip("no Docker engine answers")


@pytest.fixture(scope="session")
def server(engine: None) -> Iterator[BareServer]:
    with BareServer("vru-e2e", address=ADDRESS, ssh_on="127.0.0.1") as running:
        yield running


@pytest.fixture(scope="session")
def laptop(server: BareServer, tmp_path_factory: pytest.TempPathFactory) -> Laptop:
    """A laptop with the project, an SSH key that the server knows, and .env.production written by `vru init`."""
    root, home = tmp_path_factory.mktemp("project"), tmp_path_factory.mktemp("home")
    copy_project(root)
    (home / ".ssh").mkdir(mode=0o700)
    shutil.copy2(server.key_path, home / ".ssh" / "id_ed25519")
    one = Laptop(root, home, server)
    # The registry mirror's network stands for the operators' own, from which Grafana may be seen.
    gateway = server.run("ip -4 route show default | awk '{print $3}'").strip()
    one.outputs["init"] = one.vru(
        "init", "--host", server.ssh_address, "--port", str(server.ssh_port), "--external-ip", ADDRESS
    )
    file = root / ".env.production"
    text = file.read_text()
    assert "VRU_MONITORING_ALLOW=" in text
    lines = [
        f"VRU_MONITORING_ALLOW={gateway}/32" if line.startswith("VRU_MONITORING_ALLOW=") else line
        for line in text.splitlines()
    ]
    file.write_text("\n".join(lines) + "\n")
    return one


@pytest.fixture(scope="session")
def deployed(laptop: Laptop) -> Laptop:
    """The laptop after its first deployment: a bare server has become the running platform."""
    laptop.outputs["unknown key"] = laptop.vru("validate", check=False)
    laptop.outputs["validate"] = laptop.vru("validate", "--accept-host-key", laptop.server.host_key_fingerprint())
    started = time.monotonic()
    laptop.outputs["deploy"] = laptop.vru("deploy")
    print(f"fresh deploy: {time.monotonic() - started:.0f} s")
    return laptop


@pytest.fixture(scope="session")
def api(deployed: Laptop) -> Api:
    """The API through nginx's port 80, logged in as the administrator."""
    environment = deployed.environment
    return Api(deployed.url(80), environment["VRU_ADMIN_EMAIL"], environment["VRU_ADMIN_PASSWORD"])


@pytest.fixture(scope="session")
def inputs(api: Api, recording: tuple[Path, Path]) -> dict[str, str]:
    """A project with a video and its approved ground truth."""
    return api.prepare("end to end", *recording)


@pytest.fixture(scope="session")
def recording(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> tuple[Path, Path]:
    """The real video and its ground truth; where they are not at hand, a generated scene."""
    try:
        folder: Path = request.getfixturevalue("real_data")
    except pytest.skip.Exception:
        return write_scene("crossing", tmp_path_factory.mktemp("scene"))
    return folder / "video.mp4", folder / "annotations.coco.json"


@pytest.fixture(scope="session")
def finished_run(api: Api, inputs: dict[str, str]) -> dict[str, Any]:
    """A validation run of the built-in baseline detector, followed to its verdict."""
    run = api.post("/runs", {**inputs, "model": "opencv-hog", "settings": {"frame_stride": 5}})
    events = api.events(run["id"])
    return {"run": api.finish(run["id"]), "events": events}
