"""The PostgreSQL container, asked over its own socket: no password goes anywhere."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import subprocess
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass

from ..base.errors import HostError
from ..base.run import Done
from ..docker.compose import Compose, Container
from . import pgwire

SERVICE = "postgres"
_ITERATIONS = 4096
_READ_S = 600.0
_SOCKET = "data/postgres-socket/.s.PGSQL.5432"

# Every table with its exact number of rows, as a query for each table (\\gexec runs what the first query returns).
COUNT_ROWS = (
    "SELECT format('SELECT %L, count(*) FROM %I.%I', schemaname || '.' || tablename, schemaname, tablename) "
    "FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1 \\gexec\n"
)


@dataclass(frozen=True)
class Database:
    """The running container, and the names of the platform's user and database."""

    compose: Compose
    container: Container
    user: str
    name: str

    @classmethod
    def find(cls, compose: Compose) -> Database:
        """The platform's database.

        Raises:
            HostError: its container does not run.
        """
        running = [c for c in compose.containers() if c.service == SERVICE and c.state == "running"]
        if not running:
            raise HostError(
                "The database's container does not run.", "Start it: vru-platform restart postgres", service=SERVICE
            )
        return cls.of(compose, running[0])

    @classmethod
    def of(cls, compose: Compose, container: Container) -> Database:
        """The database inside a container, by the container's own environment."""
        user = container.environment.get("POSTGRES_USER", "postgres")
        return cls(compose, container, user, container.environment.get("POSTGRES_DB", user))

    def command(self, *arguments: str) -> list[str]:
        """The argument list that runs a program of PostgreSQL in the container, as the platform's user."""
        return ["docker", "exec", "--interactive", "--env", f"PGUSER={self.user}", self.container.id, *arguments]

    def sql(self, text: str, database: str | None = None, *, check: bool = True, timeout: float = 600) -> Done:
        """Run SQL from stdin; rows come as lines with ``|`` between columns.

        Raises:
            HostError: PostgreSQL refused it.
        """
        done = self.compose.host.run(self.command(*self.psql(database)), stdin=text, check=False, timeout=timeout)
        if check and not done.ok:
            raise HostError(
                f"The database refused: {done.last_words(2)}",
                "Read its log: vru-platform logs postgres",
                service=SERVICE,
            )
        return done

    def psql(self, database: str | None = None) -> list[str]:
        """psql that reads stdin, prints bare rows and stops at the first error."""
        return [
            "psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1",
            f"--dbname={self.name if database is None else database}",
        ]  # fmt: skip

    def exists(self) -> bool:
        """Whether the platform's database is there at all."""
        return self.has(self.name)

    def has(self, database: str) -> bool:
        """Whether a database is there."""
        query = f"SELECT 1 FROM pg_database WHERE datname = {literal(database)};"  # noqa: S608 - quoted
        return self.sql(query, "postgres").out.strip() == "1"

    def size(self) -> int:
        """Bytes that the database takes on disk."""
        return int(self.sql(f"SELECT pg_database_size({literal(self.name)});", "postgres").out.strip())

    def migration(self) -> str:
        """Alembic's version of the schema; empty where there is none (yet)."""
        asked = self.read("SELECT version_num FROM alembic_version ORDER BY 1;")
        return ",".join(asked) if asked is not None else ""

    def read(self, query: str, database: str | None = None) -> list[str] | None:
        """The values of a query of one column; None where it is refused. A NULL is an empty text.

        Over the socket where that works, else through psql; the answer is the same.
        """
        try:
            rows = pgwire.query(self.compose.host.root / _SOCKET, self.user, database or self.name, query)
            return [row[0] or "" for row in rows]
        except pgwire.PostgresError:
            command = self.command(*self.psql(database), "--record-separator-zero")
            asked = self.compose.host.run(command, stdin=query, check=False, timeout=_READ_S)
            return asked.out.split("\0")[:-1] if asked.ok else None

    def stream(
        self, *arguments: str, stdin: int = subprocess.DEVNULL
    ) -> AbstractContextManager[subprocess.Popen[bytes]]:
        """Start a program of PostgreSQL in the container with its output on a pipe."""
        return self.compose.host.run.process(self.command(*arguments), stdin=stdin)

    def verifier(self) -> str:
        """What is stored of the role's password; empty where it has none."""
        query = f"SELECT rolpassword FROM pg_authid WHERE rolname = {literal(self.user)};"  # noqa: S608 - quoted
        return (self.read(query, "postgres") or [""])[0]

    def set_password(self, password: str) -> None:
        """Give the role a password. What travels and might be logged is its verifier, not the password."""
        self.sql(f"ALTER ROLE {identifier(self.user)} PASSWORD {literal(scram(password, os.urandom(16)))};", "postgres")

    def counts(self) -> dict[str, int]:
        """Every table's number of rows."""
        return parse_counts(self.sql(COUNT_ROWS).out)


def parse_counts(text: str) -> dict[str, int]:
    """``public.runs|12`` lines -> a mapping; ``public.`` is left out of the names."""
    rows = (line.rsplit("|", 1) for line in text.splitlines() if "|" in line)
    return {name.removeprefix("public."): int(count) for name, count in rows}


def show_counts(counts: Mapping[str, int]) -> str:
    """``3 projects, 12 runs``: what an administrator compares."""
    filled = [
        f"{count} {name}" for name, count in sorted(counts.items()) if count and not name.startswith("procrastinate")
    ]
    return ", ".join(filled) or "no rows"


def literal(text: str) -> str:
    """A string constant of SQL."""
    return "'" + text.replace("'", "''") + "'"


def identifier(text: str) -> str:
    """A quoted name of SQL."""
    return '"' + text.replace('"', '""') + '"'


def scram(password: str, salt: bytes, iterations: int = _ITERATIONS) -> str:
    """PostgreSQL's stored form of a password (RFC 5803, as in src/common/scram-common.c)."""
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    client_key = hmac.new(salted, b"Client Key", "sha256").digest()
    stored_key = hashlib.sha256(client_key).digest()
    server_key = hmac.new(salted, b"Server Key", "sha256").digest()
    salt64, stored64, server64 = (base64.b64encode(part).decode() for part in (salt, stored_key, server_key))
    return f"SCRAM-SHA-256${iterations}:{salt64}${stored64}:{server64}"


def scram_matches(stored: str, password: str) -> bool:
    """Whether a stored verifier belongs to a password; False for a role without one and for other kinds (MD5)."""
    parts = stored.split("$")
    if len(parts) != 3 or parts[0] != "SCRAM-SHA-256" or ":" not in parts[1]:
        return False
    iterations, salt = parts[1].split(":", 1)
    return hmac.compare_digest(stored, scram(password, base64.b64decode(salt), int(iterations)))
