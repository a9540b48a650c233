"""The seven phases of a deployment, in order."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vru.deploy import configuration, integration, orchestration, remote_setup, transfer, validation, verification
from vru.deploy.checks import Check, problem, problems
from vru.deploy.connection import ConnectionFailedError, Server
from vru.deploy.console import Reporter
from vru.deploy.environment import FILE_NAME, Environment, EnvironmentFileError, Problem
from vru.deploy.facts import gather
from vru.deploy.release import Release, build
from vru.domain import VruError


class ValidationFailedError(VruError):
    """Something would stop the deployment. ``checks`` has all of it."""

    def __init__(self, checks: list[Check]) -> None:
        found = problems(checks)
        super().__init__(
            f"{len(found)} problem{'s' if len(found) != 1 else ''} would stop a deployment; nothing was changed.",
            "Mend what is marked above, then run the same command again.",
        )
        self.checks = checks


@dataclass(frozen=True, slots=True)
class Target:
    """What is deployed where: the project's root, its environment, and how to reach the server."""

    root: Path
    environment: Environment
    connect: Callable[[], Server]


def validate(target: Target, report: Reporter, *, local_only: bool = False) -> list[Check]:
    """Phase 1 by itself: look at the project, and at the server unless ``local_only``."""
    checks = list(validation.check_project(target.root))
    facts = None
    if not local_only:
        try:
            with target.connect() as server:
                facts = gather(server)
        except VruError as error:
            checks.append(problem("connection", error.message, error.fix))
        else:
            checks.extend(validation.check_server(target.environment, facts))
    if not problems(checks[:1]):
        checks.extend(validation.check_configuration(target.root, target.environment, facts))
    show(checks, report)
    return checks


def validate_without_environment(root: Path, error: EnvironmentFileError, report: Reporter) -> list[Check]:
    """Phase 1 where the environment file cannot be used: what is wrong with it, and the rest that can be looked at."""
    checks = list(validation.check_project(root))
    checks += [problem(_place(found), found.message, found.fix) for found in error.problems]
    show(checks, report)
    return checks


def deploy(
    target: Target, report: Reporter, *, setup_only: bool = False, update: bool = False, watch_s: float | None = None
) -> dict[str, Any]:
    """All phases, or the first two and the server's part of the setup.

    ``watch_s`` goes before VRU_WATCH_S.

    Returns:
        ``release``, ``changed`` (number of changes made), and the traffic of the connection.

    Raises:
        VruError: a phase failed; later ones were not begun, and what runs on the server goes on running.
    """
    report.phase(1)
    with target.connect() as server:
        report.done("connected", f"{server.connection.user}@{server.connection.host}:{server.connection.port}")
        facts = gather(server)
        if update and not facts.release:
            raise VruError("There is no deployment to update on this server.", "Run: vru deploy")
        checks = [
            *validation.check_project(target.root),
            *validation.check_server(target.environment, facts),
            *validation.check_configuration(target.root, target.environment, facts),
        ]
        if problems(checks):
            show(checks, report)
            raise ValidationFailedError(checks)
        show([check for check in checks if check.state != "ok"], report)
        report.done("validation", f"{len(checks)} checks")

        report.phase(2)
        prepared = remote_setup.bootstrap(server, facts, report)
        rendered = configuration.render(target.root, target.environment, facts)
        release = build(target.root, target.environment, facts, rendered)
        difference = orchestration.plan(server, release)
        for note in difference.notes:
            report.warn(note)
        change = _Changer(target, server, release, report)
        change.watch_s = target.environment.watch_s if watch_s is None else watch_s
        sent = change.prepare_server(difference)
        if not setup_only:
            report.phase(3)
            configuration.write(target.root, rendered)
            report.done("configuration", f"{len(rendered)} files; release {release.name}")
            for note in release.notes:
                report.done("limit scaled down", note)
            report.phase(4)
            change.send([sha256 for sha256 in difference.missing if sha256 not in sent], difference.partial)
            if change.made or difference.changes or difference.running:
                change.apply(phase=4)
            else:
                report.done("release", "is live already")
        traffic = server.traffic
    if not setup_only:
        if change.phase < 7:
            report.phase(7)
        verify_outside(target.environment, report)
    return {
        "release": release.name,
        "changed": prepared + change.made,
        "round_trips": traffic.round_trips,
        "bytes_sent": traffic.bytes_sent,
    }


def _place(found: Problem) -> str:
    return FILE_NAME if found.line is None else f"{FILE_NAME}, line {found.line}"


class _Changer:
    """Makes the changes of one release on the server, and counts them."""

    def __init__(self, target: Target, server: Server, release: Release, report: Reporter) -> None:
        self.target = target
        self.server = server
        self.release = release
        self.report = report
        self.made = 0
        self.phase = 0
        self.watch_s = 0.0

    def prepare_server(self, difference: orchestration.Difference) -> set[str]:
        """Make what belongs to the server's setup; what it needs of the release's content is sent first.

        Returns:
            The content that was sent, by sha256.
        """
        if not difference.of_setup(self.release):
            self.report.done("server", "is prepared already")
            return set()
        needed = self.release.contents_outside_root() & set(difference.missing)
        self.send(sorted(needed), difference.partial)
        self.apply(phase=2, setup_only=True)
        return needed

    def send(self, missing: Sequence[str], partial: Mapping[str, int]) -> None:
        """Send content that the server lacks, and of what was cut only the rest."""
        if missing:
            name = f"send {len(missing)} file{'s' if len(missing) != 1 else ''}"
            self.report.step(name)
            sent = transfer.send(self.server, self.release.contents, missing, there=partial, report=self.report)
            self.report.done(name, str(sent), sent.seconds)

    def apply(self, *, phase: int, setup_only: bool = False) -> None:
        """Have the host program make the change, and watch."""
        try:
            end = orchestration.apply(
                self.server,
                self.release,
                self.report,
                phase=phase,
                setup_only=setup_only,
                watch_s=self.watch_s,
                on_firewall=lambda: integration.confirm_firewall(self.target.connect, self.report),
            )
        except ConnectionFailedError as error:
            raise ConnectionFailedError(
                f"{error.message} The change goes on on the server.",
                "Run the same command again to watch it to its end.",
            ) from error
        self.made += int(end.get("changed", 0))
        self.phase = end["phase"]


def verify_outside(environment: Environment, report: Reporter) -> None:
    """Try the platform's addresses from here.

    Raises:
        VruError: one does not answer, or a port answers that must not.
    """
    checks = verification.verify_outside(environment)
    found = problems(checks)
    if found:
        show(found, report)
        raise VruError(found[0].detail, found[0].fix)
    report.done("from outside", f"{len(checks)} checks")


def show(checks: list[Check], report: Reporter) -> None:
    """Report each check: what is well, and what is not with its fix."""
    for check in checks:
        if check.state == "ok":
            report.done(check.name, check.detail)
        else:
            report.warn(f"{check.name}: {check.detail} {check.fix}".rstrip())
