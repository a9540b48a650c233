"""Restore: a new database is filled and counted beside the old one, then takes its name. A failure loses nothing."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from . import backup, health, rolling, terminal
from .backup import Backup
from .compose import Compose
from .database import SERVICE as POSTGRES
from .database import Database, identifier, literal, show_counts
from .errors import OK, HostError
from .host import Host
from .lock import lock
from .resources import containers, migration
from .verify import live_manifest

_NEW = "vru_restore"
_OLD = "vru_replaced"


def run(host: Host, name: str, *, as_json: bool) -> int:
    """Bring a backup's database back.

    Raises:
        HostError: the backup is damaged, or it could not be restored; then the database is as it was.
    """
    compose = Compose(host)
    chosen = backup.find(host, name)
    backup.check(chosen)
    _say(f"backup {chosen.name}: checksums match", as_json)
    with lock(host, f"the restore of backup {chosen.name}"):
        database = _start_database(compose)
        _recover(database)
        with _stopped_services(compose, as_json):
            if database.exists() and database.counts():
                safety = backup.create(host, suffix="-before-restore", say=False)
                _say(f"what is there now was saved as {safety.name}", as_json)
            rows = _fill(database, chosen)
            _swap(database)
            _say(f"restored: {show_counts(rows)}", as_json)
        _migrate(host, compose, as_json)
        _start_services(compose, as_json)
        database = Database.find(compose)
        database.sql(f"DROP DATABASE IF EXISTS {_OLD} WITH (FORCE);", "postgres")
    if as_json:
        terminal.say_json({"restored": chosen.name, "rows": rows})
    return OK


def _say(text: str, as_json: bool) -> None:
    if not as_json:
        terminal.say(text)


def _start_database(compose: Compose) -> Database:
    compose.host.run(compose.command("up", "--detach", "--no-build", POSTGRES), timeout=300)
    # A dropped database may make its health check fail; what counts here is that the server answers.
    database = Database.find(compose)
    health.wait_for(lambda: database.sql("SELECT 1;", "postgres", check=False).ok, "The database does not answer.")
    return database


def _recover(database: Database) -> None:
    """If an earlier restore was killed between two names, give the old database its name back."""
    if not database.exists() and database.has(_OLD):
        database.sql(f"ALTER DATABASE {_OLD} RENAME TO {identifier(database.name)};", "postgres")


@contextmanager
def _stopped_services(compose: Compose, as_json: bool) -> Iterator[None]:
    """Stop what writes to the database; whatever happens, start it again if the restore fails."""
    view = compose.view()
    writers = [name for name in view.services if POSTGRES in view.before(name) and name != containers.NGINX]
    running = {c.service for c in compose.containers() if c.state == "running"}
    writers = [name for name in writers if name in running]
    if writers:
        compose.host.run(compose.command("stop", *writers), timeout=300)
        _say(f"stopped {', '.join(writers)}", as_json)
    whole = False
    try:
        yield
        whole = True
    finally:
        if not whole and writers:
            compose.host.run(compose.command("start", *writers), check=False, timeout=300)


def _fill(database: Database, chosen: Backup) -> dict[str, int]:
    name = identifier(database.name)
    database.sql(
        f"DROP DATABASE IF EXISTS {_NEW} WITH (FORCE);\nDROP DATABASE IF EXISTS {_OLD} WITH (FORCE);\n", "postgres"
    )
    database.sql(f"CREATE DATABASE {_NEW} OWNER {identifier(database.user)} TEMPLATE template0;", "postgres")
    command = ("pg_restore", "--exit-on-error", f"--dbname={_NEW}")
    with database.stream(*command, stdin=subprocess.PIPE) as process:
        errors = backup.collect(process.stderr)
        backup.feed(process, chosen.path / backup.DUMP)
        code = process.wait()
    filled = Database(database.compose, database.container, database.user, _NEW)
    rows = filled.counts() if code == 0 else {}
    if code != 0 or rows != chosen.rows:
        database.sql(f"DROP DATABASE IF EXISTS {_NEW} WITH (FORCE);", "postgres")
        what = f"pg_restore said: {errors()[-1]}" if code else "the number of rows differs from what was backed up"
        raise HostError(f"{chosen.name} could not be restored: {what}.", f"The database {name} is as it was.")
    filled.sql("ANALYZE;")
    return rows


def _swap(database: Database) -> None:
    """Exchange the names in one transaction: at every moment there is exactly one database of the platform's name."""
    name = identifier(database.name)
    statements = ["BEGIN;"]
    if database.exists():
        # Nobody may be connected while a database is renamed.
        database.sql(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false;", "postgres")
        database.sql(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "  # noqa: S608 - quoted
            f"WHERE datname = {literal(database.name)};",
            "postgres",
        )
        statements += [f"ALTER DATABASE {name} RENAME TO {_OLD};"]
    statements += [f"ALTER DATABASE {_NEW} RENAME TO {name};", "COMMIT;"]
    swapped = database.sql("\n".join(statements), "postgres", check=False)
    if not swapped.ok:
        if database.exists():
            database.sql(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS true;", "postgres")
        raise HostError(f"The databases could not be exchanged: {swapped.last_words(1)}", "Run the same command again.")


def _migrate(host: Host, compose: Compose, as_json: bool) -> None:
    """An older backup may have an older schema than the live release."""
    manifest = live_manifest(host)
    if manifest.migrate:
        view = compose.view()
        for change in migration.changes(compose, manifest.migrate, view, migration.facts(host, compose)):
            tool = view.tools.get(manifest.migrate) or view.services[manifest.migrate]
            version = migration.run_and_record(compose, manifest.migrate, tool.image, lambda line: None)
            _say(f"{change.resource}: schema {version}", as_json)


def _start_services(compose: Compose, as_json: bool) -> None:
    view = compose.view()
    rolling.start(compose, view)
    rolling.mend(compose)
    health.wait(compose, view.running)
    _say("every service is healthy", as_json)
