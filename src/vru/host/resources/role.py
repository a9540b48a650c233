"""The database role's password: PostgreSQL reads it from its environment at its first start only, so it is compared."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from ..base.change import Change
from ..base.journal import Step
from ..database.postgres import SERVICE, Database, scram_matches
from ..docker.compose import Compose, Container


@dataclass(frozen=True)
class RoleFacts:
    """The role, and the verifier of its password as PostgreSQL stores it; empty where it has none."""

    database: Database
    verifier: str


def facts(compose: Compose, containers: Iterable[Container]) -> RoleFacts | None:
    """Ask the database; None while it does not run."""
    running = [c for c in containers if c.service == SERVICE and c.state == "running" and c.settled]
    if not running:
        return None
    database = Database.of(compose, running[0])
    return RoleFacts(database, database.verifier())


def changes(actual: RoleFacts | None, password: str) -> Iterator[Change]:
    """Give the role the password of ``.env`` where it has another one."""
    if actual is not None and password and not scram_matches(actual.verifier, password):
        apply = partial(_set_password, actual.database, password)
        yield Change("database", f"role {actual.database.user}", "update", "password", apply)


def _set_password(database: Database, password: str, step: Step) -> None:
    database.set_password(password)
