"""The executor's steps: what is still needed, made true one step after the other, each in the journal.

Each step asks again, so that a run that was killed at any moment is gone on with by the next. Every module that is
needed is imported here, at the top: the program's own file may be replaced while it runs.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
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
    files,
    firewall,
    images,
    role,
    units,
)
from ..rolling import nginx, rollout, routes
from ..wire import Manifest
from . import stages
from .comparison import Comparison
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
        self._expected: Mapping[str, str] | None = None
        self._view: View | None = None
        self._besides: list[str] = []
        self._look_again()

    def _look_again(self) -> None:
        """Forget the facts: something was made."""
        self._now = Comparison(
            self.host, self.manifest, self.compose, rollback=self.rollback, expected=self._expected, view=self._view
        )

    def run(self, mode: str) -> None:
        """Make all steps of a mode.

        Raises:
            HostError: a step failed; where another release was live, it serves on.
            FencedError: another change has taken over.
        """
        setup_only = mode == SETUP_ONLY
        self.rollback = mode == ROLLBACK
        self._look_again()
        self._prepare(setup_only=setup_only)
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

    # -- the stages -------------------------------------------------------------------------------------------------

    def _prepare(self, *, setup_only: bool) -> None:
        """What belongs to the server itself, and the files; without the release's own files for `vru setup`."""
        chosen = {entry.path for entry in self.manifest.files if entry.of_setup or not setup_only}
        lacking = [] if setup_only else store.missing(self.host, self.manifest)
        for stage in stages.PREPARATION:
            if stage is not stages.FILES:
                self._make(stage)
                continue
            if lacking:
                raise HostError(
                    f"The content of {len(lacking)} files is not on the server.", "Run the same command again."
                )
            self._place_files(chosen, setup_only=setup_only)
            self._look_again()

    def _place_files(self, chosen: Collection[str], *, setup_only: bool = False) -> None:
        host, manifest = self.host, self.manifest
        wanted = [change for change in stages.FILES.changes(self._now) if change.setup or not setup_only]
        files.claim(host, chosen)
        self._apply(stages.FILES, wanted)
        files.sync(host, wanted)
        if not setup_only:
            files.release(host, manifest)
        if any(change.name.startswith("/etc/systemd/system/") for change in wanted):
            with self.journal.step(SETUP, "unit files") as step:
                units.reload_systemd(host, step)

    def _images(self) -> None:
        with self.journal.step(ORCHESTRATION, "compose file"):
            self.compose.check()
        self._expected = self._view = None
        self._look_again()
        self._expected = self._now.expected
        if self.rollback:
            self._restore_tags()
            return
        # What was there before decides on all three.
        release = self._now
        for stage in stages.IMAGES:
            self._make(stage, release)

    def _restore_tags(self) -> None:
        """An earlier release's images are here; a tag that was taken away or moved names its own again."""
        with self.journal.step(ORCHESTRATION, "images") as step:
            tags = releases.tags_to_restore(self.host, self.manifest)
            for tag, image in tags.items():
                self.host.run(["docker", "tag", image, tag])
            self._expected = {**self._now.expected, **tags}
            step.count(len(tags))
            step.detail = f"all there, {len(tags)} tagged again" if tags else "all there; nothing is built"

    def _containers(self) -> None:
        # Compose needs half a second to say it.
        view = self._view = self.compose.view()
        if not view.rolling:
            raise HostError(
                "The Compose file of this release says of no service how its containers are replaced (vru.rollout).",
                "It was made by an older version of the platform: deploy it from that version's own checkout.",
            )
        here = self.compose.existing()
        routes.ensure(self.host, view, here)
        if containers.NGINX in view.services:
            nginx.check(self.compose, here, view.services[containers.NGINX].digest)
        self._look_again()
        for stage in stages.CONTAINERS:
            self._make(stage)
        health.wait(self.compose, [name for name in view.running if name not in view.stateful])

    def _make(self, stage: Stage, release: Comparison | None = None) -> None:
        """Make what a stage still needs, as the journal's step; who asks next looks again where anything was made."""
        release = release or self._now
        if not stage.applies(release):
            return
        wanted = list(stage.changes(release))
        how = {
            stages.PULL: self._pull, stages.BUILD: self._build, stages.STORES: self._start_stores,
            stages.IN_PLACE: self._start_in_place, stages.ROLLING: self._roll,
        }.get(stage)  # fmt: skip
        if how is not None:
            how(wanted)
        elif wanted or not stage.silent:
            self._apply(stage, wanted)
        if wanted:
            self._look_again()

    @property
    def _services(self) -> View:
        """What the live files mean."""
        self._view = self._view or self.compose.view()
        return self._view

    def _pull(self, pulls: Sequence[Change]) -> None:
        stage, of = stages.PULL, len(self.manifest.pull)
        with self.journal.step(stage.phase, stage.name, f"{len(pulls)} of {of}") as step:
            if pulls:
                images.pull_all(pulls, step)
                images.note_pulled(self.host, pulls)
                step.count(len(pulls))
                step.detail = f"{len(pulls)} pulled"
            else:
                step.skip("all there")

    def _build(self, builds: Sequence[Change]) -> None:
        wanted = {change.name for change in builds}
        entries = images.absent(self.manifest, {entry.image for entry in self.manifest.images} - wanted)
        names = ", ".join(entry.service for entry in entries)
        with self.journal.step(stages.BUILD.phase, stages.BUILD.name, names) as step:
            if entries:
                images.build_all(self.compose, entries, step)
                step.count(len(entries))
                step.detail = names
            else:
                step.skip("all there")

    def _start_stores(self, pending: Sequence[Change]) -> None:
        self._up(stages.STORES, pending)
        self._wait(self._services.stateful, pending)
        # A store that was not well a moment ago is.
        self._look_again()

    def _start_in_place(self, pending: Sequence[Change]) -> None:
        self._besides = [change.name for change in pending if change.name in self._services.services]
        self._up(stages.IN_PLACE, pending)

    def _roll(self, pending: Sequence[Change]) -> None:
        view = self._services
        again = rollout.alike_but_changed(view, self.compose.existing(), pending)
        rollout.roll(self.host, self.compose, self.journal, view, self.watch_s, again=again, besides=self._besides)

    def _up(self, stage: Stage, pending: Sequence[Change]) -> None:
        if not pending:
            return
        with self.journal.step(stage.phase, stage.name, ", ".join(str(change) for change in pending)) as step:
            containers.up(self.compose, pending, step)
            step.count(len(pending))
            step.detail = f"{len(pending)} changed"

    def _wait(self, services: Sequence[str], pending: Sequence[Change]) -> None:
        """Tell of each service that was changed; the others must be healthy too, but that is no news."""
        changed = {change.name for change in pending}
        health.wait(self.compose, [name for name in services if name in changed], self.journal)
        health.wait(self.compose, services)

    def _integrate(self) -> None:
        self._look_again()
        for stage in stages.INTEGRATED:
            self._make(stage)

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
        if list(stages.RELEASE.changes(self._now)):
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
