"""Maintenance: nginx refuses new requests of users while a file is there; nothing is restarted or reloaded.

The file is the state: it survives updates and reboots, and `touch` and `rm` do the same in an emergency.
"""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from ..base import terminal
from ..base.disk import write_atomic
from ..base.errors import OK, USAGE, HostError
from ..base.host import PROGRAM, Host
from ..base.systemd import has_systemd
from ..lock import audit

DIRECTORY = "data/routes"
# nginx sends it with every answer that it refuses for maintenance.
HEADER = "X-Maintenance"
_UNIT = "vru-maintenance-end"
_LONGEST_MESSAGE = 500
_DEFAULT_MESSAGE = "We are working on the platform."

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="60">
<title>VRU Platform: maintenance</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; color: #1e293b; background: #f8fafc; display: grid;
  place-items: center; min-height: 100vh; margin: 0 }}
main {{ max-width: 32rem; padding: 2rem }}
h1 {{ font-size: 1.5rem }}
</style>
</head>
<body>
<main>
<h1>Maintenance</h1>
<p>{message}</p>
<p>{until}Validation runs that have begun go on. This page asks again every minute.</p>
</main>
</body>
</html>
"""


def flag(host: Host) -> Path:
    """The file that nginx looks for."""
    return host.root / DIRECTORY / "maintenance"


def state(host: Host) -> dict[str, Any] | None:
    """``since``, ``until``, ``message`` and ``actor`` of the maintenance that is on; None if none is.

    What a file made by hand does not say is empty.
    """
    try:
        text = flag(host).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    try:
        said = json.loads(text or "{}")
    except ValueError:
        said = {}
    known: Mapping[str, Any] = said if isinstance(said, dict) else {}
    return {name: str(known.get(name) or "") for name in ("since", "until", "message", "actor")}


def describe(known: Mapping[str, Any]) -> str:
    """One sentence for people."""
    until = f" until {known['until']}" if known["until"] else ""
    by = f" by {known['actor']}" if known["actor"] else ""
    message = f": {known['message']}" if known["message"] else ""
    return f"Maintenance is on{by}{until}{message}"


def begin(host: Host, message: str, seconds: float | None) -> dict[str, Any]:
    """Refuse new requests from now on, for some seconds or until `end`. Called again, it replaces message and time.

    Raises:
        HostError: nothing is deployed here, or the message is too long.
    """
    directory = host.root / DIRECTORY
    if not directory.is_dir():
        raise HostError("No release is live on this server.", "Run on your laptop: vru deploy")
    message = " ".join(message.split()) or _DEFAULT_MESSAGE
    if len(message) > _LONGEST_MESSAGE:
        raise HostError(f"The message has more than {_LONGEST_MESSAGE} characters.", "Shorten it.", code=USAGE)
    now = datetime.now(timezone.utc)
    until = "" if seconds is None else _shown(now + timedelta(seconds=seconds))
    told = f"It is expected to end at {until[11:16]} UTC. " if until else ""
    page = _PAGE.format(message=html.escape(message), until=html.escape(told))
    problem = {
        "type": "about:blank",
        "title": "Service Unavailable",
        "status": 503,
        "detail": f"Maintenance: {message}",
    }
    known = {"since": _shown(now), "until": until, "message": message, "actor": audit.actor()}
    # The flag comes last: from then on the pages are needed.
    write_atomic(directory / "closed.html", page.encode())
    write_atomic(directory / "closed.json", json.dumps(problem).encode() + b"\n")
    write_atomic(flag(host), json.dumps(known).encode() + b"\n")
    _set_timer(host, seconds)
    audit.record(host, "maintenance", outcome="on", detail=f"until {until}: {message}" if until else message)
    return known


def end(host: Host, *, why: str = "") -> bool:
    """Let requests in again; whether they were refused before."""
    if not flag(host).exists():
        return False
    flag(host).unlink(missing_ok=True)
    _set_timer(host, None)
    audit.record(host, "maintenance", outcome="off", detail=why)
    return True


def expire(host: Host) -> bool:
    """End a maintenance whose time is up; whether one was. Called by its own timer, and after a reboot by another."""
    known = state(host)
    if known is None or not known["until"]:
        return False
    try:
        due = datetime.fromisoformat(known["until"].replace("Z", "+00:00"))
    except ValueError:
        return False
    if datetime.now(timezone.utc) < due:
        return False
    return end(host, why="its time was up")


def _set_timer(host: Host, seconds: float | None) -> None:
    """Have systemd end it to the second. The watchdog, which comes every minute, does it where this is lost."""
    if not has_systemd():
        return
    if seconds is None:
        # Not from within the timer's own service, which it would stop.
        host.run(["systemctl", "stop", "--no-block", f"{_UNIT}.timer"], check=False)
        return
    host.run(["systemctl", "stop", f"{_UNIT}.timer"], check=False)
    host.run([
        "systemd-run", "--quiet", "--collect", f"--unit={_UNIT}", "--description=VRU Platform: end of maintenance",
        f"--on-active={seconds:.0f}s", "--timer-property=AccuracySec=1s", PROGRAM, "maintenance", "expire",
    ])  # fmt: skip


def _shown(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def show(host: Host, *, as_json: bool) -> int:
    """Print whether it is on."""
    known = state(host)
    if as_json:
        terminal.say_json({"maintenance": known})
    else:
        terminal.say(f"{describe(known)}." if known else "Maintenance is off.")
    return OK
