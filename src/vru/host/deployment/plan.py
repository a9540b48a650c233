"""The plan: every resource's changes, in the order in which they would be made. It reads and changes nothing.

Facts are read side by side, since each of them waits for another program; the differences are then worked out in order.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

from ..base.change import Change
from ..base.host import Host, read_env_text
from ..docker import engine
from ..docker.compose import Compose, View
from ..lock import audit
from ..lock.lock import holder, operator_lock
from ..operations import maintenance
from ..release import masking, store
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
from ..wire import COMPOSE_FILE, ENV_FILE, Manifest, Plan
from . import stages
from .stages import Stage

_AT_ONCE = 8
_ON_ITS_WAY = frozenset({("image", "build"), ("image", "pull")})
_OWN = (("directory", "releases"), ("directory", "state"))


def plan(host: Host, manifest: Manifest, *, contents: bool = False) -> Plan:
    """The difference between the server and a release.

    Args:
        host: the server.
        manifest: the release.
        contents: add what stands in the files that would change, secrets masked, for people to compare.

    Raises:
        HostError: something is in the way of any change (a broken daemon.json, a variable that is missing).
    """
    owner = holder(host)
    planner = Planner(host, manifest)
    changes = planner.changes()
    live, missing = store.current(host), store.missing(host, manifest)
    showing = contents and masking.contents(
        host, manifest, [change.name for change in changes if change.resource == "file"]
    )
    return Plan(
        release=live,
        state=state_of(live, changes),
        changes=tuple(change.to_wire() for change in changes),
        missing=tuple(missing),
        partial=store.partial(host, missing),
        kept=(host.releases / manifest.release / "manifest.json").exists(),
        running=(owner.get("unit") or owner.get("purpose") or "another change") if owner else None,
        notes=(*planner.notes, *_maintenance(host), *_locked(host)),
        contents=showing.contents if showing else None,
        env=showing.variables if showing else (),
    )


def _locked(host: Host) -> list[str]:
    """Somebody else's lock, which the change would be refused by."""
    lock = operator_lock(host)
    if lock is None or lock["owner"] == audit.actor():
        return []
    return [f"{lock['owner']} has locked all changes until {lock['expires']}: {lock['reason']}"]


def _maintenance(host: Host) -> list[str]:
    closed = maintenance.state(host)
    return [] if closed is None else [f"{maintenance.describe(closed)}. It stays on: vru maintenance off ends it."]


def state_of(live: str | None, changes: list[Change]) -> str:
    """A name for what the server is, as far as it matters to a release: the same until the plan would be another.

    This program's own directories are left out, and images that are built or pulled: they are made when content is
    sent, before the change.
    """
    told = [
        live,
        [
            [change.resource, change.name, change.action, change.detail, *change.lines]
            for change in changes
            if (change.resource, change.name) not in _OWN and (change.resource, change.action) not in _ON_ITS_WAY
        ],
    ]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]


def state_of_release(host: Host, manifest: Manifest) -> str:
    """The server's state in view of a release, as its plan would tell it now."""
    return state_of(store.current(host), Planner(host, manifest).changes())


