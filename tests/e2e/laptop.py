"""The operator's laptop, and what the tests look up on the server."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from tests.e2e.bareserver import BareServer

REPOSITORY = Path(__file__).parents[2]
ADDRESS = "127.0.0.42"
VRU = Path(sys.executable).with_name("vru")


@dataclass
class Laptop:
    """A copy of the project on an operator's laptop, with a home of its own."""

    root: Path
    home: Path
    server: BareServer
    outputs: dict[str, "subprocess.CompletedProcess[str]"] = field(default_factory=dict)

    def vru(self, *arguments: str, check: bool = True, timeout: float = 1500) -> "subprocess.CompletedProcess[str]":
        """Run `vru` in the project's root, as the operator would."""
        started = time.monotonic()
        done = subprocess.run(
            [VRU, *arguments],
            cwd=self.root,
            env={**os.environ, "HOME": str(self.home), "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        shown = f"$ vru {' '.join(arguments)}  -> {done.returncode} in {time.monotonic() - started:.1f} s"
        print(f"{shown}\n{done.stdout[-6000:]}\n{done.stderr[-3000:]}")
        if check:
            assert done.returncode == 0, f"{shown}\n{done.stdout[-6000:]}\n{done.stderr[-3000:]}"
        return done

    def vru_json(self, *arguments: str) -> Any:
        """Run `vru ... --json` and read its last line, or the whole of it if that is one document."""
        output = self.vru(*arguments, "--json").stdout
        try:
            return json.loads(output)
        except ValueError:
            return json.loads(output.splitlines()[-1])

    @property
    def environment(self) -> dict[str, str]:
        """What stands in .env.production."""
        from dotenv import dotenv_values

        return {key: value or "" for key, value in dotenv_values(self.root / ".env.production").items()}

    def url(self, port: int = 80, path: str = "/") -> str:
        """An address as a user has it."""
        return self.server.url(port, path)


def copy_project(target: Path) -> None:
    """Copy what git knows or would take in: the project as a checkout has it."""
    listed = subprocess.check_output(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=REPOSITORY
    )
    for name in listed.decode().split("\0"):
        source = REPOSITORY / name
        if name and source.is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target / name)


def on_server(laptop: Laptop, command: str, **options: Any) -> str:
    """Run a shell script on the server, past SSH."""
    return laptop.server.run(command, **options)


def container_ids(laptop: Laptop) -> dict[str, str]:
    listed = on_server(laptop, "docker ps --no-trunc --format '{{.Names}} {{.ID}}'")
    return dict(line.split() for line in listed.splitlines())


def wait_verified(laptop: Laptop, seconds: float = 120) -> None:
    """Until `vru verify` passes: Docker's own view of a container's health is some seconds behind."""
    end = time.monotonic() + seconds
    while (verified := laptop.vru("verify", check=False)).returncode and time.monotonic() < end:
        time.sleep(2)
    assert "checks passed" in verified.stdout


def stop_watchdog(server: BareServer) -> None:
    """It looks every minute, and mends what a test has just broken. A look that has begun comes to its end."""
    busy = '[ "$(systemctl is-active vru-watchdog.service)" = activating ]'
    server.run(f"systemctl stop vru-watchdog.timer; while {busy}; do sleep 0.2; done", check=False)


@contextmanager
def watchdog_asleep(server: BareServer) -> Iterator[None]:
    """The watchdog does not look of its own accord in here."""
    stop_watchdog(server)
    try:
        yield
    finally:
        # Where it is not installed yet, there is nothing to start.
        server.run("systemctl start vru-watchdog.timer", check=False)


def wait_healthy(laptop: Laptop, seconds: float = 180) -> None:
    end = time.monotonic() + seconds
    last: object = None
    while time.monotonic() < end:
        try:
            answer = httpx2.get(laptop.url(8000, "/health"), timeout=10)
            last = answer.text
            if answer.status_code == 200:
                return
        except httpx2.HTTPError as error:
            last = error
        time.sleep(1)
    raise TimeoutError(f"not healthy after {seconds:.0f} s: {last}")
