"""The protocol's verbs against a temporary root: the real program, built and run as on a server, without Docker."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.host.tiny import archive

from vru.host.base.errors import HostError
from vru.host.base.host import Host
from vru.host.build import build_pyz
from vru.host.lock import lock
from vru.host.release.manifest import parse


@pytest.fixture(scope="session")
def program(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("program") / "vru-platform.pyz"
    path.write_bytes(build_pyz())
    return path


class Root:
    """A root of its own, and the program that works on it."""

    def __init__(self, path: Path, program: Path) -> None:
        self.path = path
        self.program = program
        self.environment = {**os.environ, "VRU_ROOT": str(path)}

    def run(self, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        command = [sys.executable, str(self.program), *arguments]
        return subprocess.run(command, input=stdin, capture_output=True, env=self.environment, timeout=240, check=False)

    def plan(self, manifest: dict) -> dict:
        done = self.run("plan", stdin=json.dumps(manifest).encode())
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def deploy(self, contents: dict[str, bytes], *options: str) -> tuple[int, list[dict]]:
        manifest = release(contents)
        missing = self.plan(manifest)["missing"]
        if missing:
            assert self.run("receive", stdin=archive(contents, missing)).returncode == 0
        done = self.run("apply", *options, stdin=json.dumps(manifest).encode())
        return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def root(tmp_path, program) -> Root:
    path = tmp_path / "root"
    path.mkdir()
    return Root(path, program)


def release(contents: dict[str, bytes]) -> dict:
    manifest = {
        "protocol": 1,
        "files": [
            {"path": path, "sha256": hashlib.sha256(content).hexdigest(), "size": len(content), "mode": "0640"}
            for path, content in contents.items()
        ],
        "directories": [{"path": "data/things", "uid": os.geteuid(), "gid": os.getegid(), "mode": "0750"}],
    }
    name = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()[:12]
    return {**manifest, "release": name}


ONE = {"src/a.py": b"a = 1\n", "src/deep/b.py": b"b = 1\n"}


def test_a_plan_changes_nothing_and_names_what_is_missing(root):
    manifest = release(ONE)
    answer = root.plan(manifest)
    assert answer["protocol"] == 1
    assert answer["release"] is None
    assert answer["running"] is None
    assert answer["missing"] == [hashlib.sha256(content).hexdigest() for content in ONE.values()]
    assert {
        "resource": "file",
        "name": "src/a.py",
        "action": "create",
        "detail": "6 bytes",
        "lines": [],
        "setup": False,
        "stage": "files",
    } in answer["changes"]
    assert list(root.path.iterdir()) == []


def test_a_release_is_received_applied_and_then_there_is_nothing_to_do(root):
    code, events = root.deploy(ONE)
    assert code == 0, events
    assert events[0]["event"] == "begin"
    assert events[-1]["event"] == "end"
    assert events[-1]["ok"] is True
    assert events[-1]["changed"] > 0
    assert (root.path / "src/deep/b.py").read_bytes() == b"b = 1\n"
    assert (root.path / "src/a.py").stat().st_mode & 0o777 == 0o640
    assert (root.path / "data/things").stat().st_mode & 0o777 == 0o750
    assert (root.path / "releases/objects").stat().st_mode & 0o777 == 0o700
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in (root.path / "releases/objects").iterdir())
    assert (root.path / "releases/current").read_text().strip() == release(ONE)["release"]

    answer = root.plan(release(ONE))
    assert (answer["changes"], answer["missing"]) == ([], [])
    code, events = root.deploy(ONE)
    assert (code, events[-1]["changed"]) == (0, 0)
    assert {event["state"] for event in events if event["event"] == "step"} == {"started", "skipped"}


def test_files_that_a_release_no_longer_has_are_removed_with_their_empty_directories(root):
    root.deploy(ONE)
    (root.path / "src/mine.txt").write_text("not of any release")
    code, _ = root.deploy({"src/a.py": b"a = 2\n"})
    assert code == 0
    assert (root.path / "src/a.py").read_bytes() == b"a = 2\n"
    assert not (root.path / "src/deep").exists()
    assert (root.path / "src/mine.txt").exists()


def test_content_is_sent_once(root):
    root.deploy(ONE)
    assert root.plan(release({**ONE, "src/c.py": b"a = 1\n"}))["missing"] == []


def test_setup_only_places_nothing_below_the_root_and_makes_nothing_live(root):
    code, events = root.deploy(ONE, "--setup-only")
    assert code == 0, events
    assert not (root.path / "src").exists()
    assert not (root.path / "releases/current").exists()
    assert (root.path / "data/things").is_dir()


def test_what_a_plan_says_of_the_setup_is_what_the_setup_makes(root):
    contents = {**ONE, "bin/vru-platform.pyz": b"the program"}

    def planned(*, setup: bool):
        return [
            (one["name"], one["action"]) for one in root.plan(release(contents))["changes"] if one["setup"] is setup
        ]

    of_setup, others = planned(setup=True), planned(setup=False)
    assert ("bin/vru-platform.pyz", "create") in of_setup
    assert ("src/a.py", "create") in others
    assert root.deploy(contents, "--setup-only")[0] == 0
    assert planned(setup=True) == []
    assert planned(setup=False) == others
    assert root.deploy(contents)[0] == 0
    assert (planned(setup=True), planned(setup=False)) == ([], [])


def test_apply_without_its_content_fails_in_one_sentence(root):
    done = root.run("apply", stdin=json.dumps(release(ONE)).encode())
    end = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == 1
    assert end["ok"] is False
    assert "not on the server" in end["message"]
    assert not (root.path / "src").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"protocol": 2}, "protocol 2"),
        ({"release": "../../x"}, "release"),
        ({"files": [{"path": "../etc/passwd", "sha256": "0" * 64, "size": 1, "mode": "0644"}]}, "not allowed"),
        ({"files": [{"path": "/root/.ssh/x", "sha256": "0" * 64, "size": 1, "mode": "0644"}]}, "neither below"),
        ({"files": [{"path": "state/lock", "sha256": "0" * 64, "size": 1, "mode": "0644"}]}, "writes no files"),
        ({"files": [{"path": "a", "sha256": "0" * 64, "size": 1, "mode": "4755"}]}, "mode"),
        ({"files": [{"path": "a", "sha256": "xyz", "size": 1, "mode": "0644"}]}, "sha256"),
        ({"files": [{"path": "a", "size": 1, "mode": "0644"}]}, "sha256 is missing"),
        ({"units": [{"name": "x; rm -rf /"}]}, "no unit"),
        ({"pull": ["--privileged"]}, "no image"),
        ({"firewall": {"open": [0]}}, "no port"),
        ({"packages": {"docker_source": "snap"}}, "docker_source"),
    ],
)
def test_a_wrong_manifest_is_refused_by_name(change, said):
    with pytest.raises(HostError, match="manifest") as caught:
        parse(json.dumps({**release(ONE), **change}))
    assert said in str(caught.value)


def test_what_is_no_manifest_at_all_ends_with_usage(root):
    for text in (b"", b"[]", b"{"):
        done = root.run("plan", stdin=text)
        assert done.returncode == 2
        assert b"Traceback" not in done.stderr


def test_inline_content_must_be_what_its_name_says():
    manifest = {**release(ONE), "inline": {"0" * 64: "YWJj"}}
    with pytest.raises(HostError, match="another hash"):
        parse(json.dumps(manifest))


def test_the_lock_names_its_owner_and_dies_with_it(tmp_path):
    host = Host(tmp_path)
    assert lock.holder(host) is None
    with lock.lock(host, "a test", release="abc"):
        owner = lock.holder(host)
        assert owner is not None
        assert (owner["purpose"], owner["release"]) == ("a test", "abc")
        with pytest.raises(HostError, match="a test"), lock.lock(host, "another"):
            pass
    assert lock.holder(host) is None
    with lock.lock(host, "another"):
        pass


@pytest.fixture
def slow(root) -> Root:
    """A root where an executor has so much to place that it can be caught at work."""
    contents = {f"src/{number:04}": f"{number}".encode() for number in range(2500)}
    manifest = release(contents)
    assert root.run("receive", stdin=archive(contents, root.plan(manifest)["missing"])).returncode == 0
    (root.path / "manifest").write_text(json.dumps(manifest))
    return root


def start(root: Root) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, str(root.program), "apply"],
        stdin=(root.path / "manifest").open("rb"),
        stdout=subprocess.PIPE,
        env=root.environment,
    )
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if (root.path / "src").exists():
            return process
        time.sleep(0.01)
    raise AssertionError("the executor did not begin")


def test_the_change_goes_on_when_the_watcher_is_killed_and_a_new_one_attaches(slow):
    watcher = start(slow)
    watcher.kill()
    watcher.wait()
    busy = slow.run("apply", stdin=json.dumps(release(ONE)).encode())
    again = slow.run("apply", stdin=(slow.path / "manifest").read_bytes())
    events = [json.loads(line) for line in again.stdout.splitlines()]
    assert again.returncode == 0, events[-1]
    assert "Attached to the deployment of release" in events[0]["text"]
    assert events[1]["event"] == "begin"
    assert len(list((slow.path / "state/journal").iterdir())) == 1
    # The other release was refused while this one was under way.
    refused = json.loads(busy.stdout.splitlines()[-1])
    assert (busy.returncode, refused["ok"]) == (4, False)
    assert "under way" in refused["message"]


def test_a_killed_executor_is_told_and_the_next_run_converges(slow):
    watcher = start(slow)
    owner = lock.holder(Host(slow.path))
    assert owner is not None
    os.kill(owner["pid"], signal.SIGKILL)
    out, _ = watcher.communicate(timeout=120)
    end = json.loads(out.splitlines()[-1])
    assert (watcher.returncode, end["event"], end["ok"]) == (1, "end", False)
    assert "stopped before its end" in end["message"]
    assert not (slow.path / "releases/current").exists()

    again = slow.run("apply", stdin=(slow.path / "manifest").read_bytes())
    assert again.returncode == 0
    assert len(list((slow.path / "src").iterdir())) == 2500
    note, journal = again.stdout.split(b"\n", 1)
    assert "The last change was cut off at the step" in json.loads(note)["text"]
    followed = slow.run("follow")
    assert followed.returncode == 0
    assert followed.stdout == journal


def test_the_program_is_the_same_bytes_each_time_and_holds_no_builder(program):
    assert build_pyz() == build_pyz()
    import zipfile

    with zipfile.ZipFile(program) as packed:
        names = packed.namelist()
    assert "vru/host/__main__.py" in names
    assert "vru/host/build.py" not in names
    assert not any(name.startswith("vru/domain") for name in names)


def test_help_and_wrong_use(root):
    shown = root.run("--help")
    assert shown.returncode == 0
    assert b"exit codes" in shown.stdout
    assert root.run("nonsense").returncode == 2


def test_without_root_it_says_so(program):
    if os.geteuid() != 0:
        done = subprocess.run([sys.executable, str(program), "status"], capture_output=True, check=False)
    else:
        command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        readable = Path("/tmp") / f"vru-platform-{os.getpid()}.pyz"
        readable.write_bytes(program.read_bytes())
        readable.chmod(0o644)
        done = subprocess.run(
            [*command, "/usr/bin/env", "python3", str(readable), "status"], capture_output=True, check=False
        )
        readable.unlink()
    assert done.returncode == 1
    assert b"needs root" in done.stderr
