"""Migrations: run once for each image that brings them, in a one-off container, before the services change.

What was done is remembered with the schema's version at that moment. Another image, or another version in the database
(because it was dropped, or an older backup came back), and they run again; running them twice does no harm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from ..base.change import Change
from ..base.disk import read_json, write_json
from ..base.errors import HostError
from ..base.host import Host
from ..base.journal import Step
from ..database.postgres import SERVICE as POSTGRES
from ..database.postgres import Database
from ..docker.compose import Compose, Container, View


@dataclass(frozen=True)
class Record:
    """What was run last: the image, the schema's version then, and the ``earlier`` images that ran on this database as
    well. The schema only grew since, so an older release needs nothing more when it comes back."""

    image: str = ""
    version: str = ""
    earlier: frozenset[str] = frozenset()


@dataclass(frozen=True)
class MigrationFacts:
    """The record, and the schema's version now; None while the database cannot be asked."""

    record: Record
    version: str | None


def facts(host: Host, compose: Compose, containers: Iterable[Container] | None = None) -> MigrationFacts:
    """Read the record and ask the database; the project's containers are looked up unless they are given."""
    there = compose.containers() if containers is None else containers
    running = [c for c in there if c.service == POSTGRES and c.state == "running"]
    return MigrationFacts(recorded(host), Database.of(compose, running[0]).migration() if running else None)


def recorded(host: Host) -> Record:
    """The record of the last run; an empty one before the first."""
    known = read_json(host.state / "migrated.json", {})
    return Record(known.get("image", ""), known.get("version", ""), frozenset(known.get("earlier", ())))


def remember(host: Host, record: Record) -> None:
    """Write the record down."""
    known = {"image": record.image, "version": record.version, "earlier": sorted(record.earlier)}
    write_json(host.state / "migrated.json", known)


def changes(compose: Compose, service: str, view: View, actual: MigrationFacts) -> Iterator[Change]:
    """Run the migrations unless this image ran them and the schema still is what it made.

    Raises:
        HostError: the Compose file has no such service.
    """
    image, record = image_of(service, view), actual.record
    if image in {record.image, *record.earlier} and actual.version and actual.version == record.version:
        return
    detail = f"schema {actual.version}" if actual.version else "new schema"
    yield Change("migration", service, "run", detail, partial(run, compose, service, view))


def image_of(service: str, view: View) -> str:
    """The image that brings the migrations.

    Raises:
        HostError: the Compose file has no such service.
    """
    wanted = view.tools.get(service) or view.services.get(service)
    if wanted is None:
        raise HostError(f"The Compose file has no service {service!r} to run the migrations.", service=service)
    return wanted.image


def run(compose: Compose, service: str, view: View, step: Step) -> None:
    """Run them on the platform's database, as a step of a deployment."""
    try:
        record = upgrade(compose, service, view, Database.find(compose), step.log)
    except HostError as error:
        error.fix = "The services were not changed. Correct the migration, then deploy again."
        raise
    remember(compose.host, record)
    step.detail = f"schema {record.version}" if record.version else ""


def upgrade(compose: Compose, service: str, view: View, database: Database, on_line: Callable[[str], None]) -> Record:
    """Run them on a database; what is returned is to be remembered once that is the platform's.

    Raises:
        HostError: they failed; what they said is in the error.
    """
    image, known = image_of(service, view), recorded(compose.host)
    same_schema = known.image and database.migration() == known.version
    earlier = {known.image, *known.earlier} - {image} if same_schema else set()
    done = compose.run_once(service, on_line, {"VRU_DATABASE_NAME": database.name})
    if not done.ok:
        raise HostError(
            f"The migrations failed: {done.last_words(2)}", service=service, logs=tuple(done.out.splitlines()[-20:])
        )
    return Record(image, database.migration(), frozenset(earlier))
