"""Restarting services and starting what is stopped."""

from __future__ import annotations

import time
from collections.abc import Sequence

from ..base import terminal
from ..base.errors import OK, USAGE, HostError
from ..base.host import Host
from ..base.journal import Journal
from ..docker import health
from ..docker.compose import Compose
from ..lock.lock import lock
from ..rolling import rollout


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
            if name in view.rolling:
                journal = Journal(host.state / "restart.jsonl")
                journal.guard = lease.check
                rollout.roll(host, compose, journal, view, again=[name])
            else:
                running = [c for c in compose.containers() if c.service == name]
                command = ["restart", name] if running else ["up", "--detach", "--no-build", name]
                host.run(compose.command("--progress", "plain", *command), timeout=300)
                health.wait(compose, [name])
            terminal.say(f"{name}: {terminal.state('healthy')} after {time.monotonic() - started:.1f} s")
    return OK


def start(host: Host) -> int:
    """Start what is stopped and route requests to it; called at boot."""
    compose = Compose(host)
    if not host.compose_file.exists():
        raise HostError("No release is live on this server.", "Run on your laptop: vru deploy")
    rollout.start(compose, compose.view())
    rollout.repair_routes(compose)
    return OK
