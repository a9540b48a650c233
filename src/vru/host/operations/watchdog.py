"""The watchdog does what Docker does not: it restarts what is unhealthy, and starts what was killed."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from ..base import terminal
from ..base.disk import read_json, write_json
from ..base.errors import ATTENTION, OK, HostError
from ..base.host import Host
from ..docker.compose import Compose, Container
from ..firewall import confirmation
from ..lock import audit
from ..lock.lock import holder
from ..rolling import rollout
from . import maintenance

HEALS_PER_HOUR = 3
_UNIT = "vru-platform.service"


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
    if confirmation.reassert(host):
        terminal.say("firewall rules were missing and are back")
        audit.record(host, "heal", outcome="done", detail="firewall rules were missing and are back")
    compose = Compose(host)
    if not _heal_containers(compose):
        code = ATTENTION
    try:
        led = rollout.repair_routes(compose)
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
            missing = container.digest == wanted.digest and running < wanted.replicas
            if missing and not _stopped_on_purpose(compose):
                why = "was killed for want of memory" if container.killed_for_memory else "does not run"
                yield container, f"{why} (exit code {container.exit_code})", ("docker", "start")


def _stopped_on_purpose(compose: Compose) -> bool:
    """Whether somebody stopped the platform as a whole: ``systemctl stop vru-platform``."""
    asked = compose.host.run(["systemctl", "show", "--property=LoadState,ActiveState", _UNIT], check=False)
    return {"LoadState=loaded", "ActiveState=inactive"} <= set(asked.out.split())
