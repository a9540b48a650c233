"""What runs, how well, on how much: for an administrator who has only this server's terminal."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ..base import terminal
from ..base.disk import human_size
from ..base.errors import ATTENTION, OK
from ..base.host import Host
from ..database import backup
from ..docker import engine
from ..docker.compose import Compose, Container
from ..firewall import confirmation
from ..lock.lock import holder
from ..release import store
from . import maintenance

_TIMERS = ("vru-backup.timer", "vru-watchdog.timer")
ON_SAME_DISK = "Backups lie on this server's own disk. That is no backup: copy them elsewhere."


def gather(host: Host) -> dict[str, Any]:
    """Everything that ``status`` shows."""
    compose = Compose(host)
    docker_away = engine.away()
    live = host.compose_file.exists() and host.env_file.exists()
    wanted = compose.view().running if live else []
    found = compose.containers()
    services = [_service(container) for container in sorted(found, key=lambda c: c.service)]
    there = {container.service for container in found}
    services += [
        {
            "service": name,
            "state": "unknown" if docker_away else "missing",
            "health": "none",
            "image": "",
            "uptime_s": None,
            "restarts": 0,
            "memory": None,
        }
        for name in wanted
        if name not in there
    ]
    usage = shutil.disk_usage(host.root if host.root.exists() else "/")
    backups = backup.existing(host)
    own = [known for known in backups if not known.automatic]
    warnings = [ON_SAME_DISK] if backups else ["There is no backup yet: run vru-platform backup."]
    healthy = bool(services) and all(container.settled for container in found) and not set(wanted) - there
    sick = [f"{c.service} is {c.health if c.state == 'running' else c.state}" for c in found if not c.settled]
    if docker_away and live:
        warnings.insert(0, f"{docker_away}.")
    warnings += [f"{words}: read vru-platform logs {words.split()[0]} --tail 50" for words in sick]
    rules = confirmation.state(host)
    if live and not rules["standing"]:
        warnings.append("The firewall rules do not stand: run vru setup or vru deploy on your laptop.")
    if usage.free < usage.total * 0.1:
        warnings.append(f"Only {human_size(usage.free)} of disk are free.")
    closed = maintenance.state(host)
    if closed is not None:
        warnings.insert(0, f"{maintenance.describe(closed)}. vru maintenance off ends it.")
    return {
        "release": store.current(host),
        "healthy": healthy,
        "docker": docker_away is None,
        "services": services,
        "disk": {"free": usage.free, "total": usage.total},
        "backups": {"count": len(backups), "last": own[-1].as_json() if own else None},
        "firewall": rules,
        "timers": _timers(host),
        "running": holder(host),
        "maintenance": closed,
        "warnings": warnings,
    }


def _service(container: Container) -> dict[str, Any]:
    running = container.state == "running" and container.started is not None
    uptime = (datetime.now(timezone.utc) - container.started).total_seconds() if running and container.started else None
    return {
        "service": container.service,
        "state": container.state,
        "health": container.health,
        "image": container.image,
        "uptime_s": uptime,
        "restarts": container.restarts,
        "memory": memory(container.pid) if container.pid else None,
    }


def memory(pid: int, proc: Path = Path("/proc"), groups: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Bytes that a container's control group uses, version 1 or 2; None where it cannot be read."""
    try:
        lines = (proc / str(pid) / "cgroup").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "memory":
            file = groups / "memory" / path.lstrip("/") / "memory.usage_in_bytes"
        elif controllers == "":
            file = groups / path.lstrip("/") / "memory.current"
        else:
            continue
        if file.exists():
            return int(file.read_text())
    return None


def _timers(host: Host) -> list[dict[str, str]]:
    asked = host.run(
        [
            "systemctl",
            "show",
            "--property=Id,LoadState,ActiveState,NextElapseUSecRealtime,LastTriggerUSec",
            "--",
            *_TIMERS,
        ],
        check=False,
    )
    timers = []
    for block in asked.out.strip().split("\n\n"):
        values = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if values.get("LoadState") == "loaded":
            timers.append(
                {
                    "name": values["Id"],
                    "state": values.get("ActiveState", ""),
                    "next": values.get("NextElapseUSecRealtime", ""),
                    "last": values.get("LastTriggerUSec", ""),
                }
            )
    return timers


def show(host: Host, *, as_json: bool) -> int:
    """Print the status.

    Returns:
        0 if everything is healthy, 3 if something needs attention.
    """
    found = gather(host)
    code = OK if found["healthy"] else ATTENTION
    if as_json:
        terminal.say_json(found)
        return code
    if found["docker"] is False and found["release"]:
        terminal.say(terminal.colour(found["warnings"].pop(0), "red"))
    terminal.say(f"release    {found['release'] or 'none is live'}")
    if found["running"]:
        terminal.say(f"under way  {found['running'].get('purpose')} since {found['running'].get('since')}")
    terminal.say()
    if found["services"]:
        terminal.table(
            [_row(service) for service in found["services"]],
            ("SERVICE", "STATE", "HEALTH", "UP", "RESTARTS", "MEMORY", "IMAGE"),
            states=(1, 2),
        )
        terminal.say()
    disk, last = found["disk"], found["backups"]["last"]
    terminal.say(f"disk       {human_size(disk['free'])} of {human_size(disk['total'])} free")
    shown = f"{last['name']} ({human_size(last['size'])}), {found['backups']['count']} kept" if last else "none"
    terminal.say(f"backup     {shown}")
    rules = found["firewall"]
    ports = ", ".join(str(port) for port in rules["open"]) or "-"
    terminal.say(f"firewall   {rules['rules']}; open {ports}{_limited(rules['restricted'])}")
    for timer in found["timers"]:
        terminal.say(
            f"timer      {timer['name']} {timer['state']}" + (f", next {timer['next']}" if timer["next"] else "")
        )
    for warning in found["warnings"]:
        terminal.say(terminal.colour(f"! {warning}", "yellow"))
    return code


def _limited(restricted: Mapping[str, Sequence[str]]) -> str:
    """Who reaches the ports that are not open to all: some networks, or nobody."""
    shut = [port for port, networks in restricted.items() if not networks]
    some = [f"{port} for {', '.join(networks)}" for port, networks in restricted.items() if networks]
    return "".join(f"; {words}" for words in (*some, f"closed {', '.join(shut)}" if shut else "") if words)


def _row(service: dict[str, Any]) -> tuple[str, ...]:
    up = terminal.duration(service["uptime_s"]) if service["uptime_s"] is not None else "-"
    used = human_size(service["memory"]) if service["memory"] else "-"
    health = "-" if service["health"] == "none" else service["health"]
    return service["service"], service["state"], health, up, str(service["restarts"]), used, service["image"]
