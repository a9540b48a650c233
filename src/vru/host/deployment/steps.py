"""The executor's steps: what is still needed, made true one step after the other, each in the journal.

Each step asks again, so that a run that was killed at any moment is gone on with by the next. Every module that is
needed is imported here, at the top: the program's own file may be replaced while it runs.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from ..base.change import Change
from ..base.errors import HostError
from ..base.host import Host
from ..base.journal import Journal, Step
from ..docker import health
from ..docker.compose import Compose, View
from ..firewall import confirmation
from ..operations import verify
from ..release import history, program, pruning, releases, store
from ..resources import (
    containers,
    directories,
    files,
    firewall,
    images,
    kernel,
    migration,
    packages,
    role,
    settings,
    units,
)
from ..rolling import nginx, rollout, routes
from ..wire import FileEntry, Manifest
from . import stages
from .stages import ORCHESTRATION, SETUP, VERIFICATION, Stage

# What the executor is asked to do, and how the lock and the audit call it.
DEPLOY, SETUP_ONLY, ROLLBACK = "apply", "setup", "rollback"
_DOCKER_S = 60.0
_DOCKER_ANSWER_S = 10.0
_DOCKER_ATTEMPTS = 4
_DOCKER_PID = Path("/run/docker.pid")


def _docker_process() -> tuple[str, int] | None:
    """Which process Docker is; None if it does not run, or says nothing about it."""
    try:
        return _DOCKER_PID.read_text().strip(), _DOCKER_PID.stat().st_mtime_ns
    except FileNotFoundError:
        return None


class Executor:
    """Makes one release true."""

    def __init__(self, host: Host, manifest: Manifest, journal: Journal, watch_s: float = 0.0) -> None:
        self.host = host
        self.manifest = manifest
        self.journal = journal
        self.compose = Compose(host)
        self.watch_s = watch_s
        self.rollback = False
        self._expected: dict[str, str] = {}

    def run(self, mode: str) -> None:
        """Make all steps of a mode.

        Raises:
            HostError: a step failed; where another release was live, it serves on.
            FencedError: another change has taken over.
        """
        setup_only = mode == SETUP_ONLY
        self.rollback = mode == ROLLBACK
        self._setup()
        outside = [entry for entry in self.manifest.files if entry.of_setup]
        self._files(outside if setup_only else None)
        self._firewall()
        if not setup_only:
            before = store.current(self.host)
            try:
                self._serve_on()
            except HostError as error:
                if before is not None and before != self.manifest.release and self._docker_is_back(error):
                    self._go_back(before, error)
                raise
            self._finish()
        self._await_confirmation()

    def _serve(self) -> None:
        """Everything between the files' arrival and the moment when the release may be called live."""
        if self.manifest.has_compose:
            stopped = HostError("Docker does not answer.", "Look at: journalctl -u docker")
            if not self._docker_is_back(stopped):
                raise stopped
            self._images()
            self._containers()
        self._integrate()
        if self.manifest.has_compose:
            self._verify()

    def _serve_on(self) -> None:
        """Serve, and go on where it was if Docker dies or is restarted meanwhile: systemd starts it again."""
        for attempt in range(1, _DOCKER_ATTEMPTS + 1):
            docker = _docker_process()
            try:
                self._serve()
            except HostError as error:
                if _docker_process() == docker or attempt == _DOCKER_ATTEMPTS or not self._docker_is_back(error):
                    raise
            else:
                return

    def _docker_answers(self) -> bool:
        try:
            return self.host.run(["docker", "version"], check=False, timeout=_DOCKER_ANSWER_S).ok
        except HostError:
            # Its socket is systemd's: where Docker is being started, a question waits for that.
            return False

    def _docker_is_back(self, cause: HostError) -> bool:
        """Whether Docker answers; it is given time."""
        if self._docker_answers():
            return True
        with self.journal.step(ORCHESTRATION, "wait for Docker", cause.message) as step:
            deadline = time.monotonic() + _DOCKER_S
            while not self._docker_answers():
                if time.monotonic() > deadline:
                    step.state, step.detail = "failed", f"it does not answer after {_DOCKER_S:.0f} s"
                    cause.fix = f"Docker does not answer: journalctl -u docker. {cause.fix}"
                    return False
                time.sleep(0.5)
            step.detail = "it answers again"
        return True

    def _go_back(self, release: str, cause: HostError) -> None:
        """Put the live release's files back, and its containers where they were changed already.

        The database keeps its schema: migrations only expand it, so the older release works with it.
        """
        back = Executor(self.host, store.load(self.host, release), self.journal)
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
        files.sync(self.host, wanted)
        files.release(self.host, self.manifest)
        units.reload_systemd(self.host, step)
        view = self.compose.view()
        routes.ensure(self.host, view, self.compose.existing())
        stateful = view.stateful
        pending = list(containers.changes(view, containers.facts(self.host, self.compose)))
        containers.up(self.compose, [change for change in pending if change.name in stateful], step)
        health.wait(self.compose, stateful)
        found = containers.facts(self.host, self.compose)
        for change in role.changes(role.facts(self.compose, found.containers), self.host.environment()):
            if change.apply is not None:
                change.apply(step)
        in_place = [change for change in pending if change.name not in (*stateful, *view.rolling)]
        containers.up(self.compose, in_place, step)
        names = [change.name for change in in_place if change.name in view.services]
        rollout.roll(self.host, self.compose, self.journal, view, besides=names)
        health.wait(self.compose, view.running)
        for change in containers.nginx_changes(self.compose, containers.facts(self.host, self.compose)):
            if change.apply is not None:
                change.apply(step)

    # -- the phases -------------------------------------------------------------------------------------------------

    def _setup(self) -> None:
        if self.manifest.packages is not None:
            source = self.manifest.packages.docker_source
            self._apply(stages.DOCKER, packages.changes(self.host, source, packages.facts(self.host)))
        entries = directories.expected(self.manifest)
        self._apply(stages.DIRECTORIES, directories.changes(self.host, entries, directories.facts(self.host, entries)))

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
        self._apply(stages.FILES, wanted)
        files.sync(self.host, wanted)
        if only is None:
            files.release(self.host, manifest)
        changed = {change.name for change in wanted}
        if any(path.startswith("/etc/systemd/system/") for path in changed):
            with self.journal.step(SETUP, "unit files") as step:
                units.reload_systemd(self.host, step)
        tuned = kernel.facts(self.host, manifest)
        if tuned:
            self._apply(stages.KERNEL, kernel.changes(self.host, tuned))

    def _firewall(self) -> None:
        if self.manifest.firewall is not None:
            found = firewall.facts(self.host)
            self._apply(stages.FIREWALL, firewall.changes(self.host, self.manifest.firewall, found))

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
            self._apply(stages.IMAGE_TAGS, moved)
        present = found.present
        pulls = list(images.pull_changes(self.host, self.manifest, present))
        with self.journal.step(
            stages.PULL.phase, stages.PULL.name, f"{len(pulls)} of {len(self.manifest.pull)}"
        ) as step:
            if pulls:
                images.pull_all(pulls, step)
                images.note_pulled(self.host, pulls)
                step.count(len(pulls))
                step.detail = f"{len(pulls)} pulled"
            else:
                step.skip("all there")
        builds = images.absent(self.manifest, present)
        names = ", ".join(entry.service for entry in builds)
        with self.journal.step(stages.BUILD.phase, stages.BUILD.name, names) as step:
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
        if not view.rolling:
            raise HostError(
                "The Compose file of this release says of no service how its containers are replaced (vru.rollout).",
                "It was made by an older version of the platform: deploy it from that version's own checkout.",
            )
        here = self.compose.existing()
        routes.ensure(self.host, view, here)
        if containers.NGINX in view.services:
            nginx.check(self.compose, here, view.services[containers.NGINX].digest)
        stateful = view.stateful
        found = containers.facts(self.host, self.compose)
        repairs = [
            *settings.impostor_changes(self.compose, found),
            *settings.changes(self.compose, view, found, without=self._replaced(view, found)),
        ]
        if repairs:
            self._apply(stages.REPAIRS, repairs)
            found = containers.facts(self.host, self.compose)
        pending = [change for change in containers.changes(view, found, self._expected) if change.name in stateful]
        if pending:
            self._up(stages.STORES, pending)
        self._wait(stateful, pending)
        found = containers.facts(self.host, self.compose)
        for change in role.changes(role.facts(self.compose, found.containers), self.host.environment()):
            self._apply(stages.PASSWORD, [change])
        # An earlier release finds a schema that only grew since: it runs no migrations, and none is undone.
        if self.manifest.migrate and not self.rollback:
            facts = migration.facts(self.host, self.compose)
            self._apply(stages.MIGRATE, migration.changes(self.compose, self.manifest.migrate.service, view, facts))
        pending = list(containers.changes(view, containers.facts(self.host, self.compose), self._expected))
        in_place = [change for change in pending if change.name not in view.rolling]
        if in_place:
            self._up(stages.IN_PLACE, in_place)
        rollout.roll(
            self.host, self.compose, self.journal, view, self.watch_s,
            again=rollout.alike_but_changed(view, self.compose.existing(), pending),
            besides=[change.name for change in in_place if change.name in view.services],
        )  # fmt: skip
        health.wait(self.compose, [name for name in view.running if name not in stateful])

    def _replaced(self, view: View, found: containers.ContainerFacts) -> set[str]:
        """What gets new containers anyway: the networks that those are in may not be there yet. A paused one is woken
        all the same, so that it can be ended."""
        paused = {one.service for one in found.containers if one.state == "paused"}
        return {change.name for change in containers.changes(view, found, self._expected)} - paused

    def _up(self, stage: Stage, pending: Sequence[Change]) -> None:
        with self.journal.step(stage.phase, stage.name, ", ".join(str(change) for change in pending)) as step:
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
            self._apply(stages.NGINX, containers.nginx_changes(self.compose, found))
        wanted = self.manifest.units
        found_units = units.facts(self.host, units.watched(self.manifest))
        self._apply(stages.UNITS, units.changes(self.host, wanted, found_units))

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
            with self.journal.step(stages.RELEASE.phase, stages.RELEASE.name, self.manifest.release) as step:
                if self.manifest.has_compose:
                    releases.record_images(self.host, self.manifest)
                history.add(self.host, self.manifest.release, ROLLBACK if self.rollback else DEPLOY)
                store.set_current(self.host, self.manifest.release)
                step.count()
                step.detail = f"{self.manifest.release} is live"
        self.journal.check()
        if self.manifest.has_compose:
            # What is true now is what the next plan compares with.
            images.record(self.host, self.manifest)
            self.compose.cache_view()
        kept, removed = store.prune(self.host)
        programs = (manifest.file(program.FILE) for manifest in kept)
        program.prune(self.host, [entry.sha256 for entry in programs if entry is not None])
        pruned = pruning.prune(self.host, kept) if self.manifest.has_compose else 0
        if removed or pruned:
            with self.journal.step(VERIFICATION, "clean up") as step:
                step.detail = f"of earlier releases: {pruned} images, {removed} files' content"

    def _await_confirmation(self) -> None:
        """New firewall rules are part of the change: it is not whole before somebody proved that they let him in."""
        if self.manifest.firewall is None or not confirmation.pending(self.host):
            return
        with self.journal.step(SETUP, "firewall confirmation", "over a new connection") as step:
            deadline = time.monotonic() + confirmation.CONFIRM_S + 15
            while confirmation.pending(self.host) and time.monotonic() < deadline:
                time.sleep(0.5)
            if not firewall.confirmed(self.host, self.manifest.firewall):
                raise HostError(
                    "The firewall rules were taken back: nobody confirmed them over a new connection.",
                    "Everything else is done. Run the same command again, and check VRU_SSH_PORT.",
                )
            step.detail = "confirmed"

    # -- internal --------------------------------------------------------------------------------------------------

    def _apply(self, stage: Stage, changes: Iterable[Change]) -> None:
        with self.journal.step(stage.phase, stage.name) as step:
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
