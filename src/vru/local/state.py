"""Look at, and stop, a platform that another process runs."""

import http.client
import json
import time
import urllib.error
import urllib.request
from dataclasses import asdict, dataclass
from typing import Any

import psutil

from vru.domain import VruError
from vru.local.layout import Layout
from vru.local.ports import HOST


@dataclass(frozen=True, slots=True)
class ProcessStatus:
    """One process of the platform: ``ok`` says whether it runs and, if it speaks HTTP, answers."""

    name: str
    pid: int
    port: int
    ok: bool
    detail: str


@dataclass(frozen=True, slots=True)
class PlatformStatus:
    """A running platform."""

    pid: int
    data: str
    ports: dict[str, int]
    processes: list[ProcessStatus]

    @property
    def ok(self) -> bool:
        """Whether every process is."""
        return bool(self.processes) and all(process.ok for process in self.processes)

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return {"running": True, "ok": self.ok, **asdict(self)}


def read_state(layout: Layout) -> dict[str, Any] | None:
    """What the running platform wrote down about itself; None if none runs or it is just coming up."""
    if not layout.is_locked():
        return None
    try:
        state: dict[str, Any] = json.loads(layout.state_file.read_text())
    except FileNotFoundError:
        return None
    return state


def status(layout: Layout) -> PlatformStatus | None:
    """How the platform of this data directory is doing; None if it does not run."""
    state = read_state(layout)
    if state is None:
        return None
    processes = [_process_status(name, pid, state["ports"][name]) for name, pid in sorted(state["processes"].items())]
    return PlatformStatus(state["pid"], str(layout.root), state["ports"], processes)


def _process_status(name: str, pid: int, port: int) -> ProcessStatus:
    if not psutil.pid_exists(pid):
        return ProcessStatus(name, pid, port, ok=False, detail="not running")
    if name in ("postgres", "redis"):
        return ProcessStatus(name, pid, port, ok=True, detail="running")
    path = "/metrics" if name == "validation_worker" else "/ready"
    try:
        with urllib.request.urlopen(f"http://{HOST}:{port}{path}", timeout=5):
            return ProcessStatus(name, pid, port, ok=True, detail="ready")
    except urllib.error.HTTPError as error:
        return ProcessStatus(name, pid, port, ok=False, detail=f"not ready: {error.read(300).decode(errors='replace')}")
    except (OSError, http.client.HTTPException) as error:
        return ProcessStatus(name, pid, port, ok=False, detail=f"does not answer: {error}")


def stop(layout: Layout, timeout_s: float = 90.0) -> bool:
    """Ask the platform that runs on this data directory to stop, and wait. False if none runs.

    Raises:
        VruError: it is another user's, or did not stop in time.
    """
    if not layout.is_locked():
        return False
    pid = int((layout.root / "lock").read_text())
    try:
        psutil.Process(pid).terminate()
    except psutil.AccessDenied:
        raise VruError(f"Process {pid} is another user's.", "Stop it as that user.") from None
    except psutil.NoSuchProcess:
        return True
    deadline = time.monotonic() + timeout_s
    while layout.is_locked():
        if time.monotonic() > deadline:
            raise VruError(
                f"The platform (process {pid}) did not stop within {timeout_s:.0f} s.",
                f"See its logs in {layout.logs}; `kill -9 {pid}` ends it and all its processes.",
            )
        time.sleep(0.1)
    return True
