"""The real PostgreSQL and Redis, as `vru local` starts them."""

import hashlib
import os
import signal
import stat
from pathlib import Path

import psutil
import psycopg
import pytest
import redis as redis_client
from tests.conftest import free_port

from vru.deploy.release import configuration
from vru.deploy.settings import environment
from vru.deploy.settings.service_secrets import REDIS_SERVICES, REDIS_USERS
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
    supervisor.start([redis_server.spec(layout, redis_port, {"api_gateway": PASSWORD})])
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


PASSWORDS = {name: f"{name} {PASSWORD}" for name in REDIS_SERVICES}


def as_user(port: int, name: str) -> redis_client.Redis:
    return redis_client.Redis(port=port, username=name, password=PASSWORDS.get(name, "any"), decode_responses=True)


def test_redis_starts_twice_and_keeps_what_was_written(supervisor, layout):
    port = free_port()
    for expected in (None, "kept"):
        supervisor.start([redis_server.spec(layout, port, PASSWORDS)])
        with as_user(port, "api_gateway") as client:
            assert client.get("vru:session:key") == expected
            client.set("vru:session:key", "kept")
        supervisor.stop()
    assert PASSWORD not in (layout.redis / "redis.conf").read_text()


# For each user, what it may do, and what it may not.
MAY = {
    "api_gateway": ["PING", "SET vru:session:x 1", "GETEX vru:session:x EX 60", "SADD vru:sessions-of:x 1"],
    "validation_engine": ["PING", "PUBLISH vru:run:1 x"],
    "validation_worker": ["PING", "PUBLISH vru:run:1 x", "HSET vru:run:1:frames 1 1", "HVALS vru:run:1:frames"],
    "camera_service": ["PING", "XADD vru:signals * record x", "SET vru:signals:position 1", "GET vru:signals:position"],
    "exporter": ["PING", "INFO", "CONFIG GET maxmemory", "DBSIZE", "SLOWLOG LEN", "LATENCY LATEST"],
    "probe": ["PING"],
}
NOBODY_MAY = [
    "CLIENT PAUSE 100000",
    "CLIENT KILL TYPE normal",
    "CLIENT LIST",
    "CLIENT NO-EVICT on",
    "FLUSHALL",
    "KEYS *",
    "CONFIG SET maxmemory 1",
    "ACL LIST",
    "EVAL return 0",
    "DEBUG SLEEP 100",
    "SHUTDOWN NOSAVE",
    "MONITOR",
    "SLOWLOG GET",
    "SET other:key 1",
]
MAY_NOT = {
    "validation_engine": ["GET vru:session:x", "SET vru:session:x 1", "PUBLISH other x"],
    "validation_worker": ["GET vru:session:x", "HVALS vru:session:x", "SUBSCRIBE vru:run:1", "SADD vru:run:1 x"],
    "camera_service": [
        "GET vru:session:x",
        "XADD vru:run:1 * x 1",
        "PUBLISH vru:run:1 x",
        "XTRIM vru:signals MAXLEN 0",
    ],
    "exporter": ["GET vru:session:x", "TYPE vru:session:x", "MEMORY USAGE vru:session:x"],
    "api_gateway": ["PUBLISH vru:run:1 x", "HSET vru:run:1:frames 1 1", "SUBSCRIBE vru:run:1"],
    "probe": ["INFO", "GET vru:session:x"],
}


def test_each_user_of_redis_may_do_only_its_own(supervisor, layout):
    port = free_port()
    supervisor.start([redis_server.spec(layout, port, PASSWORDS)])
    assert set(MAY) == set(REDIS_USERS)
    for name, commands in MAY.items():
        for command in commands:
            with as_user(port, name) as client:
                client.execute_command(*command.split())
    for name in MAY:
        for command in (*NOBODY_MAY, *MAY_NOT[name]):
            with as_user(port, name) as client, pytest.raises(redis_client.ResponseError, match="permission") as error:
                client.execute_command(*command.split())
            assert isinstance(error.value, redis_client.exceptions.NoPermissionError), (name, command)
    for name in REDIS_SERVICES:
        wrong = redis_client.Redis(port=port, username=name, password="wrong")
        with wrong as client, pytest.raises(redis_client.AuthenticationError):
            client.ping()
    with redis_client.Redis(port=port) as client, pytest.raises(redis_client.AuthenticationError):
        client.ping()


def test_production_has_the_same_users(tmp_path):
    made = environment.generate(tmp_path / ".env.production", {"VRU_HOST": "192.0.2.10"})
    acl = configuration.render(Path(__file__).parents[2], made, None)["config/production/users.acl"].decode()
    lines = {line.split()[1]: line for line in acl.splitlines()}
    assert set(lines) == {"default", "app", *REDIS_USERS}
    for name, rights in REDIS_USERS.items():
        password = made.service_secrets.get(f"VRU_{name.upper()}_REDIS_PASSWORD", "")
        secret = f"#{hashlib.sha256(password.encode()).hexdigest()}" if password else "nopass"
        assert lines[name] == f"user {name} on {secret} {rights}"
