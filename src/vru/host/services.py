"""Logs, restart, and the watchdog that does what Docker does not: restart what is unhealthy."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

from . import audit, health, kept_logs, maintenance, rolling, terminal
from .compose import Compose, Container
from .disk import read_json, write_json
from .errors import ATTENTION, FAILED, OK, USAGE, HostError
from .host import Host
from .journal import Journal
from .lock import holder, lock
from .resources import firewall
from .run import environment

HEALS_PER_HOUR = 3
_LOG_LINE = re.compile(r"(?P<container>\S+-\d+) +\| (?P<time>\d{4}-\d\d-\d\dT\S+) (?P<text>.*)", re.DOTALL)


def check_names(compose: Compose, names: Sequence[str]) -> None:
    """Raise HostError, with all that there are, for a service that there is not."""
    if not compose.host.compose_file.exists():
        raise HostError("No release is live on this server.", "Run on your laptop: vru deploy")
    view = compose.view()
    for name in names:
        if name not in view.services:
            raise HostError(
                f"There is no service {name!r}.", f"There are: {', '.join(sorted(view.services))}.", code=USAGE
            )


def logs(
    host: Host,
    names: Sequence[str],
    tail: str,
    since: str | None,
    *,
    follow: bool,
    timestamps: bool,
    as_json: bool = False,
) -> int:
    """Print what ``docker compose logs`` prints: on a terminal by becoming it, elsewhere as plain lines or as JSON.

    With ``since``, or all lines wanted, first what was kept of containers that are no more.
    """
    compose = Compose(host)
    check_names(compose, names)
    begin = kept_logs.since_time(since) if since else None
    if begin is not None or tail == "all":
        last = int(tail) if tail.isdigit() else None
        for kept in kept_logs.lines(host, names, begin, last, compose.containers()):
            print(json.dumps(log_entry(kept.shown(timestamps=True))) if as_json else kept.shown(timestamps=timestamps))
        sys.stdout.flush()
    arguments = ["logs", "--tail", tail]
    if since:
        arguments += ["--since", since]
    if follow:
        arguments.append("--follow")
    if timestamps or as_json:
        arguments.append("--timestamps")
    if sys.stdout.isatty() and not as_json:
        command = compose.command(*arguments, *names)
        os.execvpe(command[0], command, environment())  # noqa: S606 - an argument list of our own
    command = compose.command("--ansi", "never", *arguments, "--no-color", *names)
    with host.run.process(command, stderr=subprocess.STDOUT) as process:
        for raw in process.stdout or ():
            # Compose writes "erase this line" into pipes, whatever it is asked.
            line = raw.decode(errors="replace").removeprefix("\x1b[2K")
            print(json.dumps(log_entry(line)) if as_json else line.rstrip("\r\n"), flush=True)
        return FAILED if process.wait() else OK


def log_entry(line: str) -> dict[str, Any]:
    """One line of ``docker compose logs --timestamps`` as an object.

    ``service``, ``container`` and ``time``; and what was logged: as ``entry`` if it is a JSON object, else as
    ``message``. A line of another form is all ``message``.
    """
    found = _LOG_LINE.fullmatch(line.rstrip("\r\n"))
    if found is None:
        return {"message": line.rstrip("\r\n")}
    known = {"service": found["container"].rpartition("-")[0], "container": found["container"], "time": found["time"]}
    try:
        entry = json.loads(found["text"])
    except ValueError:
        entry = None
    return {**known, "entry": entry} if isinstance(entry, dict) else {**known, "message": found["text"]}


def restart(host: Host, names: Sequence[str]) -> int:
    """Restart services, one after the other, each healthy before the next.

    Those that may run twice get new containers, and nobody notices; stores, nginx and monitoring are away for a moment.

    Raises:
        HostError: a service did not become healthy; its last log lines are in the error.
    """
    compose = Compose(host)
    check_names(compose, names)
    with lock(host, f"a restart of {', '.join(names) or 'all services'}") as lease:
        view = compose.view()
        # What others need goes first.
        chosen = list(names) or sorted(view.running, key=lambda name: len(view.before(name)))
        for name in chosen:
            started = time.monotonic()
            if name in rolling.SERVICES:
                journal = Journal(host.state / "restart.jsonl")
                journal.guard = lease.check
                rolling.roll(host, compose, journal, view, again=[name])
            else:
                running = [c for c in compose.containers() if c.service == name]
                command = ["restart", name] if running else ["up", "--detach", "--no-build", name]
                host.run(compose.command("--progress", "plain", *command), timeout=300)
                health.wait(compose, [name])
            terminal.say(f"{name}: {terminal.state('healthy')} after {time.monotonic() - started:.1f} s")
    return OK


def start(host: Host) -> int:
    """Start what is stopped and lead nginx to it; called at boot."""
    compose = Compose(host)
    if not host.compose_file.exists():
        raise HostError("No release is live on this server.", "Run on your laptop: vru deploy")
    rolling.start(compose, compose.view())
    rolling.mend(compose)
    return OK


def heal(host: Host) -> int:
    """Start what is unhealthy or has ended, at most three times an hour each; put flushed firewall rules back.

    Returns:
        0, or 3 when something needs a person.
    """
    if maintenance.expire(host):
        terminal.say("the time of the maintenance was up; it is over")
    if holder(host) is not None:
        terminal.say("a change is under way; nothing is healed meanwhile")
        return OK
    code = OK
    if firewall.reassert(host):
        terminal.say("firewall rules were missing and are back")
        audit.record(host, "heal", outcome="done", detail="firewall rules were missing and are back")
    compose = Compose(host)
    if not _heal_containers(compose):
        code = ATTENTION
    try:
        led = rolling.mend(compose)
    except HostError as error:
        terminal.say(f"nginx could not be led to the services: {error}")
        code, led = ATTENTION, []
    if led:
        said = f"nginx is led to other containers of {', '.join(led)}: those that it knew do not run"
        terminal.say(said)
        audit.record(host, "heal", outcome="done", detail=said)
    return code


def _heal_containers(compose: Compose) -> bool:
    """Restart what is unhealthy and start what has ended; whether nothing is left for a person."""
    host = compose.host
    well = True
    moment = time.time()
    path = host.state / "heals.json"
    done: dict[str, list[float]] = {
        name: recent
        for name, times in read_json(path, {}).items()
        if (recent := [when for when in times if moment - when < 3600])
    }
    for container, what, command in _ill(compose):
        before = done.setdefault(container.service, [])
        for line in compose.last_lines(container, 10):
            terminal.say(f"{container.service}: {line}")
        if len(before) >= HEALS_PER_HOUR:
            terminal.say(f"{container.service} {what} and was started {len(before)} times this hour; left alone")
            well = False
            continue
        terminal.say(f"{container.service} {what} and is started again")
        before.append(moment)
        write_json(path, done)
        healed = host.run([*command, container.id], check=False, timeout=120)
        outcome = "done" if healed.ok else "failed"
        audit.record(host, "heal", outcome=outcome, detail=f"{container.service} {what} and was started again")
        well = well and healed.ok
    write_json(path, done)
    return well


def _ill(compose: Compose) -> Iterator[tuple[Container, str, Sequence[str]]]:
    """The containers that do not work, in a few words why, and the command that may help.

    Docker restarts what crashes, but not what is unhealthy, nor what somebody (or the kernel, out of memory while
    Docker was away) has killed. Containers that a broken-off change was about to remove stay as they are.
    """
    found = compose.containers()
    if not found:
        return
    services = compose.view().services
    for container in found:
        wanted = services.get(container.service)
        if container.state == "running" and container.health == "unhealthy":
            yield container, "is unhealthy", ("docker", "restart", "-t", "30")
        elif wanted is not None and container.state == "exited" and not container.settled:
            running = sum(one.service == container.service and one.state == "running" for one in found)
            if container.digest == wanted.digest and running < wanted.replicas:
                why = "was killed for want of memory" if container.killed_for_memory else "does not run"
                yield container, f"{why} (exit code {container.exit_code})", ("docker", "start")
