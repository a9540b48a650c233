"""The services' logs: what Docker has of them, and before it what was kept of containers that are no more."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from ..base.errors import FAILED, OK
from ..base.host import Host
from ..base.run import environment
from ..docker import kept_logs
from ..docker.compose import Compose
from .services import check_names

_LOG_LINE = re.compile(r"(?P<container>\S+-\d+) +\| (?P<time>\d{4}-\d\d-\d\dT\S+) (?P<text>.*)", re.DOTALL)


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
