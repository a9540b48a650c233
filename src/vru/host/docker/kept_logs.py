"""Logs that outlive their containers: what a container wrote is copied to ``logs/SERVICE.log`` when it ends.

The lines look as ``docker compose logs --timestamps`` prints them. logrotate keeps the files for
VRU_LOG_RETENTION_DAYS.
"""

from __future__ import annotations

import gzip
import heapq
import re
import subprocess
import threading
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

from ..base import terminal
from ..base.errors import UserError, plain
from ..base.host import PROJECT, Host
from .compose import Container

_LINE = re.compile(r"(?P<container>\S+-\d+) +\| (?P<time>\d{4}-\d\d-\d\dT\S+Z) (?P<text>.*)")
_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?")
# Where a container's last line from an earlier copy is looked for.
_TAIL_BYTES = 256 * 1024
# How long the log of a container that has ended may take to be copied.
_DRAIN_S = 60.0


@dataclass(frozen=True)
class Line:
    """One line that a container wrote, with the time that Docker gave it (RFC 3339, UTC)."""

    time: str
    container: str
    text: str

    def shown(self, *, timestamps: bool) -> str:
        """As Compose prints it."""
        return f"{self.container}  | {f'{self.time} ' if timestamps else ''}{self.text}"


def keep(host: Host, containers: Iterable[Container]) -> None:
    """Copy the logs of containers that have ended and are about to be removed."""
    for container in containers:
        _copy(host, container)


@contextmanager
def kept_while(host: Host, containers: Sequence[Container]) -> Iterator[None]:
    """Copy the logs of containers that may be removed within the block, up to their last line."""
    followers = [_Follower(host, container) for container in containers]
    for follower in followers:
        follower.start()
    try:
        yield
    finally:
        for follower in followers:
            follower.finish()


def since_time(text: str, now: datetime | None = None) -> datetime | None:
    """What ``--since`` means: a duration such as ``2h`` or ``1h30m`` before now, or a time; None for anything else."""
    found = _DURATION.fullmatch(text)
    if found is not None and text:
        days, hours, minutes, seconds = (float(part or 0) for part in found.groups())
        past = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
        return (now or datetime.now(timezone.utc)) - past
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.astimezone()


def lines(
    host: Host, services: Collection[str], since: datetime | None, tail: int | None, here: Iterable[Container]
) -> Iterator[Line]:
    """The kept lines of some services, the oldest first.

    Args:
        host: the server.
        services: their names; all if there is none.
        since: those from then on.
        tail: the last of each service only.
        here: the containers that there are; what Docker still has of them is left out.
    """
    folder = host.root / "logs"
    names = services or sorted(path.stem for path in folder.glob("*.log"))
    begin = "" if since is None else since.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f")
    created = {_short(one): one.created for one in here}

    def wanted(line: Line) -> bool:
        return line.time >= begin and (line.container not in created or line.time < created[line.container])

    chosen = []
    for name in names:
        found = filter(wanted, _read(folder, name))
        chosen.append(found if tail is None else iter(deque(found, maxlen=tail)))
    yield from heapq.merge(*chosen, key=lambda line: line.time)


def _read(folder: Path, service: str) -> Iterator[Line]:
    """Every line of a service: from what logrotate made of its file long ago to the file itself."""
    found = [
        (int(number), path)
        for path in folder.glob(f"{service}.log*")
        if (number := path.name.removeprefix(f"{service}.log").removesuffix(".gz").lstrip(".") or "0").isdigit()
    ]
    for _, path in sorted(found, reverse=True):
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            for raw in file:
                line = _parse(raw)
                if line is not None:
                    yield line


def _parse(raw: bytes) -> Line | None:
    found = _LINE.fullmatch(raw.decode(errors="replace").rstrip("\r\n"))
    return Line(found["time"], found["container"], found["text"]) if found else None


def _short(container: Container) -> str:
    return container.name.removeprefix(f"{PROJECT}-")


def _copied(path: Path, container: Container) -> str:
    """When the last line was written that an earlier, broken-off change has copied; empty if there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - _TAIL_BYTES))
            found = [line for raw in file if (line := _parse(raw)) and line.container == _short(container)]
    except FileNotFoundError:
        return ""
    return found[-1].time if found else ""


def _copy(host: Host, container: Container, follower: _Follower | None = None) -> None:
    path = host.root / "logs" / f"{container.service}.log"
    command = ["docker", "logs", "--timestamps", *(["--follow"] if follower else []), container.id]
    try:
        last = _copied(path, container)
        path.parent.mkdir(exist_ok=True)
        path.touch(mode=0o600)
        with (
            host.run.process(command, stderr=subprocess.STDOUT) as process,
            path.open("ab", buffering=0) as file,
        ):
            if follower is not None:
                follower.process = process
            for raw in process.stdout or ():
                time, _, text = raw.partition(b" ")
                # Not what was copied before, nor Docker's own words.
                if time[:4].isdigit() and time.decode(errors="replace") > last:
                    file.write(f"{_short(container)}  | ".encode() + time + b" " + text.rstrip(b"\r\n") + b"\n")
    except (UserError, OSError) as error:
        terminal.say_error(f"The log of {container.name} could not be kept: {plain(error)}")


class _Follower:
    """Copies a container's log in a thread of its own until the container ends."""

    def __init__(self, host: Host, container: Container) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self._host, self._container = host, container
        self._thread = threading.Thread(target=_copy, args=(host, container, self), daemon=True)

    def start(self) -> None:
        self._thread.start()

    def finish(self) -> None:
        """Wait for the last lines of a container that has ended; let go of one that runs on."""
        asked = self._host.run(["docker", "inspect", "--format", "{{.State.Running}}", self._container.id], check=False)
        if asked.out.strip() != "true":
            self._thread.join(_DRAIN_S)
        if self._thread.is_alive() and self.process is not None:
            self.process.kill()
        self._thread.join(5)
