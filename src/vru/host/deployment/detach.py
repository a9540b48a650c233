"""The executor as a process of its own, which goes on when SSH is cut; and watching it from outside."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

from ..base.errors import FAILED, OK, HostError
from ..base.host import DEFAULT_ROOT, Host
from ..base.journal import newest, now, read_events
from ..base.systemd import has_systemd
from ..lock import audit, login
from ..lock.lock import busy, holder, require_unlocked
from ..release.program import own_command
from ..strict_json import write as to_json
from ..wire import End, StepEvent, read_event

_POLL_S = 0.1
_START_S = 60.0
_GONE_S = 4.0


def start(host: Host, release: str, mode: str, *, expect: str | None = None, watch_s: float = 0.0) -> tuple[str, Path]:
    """Start the executor detached from this connection; ``mode``, ``expect`` and ``watch_s`` are its own.

    Returns:
        The name of its unit, and its journal.

    Raises:
        HostError: systemd refused to start it.
    """
    stamp = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%S%f")[:-3]
    unit = f"vru-apply-{stamp}"
    journal = host.journals / f"{stamp}-{release}.jsonl"
    command = [*own_command(), "execute", release, "--journal", str(journal), "--unit", unit, "--mode", mode]
    if watch_s:
        command += ["--watch", f"{watch_s:g}"]
    if expect is not None:
        command += ["--expect", expect]
    variables = {audit.ACTOR_VARIABLE: audit.actor(), login.VARIABLE: login.login().as_variable()}
    if host.root != DEFAULT_ROOT:
        variables["VRU_ROOT"] = str(host.root)
    if has_systemd():
        settings = [f"--setenv={name}={value}" for name, value in variables.items()]
        host.run([
            "systemd-run", "--quiet", "--collect", f"--unit={unit}", f"--description=VRU Platform: release {release}",
            "--property=TimeoutStopSec=20", "--working-directory=/", *settings, *command,
        ])  # fmt: skip
    else:
        # Where there is no systemd (a test, a container) a session of its own outlives the connection as well.
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, **variables},
        )
    return unit, journal


def attach(host: Host, manifest_release: str) -> Path | None:
    """The journal of a running executor for this release; None if nothing runs.

    Raises:
        HostError: another change is under way.
    """
    owner = holder(host)
    if owner is None:
        require_unlocked(host)
        return None
    if owner.get("release") != manifest_release or not owner.get("journal"):
        raise busy(owner)
    return Path(owner["journal"])


def greeting(host: Host, journal: Path | None) -> str:
    """What whoever starts a change should know first: that one runs already, or that the last one was cut off."""
    if journal is not None:
        owner = holder(host) or {}
        return (
            f"Attached to {owner.get('purpose', 'the change')}, which {owner.get('owner', 'somebody')} began "
            f"at {owner.get('since', 'an earlier time')[:19].replace('T', ' ')} UTC and which went on meanwhile."
        )
    last = newest(host.journals)
    events = read_events(last) if last is not None else []
    if not events or isinstance(events[-1], End):
        return ""
    begun = [event.name for event in events if isinstance(event, StepEvent)]
    where = f' at the step "{begun[-1]}"' if begun else ""
    return f"The last change was cut off{where}; this one finishes what is left."


def ended_well(host: Host) -> bool:
    """Whether the last change came to a good end: what it made live is whole."""
    last = newest(host.journals)
    events = read_events(last) if last is not None else []
    last_event = events[-1] if events else None
    return last_event is None or (isinstance(last_event, End) and last_event.ok)


def last_journal(host: Host) -> Path:
    """The journal of the running executor, or of the last one.

    Raises:
        HostError: there never was one.
    """
    owner = holder(host) or {}
    path = Path(owner["journal"]) if owner.get("journal") else newest(host.journals)
    if path is None:
        raise HostError("Nothing was ever deployed here.", "Run: vru deploy")
    return path


def follow(host: Host, journal: Path, write: Callable[[str], None]) -> int:
    """Hand over the journal's lines, from the first, as they come, until its end event.

    Returns:
        The exit code: 0 for a success. An executor that died without an end event is reported as a failure.
    """
    pending = ""
    position = 0
    silent_since = time.monotonic()
    while True:
        alive = (holder(host) or {}).get("journal") == str(journal)
        if journal.exists():
            with journal.open(encoding="utf-8", errors="replace") as file:
                file.seek(position)
                pending += file.read()
                position = file.tell()
        lines = pending.split("\n")
        pending = lines.pop()
        for line in lines:
            write(line)
            event = read_event(json.loads(line))
            if isinstance(event, End):
                return OK if event.ok else FAILED
        moment = time.monotonic()
        if alive or lines:
            silent_since = moment
        # Until its first line the executor is being started: on a busy server that takes a while.
        elif moment - silent_since > (_GONE_S if position else _START_S):
            write(json.dumps(to_json(_died(journal))))
            return FAILED
        time.sleep(_POLL_S)


def _died(journal: Path) -> End:
    stamp = journal.name.split("-")[0]
    fix = f"Run the same command again: it goes on where this one stopped. (journalctl -u vru-apply-{stamp})"
    return End(False, "The change was stopped before its end.", fix, time=now())
