"""Hooks as real programs: what they are told, what they can stop, what they cannot."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from vru.deploy.pipeline import hooks
from vru.deploy.pipeline.hooks import HookFailedError, Hooks, odd_files
from vru.deploy.release.difference import Difference
from vru.domain import VruError
from vru.host.wire import Change

DIFFERENCE = Difference("abcdef123456", (Change("file", ".env", "update"),), (), (), None, state="s", live=None)


class Notes:
    """Keeps what would be shown."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.warnings: list[str] = []

    def phase(self, number: int) -> None: ...
    def step(self, name: str, detail: str = "") -> None: ...
    def log(self, line: str) -> None: ...
    def output(self, line: str) -> None:
        self.lines.append(line)

    def done(self, name: str, detail: str = "", seconds: float | None = None) -> None: ...
    def warn(self, text: str) -> None:
        self.warnings.append(text)

    def failed(self, error: VruError, logs: tuple[str, ...] = (), data: Mapping[str, Any] | None = None) -> None: ...
    def result(self, text: str, data: Mapping[str, Any]) -> None: ...


def write(root: Path, name: str, script: str, mode: int = 0o755) -> Path:
    file = root / "hooks" / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(script)
    file.chmod(mode)
    return file


def made(root: Path, *, skip: bool = False) -> tuple[Hooks, Notes]:
    notes = Notes()
    return Hooks(root, notes, "deploy", "server.example", skip=skip), notes


def test_a_hook_gets_the_plan_and_the_facts_and_its_output_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VRU_ACTOR", "ada@laptop")
    write(
        tmp_path,
        "pre-deploy",
        "#!/bin/sh\ncat > plan.json\npwd\nenv | grep ^VRU_ | grep -v AT= | sort\necho to errors >&2\n",
    )
    called, notes = made(tmp_path)
    called.before_deploying(DIFFERENCE)
    assert json.loads((tmp_path / "plan.json").read_text()) == DIFFERENCE.as_json()
    assert set(notes.lines) >= {
        str(tmp_path), "to errors", "VRU_ACTOR=ada@laptop", "VRU_COMMAND=deploy", "VRU_HOOK=pre-deploy",
        "VRU_HOST=server.example", "VRU_RELEASE=abcdef123456", "VRU_RUNTIME_S=0",
    }  # fmt: skip


def test_a_hook_before_something_stops_it(tmp_path: Path) -> None:
    write(tmp_path, "pre-deploy", "#!/bin/sh\necho not on a Friday\nexit 3\n")
    write(tmp_path, "pre-connect", "#!/bin/sh\nkill -9 $$\n")
    called, notes = made(tmp_path)
    with pytest.raises(
        HookFailedError, match=r"hooks/pre-deploy failed \(exit code 3\); nothing was changed"
    ) as raised:
        called.before_deploying(DIFFERENCE)
    assert notes.lines == ["not on a Friday"]
    assert "--skip-hooks" in raised.value.fix
    with pytest.raises(HookFailedError, match="signal 9"):
        called.before_connecting()


def test_a_hook_that_cannot_be_run_says_why(tmp_path: Path) -> None:
    write(tmp_path, "pre-deploy", "no first line\n")
    write(tmp_path, "pre-connect", "#!/no/such/program\n")
    called, _ = made(tmp_path)
    with pytest.raises(HookFailedError, match=r"cannot be run: Exec format error"):
        called.before_deploying(DIFFERENCE)
    with pytest.raises(HookFailedError, match=r"cannot be run: No such file"):
        called.before_connecting()


def test_a_hook_afterwards_can_only_report(tmp_path: Path) -> None:
    write(tmp_path, "post-deploy", "#!/bin/sh\ncat\nexit 1\n")
    called, notes = made(tmp_path)
    called.after(hooks.POST_DEPLOY, {"release": "r", "changed": 2})
    assert json.loads(notes.lines[0]) == {"ok": True, "release": "r", "changed": 2}
    assert notes.warnings == ["The hook hooks/post-deploy failed (exit code 1); what was done stays done."]


