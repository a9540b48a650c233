"""Restore: a new database is filled, counted and migrated beside the one that serves; only then it takes its name.

Whatever fails before that moment has changed nothing. Whatever fails after it, the database from before gets its name
back and the services are started on it. At every moment there is one whole database of the platform's name, so that a
restore that was killed is made good by starting the services (the watchdog, a boot) or by restoring again.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from dataclasses import replace

from ..base import terminal
from ..base.errors import OK, FencedError, HostError
from ..base.host import Host
from ..database import backup
from ..database.backup import Backup
from ..database.postgres import SERVICE as POSTGRES
from ..database.postgres import Database, identifier, literal, show_counts
from ..docker import health
from ..docker.compose import Compose, View
from ..lock.lock import lock
from ..resources import containers, migration
from ..rolling import rollout
from ..wire import Manifest
from .verify import live_manifest

_NEW = "vru_restore"
_OLD = "vru_replaced"
_RENAME_ATTEMPTS = 5

Say = Callable[[str], None]


def run(host: Host, name: str, *, as_json: bool) -> int:
    """Bring a backup's database back.

    Raises:
        HostError: the backup is damaged, or could not be restored; then the database is as it was, and the services
            run on it.
    """
    say: Say = _silent if as_json else terminal.say
    compose = Compose(host)
    manifest = live_manifest(host)
    chosen = backup.find(host, name)
    backup.check(chosen)
    say(f"backup {chosen.name}: checksums match")
    with lock(host, f"the restore of backup {chosen.name}"):
        database = _start_database(compose)
        _recover(database)
        rows = _fill(database, chosen)
        record = _migrate(compose, manifest, replace(database, name=_NEW), chosen, say)
        put_back = backup.restore_evidence(host, chosen)
        if put_back:
            say(f"put back {len(put_back)} files of evidence, {put_back[0]} first")
        _replace(compose, database, chosen, say)
        migration.remember(host, record)
        _drop(database, _OLD)
        say(f"restored: {show_counts(rows)}")
        health.wait(compose, compose.view().running)
        say("every service is healthy")
    if as_json:
        terminal.say_json({"restored": chosen.name, "rows": rows})
    return OK


def _silent(text: str) -> None:
    """With --json only the result is printed."""


def _start_database(compose: Compose) -> Database:
    compose.host.run(compose.command("up", "--detach", "--no-build", POSTGRES), timeout=300)
    # A dropped database may make its health check fail; what counts here is that the server answers.
    database = Database.find(compose)
    health.wait_for(lambda: database.sql("SELECT 1;", "postgres", check=False).ok, "The database does not answer.")
    return database


def _recover(database: Database) -> None:
    """Clear away what a restore that was killed has left.

    The platform's database is whole: before the exchange of names it is the one from before, after it the restored
    one, which may have been written to since.
    """
    if not database.exists() and database.has(_OLD):
        _rename(database, (_OLD, database.name))
    _drop(database, _NEW)
    _drop(database, _OLD)


def _drop(database: Database, name: str) -> None:
    database.sql(f"DROP DATABASE IF EXISTS {identifier(name)} WITH (FORCE);", "postgres")


def _fill(database: Database, chosen: Backup) -> dict[str, int]:
    """Fill the new database beside the one that serves, and count its rows."""
    database.sql(f"CREATE DATABASE {_NEW} OWNER {identifier(database.user)} TEMPLATE template0;", "postgres")
    command = ("pg_restore", "--exit-on-error", f"--dbname={_NEW}")
    with database.stream(*command, stdin=subprocess.PIPE) as process:
        errors = backup.collect(process.stderr)
        backup.feed(process, chosen.path / backup.DUMP)
        code = process.wait()
    filled = replace(database, name=_NEW)
    rows = filled.counts() if code == 0 else {}
    if code != 0 or rows != chosen.rows:
        _drop(database, _NEW)
        what = f"pg_restore said: {errors()[-1]}" if code else "the number of rows differs from what was backed up"
        raise HostError(f"{chosen.name} could not be restored: {what}.", "Nothing was stopped or changed.")
    filled.sql("ANALYZE;")
    return rows


def _migrate(compose: Compose, manifest: Manifest, filled: Database, chosen: Backup, say: Say) -> migration.Record:
    """Bring the new database to the live release's schema, while the other one serves on.

    This is where a backup of a newer schema is refused: the live release's migrations do not know its revision.
    """
    facts = migration.facts(compose.host, compose)
    if manifest.migrate is None:
        return facts.record
    revision = filled.migration()
    view = compose.view()
    wanted = replace(facts, version=revision)
    try:
        if not list(migration.changes(compose, manifest.migrate.service, view, wanted)):
            return facts.record
        record = migration.upgrade(compose, manifest.migrate.service, view, filled, lambda line: None)
    except HostError as error:
        _drop(filled, _NEW)
        source = chosen.about.get("release")
        fix = f"It was made under release {source}. " if source not in (None, manifest.release) else ""
        raise HostError(
            f"Backup {chosen.name} (schema {revision or 'unknown'}) does not fit the live release {manifest.release} "
            f"(schema {facts.version or 'unknown'}). {error.message}",
            f"Nothing was stopped or changed. {fix}Deploy the release that the backup was made under, or a newer one, "
            "then restore again.",
            service=error.service,
            logs=error.logs,
        ) from error
    say(f"migration {manifest.migrate.service}: schema {record.version}")
    return record


def _replace(compose: Compose, database: Database, chosen: Backup, say: Say) -> None:
    """Stop what uses the database, keep a copy, exchange the names, start again: or leave all as it was."""
    view = compose.view()
    users = [name for name in view.running if POSTGRES in view.before(name) and name != containers.NGINX]
    safety = ""
    try:
        _stop(compose, users)
        say(f"stopped {', '.join(users) or 'nothing'}")
        if database.exists() and database.counts():
            safety = backup.create(compose.host, suffix="-before-restore", say=False).name
            say(f"what is there now was saved as {safety}")
        names = [(database.name, _OLD)] if database.exists() else []
        _rename(database, *names, (_NEW, database.name))
        _start(compose, view, users)
    except FencedError:
        raise
    except (HostError, OSError) as cause:
        error = cause if isinstance(cause, HostError) else HostError(f"{cause.strerror or 'no access'}.")
        error.message = f"Backup {chosen.name} was not restored: {error.message}"
        copy = f" What was there before is also in the backup {safety}." if safety else ""
        error.fix = f"{_go_back(compose, database, view, users)}{copy} {error.fix}".strip()
        raise error from cause
    except BaseException:
        _go_back(compose, database, view, users)
        raise


def _go_back(compose: Compose, database: Database, view: View, users: Sequence[str]) -> str:
    """Give the database from before its name again and start the services; says how it went."""
    try:
        if database.has(_OLD):
            _stop(compose, users)
            _rename(database, (database.name, _NEW), (_OLD, database.name))
        elif not database.has(_NEW):
            _start(compose, view, users)
            return "There was no database before; the restored one is in its place, and the services run."
        _drop(database, _NEW)
        _start(compose, view, users)
    except HostError as error:
        return f"Going back failed as well: {error.message} Start the services: vru-platform start."
    return "The database is the one from before, and the services run on it."


def _stop(compose: Compose, users: Sequence[str]) -> None:
    if users:
        compose.host.run(compose.command("stop", *users), timeout=300)


def _start(compose: Compose, view: View, users: Sequence[str]) -> None:
    rollout.start(compose, view)
    rollout.repair_routes(compose)
    health.wait(compose, users)


def _rename(database: Database, *names: tuple[str, str]) -> None:
    """Give databases other names, all in one transaction.

    Raises:
        HostError: PostgreSQL refuses it; every name is as it was.
    """
    # Nobody may be connected while a database is renamed; an exporter may come back between two statements.
    statements = [
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname IN "  # noqa: S608 - quoted
        f"({', '.join(literal(old) for old, _ in names)});",
        "BEGIN;",
        *(f"ALTER DATABASE {identifier(old)} RENAME TO {identifier(new)};" for old, new in names),
        "COMMIT;",
    ]
    for _ in range(_RENAME_ATTEMPTS):
        done = database.sql("\n".join(statements), "postgres", check=False)
        if done.ok:
            return
    raise HostError(f"The databases could not be exchanged: {done.last_words(1)}", "Run the same command again.")
