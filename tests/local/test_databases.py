"""The real PostgreSQL and Redis, as `vru local` starts them."""

import os
import signal
import stat

import psutil
import psycopg
import pytest
import redis as redis_client
from tests.conftest import free_port

from vru.domain import VruError
from vru.local import postgres, redis_server
from vru.local.layout import Layout
from vru.local.supervisor import Supervisor

PASSWORD = "p@ss word'\"\\"


@pytest.fixture
def layout(open_folder):
    layout = Layout(open_folder / "data with space")
    layout.create()
    return layout


@pytest.fixture
def supervisor():
    supervisor = Supervisor(lambda line: None)
    yield supervisor
    supervisor.stop()


def connect(port: int, password: str = PASSWORD):
    return psycopg.connect(
        host="127.0.0.1", port=port, user=postgres.USER, password=password, dbname=postgres.DATABASE, autocommit=True
    )


def start_postgres(supervisor: Supervisor, layout: Layout, port: int) -> None:
    account = postgres.prepare(layout, PASSWORD, lambda line: None)
    supervisor.start([postgres.spec(layout, port, PASSWORD, account)])


def test_postgres_starts_twice_and_keeps_what_was_written(supervisor, layout):
    port = free_port()
    start_postgres(supervisor, layout, port)
    with connect(port) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    supervisor.stop()
    start_postgres(supervisor, layout, port)
    with connect(port) as connection:
        assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)
    assert sorted(path.name for path in layout.root.iterdir()) == [".gitignore", "logs", "media", "postgres"]


def test_postgres_asks_for_the_password_and_listens_on_this_machine_only(supervisor, layout):
    port = free_port()
    start_postgres(supervisor, layout, port)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        connect(port, "wrong")
    with connect(port) as connection:
        assert connection.execute("SHOW listen_addresses").fetchone() == ("127.0.0.1",)
        assert connection.execute("SHOW unix_socket_directories").fetchone() == ("",)
    assert stat.S_IMODE(layout.postgres.stat().st_mode) == 0o700


def test_no_password_is_in_any_process_s_arguments(supervisor, layout):
    port, redis_port = free_port(), free_port()
    start_postgres(supervisor, layout, port)
    supervisor.start([redis_server.spec(layout, redis_port, PASSWORD)])
    for pid in supervisor.pids.values():
        assert PASSWORD not in " ".join(psutil.Process(pid).cmdline())


def test_an_interrupted_initialisation_is_begun_anew(supervisor, layout):
    (layout.root / "postgres.new").mkdir()
    (layout.root / "postgres.new" / "PG_VERSION").write_text("16\n")
    port = free_port()
    start_postgres(supervisor, layout, port)
    with connect(port) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_postgres_comes_back_after_kill_9(supervisor, layout):
    port = free_port()
    start_postgres(supervisor, layout, port)
    with connect(port) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    first = supervisor.pids["postgres"]
    os.kill(first, signal.SIGKILL)

    def answers_again() -> bool:
        try:
            with connect(port) as connection:
                return connection.execute("SELECT answer FROM kept").fetchone() == (42,)
        except psycopg.OperationalError:
            return False

    supervisor.watch(until=answers_again)
    assert supervisor.pids["postgres"] != first


def test_data_of_another_version_are_refused_and_left_alone(layout):
    layout.postgres.mkdir()
    (layout.postgres / "PG_VERSION").write_text("12\n")
    with pytest.raises(VruError, match="was made by PostgreSQL 12"):
        postgres.prepare(layout, PASSWORD, lambda line: None)
    assert [path.name for path in layout.postgres.iterdir()] == ["PG_VERSION"]


def test_redis_starts_twice_and_keeps_what_was_written(supervisor, layout):
    port = free_port()
    for expected in (None, b"kept"):
        supervisor.start([redis_server.spec(layout, port, PASSWORD)])
        with redis_client.Redis(port=port, username=redis_server.USER, password=PASSWORD) as client:
            assert client.get("vru:key") == expected
            client.set("vru:key", b"kept")
        supervisor.stop()
    assert PASSWORD not in (layout.redis / "redis.conf").read_text()


def test_redis_has_production_s_access_rules(supervisor, layout):
    port = free_port()
    supervisor.start([redis_server.spec(layout, port, PASSWORD)])
    with redis_client.Redis(port=port, username=redis_server.USER, password=PASSWORD) as client:
        with pytest.raises(redis_client.exceptions.NoPermissionError):
            client.set("other:key", b"x")
        with pytest.raises(redis_client.exceptions.NoPermissionError):
            client.flushall()
    with redis_client.Redis(port=port) as client, pytest.raises(redis_client.AuthenticationError):
        client.ping()
