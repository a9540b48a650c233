"""The executor: makes the server what a manifest says, one journalled step after the other.

It may be killed at any moment. Each step asks again what is still needed, so the next run goes on from there. Every
module that it needs is imported here, at the top: the program's own file may be replaced while it runs.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from . import audit, health, history, nginx, program, pruning, releases, rolling, routes, store, verify
from .compose import Compose
from .errors import FAILED, OK, FencedError, HostError, ToldError
from .host import Host
from .journal import Journal, Step
from .lock import lock
from .manifest import FileEntry, Manifest
from .plan import state_of_release
from .resources import (
    Change,
    containers,
    directories,
    files,
    firewall,
    images,
    kernel,
    migration,
    packages,
    settings,
    units,
)

SETUP, TRANSFER, ORCHESTRATION, INTEGRATION, VERIFICATION = (
    "setup", "transfer", "orchestration", "integration", "verification",
)  # fmt: skip
# What the executor is asked to do, and how the lock and the audit call it.
DEPLOY, SETUP_ONLY, ROLLBACK = "apply", "setup", "rollback"
_DOCKER_S = 60.0
_PURPOSES = {
    DEPLOY: "the deployment of release", SETUP_ONLY: "the setup for release", ROLLBACK: "the rollback to release",
}  # fmt: skip


def execute(
    host: Host,
    release: str,
    journal_path: Path,
    unit: str,
    *,
    mode: str = DEPLOY,
    expect: str | None = None,
    watch_s: float = 0.0,
) -> int:
    """Make the change and journal it; never raises for what can go wrong with a server.

    Args:
        host: the server.
        release: the release to make true; it is kept on the server.
        journal_path: where each step is written down.
        unit: the systemd unit that this process runs in.
        mode: `DEPLOY`; `SETUP_ONLY` for what does not touch the platform; `ROLLBACK` for what builds nothing.
        expect: the state of the server (`plan.state_of`) for which the change was agreed to; another one stops it.
        watch_s: how long new containers are watched, in seconds, while the old ones stand by.

    Returns:
        The exit code: 0 for a success.
    """
    journal = Journal(journal_path)
    failure: ToldError | None = HostError("The change was stopped.", f"Run the same command again. ({unit})")
    begun = False
    try:
        with lock(host, f"{_PURPOSES[mode]} {release}", release=release, unit=unit, journal=str(journal_path)) as lease:
            journal.guard = lease.check
            journal.begin(release, unit, lease.token)
            audit.record(host, mode, outcome="begun", release=release)
            begun = True
            manifest = store.load(host, release)
            if expect is not None:
                _check_state(host, manifest, expect)
            _Executor(host, manifest, journal, watch_s).run(mode)
            lease.check()
            if expect is not None and mode == SETUP_ONLY:
                journal.notes["state"] = state_of_release(host, manifest)
            audit.record(host, mode, outcome="done", release=release, detail=f"{journal.changed} changes")
            failure = None
            journal.end(release)
    except ToldError as error:
        failure = error
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        failure = HostError(f"The server refused a step: {error}.", "Mend the cause, then run the same command again.")
    finally:
        if failure is not None:
            journal.fail(failure)
            outcome = "fenced" if isinstance(failure, FencedError) else "failed" if begun else "refused"
            audit.record(host, mode, outcome=outcome, release=release, detail=failure.message)
    return FAILED if failure else OK


def _check_state(host: Host, manifest: Manifest, expect: str) -> None:
    """Under the lock, so that nothing slips in between the look and the change."""
    if state_of_release(host, manifest) != expect:
        raise HostError(
            "The server has moved on since the plan was made; nothing was changed.",
            "Make a new plan and look through it: vru plan",
        )


class _Executor:
    def __init__(self, host: Host, manifest: Manifest, journal: Journal, watch_s: float = 0.0) -> None:
        self.host = host
        self.manifest = manifest
        self.journal = journal
        self.compose = Compose(host)
        self.watch_s = watch_s
        self.rollback = False
        self._expected: dict[str, str] = {}

    def run(self, mode: str) -> None:
        setup_only = mode == SETUP_ONLY
        self.rollback = mode == ROLLBACK
        self._setup()
        outside = [e for e in self.manifest.files if e.path.startswith("/") or e.path == program.FILE]
        self._files(outside if setup_only else None)
        self._firewall()
        if not setup_only:
            before = store.current(self.host)
            try:
                self._serve()
            except HostError as error:
                if before is not None and before != self.manifest.release and self._docker_is_back(error):
                    self._go_back(before, error)
                raise
            self._finish()
        self._await_confirmation()

    def _serve(self) -> None:
        """Everything between the files' arrival and the moment when the release may be called live."""
        if self.manifest.has_compose:
            self._images()
            self._containers()
        self._integrate()
        if self.manifest.has_compose:
            self._verify()

    def _docker_is_back(self, cause: HostError) -> bool:
        """Whether Docker answers; it is given time, for it may be what failed, and systemd starts it again."""
        deadline = time.monotonic() + _DOCKER_S
        while not self.host.run(["docker", "version"], check=False).ok:
            if time.monotonic() > deadline:
                cause.fix = f"Docker does not answer: journalctl -u docker. {cause.fix}"
                return False
            time.sleep(0.5)
        return True

    def _go_back(self, release: str, cause: HostError) -> None:
        """Put the live release's files back, and its containers where they were changed already.

        The database keeps its schema: migrations only expand it, so the older release works with it.
        """
        back = _Executor(self.host, store.load(self.host, release), self.journal)
        with self.journal.step(ORCHESTRATION, "go back", f"to release {release}") as step:
            try:
                back.return_to(step)
            except HostError as error:
                cause.fix = f"{cause.fix} Going back to release {release} failed as well: {error.message}"
                step.state, step.detail = "failed", error.message
                return
            step.detail = f"release {release} goes on serving"
        cause.fix = f"Release {release} goes on serving. {cause.fix}"

    def return_to(self, step: Step) -> None:
        """Make the server this (earlier) release again, as one step."""
        files.claim(self.host, {entry.path for entry in self.manifest.files})
        wanted = list(files.changes(self.host, self.manifest, files.facts(self.host, self.manifest)))
        for change in wanted:
            if change.apply is not None:
                change.apply(step)
        files.settle(self.host, wanted)
        files.release(self.host, self.manifest)
        units.reload_systemd(self.host, step)
        view = self.compose.view()
        routes.ensure(self.host, view, self.compose.existing())
        stateful = [name for name in containers.STATEFUL if name in view.services]
        pending = list(containers.changes(view, containers.facts(self.host, self.compose)))
        containers.up(self.compose, [change for change in pending if change.name in stateful], step)
        health.wait(self.compose, stateful)
        found = containers.facts(self.host, self.compose)
        password = self.host.environment().get("VRU_DATABASE_PASSWORD", "")
        for change in containers.password_changes(self.compose, found, password):
            if change.apply is not None:
                change.apply(step)
        in_place = [change for change in pending if change.name not in (*stateful, *rolling.SERVICES)]
        containers.up(self.compose, in_place, step)
        names = [change.name for change in in_place if change.name in view.services]
        rolling.roll(self.host, self.compose, self.journal, view, besides=names)
        health.wait(self.compose, view.running)
        for change in containers.nginx_changes(self.compose, containers.facts(self.host, self.compose)):
            if change.apply is not None:
                change.apply(step)

    # -- the phases -------------------------------------------------------------------------------------------------

    def _setup(self) -> None:
        source = self.manifest.docker_source
        if source is not None:
            self._apply(SETUP, "docker", packages.changes(self.host, source, packages.facts(self.host)))
        entries = directories.expected(self.manifest)
        self._apply(
            SETUP, "directories", directories.changes(self.host, entries, directories.facts(self.host, entries))
        )

    def _files(self, only: Sequence[FileEntry] | None) -> None:
        manifest = self.manifest
        lacking = store.missing(self.host, manifest) if only is None else []
        if lacking:
            raise HostError(f"The content of {len(lacking)} files is not on the server.", "Run the same command again.")
        chosen = {entry.path for entry in (manifest.files if only is None else only)}
        wanted = [
            change
            for change in files.changes(self.host, manifest, files.facts(self.host, manifest))
            if change.name in chosen or (only is None and change.action == "remove")
        ]
        files.claim(self.host, chosen)
        self._apply(TRANSFER, "files", wanted)
        files.settle(self.host, wanted)
        if only is None:
            files.release(self.host, manifest)
        changed = {change.name for change in wanted}
        if any(path.startswith("/etc/systemd/system/") for path in changed):
            with self.journal.step(SETUP, "unit files") as step:
                units.reload_systemd(self.host, step)
        tuned = kernel.facts(self.host, manifest)
        if tuned:
            self._apply(SETUP, "kernel settings", kernel.changes(self.host, tuned))

    def _firewall(self) -> None:
        if self.manifest.firewall is not None:
            found = firewall.facts(self.host)
            self._apply(SETUP, "firewall", firewall.changes(self.host, self.manifest.firewall, found))

    def _images(self) -> None:
        with self.journal.step(ORCHESTRATION, "compose file"):
            self.compose.check()
        found = images.facts(self.host, self.manifest)
        self._expected = found.expected
        if self.rollback:
            self._restore_tags()
            return
        moved = list(images.tag_changes(self.host, found))
        if moved:
            self._apply(ORCHESTRATION, "image tags", moved)
        present = found.present
        pulls = list(images.pull_changes(self.host, self.manifest, present))
        with self.journal.step(ORCHESTRATION, "pull images", f"{len(pulls)} of {len(self.manifest.pull)}") as step:
            if pulls:
                images.pull_all(pulls, step)
                images.note_pulled(self.host, pulls)
                step.count(len(pulls))
                step.detail = f"{len(pulls)} pulled"
            else:
                step.skip("all there")
        builds = images.absent(self.manifest, present)
        names = ", ".join(entry.service for entry in builds)
        with self.journal.step(ORCHESTRATION, "build images", names) as step:
            if builds:
                images.build_all(self.compose, builds, step)
                step.count(len(builds))
                step.detail = names
            else:
                step.skip("all there")

    def _restore_tags(self) -> None:
        """An earlier release's images are here; a tag that was taken away or moved names its own again."""
        with self.journal.step(ORCHESTRATION, "images") as step:
            tags = releases.tags_to_restore(self.host, self.manifest)
            for tag, image in tags.items():
                self.host.run(["docker", "tag", image, tag])
            self._expected.update(tags)
            step.count(len(tags))
            step.detail = f"all there, {len(tags)} tagged again" if tags else "all there; nothing is built"

    def _containers(self) -> None:
        view = self.compose.view()
        here = self.compose.existing()
        routes.ensure(self.host, view, here)
        if containers.NGINX in view.services:
            nginx.check(self.compose, here, view.services[containers.NGINX].digest)
        stateful = [name for name in containers.STATEFUL if name in view.services]
        found = containers.facts(self.host, self.compose)
        mended = [
            *settings.impostor_changes(self.compose, found),
            *settings.changes(self.compose, view, found),
        ]
        if mended:
            self._apply(ORCHESTRATION, "what was changed by hand", mended)
            found = containers.facts(self.host, self.compose)
        pending = [change for change in containers.changes(view, found, self._expected) if change.name in stateful]
        if pending:
            self._up(pending, "start stores")
        self._wait(stateful, pending)
        found = containers.facts(self.host, self.compose)
        password = self.host.environment().get("VRU_DATABASE_PASSWORD", "")
        for change in containers.password_changes(self.compose, found, password):
            self._apply(ORCHESTRATION, "database password", [change])
        # An earlier release finds a schema that only grew since: it runs no migrations, and none is undone.
        if self.manifest.migrate and not self.rollback:
            facts = migration.facts(self.host, self.compose)
            self._apply(ORCHESTRATION, "migrate", migration.changes(self.compose, self.manifest.migrate, view, facts))
        pending = list(containers.changes(view, containers.facts(self.host, self.compose), self._expected))
        in_place = [change for change in pending if change.name not in rolling.SERVICES]
        if in_place:
            self._up(in_place, "start services in place")
        rolling.roll(
            self.host, self.compose, self.journal, view, self.watch_s,
            again=rolling.alike_but_changed(view, self.compose.existing(), pending),
            besides=[change.name for change in in_place if change.name in view.services],
        )  # fmt: skip
        health.wait(self.compose, [name for name in view.running if name not in stateful])

    def _up(self, pending: Sequence[Change], name: str) -> None:
        with self.journal.step(ORCHESTRATION, name, ", ".join(str(change) for change in pending)) as step:
            containers.up(self.compose, pending, step)
            step.count(len(pending))
            step.detail = f"{len(pending)} changed"

    def _wait(self, services: Sequence[str], pending: Sequence[Change]) -> None:
        """Tell of each service that was changed; the others must be healthy too, but that is no news."""
        changed = {change.name for change in pending}
        health.wait_with_steps(self.compose, self.journal, [name for name in services if name in changed])
        health.wait(self.compose, services)

    def _integrate(self) -> None:
        if self.manifest.has_compose:
            found = containers.facts(self.host, self.compose)
            self._apply(INTEGRATION, "nginx configuration", containers.nginx_changes(self.compose, found))
        wanted = self.manifest.units
        found_units = units.facts(self.host, units.watched(self.manifest))
        self._apply(INTEGRATION, "units", units.changes(self.host, wanted, found_units))

    def _verify(self) -> None:
        with self.journal.step(VERIFICATION, "services and addresses") as step:
            checks = verify.checks(self.host, self.manifest, patience_s=30)
            for check in checks:
                if check.state != "ok":
                    step.log(f"{check.name}: {check.detail}")
            found = [check for check in checks if check.state == "problem"]
            if found:
                raise HostError(f"{found[0].name}: {found[0].detail}", found[0].fix)
            step.detail = f"{len(checks)} checks"

    def _finish(self) -> None:
        if store.current(self.host) != self.manifest.release:
            with self.journal.step(VERIFICATION, "release", self.manifest.release) as step:
                history.add(self.host, self.manifest.release, ROLLBACK if self.rollback else DEPLOY)
                store.set_current(self.host, self.manifest.release)
                step.count()
                step.detail = f"{self.manifest.release} is live"
        self.journal.check()
        if self.manifest.has_compose:
            # What is true now is what the next plan compares with.
            images.record(self.host, self.manifest)
            releases.record_images(self.host, self.manifest)
            self.compose.remember()
        kept, removed = store.prune(self.host)
        programs = (manifest.file(program.FILE) for manifest in kept)
        program.prune(self.host, [entry.sha256 for entry in programs if entry is not None])
        pruned = pruning.prune(self.host, kept) if self.manifest.has_compose else 0
        if removed or pruned:
            with self.journal.step(VERIFICATION, "clean up") as step:
                step.detail = f"of earlier releases: {pruned} images, {removed} files' content"

    def _await_confirmation(self) -> None:
        """New firewall rules are part of the change: it is not whole before somebody proved that they let him in."""
        if self.manifest.firewall is None or not firewall.pending(self.host):
            return
        with self.journal.step(SETUP, "firewall confirmation", "over a new connection") as step:
            deadline = time.monotonic() + firewall.CONFIRM_S + 15
            while firewall.pending(self.host) and time.monotonic() < deadline:
                time.sleep(0.5)
            if not firewall.confirmed(self.host, self.manifest.firewall):
                raise HostError(
                    "The firewall rules were taken back: nobody confirmed them over a new connection.",
                    "Everything else is done. Run the same command again, and check VRU_SSH_PORT.",
                )
            step.detail = "confirmed"

    # -- inside -----------------------------------------------------------------------------------------------------

    def _apply(self, phase: str, name: str, changes: Iterable[Change]) -> None:
        with self.journal.step(phase, name) as step:
            wanted = list(changes)
            if not wanted:
                step.skip()
                return
            step.detail = str(wanted[0]) if len(wanted) == 1 else f"{len(wanted)} changes"
            for change in wanted:
                self.journal.check()
                if change.apply is not None:
                    change.apply(step)
                step.count()
