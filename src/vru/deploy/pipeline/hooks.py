"""Hooks: programs of the project that `vru` calls on this laptop, before and after it changes the server.

A hook is an executable file ``hooks/NAME``. It gets JSON on its standard input and facts in ``VRU_*`` variables; never
a secret. A hook before something stops it by failing; one after it cannot undo anything.
"""

import contextlib
import json
import os
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from vru.deploy.console.reporter import Reporter
from vru.deploy.release.difference import Difference
from vru.deploy.ssh.connection import actor
from vru.domain import VruError

DIRECTORY = "hooks"
PRE_CONNECT, PRE_DEPLOY, POST_DEPLOY = "pre-connect", "pre-deploy", "post-deploy"
PRE_ROLLBACK, POST_ROLLBACK, DEPLOY_FAILED = "pre-rollback", "post-rollback", "deploy-failed"
NAMES = (PRE_CONNECT, PRE_DEPLOY, POST_DEPLOY, DEPLOY_FAILED, PRE_ROLLBACK, POST_ROLLBACK)
_PATIENCE_S = 5.0
# Beside hooks there may be these.
_NO_HOOKS = (".sample", ".md", ".txt")


class HookFailedError(VruError):
    """A hook said no, or could not be run."""


@dataclass(slots=True)
class Hooks:
    """The hooks of one command.

    Args:
        root: the project's root.
        report: told what a hook prints.
        command: ``deploy``, ``update`` or ``rollback``.
        host: the server's SSH address.
        skip: call none.
    """

    root: Path
    report: Reporter
    command: str
    host: str
    skip: bool = False
    release: str = ""
    _began: float = field(default_factory=time.monotonic)
    _changing: bool = False

    def before_connecting(self) -> None:
        """Call ``pre-connect``; warn of files in ``hooks/`` that look like hooks and are none.

        Raises:
            HookFailedError: it failed; nothing was changed.
        """
        if not self.skip:
            for text in odd_files(self.root / DIRECTORY):
                self.report.warn(text)
        self._require(PRE_CONNECT, {"command": self.command, "host": self.host})

    def before_deploying(self, difference: Difference) -> None:
        """Call ``pre-deploy`` with the plan.

        Raises:
            HookFailedError: it failed; nothing was changed.
        """
        self.release = difference.release
        self._require(PRE_DEPLOY, difference.as_json())
        self._changing = True

    def before_rollback(self, wanted: Mapping[str, Any]) -> None:
        """Call ``pre-rollback`` with the release that was asked for; None means the one before.

        Raises:
            HookFailedError: it failed; nothing was changed.
        """
        self.release = str(wanted.get("release") or "")
        self._require(PRE_ROLLBACK, wanted)
        self._changing = True

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Call ``deploy-failed`` if the block raises after its pre-hook let it begin."""
        try:
            yield
        except VruError as error:
            if self._changing:
                self._tell(DEPLOY_FAILED, {"ok": False, "message": error.message, "fix": error.fix})
            raise

    def after(self, name: str, outcome: Mapping[str, Any]) -> None:
        """Call a hook after all went well. That it fails is reported; what was done stays done."""
        self.release = str(outcome.get("release") or self.release)
        self._tell(name, {"ok": True, **outcome})

    def wants(self, name: str) -> bool:
        """Whether there is such a hook to call."""
        return self._find(name) is not None

    def _require(self, name: str, data: Mapping[str, Any]) -> None:
        path = self._find(name)
        if path is None:
            return
        code = self._run(path, name, data)
        if code != 0:
            raise HookFailedError(
                f"The hook {DIRECTORY}/{name} failed ({_told(code)}); nothing was changed.",
                "Its output above says why. --skip-hooks goes on without it.",
            )

    def _tell(self, name: str, data: Mapping[str, Any]) -> None:
        path = self._find(name)
        if path is None:
            return
        try:
            code = self._run(path, name, data)
        except HookFailedError as error:
            self.report.warn(error.message)
            return
        if code != 0:
            self.report.warn(f"The hook {DIRECTORY}/{name} failed ({_told(code)}); what was done stays done.")

    def _find(self, name: str) -> Path | None:
        path = self.root / DIRECTORY / name
        return path if not self.skip and path.is_file() and os.access(path, os.X_OK) else None

    def _run(self, path: Path, name: str, data: Mapping[str, Any]) -> int:
        self.report.step(f"hook {name}")
        began = time.monotonic()
        try:
            # A session of its own: what it starts in turn ends with it.
            process = subprocess.Popen(
                [path],
                cwd=self.root,
                env={**os.environ, **self._variables(name)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise HookFailedError(
                f"The hook {DIRECTORY}/{name} cannot be run: {error.strerror}.",
                "Its first line names the program that runs it, such as #!/bin/sh",
            ) from error
        assert process.stdin is not None and process.stdout is not None  # noqa: S101 - both are pipes
        threading.Thread(target=_feed, args=(process.stdin, json.dumps(data).encode()), daemon=True).start()
        try:
            for line in process.stdout:
                self.report.output(line.decode(errors="replace").rstrip())
            code = process.wait()
        except BaseException:
            _stop(process)
            raise
        if code == 0:
            self.report.done(f"hook {name}", "", time.monotonic() - began)
        return code

    def _variables(self, name: str) -> dict[str, str]:
        return {
            "VRU_HOOK": name,
            "VRU_COMMAND": self.command,
            "VRU_HOST": self.host,
            "VRU_RELEASE": self.release,
            "VRU_ACTOR": actor(),
            "VRU_RECORDED_AT": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "VRU_RUNTIME_S": f"{time.monotonic() - self._began:.0f}",
        }


def odd_files(directory: Path) -> list[str]:
    """What to say of files in ``hooks/`` that are never called: not executable, or of a name that is no hook's."""
    if not directory.is_dir():
        return []
    said = []
    for path in sorted(directory.iterdir()):
        if not path.is_file() or path.name.startswith((".", "README")) or path.suffix in _NO_HOOKS:
            continue
        if path.name not in NAMES:
            said.append(f"{DIRECTORY}/{path.name} is never called: hooks are named {', '.join(NAMES)}.")
        elif not os.access(path, os.X_OK):
            said.append(
                f"{DIRECTORY}/{path.name} is not called: it is not executable (chmod +x {shlex.quote(str(path))})."
            )
    return said


def _feed(pipe: BinaryIO, content: bytes) -> None:
    # A hook need not read what it is told.
    with contextlib.suppress(OSError), pipe:
        pipe.write(content)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """End a hook and all that it has started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=_PATIENCE_S)
    # Whatever of it would not hear.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _told(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {-code}"
