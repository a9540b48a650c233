"""The few messages of PostgreSQL's protocol, against a server that answers from a script."""

import socket
import struct
import threading
from pathlib import Path

import pytest

from vru.host.database import pgwire

READY = b"Z\0\0\0\5I"
OK = b"R" + struct.pack("!ii", 8, 0)


def message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body


def row(*values: bytes | None) -> bytes:
    parts = [struct.pack("!i", -1) if value is None else struct.pack("!i", len(value)) + value for value in values]
    return message(b"D", struct.pack("!h", len(values)) + b"".join(parts))


@pytest.fixture
def serve(tmp_path: Path):
    path = tmp_path / "socket"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(1)
    heard: list[bytes] = []

    def start(*answers: bytes) -> tuple[Path, list[bytes]]:
        def run() -> None:
            connection, _ = listener.accept()
            with connection:
                for answer in answers:
                    heard.append(connection.recv(4096))
                    connection.sendall(answer)

        threading.Thread(target=run, daemon=True).start()
        return path, heard

    yield start
    listener.close()


def test_rows_are_read_with_nulls(serve):
    path, heard = serve(OK + READY, row(b"0001", None) + row(b"two") + message(b"C", b"SELECT 2\0") + READY)
    assert pgwire.query(path, "vru", "vru", "SELECT 1") == [["0001", None], ["two"]]
    assert b"user\0vru\0database\0vru\0" in heard[0]
    assert heard[1] == message(b"Q", b"SELECT 1\0")


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ((message(b"E", b"SFATAL\0Mrole does not exist\0\0"),), "role does not exist"),
        ((b"R" + struct.pack("!ii", 12, 5) + b"salt",), "asks for a password"),
        ((OK,), "closed the connection"),
    ],
)
def test_refusals_are_told(serve, answers, said):
    path, _ = serve(*answers)
    with pytest.raises(pgwire.PostgresError, match=said):
        pgwire.query(path, "vru", "vru", "SELECT 1")


def test_without_a_server_it_says_so(tmp_path):
    with pytest.raises(pgwire.PostgresError):
        pgwire.query(tmp_path / "none", "vru", "vru", "SELECT 1")
