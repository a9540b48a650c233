"""Database sessions: what reads cannot write, and a commit happens before the answer."""

import httpx2
import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from vru.service.app import create_app
from vru.service.database.sessions import Database, Reading, Writing
from vru.service.database.tables import Project, Video


@pytest.fixture
async def opened(settings):
    made = Database(settings)
    yield made
    await made.close()


async def test_reading_sessions_cannot_write(opened):
    async with opened.read() as session:
        assert (await session.scalar(text("SHOW transaction_read_only"))) == "on"
        session.add(Project(name="p", criteria=[]))
        with pytest.raises(DBAPIError, match="read-only transaction"):
            await session.flush()
    async with opened.write() as session:  # the same pool: the mode does not stick to the connection
        session.add(Project(name="p", criteria=[]))


async def test_writing_commits_or_rolls_back_as_a_whole(opened):
    async with opened.write() as session:
        session.add(Project(name="kept", criteria=[]))

    class Stop(Exception):
        pass

    with pytest.raises(Stop):
        async with opened.write() as session:
            session.add(Project(name="lost", criteria=[]))
            await session.flush()
            raise Stop
    async with opened.read() as session:
        assert list(await session.scalars(select(Project.name))) == ["kept"]


async def test_a_lost_connection_is_replaced(opened, postgres, settings):
    await opened.check()
    import psycopg

    with psycopg.connect(postgres.conninfo(settings.database_name), autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
            " AND datname = current_database()"
        )
    await opened.check()


async def test_frame_times_are_loaded_only_when_asked_for(opened):
    async with opened.write() as session:
        project = Project(name="p", criteria=[])
        session.add(project)
        await session.flush()
        video = Video(
            project_id=project.id,
            name="v",
            path="videos/v.mp4",
            sha256="0",
            size_bytes=1,
            codec="h264",
            width=1,
            height=1,
            frame_count=2,
            duration_s=0.2,
            frame_times=[0.0, 0.1],
        )
        session.add(video)
    async with opened.read() as session:
        loaded = await session.get(Video, video.id)
        assert "frame_times" not in loaded.__dict__
        assert await session.scalar(select(Video.frame_times)) == [0.0, 0.1]


def test_a_failing_commit_is_an_error_for_the_client(settings, serve_app):
    """Otherwise a client is told that something is stored which is not."""
    app = create_app(title="Writer", settings=settings, public=True)
    app.state.database = Database(settings)

    @app.post("/write")
    async def write(session: Writing) -> dict[str, str]:
        # A deferred constraint fails at the commit, not before.
        await session.execute(text("CREATE TEMP TABLE t (a int UNIQUE DEFERRABLE INITIALLY DEFERRED) ON COMMIT DROP"))
        await session.execute(text("INSERT INTO t VALUES (1), (1)"))
        return {"stored": "yes"}

    @app.get("/read")
    async def read(session: Reading) -> str:
        return str(await session.scalar(text("SHOW transaction_read_only")))

    address = serve_app(app)
    assert httpx2.post(f"{address}/write").status_code == 500
    assert httpx2.get(f"{address}/read").json() == "on"
