import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import psutil
import pytest

from vru.domain import VruError
from vru.local.processes import Account, ProcessSpec, read_tail
from vru.local.supervisor import Interrupted, Supervisor, in_background


def python(name: str, code: str, folder: Path, *, ready: str | None = "ready", **others) -> ProcessSpec:
    """A process that is ready once its log holds ``ready``."""
    log = folder / f"{name}.log"
    missing = (lambda: None if ready in "\n".join(read_tail(log, 100)) else f"no {ready!r} yet") if ready else None
    return ProcessSpec(
        name=name,
        argv=(sys.executable, "-uc", textwrap.dedent(code)),
        environment=dict(os.environ),
        log=log,
        port=0,
        missing=missing or (lambda: None),
        layer=others.pop("layer", 1),
        **others,
    )


SLEEPER = "import time; print('ready'); time.sleep(60)"


@pytest.fixture
def said():
    return []


@pytest.fixture
def supervisor(said):
    supervisor = Supervisor(said.append)
    yield supervisor
    supervisor.stop()


def later(seconds: float):
    end = time.monotonic() + seconds
    return lambda: time.monotonic() > end


def wait_for(condition, seconds: float = 15.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)


def test_processes_start_and_stop(supervisor, said, tmp_path):
    supervisor.start([python("one", SLEEPER, tmp_path), python("two", SLEEPER, tmp_path)])
    pids = supervisor.pids
    assert all(psutil.pid_exists(pid) for pid in pids.values())
    assert sum("is ready" in line for line in said) == 2
    supervisor.stop()
    assert not any(psutil.pid_exists(pid) for pid in pids.values())


def test_a_process_that_ends_while_starting_is_an_error_with_its_last_lines(supervisor, tmp_path):
    broken = python("broken", "import sys; print('the reason'); sys.exit(7)", tmp_path)
    with pytest.raises(VruError) as caught:
        supervisor.start([broken])
    assert "broken ended with exit code 7 while starting" in caught.value.message
    assert "broken | the reason" in caught.value.message
    assert str(broken.log) in caught.value.fix


def test_a_process_that_does_not_become_ready_is_an_error_that_says_what_is_missing(supervisor, tmp_path):
    spec = python("slow", "import time; print('still thinking'); time.sleep(60)", tmp_path, ready_timeout_s=1.0)
    with pytest.raises(VruError, match="slow was not ready within 1 s: no 'ready' yet") as caught:
        supervisor.start([spec])
    assert "slow | still thinking" in caught.value.message


def test_old_log_lines_are_not_shown_as_the_reason(supervisor, tmp_path):
    (tmp_path / "broken.log").write_text("from yesterday\n")
    with pytest.raises(VruError) as caught:
        supervisor.start([python("broken", "print('today'); exit(1)", tmp_path)])
    assert "today" in caught.value.message
    assert "yesterday" not in caught.value.message


def test_a_program_that_does_not_exist_is_an_error(supervisor, tmp_path):
    spec = python("absent", "", tmp_path)
    absent = ProcessSpec(
        name="absent",
        argv=("/no/such/program",),
        environment={},
        log=spec.log,
        port=0,
        missing=lambda: "never",
        layer=1,
    )
    with pytest.raises(VruError, match="absent ended with exit code 1 while starting"):
        supervisor.start([absent])


def test_a_died_process_is_reported_and_started_again(supervisor, said, tmp_path):
    supervisor.start([python("one", SLEEPER, tmp_path)])
    first = supervisor.pids["one"]
    os.kill(first, signal.SIGKILL)
    supervisor.watch(until=lambda: supervisor.pids["one"] != first)
    assert any("one" in line and "was killed by SIGKILL" in line and "one | ready" in line for line in said)
    assert psutil.pid_exists(supervisor.pids["one"])


def test_a_process_that_keeps_dying_ends_the_watch(supervisor, said, tmp_path):
    supervisor.start([python("one", "print('ready'); import time; time.sleep(0.3); exit(3)", tmp_path)])
    with pytest.raises(VruError, match="one ended with exit code 3, and that 4 times within 60 s"):
        supervisor.watch(until=later(30))
    assert sum("starting it again" in line for line in said) == 3


