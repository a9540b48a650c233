"""The whole platform, as `vru local` runs it: real processes, driven by the real command."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest

from vru.domain import RunState, Verdict
from vru.local.client import Client
from vru.local.layout import Layout, load_secrets
from vru.local.platform import ADMIN_EMAIL
from vru.local.ports import DEFAULT_PORTS
from vru.service.schemas import RunCreate

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
VRU = Path(sys.executable).with_name("vru")
BUILT_PAGE = ROOT / "src/vru/frontend/static/index.html"


def free_base_port() -> int:
    """The first of as many free ports in a row as a platform needs."""
    for base in range(20000 + os.getpid() % 500 * 20, 60000, 20):
        sockets = []
        try:
            sockets = [socket.create_server(("127.0.0.1", base + offset)) for offset in range(len(DEFAULT_PORTS))]
        except OSError:
            continue
        finally:
            for each in sockets:
                each.close()
        return base
    raise AssertionError("no free ports")


@dataclass
class Up:
    """A running `vru local up`."""

    process: "subprocess.Popen[bytes]"
    data: Path
    base_port: int
    output: Path
    environment: dict[str, str]

    def vru(self, *arguments: str, timeout: float = 240) -> "subprocess.CompletedProcess[str]":
        """Run `vru local` on this platform's data."""
        return subprocess.run(
            [VRU, "local", *arguments, "--data", self.data],
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def status(self) -> dict[str, Any]:
        """What `vru local status --json` says."""
        answer: dict[str, Any] = json.loads(self.vru("status", "--json").stdout)
        return answer

    def pid(self, name: str) -> int:
        """Process id of one process."""
        pids = {process["name"]: process["pid"] for process in self.status()["processes"]}
        return int(pids[name])

    def url(self, service: str) -> str:
        """Address of a service."""
        return f"http://127.0.0.1:{self.status()['ports'][service]}"

    def client(self) -> Client:
        """A client that is logged in."""
        client = Client(self.url("api_gateway"))
        client.log_in(ADMIN_EMAIL, load_secrets(Layout(self.data)).admin_password)
        return client


def environment(folder: Path) -> dict[str, str]:
    """The environment for `vru local`. Where the page is not built, a page of one line stands in for it."""
    if BUILT_PAGE.exists():
        return dict(os.environ)
    static = folder / "static"
    static.mkdir(exist_ok=True)
    (static / "index.html").write_text("<!doctype html><title>not built</title>")
    return {**os.environ, "VRU_FRONTEND_STATIC_DIR": str(static)}


def start(data: Path, base_port: int, folder: Path) -> Up:
    """Start `vru local up` and wait until it says that it is up."""
    output = folder / f"output-{time.monotonic_ns()}.txt"
    with output.open("wb") as file:
        process = subprocess.Popen(
            [VRU, "local", "up", "--data", data, "--base-port", str(base_port)],
            cwd=ROOT,
            env=environment(folder),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    up = Up(process, data, base_port, output, environment(folder))
    end = time.monotonic() + 200
    while "Ctrl-C stops it" not in output.read_text():
        assert process.poll() is None, output.read_text()
        assert time.monotonic() < end, output.read_text()
        time.sleep(0.2)
    return up


def wait_for(condition, what: str, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds} s for: {what}"
        time.sleep(0.2)


def alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


@pytest.fixture(scope="module")
def up(shared_folder: Path) -> Iterator[Up]:
    up = start(shared_folder / "vru", free_base_port(), shared_folder)
    yield up
    up.process.terminate()
    assert up.process.wait(60) == 0, up.output.read_text()


@pytest.fixture(scope="module")
def first_demo(up: Up) -> "subprocess.CompletedProcess[str]":
    return up.vru("demo", "--exit")


def test_every_process_is_well(up):
    answer = up.vru("status")
    assert answer.returncode == 0, answer.stdout
    assert sorted(line.split()[1] for line in answer.stdout.splitlines()) == sorted(DEFAULT_PORTS)
    status = up.status()
    assert status["ok"]
    assert {process["port"] for process in status["processes"]} == set(
        range(up.base_port, up.base_port + len(DEFAULT_PORTS))
    )


def test_the_paper_s_addresses_answer(up):
    gateway, page = up.url("api_gateway"), up.url("frontend")
    health = httpx2.get(f"{gateway}/health")
    assert (health.status_code, health.json()["status"]) == (200, "ok"), health.text
    assert httpx2.get(f"{gateway}/docs").status_code == 200
    assert "text/html" in httpx2.get(page).headers["content-type"]
    assert httpx2.get(f"{page}/api/v1/projects").status_code == 401  # passed on to the gateway


def test_what_it_prints_is_enough_to_log_in(up):
    said = dict(line.strip().rsplit("  ", 1) for line in up.output.read_text().splitlines() if "  " in line.strip())
    said = {key.strip(): value.strip() for key, value in said.items()}
    with Client(said["health"].removesuffix("/health")) as client:
        client.log_in(said["log in as"], said["password"])
        assert isinstance(client.projects(), list)


def test_secrets_are_not_in_logs_or_arguments(up, first_demo):
    secrets = load_secrets(Layout(up.data))
    logs = "".join(path.read_text(errors="replace") for path in Layout(up.data).logs.iterdir())
    arguments = " ".join(
        argument for process in up.status()["processes"] for argument in psutil.Process(process["pid"]).cmdline()
    )
    for secret in (secrets.database_password, secrets.redis_password, secrets.secret_key, secrets.admin_password):
        assert secret not in logs
        assert secret not in arguments


def test_the_demo_reaches_a_verdict_and_says_why(first_demo):
    assert first_demo.returncode == 0, first_demo.stdout + first_demo.stderr
    output = first_demo.stdout
    assert any(f"Verdict: {verdict}" in output for verdict in Verdict)
    for expected in ("recall", "precision", "of 5 found at all", "/runs/", "validation: "):
        assert expected in output


def test_the_demo_run_twice_uses_the_same_sample(up, first_demo):
    with up.client() as client:
        before = {project["id"] for project in client.projects()}
        videos = {video["id"] for project in before for video in client.videos(project)}
    second = up.vru("demo", "--exit")
    assert second.returncode == 0, second.stdout + second.stderr
    with up.client() as client:
        assert {project["id"] for project in client.projects()} == before
        assert {video["id"] for project in before for video in client.videos(project)} == videos


def test_own_files_are_validated_and_their_truth_is_not_approved_for_anyone(up, first_demo):
    sample = up.data / "sample"
    answer = up.vru(
        "demo", "--exit", "--video", str(sample / "crossing.mp4"), "--ground-truth", str(sample / "crossing.coco.json")
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "ground truth that nobody has approved" in answer.stdout


def test_a_model_that_is_not_there_is_one_clear_error(up, first_demo):
    answer = up.vru("demo", "--exit", "--model", "nonesuch/7")
    assert answer.returncode == 1
    assert "no model 'nonesuch'" in answer.stderr and "opencv-hog" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_a_text_file_as_video_is_one_clear_error(up, tmp_path, first_demo):
    text = tmp_path / "notes.mp4"
    text.write_text("this is no video\n" * 100)
    answer = up.vru(
        "demo", "--exit", "--video", str(text), "--ground-truth", str(up.data / "sample" / "crossing.coco.json")
    )
    assert answer.returncode == 1
    assert "not a video" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_a_worker_killed_in_the_middle_of_a_run_loses_nothing(up, first_demo):
    with up.client() as client:
        project = next(project for project in client.projects() if project["name"].startswith("Sample"))
        video = client.videos(project["id"])[0]
        truth = client.ground_truths(video["id"])[0]
        request = RunCreate(
            project_id=project["id"], video_id=video["id"], ground_truth_id=truth["id"], model="opencv-hog"
        )
        undisturbed = client.follow(str(client.start_run(request).id), lambda event: None)
        worker = up.pid("validation_worker")
        run = client.start_run(request)
        wait_for(lambda: client.run(str(run.id)).state is RunState.RUNNING, "the run to be running")
        os.kill(worker, signal.SIGKILL)
        done = client.follow(str(run.id), lambda event: None, patience_s=180)
    assert done.state is RunState.COMPLETED, done.error
    assert up.pid("validation_worker") != worker
    assert done.metrics == undisturbed.metrics  # nothing lost, nothing counted twice
    assert done.verdict == undisturbed.verdict
    assert "validation_worker" in up.output.read_text()
    assert "was killed by SIGKILL; starting it again" in up.output.read_text()


def test_a_killed_service_comes_back(up):
    before = up.pid("ml_engine")
    os.kill(before, signal.SIGKILL)
    wait_for(lambda: up.pid("ml_engine") != before and up.status()["ok"], "ml_engine to be back")


def test_the_same_data_cannot_be_used_twice(up):
    answer = up.vru("up")
    assert answer.returncode == 1
    assert f"already runs on {up.data} (process {up.process.pid})" in answer.stderr
    assert "vru local down" in answer.stderr


def test_taken_ports_are_named_with_who_has_them(up, tmp_path):
    answer = subprocess.run(
        [VRU, "local", "up", "--data", tmp_path / "other", "--base-port", str(up.base_port)],
        cwd=ROOT,
        env=up.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert answer.returncode == 1
    assert f"ort {up.base_port} (api_gateway) is taken by process {up.pid('api_gateway')}" in answer.stderr
    assert "--base-port" in answer.stderr


def test_down_and_kill_9_leave_nothing_behind_and_data_stay(open_folder):
    data, port = open_folder / "vru", free_base_port()
    first = start(data, port, open_folder)
    processes = [process["pid"] for process in first.status()["processes"]]
    assert len(processes) == len(DEFAULT_PORTS)
    with first.client() as client:
        client.create_project({"name": "kept"})
    down = first.vru("down")
    assert down.returncode == 0, down.stderr
    assert first.process.wait(10) == 0, first.output.read_text()
    assert not any(map(alive, processes))
    assert first.vru("status").returncode == 1
    assert "Nothing runs" in first.vru("down").stdout

    second = start(data, port, open_folder)
    processes = [process["pid"] for process in second.status()["processes"]]
    with second.client() as client:
        assert [project["name"] for project in client.projects()] == ["kept"]
    second.process.kill()
    second.process.wait()
    wait_for(lambda: not any(map(alive, processes)), "the processes to end with their parent", 20)
    assert second.vru("status").returncode == 1
