"""The lease and the operator's lock, with real processes that are stopped, killed and woken up."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from vru.host.base.errors import FencedError, HostError
from vru.host.base.host import Host
from vru.host.lock import audit, lock
from vru.host.lock.leases import Leases

# Takes the lock, then runs a command and writes a line every few milliseconds, until it is fenced or told to end.
WORKER = """
import sys, time
from pathlib import Path
from vru.host.lock import lock
from vru.host.base.errors import UserError
from vru.host.base.host import Host
host = Host(Path(sys.argv[1]))
out = open(host.root / sys.argv[2], "a", buffering=1)
try:
    with lock.lock(host, "the work of " + sys.argv[2], heartbeat_s=0.2, stale_s=2) as lease:
        print("token", lease.token, file=out)
        while not (host.root / "end").exists():
            host.run(["true"])
            print("changed", time.monotonic(), file=out)
            time.sleep(0.02)
    print("ended", file=out)
except UserError as error:
    print(type(error).__name__, error, file=out)
"""


class Workers:
    def __init__(self, host: Host) -> None:
        self.host = host
        self.running: list[subprocess.Popen[bytes]] = []

    def start(self, name: str, actor: str = "ada@laptop") -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-c", WORKER, str(self.host.root), name], env={**os.environ, "VRU_ACTOR": actor}
        )
        self.running.append(process)
        return process

    def said(self, name: str) -> list[str]:
        path = self.host.root / name
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


@pytest.fixture
def workers(host: Host) -> Iterator[Workers]:
    some = Workers(host)
    yield some
    for process in some.running:
        process.kill()
        process.wait()


def until(holds: Callable[[], object], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_stopped_holder_is_taken_over_and_when_woken_changes_nothing_more(host, workers):
    first = workers.start("first")
    until(lambda: len(workers.said("first")) > 3)
    first.send_signal(signal.SIGSTOP)
    time.sleep(0.5)
    with pytest.raises(HostError, match="the work of first by ada@laptop"), lock.lock(host, "too early"):
        pass
    until(lambda: lock.holder(host) is None)
    workers.start("second", actor="bob@laptop")
    until(lambda: len(workers.said("second")) > 3)
    assert (workers.said("first")[0], workers.said("second")[0]) == ("token 1", "token 2")

    woken = time.monotonic()
    changes = len(workers.said("first"))
    first.send_signal(signal.SIGCONT)
    assert first.wait(10) == 0
    # The one command that was past its check when it was stopped may still be counted.
    assert workers.said("first")[changes:-1] in ([], workers.said("first")[changes : changes + 1])
    assert workers.said("first")[-1].startswith("FencedError fenced: this change had token 1")
    assert "the work of second by bob@laptop took over with token 2" in workers.said("first")[-1]
    holder = lock.holder(host)
    assert holder is not None
    assert (holder["token"], holder["owner"]) == (2, "bob@laptop")
    assert time.monotonic() - woken < 5

    (host.root / "end").touch()
    until(lambda: workers.said("second")[-1] == "ended")
    assert lock.holder(host) is None
    entries, head = audit.read(host)
    assert audit.check(entries, head) == []
    assert entries[-1]["outcome"] == "taken over"
    assert "token 1" in entries[-1]["detail"]


def test_a_stopped_holder_that_nobody_took_over_goes_on(host, workers):
    first = workers.start("first")
    until(lambda: len(workers.said("first")) > 3)
    first.send_signal(signal.SIGSTOP)
    until(lambda: lock.holder(host) is None)
    before = len(workers.said("first"))
    first.send_signal(signal.SIGCONT)
    until(lambda: len(workers.said("first")) > before + 3)
    until(lambda: lock.holder(host) is not None)


def test_a_killed_holder_is_over_at_once(host, workers):
    first = workers.start("first")
    until(lambda: workers.said("first"))
    assert lock.holder(host) is not None
    first.kill()
    first.wait()
    assert lock.holder(host) is None
    with lock.lock(host, "the next") as lease:
        assert lease.token == 2


def test_a_lease_of_an_earlier_boot_or_of_another_process_with_its_number_is_over(host):
    with lock.lock(host, "a test") as lease:
        leases = Leases(host.state / "leases")
        for change in ({"boot": "another"}, {"process": "1"}, {"beat": lease.record["beat"] - 31}):
            leases.write(lease.token, {**lease.record, **change})
            assert lock.holder(host) is None
        leases.write(lease.token, lease.record)
        assert lock.holder(host) is not None


def test_the_token_grows_with_each_taking(host):
    tokens = []
    for _ in range(3):
        with lock.lock(host, "a test") as lease:
            tokens.append(lease.token)
    assert tokens == [1, 2, 3]


def test_fifty_takers_at_once_never_hold_it_together(host):
    program = (
        "import sys, time; from pathlib import Path; from vru.host.lock import lock\n"
        "from vru.host.base.host import Host\n"
        "from vru.host.base.errors import HostError\n"
        "host = Host(Path(sys.argv[1])); inside = host.root / 'inside'\n"
        "for _ in range(25):\n"
        "    try:\n"
        "        with lock.lock(host, 'a test'):\n"
        "            inside.touch(exist_ok=False); time.sleep(0.002); inside.unlink()\n"
        "    except HostError: time.sleep(0.003)\n"
    )
    running = [subprocess.Popen([sys.executable, "-c", program, str(host.root)]) for _ in range(4)]
    assert [process.wait(60) for process in running] == [0] * 4


def test_what_is_fenced_is_not_caught_as_a_failure_that_could_be_mended(host):
    with pytest.raises(FencedError), lock.lock(host, "a test") as lease:
        assert Leases(host.state / "leases").claim(lease.token + 1, {"held": True})
        lease.renew()
        try:
            host.run(["true"])
        except HostError:
            pytest.fail("a fenced change could have gone on")
    assert host.run.guard is None
    assert Leases(host.state / "leases").latest() == (2, {"held": True})


# Stops itself at a line of the program, as a signal from outside could.
STOPPED_INSIDE = """
import os, signal, sys, threading
from pathlib import Path
from vru.host.lock import audit, lock
from vru.host.base.host import Host