def test_a_failed_deployment_is_told_once_it_had_begun(tmp_path: Path) -> None:
    write(tmp_path, "deploy-failed", "#!/bin/sh\ncat\n")
    called, notes = made(tmp_path)
    with pytest.raises(VruError), called.watching():
        raise VruError("no connection")
    assert not notes.lines
    called.before_deploying(DIFFERENCE)
    with pytest.raises(VruError), called.watching():
        raise VruError("It broke.", "Mend it.")
    assert json.loads(notes.lines[0]) == {"ok": False, "message": "It broke.", "fix": "Mend it."}


def test_hooks_can_be_left_out(tmp_path: Path) -> None:
    write(tmp_path, "pre-connect", "#!/bin/sh\nexit 1\n")
    write(tmp_path, "predeploy", "#!/bin/sh\n")
    called, notes = made(tmp_path, skip=True)
    called.before_connecting()
    called.before_deploying(DIFFERENCE)
    assert not notes.warnings


def test_files_that_are_never_called_are_named(tmp_path: Path) -> None:
    assert odd_files(tmp_path / "hooks") == []
    write(tmp_path, "pre-deploy", "#!/bin/sh\n", mode=0o644)
    write(tmp_path, "predeploy", "#!/bin/sh\n")
    for name in ("post-deploy.sample", "README.md", ".keep"):
        write(tmp_path, name, "")
    write(tmp_path, "post-deploy", "#!/bin/sh\n")
    first, second = odd_files(tmp_path / "hooks")
    assert "pre-deploy is not called: it is not executable (chmod +x" in first
    assert "predeploy is never called: hooks are named pre-connect, pre-deploy" in second
    called, notes = made(tmp_path)
    called.before_connecting()
    called.before_deploying(DIFFERENCE)
    assert len(notes.warnings) == 2


def test_a_hook_that_reads_nothing_does_not_block_a_large_plan(tmp_path: Path) -> None:
    write(tmp_path, "pre-deploy", "#!/bin/sh\nexit 0\n")
    large = Difference("r", tuple(Change("file", f"f{n}", "update", "x" * 100) for n in range(20_000)), (), (), None)
    made(tmp_path)[0].before_deploying(large)


def test_ctrl_c_ends_the_hook_and_what_it_started(tmp_path: Path) -> None:
    write(tmp_path, "pre-deploy", f"#!/bin/sh\nsleep 300 &\necho $! > {tmp_path}/child\nwait\n")
    called, _ = made(tmp_path)

    def interrupt() -> None:
        while not (tmp_path / "child").exists() or not (tmp_path / "child").read_text().strip():
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    # A shell that starts the tests in the background lets them ignore Ctrl-C.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        threading.Thread(target=interrupt, daemon=True).start()
        with pytest.raises(KeyboardInterrupt):
            called.before_deploying(DIFFERENCE)
    finally:
        signal.signal(signal.SIGINT, before)
    child = int((tmp_path / "child").read_text())
    end = time.monotonic() + 60
    while Path(f"/proc/{child}/status").exists() and "zombie" not in Path(f"/proc/{child}/status").read_text():
        assert time.monotonic() < end, "the hook's own child lives on"
        time.sleep(0.1)


def test_vru_calls_pre_connect_before_anything_else(project: Path) -> None:
    vru = Path(sys.executable).with_name("vru")

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        # The port of nobody: without the hook, it is the connection that fails.
        return subprocess.run(
            [vru, *arguments], cwd=project, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
        )

    assert run("init", "--host", "127.0.0.1", "--port", "1").returncode == 0
    write(project, "pre-connect", '#!/bin/sh\necho "$VRU_COMMAND to $VRU_HOST"\nexit 4\n')
    for command in ("deploy", "update", "rollback"):
        done = run(command)
        assert (done.returncode, f"{command} to 127.0.0.1" in done.stdout) == (1, True), done.stdout + done.stderr
        assert "hooks/pre-connect failed (exit code 4)" in done.stderr
        assert run(command, "--skip-hooks").returncode == 3
