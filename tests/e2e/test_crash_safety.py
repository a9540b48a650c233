"""Killed at every step boundary of a real update: the next `vru deploy` converges, and port 80 answers throughout.

A watcher on the server reads the journal, which is on disk before anything acts on it, and kills when a step begins.
"""

import signal
import subprocess
import threading
import time
from types import TracebackType
from typing import Self

import pytest
from tests.e2e.laptop import Laptop, on_server, wait_healthy
from tests.e2e.updates import User, assert_whole, change, changed_project, live_title, start

# argv: what to do at a step that is not among the rest of argv.
_WATCHER = """
import glob, json, os, signal, subprocess, sys, time
what, seen = sys.argv[1], set(sys.argv[2:])
state = "/opt/vru-platform/state"
old = set(glob.glob(state + "/journal/*"))
places, frozen = {}, []
last_kill = 0.0

def pid():
    with open(max(glob.glob(state + "/leases/*.json"))) as file:
        return json.load(file)["pid"]

def docker_pid():
    try:
        with open("/run/docker.pid") as file:
            number = int(file.read())
        os.kill(number, 0)
        return number
    except (OSError, ValueError):
        return 0

def docker_answers():
    return docker_pid() and subprocess.run(["docker", "version"], capture_output=True).returncode == 0

def at(name):
    global last_kill
    if what == "executor":
        os.kill(pid(), signal.SIGKILL)
    elif what == "docker":
        # One death at a time: the next comes when the last is over for all (a name server that is gone is asked
        # again after five seconds).
        if time.monotonic() - last_kill < 10 or not docker_answers():
            return False
        # Only now: asking may just have had systemd start another one.
        number = docker_pid()
        # systemd gives up on what dies three times a minute; here it is the test that kills.
        subprocess.run(["systemctl", "reset-failed", "docker.service"], check=False)
        try:
            os.kill(number, signal.SIGKILL)
        except ProcessLookupError:
            return False
        last_kill = time.monotonic()
    elif what == "freeze":
        frozen.append(pid())
        os.kill(frozen[-1], signal.SIGSTOP)
    return True

print("watching", flush=True)
while True:
    for path in sorted(set(glob.glob(state + "/journal/*")) - old):
        with open(path) as file:
            file.seek(places.get(path, 0))
            text = file.read()
        whole = text[: text.rfind("\\n") + 1]
        places[path] = places.get(path, 0) + len(whole.encode())
        for line in whole.splitlines():
            event = json.loads(line)
            if event["event"] == "step" and event["state"] == "started" and event["name"] not in seen:
                if not at(event["name"]):
                    continue
                seen.add(event["name"])
                print(event["name"], flush=True)
                if what == "executor":
                    sys.exit()
                if what == "freeze":
                    sys.stdin.readline()
                    try:
                        os.kill(frozen[-1], signal.SIGCONT)
                    except ProcessLookupError:
                        pass
    time.sleep(0.002)
"""


