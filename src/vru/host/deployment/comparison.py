"""A release beside the server that is to become it: the facts that the stages compare."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TypeVar, cast

from ..base.change import Change
from ..base.host import Host, read_env_text
from ..docker.compose import Compose, View
from ..release import store
from ..resources import containers, files, firewall, images, migration, packages, role, units
from ..resources.containers import ContainerFacts
from ..resources.files import FileFacts
from ..resources.firewall import FirewallFacts
from ..resources.images import ImageFacts
from ..resources.migration import MigrationFacts
from ..resources.packages import PackageFacts
from ..resources.role import RoleFacts
from ..resources.units import UnitFacts
from ..wire import COMPOSE_FILE, ENV_FILE, Manifest

_AT_ONCE = 8
_Fact = TypeVar("_Fact")


class Comparison:
    """Each fact is read once, when it is first asked for, from any thread.

    Args:
        host: the server.
        manifest: the release.
        compose: the server's Compose project.
        ahead: for a plan: what an earlier stage will change is still as it was.
        rollback: nothing is built and no migration runs.
        expected: the image that each name should mean; as the images' facts say where it is not given.
        view: what Compose sees, where it was asked already.
    """

    def __init__(
        self,
        host: Host,
        manifest: Manifest,
        compose: Compose,
        *,
        ahead: bool = False,
        rollback: bool = False,
        expected: Mapping[str, str] | None = None,
        view: View | None = None,
    ) -> None:
        self.host = host
        self.manifest = manifest
        self.compose = compose
        self.ahead = ahead
        self.rollback = rollback
        self._expected = expected
        self._view = view
        self._guard = threading.Lock()
        self._facts: dict[str, Future[object]] = {}

    def read_ahead(self) -> None:
        """Read the facts side by side, since each of them waits for another program."""
        readers: list[Callable[[], object]] = [lambda: self.units, lambda: self.files]
        if self.manifest.packages is not None:
            readers.append(lambda: self.packages)
        if self.manifest.firewall is not None:
            readers.append(lambda: self.firewall)
        if self.manifest.has_compose:
            readers += [lambda: self._live_view, lambda: self.containers, lambda: self.images, lambda: self.role]
            if self.manifest.migrate:
                readers.append(lambda: self.migration)
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for reader in readers:
                pool.submit(reader)  # what fails here fails again for whoever asks

    def _once(self, name: str, read: Callable[[], _Fact]) -> _Fact:
        with self._guard:
            mine = name not in self._facts
            fact = self._facts.setdefault(name, Future())
        if mine:
            try:
                fact.set_result(read())
            except BaseException as error:
                fact.set_exception(error)
                raise
        return cast(_Fact, fact.result())

    # -- what is there ---------------------------------------------------------------------------------------------

    @property
    def packages(self) -> PackageFacts:
        """Docker and the other packages."""
        return self._once("packages", partial(packages.facts, self.host))

    @property
    def files(self) -> FileFacts:
        """The release's files."""
        return self._once("files", partial(files.facts, self.host, self.manifest))

    @property
    def units(self) -> dict[str, UnitFacts]:
        """The release's units."""
        return self._once("units", lambda: units.facts(self.host, units.watched(self.manifest)))

    @property
    def firewall(self) -> FirewallFacts:
        """The tables, and sshd's ports."""
        return self._once("firewall", partial(firewall.facts, self.host))

    @property
    def images(self) -> ImageFacts:
        """The release's images."""
        return self._once("images", partial(images.facts, self.host, self.manifest))

    @property
    def containers(self) -> ContainerFacts:
        """The project's containers."""
        return self._once("containers", partial(containers.facts, self.host, self.compose))

    @property
    def migration(self) -> MigrationFacts:
        """The database's schema."""
        return self._once("migration", lambda: migration.facts(self.host, self.compose, self.containers.containers))

    @property
    def role(self) -> RoleFacts | None:
        """The database's roles."""
        return self._once("role", lambda: role.facts(self.compose, self.containers.containers))

    # -- what Docker can be asked ----------------------------------------------------------------------------------

    @property
    def has_docker(self) -> bool:
        """Whether Docker is here and runs."""
        if self.manifest.packages is None or not self.ahead:
            return True
        return {"docker", "compose"} <= self.packages.present and self.packages.docker_running

    @property
    def is_uncertain(self) -> bool:
        """Docker was stopped on a server with a live release. What is known of images and containers is what Docker
        answers: nothing, and not that there are none."""
        if self.manifest.packages is None or not self.ahead:
            return False
        stopped = {"docker", "compose"} <= self.packages.present and not self.packages.docker_running
        return stopped and store.current(self.host) is not None

    # -- what the release means ------------------------------------------------------------------------------------

    @property
    def view(self) -> View | None:
        """What Compose sees, or will see; None while the server lacks Docker or the new files."""
        return self._meaning[0]

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables of ``.env``; empty where there is no view."""
        return self._meaning[1]

    @property
    def _meaning(self) -> tuple[View | None, Mapping[str, str]]:
        return self._once("meaning", self._read_meaning)

    def _read_meaning(self) -> tuple[View | None, Mapping[str, str]]:
        if not self.ahead:
            return self._view or self.compose.view(), self.host.environment()
        if not self.has_docker:
            return None, {}
        view = self._live_view
        if view is not None:
            return view, self.host.environment()
        compose_file = store.content(self.host, self.manifest, COMPOSE_FILE)
        env_file = store.content(self.host, self.manifest, ENV_FILE)
        if compose_file is None or env_file is None:
            return None, {}
        return self.compose.view((compose_file, env_file)), read_env_text(env_file.decode())

    @property
    def _live_view(self) -> View | None:
        return self._once("live view", self._read_live_view)

    def _read_live_view(self) -> View | None:
        """What Compose makes of the live files; of use if they are the release's."""
        if not self.host.compose_file.exists() or not self.host.env_file.exists():
            return None
        for name in (COMPOSE_FILE, ENV_FILE):
            entry = self.manifest.file(name)
            if entry is None or files.sha256_at(self.host.place(name)) != entry.sha256:
                return None
        return self.compose.view()

    # -- differences that several stages share ---------------------------------------------------------------------

    @property
    def expected(self) -> Mapping[str, str]:
        """The image that each name should mean."""
        return self.images.expected if self._expected is None else self._expected

    @property
    def file_changes(self) -> list[Change]:
        """The files that differ."""
        return self._once("file changes", lambda: list(files.changes(self.host, self.manifest, self.files)))

    def will_write(self, *beginnings: str) -> bool:
        """Whether the files' stage, which is still to come, changes a path that begins so."""
        return self.ahead and any(change.name.startswith(beginnings) for change in self.file_changes)

    @property
    def container_changes(self) -> list[Change]:
        """The containers that differ; none where nobody knows."""
        view = self.view
        if view is None:
            return []
        return self._once("container changes", lambda: list(containers.changes(view, self.containers, self.expected)))

    @property
    def replaced(self) -> set[str]:
        """What gets new containers."""
        return {change.name for change in self.container_changes}
