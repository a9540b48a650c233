"""Migrations: run once for each image that brings them, in a one-off container, before the services change.

What was done is remembered with the schema's version at that moment. Another image, or another version in the database
(because it was dropped, or an older backup came back), and they run again; running them twice does no harm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from ..compose import Compose, Container, View
from ..database import SERVICE as POSTGRES
from ..database import Database
from ..disk import read_json, write_json
from ..errors import HostError
from ..host import Host
from ..journal import Step
from . import Change


@dataclass(frozen=True)
class MigrationFacts:
    """What was run last and before, and the schema's version now.

    ``version`` is None while the database cannot be asked. ``earlier`` images ran on this database as well: the schema
    only grew since, so an older release needs nothing more when it comes back.
    """

    image: str
    recorded: str
    version: str | None
    earlier: frozenset[str] = frozenset()


def facts(host: Host, compose: Compose, containers: Iterable[Container] | None = None) -> MigrationFacts:
    """Read the record and ask the database; the project's containers are looked up unless they are given."""
    record = read_json(host.state / "migrated.json", {})
    there = compose.containers() if containers is None else containers
    running = [c for c in there if c.service == POSTGRES and c.state == "running"]
    version = Database.of(compose, running[0]).migration() if running else None
    return MigrationFacts(
        record.get("image", ""), record.get("version", ""), version, frozenset(record.get("earlier", ()))
    )


def changes(compose: Compose, service: str, view: View, actual: MigrationFacts) -> Iterator[Change]:
    """Run the migrations unless this image ran them and the schema still is what it made."""
    wanted = view.tools.get(service) or view.services.get(service)
    if wanted is None:
        raise HostError(f"The Compose file has no service {service!r} to run the migrations.", service=service)
    if wanted.image in {actual.image, *actual.earlier} and actual.version and actual.version == actual.recorded:
        return
    detail = f"schema {actual.version}" if actual.version else "new schema"
    yield Change("migration", service, "run", detail, partial(run, compose, service, wanted.image))


def run(compose: Compose, service: str, image: str, step: Step) -> None:
    """Run them as a step of a deployment."""
    version = run_and_record(compose, service, image, step.log)
    step.detail = f"schema {version}" if version else ""


def run_and_record(compose: Compose, service: str, image: str, on_line: Callable[[str], None]) -> str:
    """Run them, remember it, and return the schema's version.

    Raises:
        HostError: they failed; what they said is in the error.
    """
    path = compose.host.state / "migrated.json"
    record = read_json(path, {})
    same_database = record and Database.find(compose).migration() == record["version"]
    earlier = {record["image"], *record.get("earlier", ())} - {image} if same_database else set()
    done = compose.run_once(service, on_line)
    if not done.ok:
        raise HostError(
            f"The migrations failed: {done.last_words(2)}",
            "The services were not changed. Mend the migration, then deploy again.",
            service=service,
            logs=tuple(done.out.splitlines()[-20:]),
        )
    version = Database.find(compose).migration()
    write_json(path, {"image": image, "version": version, "earlier": sorted(earlier)})
    return version
