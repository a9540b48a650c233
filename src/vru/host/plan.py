"""The plan: every resource's changes, in the order in which they would be made. It reads and changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from . import PROTOCOL, store
from .compose import Compose, View
from .host import COMPOSE_FILE, ENV_FILE, Host, read_env_text
from .lock import holder
from .manifest import Manifest
from .resources import Change, containers, directories, files, firewall, images, migration, packages, units


def plan(host: Host, manifest: Manifest) -> dict[str, Any]:
    """The difference between the server and a release, as the protocol's JSON object.

    Raises:
        HostError: something is in the way of any change (a broken daemon.json, a variable that is missing).
    """
    owner = holder(host)
    planner = _Planner(host, manifest)
    changes = list(planner.changes())
    return {
        "protocol": PROTOCOL,
        "release": store.current(host),
        "changes": [change.as_json() for change in changes],
        "missing": store.missing(host, manifest),
        "running": (owner.get("unit") or owner.get("purpose") or "another change") if owner else None,
        "notes": planner.notes,
    }


class _Planner:
    def __init__(self, host: Host, manifest: Manifest) -> None:
        self.host = host
        self.manifest = manifest
        self.compose = Compose(host)
        self.notes: list[str] = []
        self._changed_files: set[str] = set()

    def changes(self) -> Iterator[Change]:
        host, manifest = self.host, self.manifest
        docker = True
        if manifest.docker_source is not None:
            found = packages.facts(host)
            docker = "docker" in found.present and "compose" in found.present and found.docker_running
            yield from packages.changes(host, manifest.docker_source, found)
        entries = directories.expected(manifest)
        yield from directories.changes(host, entries, directories.facts(host, entries))
        for change in files.changes(host, manifest, files.facts(host, manifest)):
            self._changed_files.add(change.name)
            yield change
        if manifest.firewall is not None:
            tables = firewall.facts(host)
            self.notes += firewall.notes(manifest.firewall, tables)
            yield from firewall.changes(host, manifest.firewall, tables)
        if manifest.has_compose:
            yield from self._orchestration(docker)
        yield from self._units()
        if store.current(host) != manifest.release:
            yield Change("release", manifest.release, "update", "becomes the live release")

    def _orchestration(self, docker: bool) -> Iterator[Change]:
        manifest = self.manifest
        present = images.facts(self.host, manifest) if docker else set()
        yield from images.pull_changes(self.host, manifest, present)
        yield from images.build_changes(manifest, present)
        view, password = self._view() if docker else (None, "")
        if view is None:
            if not docker and manifest.migrate:
                yield Change("migration", manifest.migrate, "run", "new schema")
            yield Change("container", "all services", "update" if docker else "create", "where their settings changed")
            return
        found = containers.facts(self.host, self.compose)
        yield from containers.password_changes(self.compose, found, password)
        if manifest.migrate:
            yield from migration.changes(self.compose, manifest.migrate, view, migration.facts(self.host, self.compose))
        recreated = set()
        for change in containers.changes(view, found):
            recreated.add(change.name)
            yield change
        if containers.NGINX not in recreated:
            if any(path.startswith("config/production/nginx") for path in self._changed_files):
                yield Change("nginx", "configuration", "reload", "after `nginx -t`")
            else:
                yield from containers.nginx_changes(self.compose, found)

    def _view(self) -> tuple[View | None, str]:
        """What Compose will see, and the database's password; None while the server lacks the new files."""
        if not self._changed_files & {COMPOSE_FILE, ENV_FILE}:
            return self.compose.view(), self.host.environment().get("VRU_DATABASE_PASSWORD", "")
        compose_file = store.content(self.host, self.manifest, COMPOSE_FILE)
        env_file = store.content(self.host, self.manifest, ENV_FILE)
        if compose_file is None or env_file is None:
            return None, ""
        password = read_env_text(env_file.decode()).get("VRU_DATABASE_PASSWORD", "")
        return self.compose.view((compose_file, env_file)), password

    def _units(self) -> Iterator[Change]:
        wanted = self.manifest.units
        found = units.facts(self.host, wanted)
        if any(path.startswith("/etc/systemd/system/") for path in self._changed_files) and not any(
            fact.stale for fact in found.values()
        ):
            yield Change("systemd", "unit files", "update", "read changed unit files")
        yield from units.changes(self.host, wanted, found)
