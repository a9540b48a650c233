"""Waiting for the package manager's locks, held by a real other process."""

import subprocess
import sys

import pytest

from vru.host.base.errors import HostError
from vru.host.base.host import Host
from vru.host.base.run import Done, Runner
from vru.host.resources import apt

HOLD = """
import fcntl, sys, time
file = open(sys.argv[1], "w")
fcntl.lockf(file, fcntl.LOCK_EX)
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def held(tmp_path):
    path = tmp_path / "lock"
    with subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield path, process
        process.kill()


def test_the_holder_is_named_and_waited_for(held):
    path, process = held
    said = []

    def log(line: str) -> None:
        said.append(line)
        process.kill()
        process.wait()

    apt.wait_for_lock(log, [str(path)], wait_s=10, poll_s=0.05)
    assert len(said) == 1
    assert str(process.pid) in said[0]


def test_waiting_has_an_end(held):
    path, process = held
    with pytest.raises(HostError, match=str(process.pid)):
        apt.wait_for_lock(lambda line: None, [str(path)], wait_s=0.2, poll_s=0.05)


def test_nobody_holds_what_is_not_there(tmp_path):
    assert apt.lock_owner(tmp_path / "none") is None
    apt.wait_for_lock(lambda line: None, [str(tmp_path / "none")], wait_s=0)


class Interrupted(Runner):
    """apt-get as it is after a power cut, until dpkg has finished what it had begun."""

    def __init__(self) -> None:
        self.run: list[str] = []

    def lines(self, argv, on_line, **options):
        self.run.append(" ".join(argv))
        whole = any("--configure" in line for line in self.run)
        said = "" if whole else "E: dpkg was interrupted, you must manually run 'dpkg --configure -a' to correct"
        return Done(tuple(argv), 0 if whole else 100, said, "")


def test_an_interrupted_installation_is_finished_first(tmp_path, monkeypatch):
    monkeypatch.setattr(apt, "wait_for_lock", lambda log: None)
    runner = Interrupted()
    apt.install(Host(tmp_path, runner), ["docker.io"], lambda line: None)
    assert [line.split()[0] for line in runner.run] == ["apt-get", "dpkg", "apt-get"]
