"""Reading from PostgreSQL over its Unix socket, by who asks (peer authentication): no password, no process to start.

Just enough of the protocol (version 3, simple query) for the few questions of a plan.
https://www.postgresql.org/docs/17/protocol-flow.html
"""

from __future__ import annotations

import socket
import struct
from contextlib import suppress
from pathlib import Path

from ..base.errors import plain

_TIMEOUT_S = 10.0
_VERSION_3 = 196608
_MESSAGE_HEADER = 5


class PostgresError(Exception):
    """The server is not there, does not let us in, or refuses the query."""


def query(path: Path, user: str, database: str, text: str) -> list[list[str | None]]:
    """Run a query and return its rows, each value as text or None.

    Raises:
        PostgresError: no server listens at the socket, or it refuses the login or the query.
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(_TIMEOUT_S)
            connection.connect(str(path))
            return _Session(connection).ask(user, database, text)
    except (OSError, struct.error) as error:
        raise PostgresError(f"{path}: {plain(error)}") from error


class _Session:
    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._buffer = b""

    def ask(self, user: str, database: str, text: str) -> list[list[str | None]]:
        words = ("user", user, "database", database, "client_encoding", "UTF8", "application_name", "vru-platform")
        body = struct.pack("!i", _VERSION_3) + b"".join(word.encode() + b"\0" for word in words) + b"\0"
        self._connection.sendall(struct.pack("!i", len(body) + 4) + body)
        self._until_ready()
        self._send(b"Q", text.encode() + b"\0")
        rows = self._until_ready()
        with suppress(OSError):  # a courtesy: what was asked for is here
            self._send(b"X", b"")
        return rows

    def _send(self, kind: bytes, body: bytes) -> None:
        self._connection.sendall(kind + struct.pack("!i", len(body) + 4) + body)

    def _until_ready(self) -> list[list[str | None]]:
        rows: list[list[str | None]] = []
        while True:
            kind, body = self._receive()
            if kind == b"Z":
                return rows
            if kind == b"E":
                raise PostgresError(_message(body))
            if kind == b"R" and struct.unpack("!i", body[:4])[0] != 0:
                raise PostgresError("it asks for a password")
            if kind == b"D":
                rows.append(_row(body))

    def _receive(self) -> tuple[bytes, bytes]:
        header = self._take(_MESSAGE_HEADER)
        return header[:1], self._take(struct.unpack("!i", header[1:])[0] - 4)

    def _take(self, size: int) -> bytes:
        while len(self._buffer) < size:
            chunk = self._connection.recv(65536)
            if not chunk:
                raise PostgresError("it closed the connection")
            self._buffer += chunk
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken


def _row(body: bytes) -> list[str | None]:
    (count,) = struct.unpack("!h", body[:2])
    values: list[str | None] = []
    place = 2
    for _ in range(count):
        (size,) = struct.unpack("!i", body[place : place + 4])
        place += 4
        if size < 0:
            values.append(None)
            continue
        values.append(body[place : place + size].decode(errors="replace"))
        place += size
    return values


def _message(body: bytes) -> str:
    fields = {part[:1]: part[1:].decode(errors="replace") for part in body.split(b"\0") if part}
    return fields.get(b"M", "an error without a message")