def test_a_one_off_runs_to_its_end_and_its_failure_is_an_error(supervisor, tmp_path):
    supervisor.run(python("good", "print('done')", tmp_path))
    with pytest.raises(VruError, match="bad ended with exit code 4"):
        supervisor.run(python("bad", "exit(4)", tmp_path))
    with pytest.raises(VruError, match="slow did not end within 1 s"):
        supervisor.run(python("slow", SLEEPER, tmp_path, ready_timeout_s=1.0))


def test_higher_layers_stop_first(supervisor, tmp_path):
    code = """
        import signal, sys, time
        def end(*_):
            time.sleep(0.3)
            print("ended", time.monotonic())
            sys.exit(0)
        signal.signal(signal.SIGTERM, end)
        print("ready")
        time.sleep(60)
    """
    supervisor.start([python(f"layer{n}", code, tmp_path, layer=n) for n in (2, 0, 1)])
    supervisor.stop()
    ends = [float(read_tail(tmp_path / f"layer{n}.log", 1)[0].split()[1]) for n in (2, 1, 0)]
    assert ends == sorted(ends)
    assert ends[2] - ends[0] > 0.5


def test_what_does_not_stop_is_killed_with_its_children(supervisor, said, tmp_path):
    code = """
        import signal, subprocess, sys, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        print("child", child.pid)
        print("ready")
        time.sleep(60)
    """
    supervisor.start([python("stubborn", code, tmp_path, stop_timeout_s=0.5)])
    grandchild = int(read_tail(tmp_path / "stubborn.log", 5)[0].split()[1])
    supervisor.stop()
    assert any("did not stop in time" in line for line in said)
    wait_for(lambda: not psutil.pid_exists(grandchild) or psutil.Process(grandchild).status() == "zombie")


def test_a_signal_ends_the_watch(supervisor, tmp_path):
    with supervisor.signals():
        supervisor.start([python("one", SLEEPER, tmp_path)])
        threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGTERM)).start()
        with pytest.raises(Interrupted):
            supervisor.watch(until=later(20))


def test_work_in_the_background_ends_the_watch_with_its_own_error(supervisor):
    def fail() -> None:
        raise VruError("it cannot be done")

    done = []
    in_background(supervisor, lambda: done.append(1))
    assert done == [1]
    with pytest.raises(VruError, match="it cannot be done"):
        in_background(supervisor, fail)


def test_no_process_outlives_a_killed_parent(tmp_path):
    code = f"""
        import sys
        from pathlib import Path
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from test_supervisor import SLEEPER, python
        from vru.local.supervisor import Supervisor
        supervisor = Supervisor(lambda line: None)
        supervisor.start([python(name, SLEEPER, Path({str(tmp_path)!r})) for name in ("one", "two")])
        print(*supervisor.pids.values(), flush=True)
        supervisor.watch()
    """
    parent = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    pids = [int(pid) for pid in parent.stdout.readline().split()]
    assert len(pids) == 2
    parent.kill()
    parent.wait()
    # As orphans they belong to init, which need not reap them at once.
    wait_for(lambda: not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie" for pid in pids))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change the user")
def test_a_process_runs_as_the_given_account(supervisor, tmp_path):
    # The program has to be one that this account can reach.
    spec = ProcessSpec(
        name="who",
        argv=("/bin/sh", "-c", "id -u; id -G; exec sleep 60"),
        environment={"PATH": os.defpath},
        log=tmp_path / "who.log",
        port=0,
        missing=lambda: None if len(read_tail(tmp_path / "who.log", 5)) == 2 else "nothing said",
        layer=0,
        run_as=Account(65534, 65534),
    )
    supervisor.start([spec])
    assert read_tail(spec.log, 2) == ["65534", "65534"]


def test_services_that_hang_have_their_time_together(supervisor, said, tmp_path):
    hanging = "import signal, time; signal.signal(15, signal.SIG_IGN); print('ready'); time.sleep(60)"
    specs = [python(f"layer{n}", hanging, tmp_path, layer=n, stop_timeout_s=2.0) for n in range(1, 5)]
    supervisor.start(specs)
    began = time.monotonic()
    supervisor.stop()
    # 2 s and then half a second for each further layer; one after the other it would be 8 s.
    assert 2.0 <= time.monotonic() - began < 6.0
    assert sum("did not stop in time" in line for line in said) == 4
