"""Service orchestration: hand the release to the host program and watch it make the change."""

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from vru.deploy.console import log_file
from vru.deploy.console.errors import DeploymentFailedError
from vru.deploy.console.reporter import Reporter
from vru.deploy.release.difference import Difference
from vru.deploy.release.manifest import Release
from vru.deploy.server import audit_checkpoints, host_program
from vru.deploy.server.facts import SCRIPT, parse
from vru.deploy.ssh.connection import Completed, RemoteError, Server
from vru.host.strict_json import read
from vru.host.wire import Answer, Change, End, Event, Facts, LogEvent, Note, Plan, StepEvent, read_event

T = TypeVar("T")

FIREWALL_STEP = "firewall"

# The host program's phases, as the numbers under which users know them.
_PHASE_NUMBERS = {"setup": 2, "transfer": 4, "orchestration": 5, "integration": 6, "verification": 7}


@dataclass(frozen=True, slots=True)
class Outcome:
    """A change that ended well: the live release, the number of changes made, and the last phase that was reported.

    ``message`` is there if there was nothing to do; ``state`` names what the server is now.
    """

    release: str
    changed: int
    message: str
    state: str | None
    phase: int


# Facts and plan side by side, in one command: the program reads the facts from descriptor 3 and hands them on. Where
# the server has no such program yet, the facts come alone.
_QUESTION = f"""facts() {{
{SCRIPT}
}}
{host_program.FIND}
if [ -e "$p" ]; then
shift
{{ facts | {{ exec 3<&0 0<&4 4<&-; exec {" ".join(host_program.PYTHON)} "$p" plan --facts 3 "$@"; }}; }} 4<&0
else facts
fi"""


def ask(server: Server, release: Release, *, kept: bool, contents: bool = False) -> tuple[Facts, Difference | None]:
    """Ask for the server's facts and what a release would change, in one round trip. Reads only.

    Args:
        server: the server.
        release: the release, made from what is remembered of the server.
        kept: the server is believed to have its manifest: then its name is enough.
        contents: ask for the text of files that would change, too.

    Returns:
        The facts, and the difference if it could be told there and then.

    Raises:
        RemoteError: the host program did not answer with a plan.
    """
    argv = ["sh", "-c", _QUESTION, "vru-platform", host_program.program_sha256()]
    argv += _plan_arguments(release, kept=kept, contents=contents)
    before = time.time()
    completed = server.run(argv, stdin=b"" if kept else release.packed_manifest(whole=True), check=False)
    now = (before + time.time()) / 2
    if completed.exit_code != 0:
        raise RemoteError(*_last_words(completed, server))
    if not completed.stdout.startswith("{"):
        return parse(completed.stdout, now), None
    answer = _read(Answer, completed.stdout)
    return parse(answer.facts, now), None if answer.plan is None else Difference.of_plan(answer.plan, release)


def plan(server: Server, release: Release, *, contents: bool = False, in_memory: bool = False) -> Difference:
    """Ask the server what a release would change. Reads only.

    Args:
        server: the server.
        release: the release.
        contents: ask for the text of files that would change, too.
        in_memory: the server does not have this laptop's program, and must not get it for this.

    Raises:
        RemoteError: the host program did not answer with a plan.
    """
    arguments = ["plan", *_plan_arguments(release, kept=False, contents=contents)]
    manifest = release.packed_manifest(whole=True)
    if in_memory:
        completed = host_program.run_in_memory(server, *arguments, stdin=manifest)
    else:
        completed = host_program.run(server, *arguments, stdin=manifest)
    return Difference.of_plan(_read(Plan, completed.stdout), release)


def without_python(release: Release, facts: Facts) -> Difference:
    """What can be said of a server that has no Python to make a plan: the whole release, as the laptop knows it."""
    changes = [Change("package", "python3", "install", "the host program needs it", setup=True)]
    if not facts.docker:
        changes.append(
            Change("package", "Docker with Compose and Buildx", "install", "unless some of it is there", setup=True)
        )
    count = len(release.manifest.files)
    changes.append(Change("file", f"{count} files", "create", "below /opt/vru-platform, in /etc and /usr/local"))
    changes += [Change("image", image, "pull") for image in release.manifest.pull]
    changes += [Change("image", one.image, "build", f"for {one.service}") for one in release.manifest.images]
    changes += [
        Change("firewall", "rules", "update", "those that stand cannot be read yet", setup=True),
        Change("migration", "migrate", "run", "new schema"),
        Change("container", "all services", "create"),
        *(Change("unit", unit.name, "enable") for unit in release.manifest.units),
        Change("release", release.name, "update", "becomes the live one"),
    ]
    told = [facts.release, [[change.resource, change.name, change.action] for change in changes]]
    return Difference(
        release=release.name,
        changes=tuple(changes),
        missing=tuple(release.contents),
        notes=("The server has no Python yet: what stands there already is not known.", *release.notes),
        running=None,
        state=hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16],
        live=facts.release or None,
        certain=False,
    )


