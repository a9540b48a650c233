"""What a deployment sends: only what is missing, on from where it was cut; images that were built here; and what is
cleaned up behind it, and what is not."""

import json
import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.laptop import VRU, Laptop, container_ids, on_server

OBJECTS = "/opt/vru-platform/releases/objects"
MIB = 1024**2
# Beside the models, where the ML engine does not look.
LARGE = "models/large.onnx"
APP = "src/vru/gateway/app.py"
FOREIGN = "vru-test-foreign"


@pytest.fixture
def restored(deployed: Laptop) -> Iterator[Laptop]:
    """The server as the project has it, again, whatever the test changed in the project."""
    original = (deployed.root / APP).read_text()
    yield deployed
    (deployed.root / APP).write_text(original)
    (deployed.root / LARGE).unlink(missing_ok=True)
    deployed.vru("deploy", "--watch", "0")


def partial_bytes(laptop: Laptop) -> int:
    return int(on_server(laptop, f"cat {OBJECTS}/.partial-* 2>/dev/null | wc -c").strip())


def start(laptop: Laptop, *arguments: str) -> "subprocess.Popen[bytes]":
    environment = {**os.environ, "HOME": str(laptop.home)}
    return subprocess.Popen(
        [VRU, *arguments], cwd=laptop.root, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )


