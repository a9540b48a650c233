"""The stages of a change, in their order, and what each still has to do: a plan tells it, the executor does it.

A stage is described here and nowhere else. To add one: write what it yields, and put it into its place in the list.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from ..base.change import Change
from ..docker.compose import View
from ..release import store
from ..resources import (
    containers,
    directories,
    firewall,
    images,
    kernel,
    migration,
    packages,
    role,
    settings,
    units,
)
from .comparison import Comparison

SETUP, TRANSFER, ORCHESTRATION, INTEGRATION, VERIFICATION = (
    "setup", "transfer", "orchestration", "integration", "verification",
)  # fmt: skip


def _always(release: Comparison) -> bool:
    return True


def _of_compose(release: Comparison) -> bool:
    return release.manifest.has_compose and not release.is_uncertain


@dataclass(frozen=True)
class Stage:
    """One stage.

    Args:
        name: its name in the journal and in a plan.
        phase: the phase under which users know it.
        differences: what is still needed, from the facts.
        applies: whether a release has anything to do with it.
        setup: it prepares the server, and belongs to `vru setup`.
        silent: the journal does not tell of it where there is nothing to do.
    """

    name: str
    phase: str
    differences: Callable[[Comparison], Iterable[Change]]
    applies: Callable[[Comparison], bool] = _always
    setup: bool = False
    silent: bool = False

    def changes(self, release: Comparison) -> Iterator[Change]:
        """What is still needed, in the order in which it is made."""
        if self.applies(release):
            for change in self.differences(release):
                yield replace(change, stage=self.name, setup=self.setup or change.setup)


def _docker(release: Comparison) -> Iterator[Change]:
    if release.manifest.packages is not None:
        yield from packages.changes(release.host, release.manifest.packages.docker_source, release.packages)


def _directories(release: Comparison) -> Iterator[Change]:
    entries = directories.expected(release.manifest)
    return directories.changes(release.host, entries, directories.facts(release.host, entries))


def _files(release: Comparison) -> Iterator[Change]:
    """`vru setup` places what belongs to the system, and the host program itself."""
    for change in release.file_changes:
        entry = release.manifest.file(change.name)
        yield replace(change, setup=entry is not None and entry.of_setup)


def _kernel(release: Comparison) -> Iterator[Change]:
    return kernel.changes(release.host, kernel.facts(release.host, release.manifest))


def _firewall(release: Comparison) -> Iterator[Change]:
    if release.manifest.firewall is not None:
        yield from firewall.changes(release.host, release.manifest.firewall, release.firewall)


def _image_tags(release: Comparison) -> Iterator[Change]:
    return images.tag_changes(release.host, release.images)


def _pull(release: Comparison) -> Iterator[Change]:
    return images.pull_changes(release.host, release.manifest, release.images.present)


def _build(release: Comparison) -> Iterator[Change]:
    return images.build_changes(release.manifest, release.images.present)


def _repairs(release: Comparison) -> Iterator[Change]:
    view = release.view
    if view is None:
        return
    found = release.containers
    yield from settings.impostor_changes(release.compose, found)
    # The networks that new containers are in may not be there yet. A paused one is woken before it is replaced, so
    # that it can be ended.
    paused = {one.service for one in found.containers if one.state == "paused"}
    yield from settings.changes(release.compose, view, found, without=release.replaced - paused)


def _password(release: Comparison) -> Iterator[Change]:
    if release.view is not None:
        yield from role.changes(release.role, release.environment)


def _migrate(release: Comparison) -> Iterator[Change]:
    wanted, view = release.manifest.migrate, release.view
    if wanted is not None and view is not None:
        yield from migration.changes(release.compose, wanted.service, view, release.migration)
    elif wanted is not None and not release.has_docker:
        yield Change("migration", wanted.service, "run", "new schema")


def _has_migrations(release: Comparison) -> bool:
    # An earlier release finds a schema that only grew since: it runs no migrations, and none is undone.
    return _of_compose(release) and release.manifest.migrate is not None and not release.rollback


def _stores(release: Comparison) -> Iterator[Change]:
    return _of_stage(release, STORES)


def _in_place(release: Comparison) -> Iterator[Change]:
    return _of_stage(release, IN_PLACE)


def _rolling(release: Comparison) -> Iterator[Change]:
    if release.is_uncertain:
        yield Change("container", "all services", "update", "what differs is known once Docker runs")
    elif release.view is None:
        action = "update" if release.has_docker else "create"
        yield Change("container", "all services", action, "where their settings changed")
    else:
        yield from _of_stage(release, ROLLING)


def _of_stage(release: Comparison, stage: Stage) -> Iterator[Change]:
    view = release.view
    if view is not None:
        yield from (change for change in release.container_changes if of_service(view, change.name) is stage)


def _nginx(release: Comparison) -> Iterator[Change]:
    if release.view is None or (release.ahead and containers.NGINX in release.replaced):
        return
    if release.will_write("config/production/nginx"):
        yield Change("nginx", "configuration", "reload", "after `nginx -t`")
    else:
        yield from containers.nginx_changes(release.compose, release.containers)


def _units(release: Comparison) -> Iterator[Change]:
    found = release.units
    if release.will_write("/etc/systemd/system/") and not any(fact.stale for fact in found.values()):
        yield Change("systemd", "unit files", "update", "read changed unit files")
    yield from units.changes(release.host, release.manifest.units, found)


def _release(release: Comparison) -> Iterator[Change]:
    live, wanted = store.current(release.host), release.manifest.release
    if live != wanted:
        yield Change("release", wanted, "update", f"instead of {live}" if live else "becomes the live one")


DOCKER = Stage("docker", SETUP, _docker, lambda release: release.manifest.packages is not None, setup=True)
DIRECTORIES = Stage("directories", SETUP, _directories, setup=True)
FILES = Stage("files", TRANSFER, _files)
KERNEL = Stage(
    "kernel settings", SETUP, _kernel, lambda release: bool(kernel.facts(release.host, release.manifest)), setup=True
)
FIREWALL = Stage("firewall", SETUP, _firewall, lambda release: release.manifest.firewall is not None, setup=True)
IMAGE_TAGS = Stage("image tags", ORCHESTRATION, _image_tags, _of_compose, silent=True)
PULL = Stage("pull images", ORCHESTRATION, _pull, _of_compose)
BUILD = Stage("build images", ORCHESTRATION, _build, _of_compose)
REPAIRS = Stage("what was changed by hand", ORCHESTRATION, _repairs, _of_compose, silent=True)
STORES = Stage("start stores", ORCHESTRATION, _stores, _of_compose, silent=True)
PASSWORD = Stage("database password", ORCHESTRATION, _password, _of_compose, silent=True)
MIGRATE = Stage("migrate", ORCHESTRATION, _migrate, _has_migrations)
IN_PLACE = Stage("start services in place", ORCHESTRATION, _in_place, _of_compose, silent=True)
ROLLING = Stage("start services", ORCHESTRATION, _rolling, lambda release: release.manifest.has_compose)
NGINX = Stage("nginx configuration", INTEGRATION, _nginx, _of_compose)
UNITS = Stage("units", INTEGRATION, _units)
RELEASE = Stage("release", VERIFICATION, _release, silent=True)

PREPARATION = (DOCKER, DIRECTORIES, FILES, KERNEL, FIREWALL)
IMAGES = (IMAGE_TAGS, PULL, BUILD)
CONTAINERS = (REPAIRS, STORES, PASSWORD, MIGRATE, IN_PLACE, ROLLING)
INTEGRATED = (NGINX, UNITS)
STAGES = (*PREPARATION, *IMAGES, *CONTAINERS, *INTEGRATED, RELEASE)


def of_service(view: View, service: str) -> Stage:
    """The stage in which a service's containers are replaced; those of none are removed with what is in place."""
    if service in view.stateful:
        return STORES
    return ROLLING if service in view.rolling else IN_PLACE