def stop(frame, event, argument):
    if event == "line" and frame.f_code.co_name == sys.argv[2]:
        sys.settrace(None)
        threading.settrace(None)
        print("stopped", flush=True)
        os.kill(os.getpid(), signal.SIGSTOP)
    return stop

threading.settrace(stop)
sys.settrace(stop)
host = Host(Path(sys.argv[1]))
with lock.lock(host, "a test", heartbeat_s=0.05, stale_s=0.5):
    audit.record(host, "apply", outcome="begun")
    threading.Event().wait(5)
"""


@pytest.mark.parametrize("function", ["claim", "write", "renew", "_tidy", "_append", "_flock", "write_atomic"])
def test_a_holder_that_is_stopped_anywhere_blocks_nobody(host, workers, function, monkeypatch):
    monkeypatch.setattr(audit, "_PATIENCE_S", 0.5)
    process = subprocess.Popen([sys.executable, "-c", STOPPED_INSIDE, str(host.root), function], stdout=subprocess.PIPE)
    workers.running.append(process)
    assert process.stdout is not None
    assert process.stdout.readline() == b"stopped\n"
    time.sleep(0.6)
    with lock.lock(host, "the next", stale_s=30) as lease:
        audit.record(host, "apply", outcome="done")
        process.send_signal(signal.SIGCONT)
        time.sleep(0.3)
        lease.check()
    assert audit.check(*audit.read(host)) == []


# -- the operator's lock ----------------------------------------------------------------------------------------------


def test_an_operators_lock_stops_others_and_lets_its_owner_go_on(host, monkeypatch):
    monkeypatch.setenv("VRU_ACTOR", "ada@laptop")
    lock.take_operator_lock(host, "a new disk", 60)
    with lock.lock(host, "her own deployment"):
        pass
    monkeypatch.setenv("VRU_ACTOR", "bob@laptop")
    with pytest.raises(HostError, match=r"ada@laptop has locked all changes until \d{4}-.* UTC: a new disk") as caught:
        lock.lock(host, "another").__enter__()
    assert "--force" in caught.value.fix
    assert caught.value.code == 4
    with pytest.raises(HostError, match="ada@laptop has locked"):
        lock.take_operator_lock(host, "mine", 60)
    with pytest.raises(HostError, match="The lock is ada@laptop's"):
        lock.release_operator_lock(host)
    with lock.lock(host, "the watchdog", automatic=True):
        pass
    assert lock.release_operator_lock(host, force=True) is not None
    with lock.lock(host, "another"):
        pass


def test_an_operators_lock_ends_by_itself(host, monkeypatch):
    monkeypatch.setenv("VRU_ACTOR", "ada@laptop")
    lock.take_operator_lock(host, "short", 0.2)
    monkeypatch.setenv("VRU_ACTOR", "bob@laptop")
    with pytest.raises(HostError):
        lock.require_unlocked(host)
    time.sleep(0.3)
    lock.require_unlocked(host)
    assert lock.operator_lock(host) is None


def test_an_operators_lock_with_a_heartbeat_goes_stale(host, monkeypatch):
    monkeypatch.setenv("VRU_ACTOR", "ada@laptop")
    taken = lock.take_operator_lock(host, "while make runs", 60, stale_s=2)
    for _ in range(3):
        time.sleep(1)
        assert lock.renew_operator_lock(host, taken["token"])
    assert lock.operator_lock(host) is not None
    time.sleep(2.2)
    assert lock.operator_lock(host) is None
    monkeypatch.setenv("VRU_ACTOR", "bob@laptop")
    again = lock.take_operator_lock(host, "mine now", 60)
    assert again["token"] == taken["token"] + 1
    assert not lock.renew_operator_lock(host, taken["token"])
    assert lock.release_operator_lock(host, token=taken["token"]) is None


def test_nobody_locks_while_somebody_else_changes(host, workers, monkeypatch):
    workers.start("first", actor="ada@laptop")
    until(lambda: workers.said("first"))
    monkeypatch.setenv("VRU_ACTOR", "bob@laptop")
    with pytest.raises(HostError, match="the work of first by ada@laptop"):
        lock.take_operator_lock(host, "now", 60)
    monkeypatch.setenv("VRU_ACTOR", "ada@laptop")
    lock.take_operator_lock(host, "now", 60)


# -- the verb ------------------------------------------------------------------------------------------------------


def verb(host: Host, *arguments: str, actor: str = "ada@laptop") -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "vru.host", "lock", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "VRU_ROOT": str(host.root), "VRU_ACTOR": actor},
    )


def test_the_verb_takes_shows_and_releases(host):
    out, _ = verb(host, "take", "--reason", "a new disk", "--for", "2h", "--json").communicate(timeout=120)
    assert json.loads(out)["lock"]["owner"] == "ada@laptop"
    out, _ = verb(host, actor="bob@laptop").communicate(timeout=120)
    assert b"a new disk" in out
    refused = verb(host, "release", actor="bob@laptop")
    _, said = refused.communicate(timeout=120)
    assert refused.returncode == 4
    assert b"--force" in said
    assert b"Released" in verb(host, "release").communicate(timeout=120)[0]
    assert [entry["outcome"] for entry in audit.read(host)[0]] == ["taken", "released"]
    without = verb(host, "take")
    without.communicate(timeout=120)
    assert without.returncode == 2


def test_hold_releases_at_the_inputs_end(host):
    holding = verb(host, "hold", "--reason", "make")
    assert holding.stdout is not None
    assert holding.stdin is not None
    assert holding.stdout.readline() == b"held\n"
    assert lock.operator_lock(host) is not None
    holding.stdin.write(b"\n")
    holding.stdin.flush()
    time.sleep(0.1)
    assert holding.poll() is None
    holding.stdin.close()
    assert holding.wait(10) == 0
    assert lock.operator_lock(host) is None
