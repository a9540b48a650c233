"""The seven phases of a deployment, in order."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vru.deploy import configuration, integration, orchestration, remote_setup, transfer, validation, verification
from vru.deploy.checks import Check, problem, problems
from vru.deploy.connection import ConnectionFailedError, Server
from vru.deploy.console import Reporter, timed
from vru.deploy.environment import Environment
from vru.deploy.facts import ServerFacts, gather
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


def deploy(target: Target, report: Reporter, *, setup_only: bool = False, update: bool = False) -> dict[str, Any]:
    """All phases, or the first two and the server's part of the setup.

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
        if not prepared:
            report.done("host program", "already there")

        report.phase(3)
        release = _generate(target, facts, report)

        report.phase(4)
        difference = orchestration.plan(server, release)
        for note in difference.notes:
            report.warn(note)
        if difference.missing:
            with timed(report, f"send {len(difference.missing)} files"):
                transfer.send(server, release, difference.missing)
        else:
            report.done("files", "nothing to send")
        changed = len(difference.changes) + prepared
        if difference.changes or difference.running:
            _change(target, server, release, report, setup_only=setup_only)
        traffic = server.traffic
    outcome: dict[str, Any] = {
        "release": release.name,
        "changed": changed,
        "round_trips": traffic.round_trips,
        "bytes_sent": traffic.bytes_sent,
    }
    if not setup_only:
        report.phase(7)
        verify_outside(target.environment, report)
    return outcome


def _generate(target: Target, facts: ServerFacts, report: Reporter) -> Release:
    rendered = configuration.render(target.root, target.environment, facts)
    configuration.write(target.root, rendered)
    release = build(target.root, target.environment, facts, rendered)
    report.done("configuration", f"{len(rendered)} files; release {release.name}")
    return release


def _change(target: Target, server: Server, release: Release, report: Reporter, *, setup_only: bool) -> None:
    try:
        orchestration.apply(
            server,
            release,
            report,
            setup_only=setup_only,
            on_firewall=lambda: integration.confirm_firewall(target.connect, report),
        )
    except ConnectionFailedError as error:
        raise ConnectionFailedError(
            f"{error.message} The change goes on on the server.", "Run the same command again to watch it to its end."
        ) from error


def verify_outside(environment: Environment, report: Reporter) -> list[Check]:
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
    return checks


def show(checks: list[Check], report: Reporter) -> None:
    """Report each check: what is well, and what is not with its fix."""
    for check in checks:
        if check.state == "ok":
            report.done(check.name, check.detail)
        else:
            report.warn(f"{check.name}: {check.detail} {check.fix}".rstrip())
