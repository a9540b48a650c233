"""Bring the database's schema to this release: ``python -m vru.service.database.migrate``.

Safe to run again, and by two processes at once: the second waits for the first and finds nothing to do.
"""

import sys
import time

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from pydantic import SecretStr, ValidationError
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from vru.domain import VruError
from vru.service.app import fail
from vru.service.database import roles
from vru.service.settings import ServiceSettings

# Any constant does; it only has to be the same in every release.
_LOCK = 7_665_001
WAIT_S = 60.0


def config(connection: Connection | None = None) -> Config:
    """Alembic's configuration for the migrations in this package, running on ``connection``."""
    result = Config()
    result.set_main_option("script_location", "vru.service.database:migrations")
    result.set_main_option("path_separator", "os")
    result.attributes["connection"] = connection
    return result


def current_revision(connection: Connection) -> str | None:
    """The revision that the database is at; None if it has never been migrated."""
    return MigrationContext.configure(connection).get_current_revision()


def wait_for_database(engine: Engine, seconds: float = WAIT_S) -> None:
    """Return once the database takes connections.

    Raises:
        VruError: it does not within ``seconds``, or refuses the user, the password or the database's name.
    """
    end = time.monotonic() + seconds
    told = False
    while True:
        try:
            with engine.connect():
                return
        except OperationalError as error:
            reason = str(error.orig).strip().splitlines()[-1]
            # What will not go away by waiting; a server that is starting up says something else.
            if any(hopeless in reason for hopeless in ("authentication failed", "does not exist", "no pg_hba.conf")):
                raise VruError(
                    f"The database refuses the connection: {reason}",
                    "Check VRU_DATABASE_NAME, VRU_DATABASE_USER and VRU_DATABASE_PASSWORD.",
                ) from error
            if time.monotonic() >= end:
                raise VruError(
                    f"No database at {engine.url.host}:{engine.url.port} within {seconds:g} s: {reason}",
                    "Start PostgreSQL, or correct VRU_DATABASE_HOST and VRU_DATABASE_PORT.",
                ) from error
            if not told:
                sys.stderr.write(f"waiting for the database at {engine.url.host}:{engine.url.port} ...\n")
                told = True
            time.sleep(0.5)


class MigrationSettings(ServiceSettings):
    """What the migrations read besides: the passwords of the services' roles."""

    api_gateway_database_password: SecretStr = SecretStr("")
    validation_engine_database_password: SecretStr = SecretStr("")
    validation_worker_database_password: SecretStr = SecretStr("")
    camera_service_database_password: SecretStr = SecretStr("")
    signer_database_password: SecretStr = SecretStr("")

    @property
    def role_passwords(self) -> dict[str, str]:
        """By service."""
        given: dict[str, SecretStr] = {name: getattr(self, f"{name}_database_password") for name in roles.SERVICES}
        return {name: password.get_secret_value() for name, password in given.items()}


def upgrade(settings: ServiceSettings, wait_s: float = WAIT_S) -> tuple[str | None, str | None]:
    """Bring the schema to the newest revision, all or nothing. Returns the revisions before and after.

    The services' roles, and their rights to this schema, are set in the same transaction.

    Raises:
        VruError: the database cannot be reached.
    """
    engine = create_engine(settings.database_url, poolclass=NullPool, connect_args={"connect_timeout": 5})
    try:
        wait_for_database(engine, wait_s)
        with engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            before = current_revision(connection)
            command.upgrade(config(connection), "head")
            passwords = settings.role_passwords if isinstance(settings, MigrationSettings) else {}
            roles.ensure(connection, passwords)
            after = current_revision(connection)
    finally:
        engine.dispose()
    return before, after


def main() -> None:
    """Run the migrations and say what was done. Exit code 1, with the reason, if they fail."""
    try:
        before, after = upgrade(MigrationSettings())
    except (VruError, ValidationError) as error:
        fail(error)
    if before == after:
        sys.stdout.write(f"database schema is already at {after}: nothing to do\n")
    else:
        sys.stdout.write(f"database schema migrated from {before or 'nothing'} to {after}\n")


if __name__ == "__main__":
    main()
