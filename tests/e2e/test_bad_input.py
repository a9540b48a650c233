"""What stops a deployment: one clear sentence, the fix, a non-zero exit code, nothing half-done."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
from tests.e2e.api import Api
from tests.e2e.laptop import Laptop, container_ids, copy_project, on_server
from tests.e2e.recordings import write_scene

UNREACHABLE = 3


@contextmanager
def edited(laptop: Laptop, old: str, new: str, name: str = ".env.production") -> Iterator[None]:
    """The project with one text of one file replaced."""
    file = laptop.root / name
    original = file.read_bytes()
    assert old.encode() in original
    file.write_bytes(original.replace(old.encode(), new.encode(), 1))
    try:
        yield
    finally:
        file.write_bytes(original)


def said(laptop: Laptop, *arguments: str) -> tuple[int, str]:
    done = laptop.vru(*arguments, check=False)
    return done.returncode, done.stdout + done.stderr


def test_a_wrong_ssh_port(deployed: Laptop) -> None:
    with edited(deployed, f"VRU_SSH_PORT={deployed.server.ssh_port}\n", "VRU_SSH_PORT=2\n"):
        code, output = said(deployed, "deploy")
    assert code == UNREACHABLE
    assert f"Nothing answers at {deployed.server.ssh_address} port 2" in output
    assert "VRU_SSH_PORT" in output


def test_a_refused_key(deployed: Laptop, tmp_path: Path) -> None:
    authorized = "/root/.ssh/authorized_keys"
    on_server(deployed, f"mv {authorized} {authorized}.away")
    try:
        code, output = said(deployed, "deploy")
    finally:
        on_server(deployed, f"mv {authorized}.away {authorized}")
    assert code == UNREACHABLE
    assert "refused the login of user root" in output
    assert "ssh-copy-id" in output


def test_a_changed_host_key(deployed: Laptop) -> None:
    known_hosts = deployed.home / ".ssh" / "known_hosts"
    original = known_hosts.read_text()
    on_server(deployed, "mkdir /root/keys && cp -a /etc/ssh/ssh_host_* /root/keys")
    deployed.server.change_host_keys()
    try:
        code, output = said(deployed, "deploy", "--accept-host-key", deployed.server.host_key_fingerprint())
        assert known_hosts.read_text() == original
    finally:
        on_server(deployed, "cp -a /root/keys/* /etc/ssh/ && rm -r /root/keys && systemctl restart ssh")
    assert code == UNREACHABLE
    assert "has changed" in output
    assert "ssh-keygen" in output


def test_a_server_without_enough_disk(deployed: Laptop) -> None:
    before = container_ids(deployed)
    on_server(deployed, "mount -t tmpfs -o size=50m tmpfs /opt/vru-platform")
    try:
        code, output = said(deployed, "deploy")
        assert on_server(deployed, "ls -A /opt/vru-platform").strip() == ""
    finally:
        on_server(deployed, "umount /opt/vru-platform")
    assert code == 1
    assert "disk for /opt/vru-platform: Only 0.0 GiB free" in output
    assert container_ids(deployed) == before


def test_a_port_that_is_taken_on_the_server(deployed: Laptop) -> None:
    on_server(deployed, "systemd-run --unit=squatter systemd-socket-activate -l 3999 cat")
    try:
        with edited(deployed, "VRU_MONITORING_PUBLIC_PORT=3001", "VRU_MONITORING_PUBLIC_PORT=3999"):
            code, output = said(deployed, "validate")
    finally:
        on_server(deployed, "systemctl stop squatter")
    assert code == 1
    assert "Port 3999 on the server is taken by systemd-socket" in output


def test_a_missing_environment_file(deployed: Laptop) -> None:
    file = deployed.root / ".env.production"
    away = file.rename(file.with_suffix(".away"))
    try:
        code, output = said(deployed, "deploy")
    finally:
        away.rename(file)
    assert code == 1
    assert "There is no such file" in output
    assert "vru init" in output


def test_a_truncated_environment_file(deployed: Laptop) -> None:
    file = deployed.root / ".env.production"
    original = file.read_bytes()
    file.write_bytes(original[: len(original) // 2])
    try:
        code, output = said(deployed, "deploy")
    finally:
        file.write_bytes(original)
    assert code == 1
    assert "truncated" in output


def test_a_missing_template_variable(deployed: Laptop) -> None:
    template = next((deployed.root / "templates").glob("prometheus.yml*"))
    original = template.read_text()
    template.write_text(original + "\n# {{ no_such_variable }}\n")
    try:
        code, output = said(deployed, "deploy")
    finally:
        template.write_text(original)
    assert code == 1
    assert template.name in output
    assert "no_such_variable" in output


def test_a_service_that_never_becomes_healthy(deployed: Laptop) -> None:
    app = deployed.root / "src" / "vru" / "camera_service" / "__main__.py"
    original = app.read_text()
    app.write_text('import sys\nprint("the lens is broken", flush=True)\nsys.exit(3)\n')
    try:
        code, output = said(deployed, "update")
        assert code == 1
        assert "camera_service" in output
        assert "the lens is broken" in output
    finally:
        app.write_text(original)
        deployed.vru("update")
    assert httpx2.get(deployed.url(8000, "/health"), timeout=30).status_code == 200


def test_a_text_file_uploaded_as_a_video(api: Api, inputs: dict[str, str], deployed: Laptop) -> None:
    count = "find /opt/vru-platform/data/media -type f | wc -l"
    before = on_server(deployed, count)
    problem = api.post(f"/projects/{inputs['project_id']}/videos", b"no video at all\n" * 100, expect=422, name="a.mp4")
    assert problem["status"] == 422
    assert "video" in problem["detail"]
    assert problem["fix"]
    assert on_server(deployed, count) == before


def test_ground_truth_for_another_video(api: Api, inputs: dict[str, str], tmp_path: Path) -> None:
    _, truth = write_scene("occluded", tmp_path)
    path = f"/videos/{inputs['video_id']}/ground-truths"
    before = api.get(path)["total"]
    problem = api.post(path, truth.read_bytes(), expect=422, name="other.json", source="synthetic")
    assert problem["detail"]
    assert problem["fix"]
    assert api.get(path)["total"] == before


def test_a_model_that_does_not_exist(api: Api, inputs: dict[str, str]) -> None:
    before = api.get("/runs")["total"]
    answer = api.client.post("/api/v1/runs", json={**inputs, "model": "nonsense"})
    assert answer.status_code in (404, 422)
    assert "nonsense" in answer.json()["detail"]
    assert "opencv-hog" in answer.text
    assert api.get("/runs")["total"] == before


def test_an_incomplete_project(deployed: Laptop, tmp_path: Path) -> None:
    copy_project(tmp_path)
    shutil.copy2(deployed.root / ".env.production", tmp_path)
    (tmp_path / "Dockerfile").unlink()
    code, output = said(deployed, "validate", "--local", "--project", str(tmp_path))
    assert code == 1
    assert "lacks Dockerfile" in output


@pytest.mark.parametrize("command", ["deploy", "status", "logs", "verify", "setup", "update"])
def test_no_server_named(deployed: Laptop, command: str) -> None:
    with edited(deployed, f"VRU_HOST={deployed.server.ssh_address}\n", "VRU_HOST=\n"):
        code, output = said(deployed, command)
    assert code == 1
    assert "No server is named" in output
