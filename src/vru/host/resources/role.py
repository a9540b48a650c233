"""The database roles' passwords: PostgreSQL reads its owner's at its first start only, and the migrations set those of
the services only when they run, so they are compared."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from ..base.change import Change
from ..base.journal import Step
from ..database.postgres import SERVICE, Database, scram_matches
from ..docker.compose import Compose, Container

# A service's role is called after it: vru_api_gateway, with VRU_API_GATEWAY_DATABASE_PASSWORD.
_PASSWORD = re.compile(r"VRU_(\w+)_DATABASE_PASSWORD")


@dataclass(frozen=True)
class RoleFacts:
    """The database, and the verifiers of its roles' passwords as PostgreSQL stores them; empty where one has none."""

    database: Database
    verifiers: Mapping[str, str]


def facts(compose: Compose, containers: Iterable[Container]) -> RoleFacts | None:
    """Ask the database; None while it does not run."""
    running = [c for c in containers if c.service == SERVICE and c.state == "running" and c.settled]
    if not running:
        return None
    database = Database.of(compose, running[0])
    return RoleFacts(database, database.verifiers())


def changes(actual: RoleFacts | None, environment: Mapping[str, str]) -> Iterator[Change]:
    """Give each role that is there the password of ``.env`` where it has another one."""
    if actual is None:
        return
    wanted = {actual.database.user: environment.get("VRU_DATABASE_PASSWORD", "")}
    services = ((_PASSWORD.fullmatch(name), password) for name, password in environment.items())
    wanted |= {f"vru_{found[1].lower()}": password for found, password in services if found}
    for role, password in wanted.items():
        # The migrations make the services' roles.
        stored = actual.verifiers.get(role, "" if role == actual.database.user else None)
        if password and stored is not None and not scram_matches(stored, password):
            apply = partial(_set_password, actual.database, role, password)
            yield Change("database", f"role {role}", "update", "password", apply)


def _set_password(database: Database, role: str, password: str, step: Step) -> None:
    database.set_password(role, password)
