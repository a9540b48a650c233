"""The scene of the measurements: a bare server in a container, a laptop with the project, and clocks."""

import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.bareserver import BareServer
from tests.e2e.laptop import ADDRESS, Laptop, copy_project

ROOT = "/opt/vru-platform"


@dataclass(frozen=True)
class Times:
    """Wall times of one thing, in seconds."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.seconds)

    def __str__(self) -> str:
        if len(self.seconds) == 1:
            return f"{self.median:.2f}"
        return f"{self.median:.2f} ({min(self.seconds):.2f} to {max(self.seconds):.2f})"


def clocked(work: Callable[[], Any]) -> tuple[float, Any]:
    """How long it took, and what came of it."""
    started = time.monotonic()
    result = work()
    return time.monotonic() - started, result


def in_turns(repeats: int, **works: Callable[[], Any]) -> dict[str, Times]:
    """Wall times of several things, one after the other in each round, in turned order every other round.

    Each is done once before, unmeasured: first runs fill caches and open connections that are kept.
    """
    for name, work in works.items():
        print(f"  warming up: {name}", flush=True)
        work()
    found: dict[str, list[float]] = {name: [] for name in works}
    for number in range(repeats):
        for name in list(works) if number % 2 == 0 else reversed(list(works)):
            seconds, _ = clocked(works[name])
            found[name].append(seconds)
            print(f"  {name}: {seconds:.2f} s", flush=True)
    return {name: Times(tuple(seconds)) for name, seconds in found.items()}


@dataclass(frozen=True)
class Scene:
    """The server, the laptop, and a folder for everything else. ``way`` is another address of the server's SSH."""

    server: BareServer
    laptop: Laptop
    folder: Path
    way: tuple[str, int] | None = None

    def vru(self, *arguments: str) -> dict[str, Any]:
        """Run `vru ... --json`; its last event."""
        outcome: dict[str, Any] = self.laptop.vru_json(*arguments)
        return outcome

    def laptop_environment(self) -> dict[str, str]:
        """The environment in which `vru` runs on this laptop."""
        return {**os.environ, "HOME": str(self.laptop.home)}

    def ssh(self, command: str, *, stdin: bytes = b"") -> str:
        """Run a command on the server with OpenSSH, over a new connection each time."""
        program = self.server.ssh_command()
        if self.way is not None:
            host, port = self.way
            known = self.folder / "far-known-hosts"
            known.write_text(f"[{host}]:{port} {self.server.host_key()}\n")
            replaced = {str(self.server.ssh_port): str(port), f"root@{self.server.ssh_address}": f"root@{host}"}
            program = [replaced.get(word, word) for word in program]
            program = [f"UserKnownHostsFile={known}" if "UserKnownHostsFile" in word else word for word in program]
        done = subprocess.run([*program, command], input=stdin, capture_output=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"ssh {command[:80]}: {done.stderr.decode(errors='replace')[-2000:]}")
        return done.stdout.decode(errors="replace")


@contextmanager
def scene() -> Iterator[Scene]:
    """A bare server, and a laptop whose settings name it. Nothing is deployed yet."""
    if shutil.which("ssh") is None:
        raise SystemExit("The comparison needs the OpenSSH client: apt install openssh-client")
    with tempfile.TemporaryDirectory() as name, BareServer("vru-bench", address=ADDRESS) as server:
        folder = Path(name)
        root, home = folder / "project", folder / "home"
        root.mkdir()
        copy_project(root)
        (home / ".ssh").mkdir(mode=0o700, parents=True)
        shutil.copy2(server.key_path, home / ".ssh" / "id_ed25519")
        laptop = Laptop(root, home, server)
        laptop.vru("init", "--host", server.ssh_address, "--port", str(server.ssh_port), "--external-ip", ADDRESS)
        yield Scene(server, laptop, folder)


def processes(repeats: int, command: Sequence[str | Path], **options: Any) -> Times:
    """Wall times of a whole process."""

    def run() -> None:
        subprocess.run(command, capture_output=True, check=True, **options)

    run()
    return Times(tuple(clocked(run)[0] for _ in range(repeats)))


def as_json(found: dict[str, Any]) -> str:
    """Everything measured, for programs."""
    return json.dumps(found, default=lambda one: one.seconds if isinstance(one, Times) else str(one))