def resident_mib(process: "subprocess.Popen[bytes]") -> float:
    try:
        status = Path(f"/proc/{process.pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):  # it has just ended
        return 0.0
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    return int(found[1]) / 1024 if found else 0.0


def watch_memory(process: "subprocess.Popen[bytes]", seen: list[float]) -> None:
    while process.poll() is None:
        seen.append(resident_mib(process))
        time.sleep(0.05)


def test_a_killed_transfer_of_a_large_model_goes_on_within_it(restored: Laptop) -> None:
    size = 200 * MIB
    with (restored.root / LARGE).open("wb") as file:
        for _ in range(size // MIB):
            file.write(os.urandom(MIB))
    before = container_ids(restored)
    process = start(restored, "deploy", "--watch", "0")
    memory: list[float] = []
    watching = threading.Thread(target=watch_memory, args=(process, memory), daemon=True)
    watching.start()
    # Watched on the server itself: the whole of it may come in the time of two questions from here.
    begun = f"find {OBJECTS} -name '.partial-*' -size +60M | grep -q ."
    on_server(restored, f"for i in $(seq 12000); do {begun} && exit 0; sleep 0.02; done; exit 1", timeout=600)
    process.kill()
    process.wait()
    watching.join(30)
    there = partial_bytes(restored)
    assert 60 * MIB <= there < size
    assert 0 < max(memory) < 150, "memory grows with what is sent"
    assert container_ids(restored) == before

    outcome = restored.vru_json("deploy", "--watch", "0")
    assert outcome["bytes_sent"] < size - there + MIB
    assert partial_bytes(restored) == 0
    sums = [on_server(restored, f"sha256sum /opt/vru-platform/{LARGE}"), sha256sum(restored.root / LARGE)]
    assert sums[0].split()[0] == sums[1].split()[0]
    assert container_ids(restored) == before


def sha256sum(path: Path) -> str:
    return subprocess.check_output(["sha256sum", str(path)], text=True)


def test_a_full_disk_is_said_before_anything_is_sent_and_leaves_all_as_it_was(restored: Laptop) -> None:
    before = container_ids(restored)
    files = on_server(restored, f"ls -A {OBJECTS} | sort")
    (restored.root / LARGE).write_bytes(os.urandom(20 * MIB))
    on_server(restored, f"mount -t tmpfs -o size=260m tmpfs {OBJECTS}")
    try:
        refused = restored.vru("deploy", "--watch", "0", check=False)
    finally:
        on_server(restored, f"umount {OBJECTS}")
    assert refused.returncode == 1
    assert "The server's disk is full" in refused.stderr
    assert "Nothing was changed." in refused.stderr
    assert "df -h" in refused.stderr
    assert container_ids(restored) == before
    assert on_server(restored, f"ls -A {OBJECTS} | sort") == files


def building_path() -> str:
    """A PATH whose `docker` can build with BuildKit."""
    candidates = [Path(folder) for folder in os.environ["PATH"].split(":") if (Path(folder) / "docker").exists()]
    for folder in candidates:
        client = str(folder / "docker")
        buildx = subprocess.run([client, "buildx", "version"], capture_output=True, check=False).returncode == 0
        version = subprocess.run([client, "version", "--format", "{{.Client.Version}}"], capture_output=True, text=True)
        if buildx or int(version.stdout.split(".")[0] or 99) < 23:
            return f"{folder}:{os.environ['PATH']}"
    pytest.skip("no Docker client here can build with BuildKit (install docker-buildx)")


def test_images_built_here_are_sent_layer_by_layer(restored: Laptop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", building_path())
    app = restored.root / APP
    # Earlier releases' large files stay as long as the releases do.
    large = f"find {OBJECTS} -size +30M | sort"
    before = on_server(restored, large)
    made: list[str] = []
    sent = []
    try:
        for number in (1, 2):
            title = f'title="Built here {time.time()} {number}"'
            app.write_text(re.sub(r'title="[^"]*"', title, app.read_text(), count=1))
            plan = restored.vru("plan", "--build", "local").stdout
            assert "on this machine" in plan
            done = restored.vru("deploy", "--build", "local", "--watch", "0", "--json")
            events = [json.loads(line) for line in done.stdout.splitlines()]
            steps = {event["name"]: event["detail"] for event in events if event.get("state") == "done"}
            assert steps["build images"] == "all there", "the server built, too"
            sent.append(events[-1]["bytes_sent"])
            image = live_image(restored)
            made.append(image)
            ids = [
                on_server(restored, f"docker image inspect --format '{{{{.Id}}}}' {image}"),
                docker("image", "inspect", "--format", "{{.Id}}", image),
            ]
            assert ids[0] == ids[1]
        assert sent[1] < 2 * MIB, "layers that the server has were sent again"
        assert not set(on_server(restored, large).split()) - set(before.split()), "layers stay in the content store"
    finally:
        for image in made:
            docker("image", "rm", image)


def live_image(laptop: Laptop) -> str:
    name = "docker ps --filter label=com.docker.compose.service=api_gateway --format '{{.Image}}'"
    return on_server(laptop, name).split()[0]


def docker(*arguments: str) -> str:
    return subprocess.check_output([shutil.which("docker") or "docker", *arguments], text=True)


def test_without_docker_here_a_local_build_says_what_to_do(deployed: Laptop, monkeypatch: pytest.MonkeyPatch) -> None:
    app = deployed.root / APP
    original = app.read_text()
    app.write_text(original + "\n# changed\n")
    try:
        monkeypatch.setenv("PATH", "/nonexistent")
        refused = deployed.vru("deploy", "--build", "local", check=False)
    finally:
        app.write_text(original)
    assert refused.returncode == 1
    assert "needs Docker on this machine" in refused.stderr
    assert "Leave --build local out" in refused.stderr
    monkeypatch.undo()
    assert deployed.vru_json("deploy")["changed"] == 0


PLANT = f"""
set -e
cd $(mktemp -d)
printf 'FROM %s\\nUSER root\\nRUN echo theirs > /theirs\\n' "$2" > Dockerfile
DOCKER_BUILDKIT=1 docker build -q -t {FOREIGN}:1 . >/dev/null
docker tag "$1" vru-platform/api_gateway:000000000000
docker volume create {FOREIGN} >/dev/null
docker network create {FOREIGN} >/dev/null
docker run -d --name {FOREIGN} --network {FOREIGN} -v {FOREIGN}:/data --entrypoint sleep "$2" 600 >/dev/null
"""
UPROOT = f"docker rm -f {FOREIGN}; docker network rm {FOREIGN}; docker volume rm {FOREIGN}; docker rmi {FOREIGN}:1"
# The clean-up of the build cache as the executor calls it, with a limit one byte below what ours holds now.
CLEAN_CACHE = """
import json, sys
sys.path.insert(0, "/opt/vru-platform/bin/vru-platform.pyz")
from vru.host.release import pruning
from vru.host.base.host import Host
host = Host.here()
ours = pruning.Ledger.read(host).cache
before = {record.id: record.own for record in pruning.records()}
held = sum(own for name, own in before.items() if name in ours)
freed = pruning.prune_cache(host, held - 1)
after = {record.id for record in pruning.records()}
print(json.dumps({"held": held, "freed": freed, "ours": sorted(ours), "gone": sorted(set(before) - after)}))
"""


def test_cleaning_up_leaves_everything_of_others(restored: Laptop) -> None:
    image = live_image(restored)
    ids = (
        "import sys; sys.path.insert(0, '/opt/vru-platform/bin/vru-platform.pyz'); "
        "from vru.host.release import pruning; "
    )
    records = f'python3 -c "{ids}print(*(record.id for record in pruning.records()))"'
    before = set(on_server(restored, records).split())
    # Not one of ours: Compose's labels, which tell ours from others, would come with the image.
    other = on_server(
        restored, "docker ps --filter label=com.docker.compose.service=redis --format '{{.Image}}'"
    ).strip()
    on_server(restored, f"set -- {image} {other}; {PLANT}")
    try:
        theirs = set(on_server(restored, records).split()) - before
        assert theirs, "a build leaves records"
        (restored.root / LARGE).write_bytes(b"a change, so that there is a clean-up")
        restored.vru("deploy", "--watch", "0")
        left = on_server(restored, "docker image ls --format '{{.Repository}}:{{.Tag}}'").split()
        assert "vru-platform/api_gateway:000000000000" not in left
        assert f"{FOREIGN}:1" in left
        assert on_server(restored, f"docker inspect --format '{{{{.State.Running}}}}' {FOREIGN}").strip() == "true"
        assert on_server(restored, f"docker volume ls -q -f name={FOREIGN}").strip() == FOREIGN
        assert on_server(restored, f"docker network ls -q -f name={FOREIGN}").strip()

        cleaned: dict[str, Any] = json.loads(on_server(restored, "python3 -", stdin=CLEAN_CACHE.encode()))
        assert 0 < cleaned["freed"] < cleaned["held"]
        assert set(cleaned["gone"]) <= set(cleaned["ours"])
        assert theirs <= set(on_server(restored, records).split())
    finally:
        on_server(restored, UPROOT)


def test_planted_secrets_and_videos_stay_on_the_laptop(restored: Laptop) -> None:
    planted = {
        "src/vru/gateway/.env": "PLANTED=1",
        "src/vru/gateway/server.pem": "-----BEGIN PRIVATE KEY-----",
        "src/vru/gateway/drive.mp4": "planted",
        "src/vru/gateway/__pycache__/planted.py": "planted",
        "src/vru/frontend/web/node_modules/planted/index.js": "planted",
        "models/planted.mp4": "planted",
    }
    link = restored.root / "src/vru/gateway/link.json"
    try:
        for name, text in planted.items():
            (restored.root / name).parent.mkdir(parents=True, exist_ok=True)
            (restored.root / name).write_text(text)
        assert restored.vru_json("deploy")["changed"] == 0
        link.symlink_to("/etc/passwd")
        refused = restored.vru("deploy", check=False)
        assert refused.returncode == 1
        assert "link.json is a link to /etc/passwd" in refused.stdout + refused.stderr
    finally:
        link.unlink(missing_ok=True)
        for name in planted:
            (restored.root / name).unlink(missing_ok=True)