class Planner:
    """The plan of one release; ``notes`` is complete when all changes were taken."""

    def __init__(self, host: Host, manifest: Manifest) -> None:
        self.host = host
        self.manifest = manifest
        self.compose = Compose(host)
        self.notes: list[str] = []
        self._changed_files: set[str] = set()

    def changes(self) -> list[Change]:
        """Every change, by the executor's stages, in the order in which it would be made."""
        return sorted(self._changes(), key=lambda change: stages.order(change.stage))

    def _changes(self) -> Iterator[Change]:
        host, manifest = self.host, self.manifest
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            ask = _Asking(pool)
            found_units = ask(units.facts, host, units.watched(manifest))
            found_packages = ask(packages.facts, host) if manifest.packages is not None else None
            tables = ask(firewall.facts, host) if manifest.firewall is not None else None
            view = ask(self._live_view) if manifest.has_compose else None
            there = ask(containers.facts, host, self.compose) if manifest.has_compose else None
            present = ask(images.facts, host, manifest) if manifest.has_compose else None
            schema = ask(self._schema, there) if there is not None and manifest.migrate else None
            owner = ask(self._role, there) if there is not None else None
            found_files = ask(files.facts, host, manifest)
            yield from self._setup(found_packages)
            for change in files.changes(host, manifest, found_files.result()):
                self._changed_files.add(change.name)
                entry = manifest.file(change.name)
                yield replace(change, stage=stages.FILES.name, setup=entry is not None and entry.of_setup)
            yield from _in(stages.KERNEL, kernel.changes(host, kernel.facts(host, manifest)))
            if manifest.firewall is not None and tables is not None:
                self.notes += firewall.notes(manifest.firewall, tables.result())
                yield from _in(stages.FIREWALL, firewall.changes(host, manifest.firewall, tables.result()))
            if view is not None and there is not None and present is not None and owner is not None:
                yield from self._orchestration(view, there, present, schema, owner)
            yield from _in(stages.UNITS, self._units(found_units.result()))
        live = store.current(host)
        if live != manifest.release:
            detail = f"instead of {live}" if live else "becomes the live one"
            yield Change("release", manifest.release, "update", detail, stage=stages.RELEASE.name)

    def _setup(self, found: Future[packages.PackageFacts] | None) -> Iterator[Change]:
        host, manifest = self.host, self.manifest
        self._docker, self._stopped = True, False
        if found is not None and manifest.packages is not None:
            facts = found.result()
            self._stopped = {"docker", "compose"} <= facts.present and not facts.docker_running
            self._docker = "docker" in facts.present and "compose" in facts.present and facts.docker_running
            yield from _in(stages.DOCKER, packages.changes(host, manifest.packages.docker_source, facts))
        entries = directories.expected(manifest)
        yield from _in(stages.DIRECTORIES, directories.changes(host, entries, directories.facts(host, entries)))

    def _orchestration(
        self,
        live_view: Future[View | None],
        there: Future[containers.ContainerFacts],
        present: Future[images.ImageFacts],
        schema: Future[migration.MigrationFacts] | None,
        owner: Future[role.RoleFacts | None],
    ) -> Iterator[Change]:
        manifest = self.manifest
        if self._stopped and store.current(self.host) is not None:
            # What is known of images and containers is what Docker answers: nothing, and not that there are none.
            self.notes.insert(0, f"{engine.away() or 'Docker is being started'}. This plan is uncertain until it runs.")
            yield _all_services("update", "what differs is known once Docker runs")
            return
        found_images = present.result()
        yield from _in(stages.IMAGE_TAGS, images.tag_changes(self.host, found_images))
        yield from _in(stages.PULL, images.pull_changes(self.host, manifest, found_images.present))
        yield from _in(stages.BUILD, images.build_changes(manifest, found_images.present))
        view, environment = self._view(live_view) if self._docker else (None, {})
        if view is None:
            if not self._docker and manifest.migrate:
                yield Change("migration", manifest.migrate.service, "run", "new schema", stage=stages.MIGRATE.name)
            yield _all_services("update" if self._docker else "create", "where their settings changed")
            return
        found = there.result()
        yield from _in(stages.PASSWORD, role.changes(owner.result(), environment))
        if manifest.migrate and schema is not None:
            wanted = migration.changes(self.compose, manifest.migrate.service, view, schema.result())
            yield from _in(stages.MIGRATE, wanted)
        yield from _in(stages.REPAIRS, settings.impostor_changes(self.compose, found))
        replaced = set()
        for change in containers.changes(view, found, found_images.expected):
            replaced.add(change.name)
            yield replace(change, stage=stages.of_service(view, change.name).name)
        yield from _in(stages.REPAIRS, settings.changes(self.compose, view, found, without=replaced))
        if containers.NGINX not in replaced:
            if any(path.startswith("config/production/nginx") for path in self._changed_files):
                yield Change("nginx", "configuration", "reload", "after `nginx -t`", stage=stages.NGINX.name)
            else:
                yield from _in(stages.NGINX, containers.nginx_changes(self.compose, found))

    def _schema(self, there: Future[containers.ContainerFacts]) -> migration.MigrationFacts:
        return migration.facts(self.host, self.compose, there.result().containers)

    def _role(self, there: Future[containers.ContainerFacts]) -> role.RoleFacts | None:
        return role.facts(self.compose, there.result().containers)

    def _live_view(self) -> View | None:
        """What Compose makes of the live files; asked early, and of use if they are the release's."""
        if not self.host.compose_file.exists() or not self.host.env_file.exists():
            return None
        for name in (COMPOSE_FILE, ENV_FILE):
            entry = self.manifest.file(name)
            if entry is None or files.sha256_at(self.host.place(name)) != entry.sha256:
                return None
        return self.compose.view()

    def _view(self, live_view: Future[View | None]) -> tuple[View | None, dict[str, str]]:
        """What Compose will see, and the variables of ``.env``; None while the server lacks the new files."""
        view = live_view.result()
        if view is not None:
            return view, self.host.environment()
        compose_file = store.content(self.host, self.manifest, COMPOSE_FILE)
        env_file = store.content(self.host, self.manifest, ENV_FILE)
        if compose_file is None or env_file is None:
            return None, {}
        return self.compose.view((compose_file, env_file)), read_env_text(env_file.decode())

    def _units(self, found: dict[str, units.UnitFacts]) -> Iterator[Change]:
        if any(path.startswith("/etc/systemd/system/") for path in self._changed_files) and not any(
            fact.stale for fact in found.values()
        ):
            yield Change("systemd", "unit files", "update", "read changed unit files")
        yield from units.changes(self.host, self.manifest.units, found)


def _in(stage: Stage, changes: Iterable[Change]) -> Iterator[Change]:
    return (replace(change, stage=stage.name, setup=stage in stages.OF_SETUP) for change in changes)


def _all_services(action: str, detail: str) -> Change:
    """What stands for the containers while they cannot be asked for."""
    return Change("container", "all services", action, detail, stage=stages.ROLLING.name)


class _Asking:
    """Starts a question in a thread of its own."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool = pool

    def __call__(self, question: Callable[..., Any], *arguments: Any) -> Future[Any]:
        return self._pool.submit(partial(question, *arguments))