def _plan_arguments(release: Release, *, kept: bool, contents: bool) -> list[str]:
    return [*([release.name] if kept else []), *(["--contents"] if contents else [])]


def _read(kind: type[T], text: str) -> T:
    try:
        return read(kind, json.loads(text))
    except ValueError as error:
        raise log_file.unreadable("The server's plan", text, error) from error


def _last_words(completed: Completed, server: Server) -> tuple[str, str]:
    lines = [line.strip() for line in completed.stderr.strip().splitlines()]
    reason = log_file.said(completed.stderr)
    fix = " ".join(lines[1:2]) if lines and lines[0].endswith(reason) else ""
    return f"{server.address.host} cannot say what would change: {reason}", fix


def apply(
    server: Server,
    release: Release,
    report: Reporter,
    *,
    phase: int,
    setup_only: bool = False,
    watch_s: float = 0.0,
    kept: bool = False,
    expect: str | None = None,
    on_firewall: Callable[[], None],
) -> Outcome:
    """Start the change on the server, or attach to it if it runs already, and watch it to its end.

    Args:
        server: the server.
        release: the release to make true there.
        report: told of each step.
        phase: the last one that was reported.
        setup_only: make only what prepares the server.
        watch_s: for so many seconds the old containers stand by while the new ones are watched.
        kept: the server has the release's manifest: then its name is enough.
        expect: the state of the server for which this was planned; any other one stops the change.
        on_firewall: called when new firewall rules stand: they are taken back unless they are confirmed.

    Returns:
        How it ended.

    Raises:
        DeploymentFailedError: the change failed; the reason, the fix and the failing container's log are in it.
        ConnectionFailedError: the connection broke. The change goes on without it.
    """
    arguments = ["apply", *([release.name] if kept else [])]
    arguments += ["--setup-only"] if setup_only else ["--watch", f"{watch_s:g}"]
    arguments += ["--expect", expect] if expect is not None else []
    stdin = b"" if kept else release.packed_manifest()
    return watch(server, arguments, report, phase=phase, phases=not setup_only, on_firewall=on_firewall, stdin=stdin)


def watch(
    server: Server,
    arguments: Sequence[str],
    report: Reporter,
    *,
    phase: int,
    phases: bool = True,
    on_firewall: Callable[[], None],
    stdin: bytes = b"",
) -> Outcome:
    """Run a verb of the host program that prints the executor's events, and report them; see :func:`apply`.

    Args:
        server: the connection.
        arguments: the verb, and what it takes.
        report: where the events go.
        phase: the last phase that was reported.
        phases: whether later phases are reported.
        on_firewall: called when new firewall rules stand.
        stdin: what the verb reads.
    """
    watcher = _Watcher(report, phase, phases, on_firewall)
    exit_code, stderr = host_program.stream(server, arguments, watcher.line, stdin=stdin)
    end = watcher.end
    if end is None:
        reason = log_file.said(stderr, last=True)
        raise DeploymentFailedError(f"The host program stopped ({exit_code}): {reason}", "", ())
    # What this laptop has seen of the audit cannot be rewritten unnoticed.
    audit_checkpoints.record(server.address, end.audit)
    if not end.ok:
        raise DeploymentFailedError(end.message or "The change failed.", end.fix, end.logs)
    return Outcome(end.release, end.changed, end.message, end.state, watcher.phase)


@dataclass(slots=True)
class _Watcher:
    """Reports a change's events as they come; ``end`` is the last one."""

    report: Reporter
    phase: int
    phases: bool
    on_firewall: Callable[[], None]
    end: End | None = None

    def line(self, line: str) -> None:
        """One line that the host program printed."""
        if not line.startswith("{"):
            self.report.log(line)
            return
        match _event(line):
            case StepEvent() as event:
                self._step(event)
            case LogEvent() as event:
                self.report.log(event.line)
            case Note() as event:
                self.report.warn(event.text)
            case End() as event:
                self.end = event

    def _step(self, event: StepEvent) -> None:
        number = _PHASE_NUMBERS.get(event.phase, self.phase)
        # Setting up writes some of the release's files: that is no phase of its own.
        if number > self.phase and self.phases:
            self.phase = number
            self.report.phase(number)
        _report_step(event, self.report)
        if event.state == "done" and event.name == FIREWALL_STEP:
            self.on_firewall()


def _event(line: str) -> Event:
    try:
        return read_event(json.loads(line))
    except ValueError as error:
        raise log_file.unreadable("The server's answer", line, error) from error


def _report_step(event: StepEvent, report: Reporter) -> None:
    match event.state:
        case "started":
            report.step(event.name, event.detail)
        case "failed":
            report.warn(f"{event.name}: {event.detail}")
        case "skipped":
            report.done(event.name, event.detail or "nothing to do")
        case "done":
            report.done(event.name, event.detail, event.seconds)
