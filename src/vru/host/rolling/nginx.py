"""The running nginx: let it check its files, let it load them, and know when what it began before has ended."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from ..base.disk import write_json
from ..base.errors import HostError
from ..docker.compose import Compose, Container

SERVICE = "nginx"
CONFIG = "/etc/vru/nginx.conf"
_POLL_S = 0.1
_LEAVING = "shutting down"
_ESTABLISHED = "01"


def running(containers: Iterable[Container]) -> list[Container]:
    """nginx's containers that run."""
    return [container for container in containers if container.service == SERVICE and container.state == "running"]


def check(compose: Compose, containers: Iterable[Container], digest: str) -> None:
    """Let nginx check the files that are there now: the running one if it is to stay (it has the Compose digest
    ``digest``), else one that is started for this.

    Raises:
        HostError: it refuses them.
    """
    ours = [container for container in running(containers) if container.digest == digest]
    if ours:
        # With its own arguments: they name the configuration that it really reads.
        command = ["docker", "exec", ours[0].id, "nginx", "-t", *ours[0].arguments]
    else:
        command = compose.command("run", "--rm", "--no-deps", "-T", SERVICE, "-t", "-c", CONFIG)
    done = compose.host.run(command, check=False, timeout=300)
    if not done.ok:
        raise HostError(
            f"nginx refuses its new configuration: {done.last_words(2)}",
            "Correct the template, then deploy again.",
            service=SERVICE,
            logs=tuple((done.out + done.err).splitlines()[-20:]),
        )


def reload(compose: Compose, containers: Iterable[Container]) -> None:
    """Load the files, which were checked, and wait until only new workers take connections.

    The old ones close connections on which nothing is asked. (``keepalive_min_timeout`` of nginx 1.27.4 would leave
    them open for a while, but then a client that keeps asking stays with an old worker and the old containers.)

    Raises:
        HostError: nginx cannot be told, or its workers stay the old ones.
    """
    moment = datetime.now(timezone.utc).isoformat()
    for container in running(containers):
        before = {worker.pid for worker in workers(container.pid)}
        compose.host.run(["docker", "exec", container.id, "nginx", "-s", "reload", *container.arguments])
        end = time.monotonic() + 30
        while not _took_over(container.pid, before):
            if time.monotonic() > end:
                raise HostError(
                    "nginx did not take its new configuration.",
                    "Read its log: vru-platform logs nginx --tail 50",
                    service=SERVICE,
                    logs=compose.last_lines(container),
                )
            time.sleep(_POLL_S)
    write_json(compose.host.state / "nginx-reloaded.json", moment)


def _took_over(pid: int, before: set[int]) -> bool:
    now = workers(pid)
    return any(not worker.leaving for worker in now) and not any(
        worker.pid in before and not worker.leaving for worker in now
    )


@dataclass(frozen=True)
class Worker:
    """One of nginx's workers. One that is leaving finishes what it began, with the files of its time."""

    pid: int
    leaving: bool


def workers(pid: int, proc: Path = Path("/proc")) -> list[Worker]:
    """The workers of the nginx in the container whose first process is ``pid``."""
    parents: dict[int, int] = {}
    titles: dict[int, str] = {}
    for entry in proc.iterdir():
        if entry.name.isdigit():
            try:
                status = (entry / "stat").read_text()
                title = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:  # it has just ended
                continue
            number = int(entry.name)
            # The name, in brackets, may hold anything; the parent is the second field after it.
            parents[number] = int(status.rpartition(")")[2].split()[1])
            titles[number] = title
    found = []
    for number, title in sorted(titles.items()):
        ancestor = number
        while ancestor != pid and ancestor in parents:
            ancestor = parents[ancestor]
        if ancestor == pid and title.startswith("nginx: worker process"):
            found.append(Worker(number, _LEAVING in title))
    return found


def quiet(pid: int, ports: Iterable[int], proc: Path = Path("/proc")) -> bool:
    """Whether no worker that is leaving could still turn to a service anew.

    Each connection of a client on which a request may yet come, or is being read, has no connection to a service beside
    it. So: no leaving worker holds more connections of clients than connections to services (``ports``).
    """
    leaving = [worker for worker in workers(pid, proc) if worker.leaving]
    for worker in leaving:
        held = _sockets(worker.pid, proc)
        to_services = set(ports)
        clients = services = 0
        for inode, remote_port in _connections(worker.pid, proc):
            if inode in held:
                if remote_port in to_services:
                    services += 1
                else:
                    clients += 1
        if clients > services:
            return False
    return True


def _sockets(pid: int, proc: Path) -> set[str]:
    found = set()
    try:
        for link in (proc / str(pid) / "fd").iterdir():
            try:
                target = str(link.readlink())
            except OSError:
                continue
            if target.startswith("socket:["):
                found.add(target[len("socket:[") : -1])
    except OSError:  # it has just ended: it holds nothing
        return set()
    return found


def _connections(pid: int, proc: Path) -> list[tuple[str, int]]:
    """Inode and remote port of each established TCP connection in the network that ``pid`` sees."""
    found = []
    for name in ("tcp", "tcp6"):
        try:
            lines = (proc / str(pid) / "net" / name).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == _ESTABLISHED:
                found.append((fields[9], int(fields[2].rpartition(":")[2], 16)))
    return found
