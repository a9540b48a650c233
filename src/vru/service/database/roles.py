"""The services' roles in PostgreSQL: each may read what it shows and write what is its own; none is a superuser.

Made, and their rights set anew, each time the migrations run: a table that a migration brings is covered by that same
run. The roles are the server's, their rights each database's.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import psycopg
from psycopg import sql
from sqlalchemy import Connection

SERVICES = ("api_gateway", "validation_engine", "validation_worker", "camera_service", "signer")

_READ, _CHANGE, _ALL = "SELECT", "SELECT, INSERT, UPDATE", "SELECT, INSERT, UPDATE, DELETE"
_QUEUE = "procrastinate_"
# Data sets, and what was detected elsewhere.
_IMPORTED = (
    *("data_sets", "data_set_versions", "data_set_recordings"),
    *("prediction_sets", "predicted_recordings", "predicted_boxes"),
)
# What a run has come to: only the worker that analysed it says so.
RESULTS = ("metrics", "verdict", "verdict_reasons", "notes")


@dataclass(frozen=True)
class Role:
    """One service's role.

    Args:
        timeout_s: no statement may take longer.
        tables: rights by table.
        queue: rights on the queue's tables; empty for none.
        others: rights on every other table of the platform.
    """

    timeout_s: int
    tables: Mapping[str, str]
    queue: str
    others: str


ROLES: Mapping[str, Role] = {
    "api_gateway": Role(
        timeout_s=120,
        tables={
            "users": _CHANGE,
            "projects": _ALL,
            "videos": _ALL,
            "ground_truths": _ALL,
            "truth_boxes": _ALL,
            "signal_recordings": _ALL,
            "live_runs": _ALL,
            **dict.fromkeys(_IMPORTED, _ALL),
            # With its project; the rest of a run goes by itself.
            "runs": "SELECT, DELETE",
        },
        queue="",
        others=_READ,
    ),
    "validation_engine": Role(
        timeout_s=120,
        # It starts, pauses, retries and cancels runs; what they come to is not its to say.
        # A retried run forgets what waits for its seal; a trigger keeps what is sealed.
        tables={
            "users": "",
            "runs": "SELECT, INSERT",
            "shards": "SELECT, UPDATE",
            "seals": "SELECT, DELETE",
            # The first run freezes it.
            "data_set_versions": "SELECT, UPDATE (frozen_at)",
        },
        queue=_ALL,
        others=_READ,
    ),
    "validation_worker": Role(
        timeout_s=900,
        tables={
            "users": "",
            "projects": _READ,
            "videos": _READ,
            "ground_truths": _READ,
            "truth_boxes": _READ,
            "signal_recordings": _READ,
            "signal_events": "",
            "live_runs": "",
            **dict.fromkeys(_IMPORTED, _READ),
            "runs": "SELECT, UPDATE",
            "shards": _CHANGE,
            "detections": _ALL,
        },
        queue=_ALL,
        # What a later migration brings for results.
        others=_CHANGE,
    ),
    # Cameras and devices are strangers: it writes what they say, and reads nothing else.
    "camera_service": Role(timeout_s=30, tables={"signal_events": "SELECT, INSERT, DELETE"}, queue="", others=""),
    # It reads what it signs, and that its run is being analysed; it writes nothing here.
    "signer": Role(
        timeout_s=30,
        tables={"seals": _READ, "runs": "SELECT (id, state)"},
        queue="",
        others="",
    ),
}


def role_name(service: str) -> str:
    """The role of a service."""
    return f"vru_{service}"


def ensure(connection: Connection, passwords: Mapping[str, str]) -> None:
    """Make the roles as they should be, in the database of ``connection``, whose user must be a superuser.

    Args:
        connection: in a transaction.
        passwords: by service; a role without one cannot log in over the network. They are sent as verifiers.
    """
    raw = connection.connection.driver_connection
    if not isinstance(raw, psycopg.Connection):
        raise TypeError(f"The database driver is {type(raw).__name__}, not psycopg.")
    with raw.cursor() as cursor:
        rows = cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1").fetchall()
        tables = [name for (name,) in rows]
        for service, role in ROLES.items():
            _make(cursor, service, role, passwords.get(service, ""))
            _grant(cursor, role_name(service), role, tables)
        # All columns but the results.
        columns = cursor.execute(
            "SELECT column_name FROM information_schema.columns"
            " WHERE table_schema = 'public' AND table_name = 'runs' AND column_name <> ALL(%s) ORDER BY 1",
            [list(RESULTS)],
        ).fetchall()
        cursor.execute(
            sql.SQL("GRANT UPDATE ({}) ON runs TO {}").format(
                sql.SQL(", ").join(sql.Identifier(name) for (name,) in columns),
                sql.Identifier(role_name("validation_engine")),
            )
        )


def _make(cursor: "psycopg.Cursor[tuple[str]]", service: str, role: Role, password: str) -> None:
    name = role_name(service)
    if not cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [name]).fetchone():
        cursor.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(name)))
    cursor.execute(
        sql.SQL("ALTER ROLE {} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS").format(
            sql.Identifier(name)
        )
    )
    cursor.execute(
        sql.SQL("ALTER ROLE {} SET statement_timeout = {}").format(
            sql.Identifier(name), sql.Literal(f"{role.timeout_s}s")
        )
    )
    if password:
        # A statement may be logged: what it holds is the verifier, as the server stores it.
        verifier = cursor.connection.pgconn.encrypt_password(password.encode(), name.encode(), b"scram-sha-256")
        cursor.execute(
            sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(name), sql.Literal(verifier.decode()))
        )


def _grant(cursor: "psycopg.Cursor[tuple[str]]", name: str, role: Role, tables: list[str]) -> None:
    to = sql.Identifier(name)
    # Also those of single columns.
    cursor.execute(sql.SQL("REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {}").format(to))
    cursor.execute(sql.SQL("REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM {}").format(to))
    cursor.execute(sql.SQL("GRANT USAGE ON SCHEMA public TO {}").format(to))
    for table in tables:
        rights = role.queue if table.startswith(_QUEUE) else role.tables.get(table, role.others)
        if table == "alembic_version":
            rights = _READ
        if rights:
            cursor.execute(sql.SQL("GRANT {} ON {} TO {}").format(sql.SQL(rights), sql.Identifier(table), to))
    if role.queue:
        cursor.execute(sql.SQL("GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {}").format(to))
