"""The seven phases of a deployment, in order."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vru.deploy.checks import validation
from vru.deploy.checks.check import problem, problems
from vru.deploy.console.reporter import Reporter
from vru.deploy.pipeline import inspection
from vru.deploy.pipeline.inspection import Target
from vru.deploy.release import configuration, difference, images, local_build, transfer
from vru.deploy.release.difference import Difference
from vru.deploy.release.manifest import Release
from vru.deploy.remote import integration, orchestration, verification
from vru.deploy.server.facts import gather
from vru.deploy.settings.environment import FILE_NAME, EnvironmentFileError, Problem
from vru.deploy.ssh.connection import ConnectionFailedError, Server
from vru.domain import VruError
from vru.host.wire import Check

__all__ = ["Target", "ValidationFailedError", "deploy", "plan", "show", "validate", "validate_without_environment"]


class ValidationFailedError(VruError):
    """Something would stop the deployment. ``checks`` has all of it."""

    def __init__(self, checks: list[Check]) -> None:
        found = problems(checks)
        super().__init__(
            f"{len(found)} problem{'s' if len(found) != 1 else ''} would stop a deployment; nothing was changed.",
            "Correct what is marked above, then run the same command again.",
        )
        self.checks = checks


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


def plan(target: Target, report: Reporter, *, build_local: bool = False) -> Difference:
    """What a deployment would change; nothing is changed, not even on the laptop's side of the project.

    Raises:
        ValidationFailedError: something would stop the deployment.
        VruError: the server cannot be asked.
    """
    with inspection.inspect(target, contents=True) as found:
        checks = found.checks()
        _require(checks, report)
        show([check for check in checks if check.state == "warning"], report)
        difference = found.difference()
        found.cache(difference.release if difference.kept else "")
    return local_build.as_local(difference, target.environment) if build_local else difference


def deploy(
    target: Target,
    report: Reporter,
    *,
    setup_only: bool = False,
    update: bool = False,
    watch_s: float | None = None,
    build_local: bool = False,
    planned: Mapping[str, Any] | None = None,
    agree: Callable[[Difference], None] | None = None,
) -> dict[str, Any]:
    """All phases, or the first two and the server's part of the setup.

    Args:
        target: what is deployed where.
        report: told of each phase and step.
        setup_only: only what prepares the server.
        update: stop where nothing is deployed yet.
        watch_s: goes before VRU_WATCH_S.
        build_local: build images with this machine's Docker instead of the server's.
        planned: the plan (its JSON) that was agreed to; any other difference stops the deployment.
        agree: sees what will change before anything is changed, and stops it by raising.

    Returns:
        ``release``, ``changed`` (number of changes made), and the traffic of the connection.

    Raises:
        VruError: a phase failed; later ones were not begun, and what runs on the server goes on running.
    """
    report.phase(1)
    # Of use only if nothing changes, and then it took no time: the addresses are tried while the server is asked.
    outside = verification.OutsideChecks(target.environment)
    with inspection.inspect(target) as found:
        server = found.server
        report.done("connected", f"{server.connection.user}@{server.connection.host}:{server.connection.port}")
        if update and not found.facts.release:
            raise VruError("There is no deployment to update on this server.", "Run: vru deploy")
        checks = found.checks()
        _require(checks, report)
        show([check for check in checks if check.state != "ok"], report)
        own = validation.own_ports(target.environment, found.facts)
        report.done("validation", f"{len(checks)} checks")
        if planned is not None:
            require_current(planned, found.difference())
        if agree is not None:
            agree(found.difference())

        report.phase(2)
        prepared = found.install(report)
        difference = found.difference()
        release = found.fitted.release
        for note in difference.notes:
            if note not in release.notes:
                report.warn(note)
        change = _Changer(target, server, release, difference, report)
        change.watch_s = target.environment.watch_s if watch_s is None else watch_s
        change.expected = difference.state if planned is not None else None
        sent = change.prepare_server(all_of_it=setup_only)
        if not setup_only:
            _put_release(change, found, sent, report, build_local=build_local)
        found.cache(release.name if change.kept else "")
        traffic = server.traffic
    if not setup_only:
        if change.phase < 7:
            report.phase(7)
        verify_outside(outside.checks(changed=bool(prepared or change.made), own=own), report)
    return {
        "release": release.name,
        "changed": prepared + change.made,
        "round_trips": traffic.round_trips,
        "bytes_sent": traffic.bytes_sent,
    }


def _put_release(
    change: "_Changer", found: inspection.Inspection, sent: set[str], report: Reporter, *, build_local: bool
) -> None:
    """Phases 3 to 7 on the server: write the configs, send what it lacks of the release, and make it live."""
    release, rendered = found.fitted.release, found.fitted.rendered
    report.phase(3)
    configuration.write(change.target.root, rendered)
    report.done("configuration", f"{len(rendered)} files; release {release.name}")
    for note in release.notes:
        report.done("limit scaled down", note)
    report.phase(4)
    difference = change.difference
    change.send([sha256 for sha256 in difference.missing if sha256 not in sent])
    if build_local:
        change.build_here(found.facts.machine)
    if change.made or difference.changes or difference.running:
        change.apply(phase=4)
    else:
        report.done("release", "is live already")


def _require(checks: list[Check], report: Reporter) -> None:
    if problems(checks):
        show(checks, report)
        raise ValidationFailedError(checks)


def require_current(planned: Mapping[str, Any], now: Difference) -> None:
    """Stop unless the plan still is the difference; the server checks its part again, under its lock."""
    said = difference.stale(planned, now)
    if said:
        raise VruError(
            f"Plan {planned['id']} no longer holds; nothing was changed. {said[0]}"
            + (f" {len(said) - 1} more things differ." if len(said) > 2 else f" {said[1]}" if len(said) > 1 else ""),
            "Make a new plan and look through it: vru plan",
        )


def _place(found: Problem) -> str:
    return FILE_NAME if found.line is None else f"{FILE_NAME}, line {found.line}"


class _Changer:
    """Makes the changes of one release on the server, and counts them."""

    def __init__(
        self, target: Target, server: Server, release: Release, difference: Difference, report: Reporter
    ) -> None:
        self.target = target
        self.server = server
        self.release = release
        self.difference = difference
        self.report = report
        self.kept = difference.kept
        self.expected: str | None = None
        self.made = 0
        self.phase = 0
        self.watch_s = 0.0

    def prepare_server(self, *, all_of_it: bool) -> set[str]:
        """Make what belongs to the server's setup; what it needs of the release's content is sent first.

        On a server where a release is live this is no step of its own (unless ``all_of_it``): one change does it all.

        Returns:
            The content that was sent, by sha256.
        """
        if not self.difference.prepares:
            self.report.done("server", "is prepared already")
            return set()
        if self.difference.live and not all_of_it:
            return set()
        needed = self.release.contents_of_setup() & set(self.difference.missing)
        self.send(sorted(needed))
        self.apply(phase=2, setup_only=True)
        return needed

    def send(self, missing: Sequence[str]) -> None:
        """Send content that the server lacks, and of what was cut only the rest."""
        if missing:
            name = f"send {len(missing)} file{'s' if len(missing) != 1 else ''}"
            self.report.step(name)
            there = self.difference.partial
            sent = transfer.send(self.server, self.release.contents, missing, there=there, report=self.report)
            self.report.done(name, str(sent), sent.seconds)

    def build_here(self, machine: str) -> None:
        """Build what the server's engine lacks with this machine's Docker, and send it the layers."""
        absent = {
            change.name for change in self.difference.changes if (change.resource, change.action) == local_build.BUILD
        }
        wanted = [image for image in images.images(self.target.root, self.target.environment) if image.image in absent]
        if wanted:
            local_build.provide(self.server, self.target.root, self.target.environment, machine, wanted, self.report)

    def apply(self, *, phase: int, setup_only: bool = False) -> None:
        """Have the host program make the change, and watch."""
        try:
            end = orchestration.apply(
                self.server,
                self.release,
                self.report,
                phase=phase,
                setup_only=setup_only,
                kept=self.kept,
                expect=self.expected,
                watch_s=self.watch_s,
                on_firewall=lambda: integration.confirm_firewall(self.target.connect, self.report),
            )
        except ConnectionFailedError as error:
            raise ConnectionFailedError(
                f"{error.message} The change goes on on the server.",
                "Run the same command again to watch it to its end.",
            ) from error
        self.kept = True
        self.expected = end.state if self.expected is not None else None
        self.made += end.changed
        self.phase = end.phase


def verify_outside(checks: list[Check], report: Reporter) -> None:
    """Judge the platform's addresses, as they were tried from here.

    Raises:
        VruError: one does not answer, or a port answers that must not.
    """
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