class Watcher:
    """Does something on the server whenever a step begins at which it was not done yet."""

    def __init__(self, laptop: Laptop, what: str, seen: set[str]) -> None:
        self.steps: list[str] = []
        self._laptop, self._seen = laptop, seen
        command = ["docker", "exec", "-i", laptop.server.name, "python3", "-c", _WATCHER, what, *sorted(seen)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "watching\n"
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A test that failed leaves no frozen change behind.
        on_server(self._laptop, "pkill -f 'what, seen = sys[.]argv'; pkill -CONT -f ' execute [0-9a-f]+ ' || true")
        self._process.wait(10)
        self._reader.join(10)
        self._seen.update(self.steps)
        print(f"at {self.steps}")

    def await_step(self, number: int, deploy: "Deploy") -> bool:
        """Wait until something was done at so many steps; False if the deployment ended before."""
        while len(self.steps) < number:
            if deploy.process.poll() is not None:
                return False
            time.sleep(0.02)
        return True

    def go(self) -> None:
        """Let the frozen change go on."""
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()

    def _read(self) -> None:
        for line in self._process.stdout or ():
            self.steps.append(line.strip())


class Deploy:
    """A `vru deploy` that can be killed, with what it has said."""

    def __init__(self, laptop: Laptop) -> None:
        self.process = start(laptop, "deploy", "--watch", "0")
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def text(self) -> str:
        """All that it said."""
        return "".join(self.lines)

    def await_attached(self, seconds: float = 120) -> None:
        """Wait until it watches the change that runs. (Where that was frozen for too long, it has taken over.)"""
        end = time.monotonic() + seconds
        while not any(words in self.text for words in ("Attached to the ", "The last change was cut off")):
            assert time.monotonic() < end, self.text[-3000:]
            assert self.process.poll() is None, self.text[-3000:]
            time.sleep(0.05)

    def end(self, seconds: float = 600) -> int:
        """Its exit code."""
        code = self.process.wait(seconds)
        self._reader.join(10)
        return code

    def kill(self) -> None:
        """Kill the laptop's process."""
        self.process.send_signal(signal.SIGKILL)
        self.end()

    def _read(self) -> None:
        for line in self.process.stdout or ():
            self.lines.append(line)


def kill_ssh(laptop: Laptop) -> None:
    """Kill the server's end of every SSH connection, not the daemon that takes new ones."""
    killed = on_server(laptop, "pkill -KILL -f '^sshd(-session)?: [a-z]+' && echo killed")
    assert killed == "killed\n"


def test_the_change_goes_on_without_the_laptop_and_without_ssh(deployed: Laptop) -> None:
    with changed_project(deployed), User(deployed):
        change(deployed, "Killed laptop", minute=11)
        with Watcher(deployed, "freeze", set()) as watcher:
            deploy = Deploy(deployed)
            while watcher.await_step(len(watcher.steps) + 1, deploy):
                deploy.kill()
                deploy = Deploy(deployed)
                deploy.await_attached()
                kill_ssh(deployed)
                assert deploy.end(180) == 3, deploy.text[-3000:]
                assert "goes on on the server" in deploy.text
                deploy = Deploy(deployed)
                deploy.await_attached()
                watcher.go()
        assert deploy.end() == 0, deploy.text[-3000:]
        assert len(watcher.steps) >= 12
        assert live_title(deployed) == "Killed laptop"
        assert_whole(deployed)


def test_a_killed_executor_is_finished_by_the_next_deploy(deployed: Laptop) -> None:
    seen: set[str] = set()
    with changed_project(deployed), User(deployed):
        change(deployed, "Killed executor", minute=12)
        for _ in range(40):
            with Watcher(deployed, "executor", seen) as watcher:
                deploy = Deploy(deployed)
                code = deploy.end()
            if not watcher.steps:
                break
            assert code == 1, deploy.text[-3000:]
            assert "The change was stopped before its end" in deploy.text
            if len(seen) > 1:
                assert "The last change was cut off at the step" in deploy.text
        assert code == 0, deploy.text[-3000:]
        assert len(seen) >= 12
        assert live_title(deployed) == "Killed executor"
        assert_whole(deployed)
    entries = deployed.vru_json("audit")["entries"]
    assert any(entry["outcome"] == "taken over" for entry in entries)


@pytest.mark.soak
def test_a_killed_dockerd_leaves_the_containers_running_and_the_next_deploy_converges(deployed: Laptop) -> None:
    seen: set[str] = set()
    since = "docker inspect --format '{{.State.StartedAt}}' vru-platform-postgres-1"
    started = on_server(deployed, since)
    # Without Docker nobody answers for names, and nginx asks again after five seconds: a request may wait, none fails.
    with changed_project(deployed), User(deployed, timeout_s=30):
        for round_ in range(20):
            change(deployed, f"Killed dockerd {round_}", minute=20 + round_)
            with Watcher(deployed, "docker", seen) as watcher:
                deploy = Deploy(deployed)
                code = deploy.end()
            print(f"-> {code}\n{deploy.text[-1500:] if code else ''}")
            if not watcher.steps:
                break
            if code != 0:
                deployed.vru("deploy", "--watch", "0")
            assert live_title(deployed) == f"Killed dockerd {round_}"
        assert code == 0, deploy.text[-3000:]
        assert len(seen) >= 12
        assert_whole(deployed)
        assert on_server(deployed, since) == started


@pytest.mark.soak
def test_a_power_cut_in_the_middle_of_an_update_is_finished_by_the_next_deploy(deployed: Laptop) -> None:
    with changed_project(deployed):
        change(deployed, "Power cut", minute=31)
        with Watcher(deployed, "freeze", set()) as watcher:
            deploy = Deploy(deployed)
            while watcher.await_step(len(watcher.steps) + 1, deploy):
                if watcher.steps[-1].startswith("service "):
                    break
                watcher.go()
            assert watcher.steps[-1].startswith("service "), deploy.text[-3000:]
            deployed.server.crash(states=("running", "degraded", "starting"))
        assert deploy.end(240) == 3, deploy.text[-3000:]
        wait_healthy(deployed)
        with User(deployed):
            finished = deployed.vru("deploy", "--watch", "0")
            assert "The last change was cut off at the step" in finished.stdout
            assert live_title(deployed) == "Power cut"
            assert_whole(deployed)
