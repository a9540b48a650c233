"""Service orchestration: hand the release to the host program and watch it make the change."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vru.deploy.connection import RemoteError, Server
from vru.deploy.console import Reporter
from vru.deploy.release import Release
from vru.deploy.remote_setup import PROGRAM_COMMAND
from vru.domain import VruError

FIREWALL_STEP = "firewall"
_SETUP_RESOURCES = frozenset({"docker", "package", "directory", "firewall", "systemd"})

# The host program's phases, as the numbers under which users know them.
_PHASE_NUMBERS = {"setup": 2, "transfer": 4, "orchestration": 5, "integration": 6, "verification": 7}


class DeploymentFailedError(VruError):
    """The change did not succeed on the server. ``logs`` are the last lines of the container that failed."""

    def __init__(self, message: str, fix: str, logs: tuple[str, ...]) -> None:
        super().__init__(message, fix)
        self.logs = logs


@dataclass(frozen=True, slots=True)
class Change:
    """One thing on the server that is not as the release says."""

    resource: str
    name: str
    action: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.action} {self.resource} {self.name}" + (f" ({self.detail})" if self.detail else "")


@dataclass(frozen=True, slots=True)
class Difference:
    """What separates the server from a release.

    ``missing`` names the content that it lacks, by sha256; ``partial`` says how many bytes of it came before a cut.
    """

    changes: tuple[Change, ...]
    missing: tuple[str, ...]
    notes: tuple[str, ...]
    running: str | None
    partial: Mapping[str, int] = field(default_factory=dict)

    def of_setup(self, release: Release) -> list[Change]:
        """The changes that prepare the server, as opposed to those that put the release on it."""
        units = {unit["name"] for unit in release.manifest["units"]}
        return [
            change
            for change in self.changes
            if change.resource in _SETUP_RESOURCES
            or (change.resource == "file" and change.name.startswith("/"))
            or (change.resource == "unit" and change.name not in units)
        ]


def plan(server: Server, release: Release) -> Difference:
    """Ask the server what would change. Reads only.

    Raises:
        RemoteError: the host program did not answer with a plan.
    """
    completed = server.run([*PROGRAM_COMMAND, "plan"], stdin=release.manifest_bytes())
    try:
        answer = json.loads(completed.stdout)
        return Difference(
            changes=tuple(Change(**change) for change in answer["changes"]),
            missing=tuple(answer["missing"]),
            notes=tuple(answer.get("notes", ())),
            running=answer.get("running"),
            partial=answer.get("partial", {}),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise RemoteError(f"The server's plan cannot be read: {error!r} in {completed.stdout[-300:]!r}.") from error


def apply(
    server: Server,
    release: Release,
    report: Reporter,
    *,
    phase: int,
    setup_only: bool = False,
    watch_s: float = 0.0,
    on_firewall: Callable[[], None],
) -> Mapping[str, Any]:
    """Start the change on the server, or attach to it if it runs already, and watch it to its end.

    ``phase`` is the last one that was reported. For ``watch_s`` seconds the old containers stand by while the new ones
    are watched. ``on_firewall`` is called when new firewall rules stand: they are taken back unless they are confirmed.

    Returns:
        The host program's last event, and ``phase``: the last one that was reported.

    Raises:
        DeploymentFailedError: the change failed; the reason, the fix and the failing container's log are in it.
        ConnectionFailedError: the connection broke. The change goes on without it.
    """
    command = [*PROGRAM_COMMAND, "apply", *(["--setup-only"] if setup_only else ["--watch", f"{watch_s:g}"])]
    return watch(
        server, command, report, phase=phase, phases=not setup_only, on_firewall=on_firewall,
        stdin=release.manifest_bytes(),
    )  # fmt: skip


def watch(
    server: Server,
    command: Sequence[str],
    report: Reporter,
    *,
    phase: int,
    phases: bool = True,
    on_firewall: Callable[[], None],
    stdin: bytes = b"",
) -> Mapping[str, Any]:
    """Run a command that prints the executor's events, and report them; see :func:`apply`.

    Args:
        server: the connection.
        command: what is run there.
        report: where the events go.
        phase: the last phase that was reported.
        phases: whether later phases are reported.
        on_firewall: called when new firewall rules stand.
        stdin: what the command reads.
    """
    end: dict[str, Any] = {}

    def on_line(line: str) -> None:
        nonlocal phase
        try:
            event = json.loads(line)
        except ValueError:
            report.log(line)
            return
        kind = event.get("event")
        if kind == "step":
            number = _PHASE_NUMBERS.get(event.get("phase", ""), phase)
            # Setting up writes some of the release's files: that is no phase of its own.
            if number > phase and phases:
                phase = number
                report.phase(number)
            _report_step(event, report)
            if event["state"] == "done" and event["name"] == FIREWALL_STEP:
                on_firewall()
        elif kind == "log":
            report.log(event.get("line", ""))
        elif kind == "note":
            report.warn(event["text"])
        elif kind == "end":
            end.update(event)

    exit_code, stderr = server.stream(command, on_line, stdin=stdin)
    if not end:
        last = (stderr.strip().splitlines() or ["no output"])[-1]
        raise DeploymentFailedError(f"The host program stopped ({exit_code}): {last}", "", ())
    if not end.get("ok"):
        raise DeploymentFailedError(
            end.get("message", "The change failed."), end.get("fix", ""), tuple(end.get("logs", ()))
        )
    return {**end, "phase": phase}


def _report_step(event: Mapping[str, Any], report: Reporter) -> None:
    name, detail = event["name"], event.get("detail") or ""
    match event["state"]:
        case "started":
            report.step(name, detail)
        case "failed":
            report.warn(f"{name}: {detail}")
        case "skipped":
            report.done(name, detail or "nothing to do")
        case _:
            report.done(name, detail, event.get("seconds"))
