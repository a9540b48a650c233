"""The migrations, on a real PostgreSQL."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic import command
from procrastinate.schema import SchemaManager
from sqlalchemy import CheckConstraint, create_engine, inspect, text

from vru.domain import VruError
from vru.service.database import migrate
from vru.service.database.tables import Table
from vru.service.settings import ServiceSettings


@pytest.fixture
def empty(postgres):
    name = postgres.create_database()
    yield postgres.settings(name)
    postgres.drop_database(name)


def test_tables_equal_migrations(postgres, database):
    engine = create_engine(postgres.settings(database).database_url)
    with engine.begin() as connection:
        command.check(migrate.config(connection))  # raises if a migration is missing
        inspector = inspect(connection)
        for table in Table.metadata.tables.values():
            expected = {str(item.name) for item in table.constraints if isinstance(item, CheckConstraint)}
            assert {item["name"] for item in inspector.get_check_constraints(table.name)} == expected
    engine.dispose()


def test_each_table_accepts_a_row_and_the_queue_a_job(postgres, database):
    engine = create_engine(postgres.settings(database).database_url)
    with engine.begin() as connection:
        tables = set(inspect(connection).get_table_names())
        assert set(Table.metadata.tables) < tables
        assert {"procrastinate_jobs", "procrastinate_events", "procrastinate_workers"} < tables
        connection.execute(
            text("INSERT INTO procrastinate_jobs (queue_name, task_name, args) VALUES ('q', 't', '{}'::jsonb)")
        )
    engine.dispose()


def test_running_again_changes_nothing(empty):
    assert migrate.upgrade(empty)[0] is None
    before, after = migrate.upgrade(empty)
    assert before == after


def test_two_at_once_do_not_collide(empty):
    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(lambda _: migrate.upgrade(empty), range(2)))
    assert sorted(before is None for before, _ in outcomes) == [False, True]


def test_the_queue_s_schema_is_that_of_the_installed_library():
    """Fails after an upgrade of Procrastinate that brings migrations: then a migration of ours must run them."""
    from pathlib import Path

    newest = max(path.name for path in Path(SchemaManager.get_migrations_path()).glob("*.sql"))
    assert newest == "03.04.00_50_post_add_retry_failed_job_procedure.sql"
    frozen = Path(migrate.__file__).parent / "migrations/sql/procrastinate_3_10.sql"
    assert frozen.read_text(encoding="utf-8") == SchemaManager.get_schema()


def test_no_server_is_one_clear_sentence():
    settings = ServiceSettings(database_host="127.0.0.1", database_port=1)
    with pytest.raises(VruError, match=r"No database at 127\.0\.0\.1:1 within 0\.1 s.*VRU_DATABASE_HOST"):
        migrate.upgrade(settings, wait_s=0.1)


def test_wrong_database_stops_at_once(postgres):
    with pytest.raises(VruError, match=r"refuses the connection.*nowhere.*VRU_DATABASE_NAME"):
        migrate.upgrade(postgres.settings("nowhere"))


def test_command_says_what_it_did(environment):
    done = subprocess.run(
        [sys.executable, "-m", "vru.service.database.migrate"], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "nothing to do" in done.stdout
