"""What each service may do in a real PostgreSQL: its own work, and nothing else."""

import psycopg
import pytest

from vru.deploy.settings.service_secrets import DATABASE_SERVICES
from vru.service.database import migrate, roles
from vru.service.database.migrate import MigrationSettings
from vru.service.database.tables import Table

GATEWAY, ENGINE, WORKER = (f"vru_{name}" for name in ("api_gateway", "validation_engine", "validation_worker"))
CAMERAS = "vru_camera_service"
ALL = (GATEWAY, ENGINE, WORKER)
ONE = "00000000-0000-0000-0000-000000000001"


@pytest.fixture
def as_role(postgres, database):
    """``as_role(name, statement)`` runs one statement, and takes it back."""

    def run(name: str, statement: str) -> None:
        with psycopg.connect(postgres.conninfo(database), user=name) as connection:
            try:
                connection.execute(statement)
            finally:
                connection.rollback()

    return run


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(
    "statement",
    [
        "COPY users FROM PROGRAM 'id'",
        "COPY (SELECT 1) TO PROGRAM 'cat > /dev/null'",
        "COPY (SELECT 1) TO '/tmp/x'",
        "SELECT pg_read_file('/etc/passwd')",
        "CREATE TABLE mine (x int)",
        "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE ROLE mine SUPERUSER",
        "ALTER ROLE vru_validation_worker SUPERUSER",
        "DROP TABLE runs",
        "ALTER TABLE runs DISABLE TRIGGER ALL",
        "TRUNCATE runs CASCADE",
        "UPDATE alembic_version SET version_num = 'x'",
        "SET session_replication_role = replica",
        "SET ROLE postgres",
    ],
)
def test_no_service_may_leave_the_database_or_change_its_schema(as_role, name, statement):
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        as_role(name, statement)


@pytest.mark.parametrize("name", ALL)
def test_no_service_is_a_superuser_or_may_wait_for_ever(postgres, database, name):
    with psycopg.connect(postgres.conninfo(database), user=name) as connection:
        row = connection.execute(
            "SELECT rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls FROM pg_roles"
            " WHERE rolname = current_user"
        ).fetchone()
        assert row == (False,) * 5
        assert connection.execute("SHOW statement_timeout").fetchone() in [("2min",), ("15min",)]
        connection.execute("SET statement_timeout = '50ms'")
        with pytest.raises(psycopg.errors.QueryCanceled):
            connection.execute("SELECT pg_sleep(5)")


@pytest.mark.parametrize("column", roles.RESULTS)
def test_only_the_worker_says_what_a_run_has_come_to(as_role, column):
    statement = f"UPDATE runs SET {column} = NULL"
    as_role(WORKER, statement)
    for name in (GATEWAY, ENGINE):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            as_role(name, statement)


@pytest.mark.parametrize(
    ("name", "statement"),
    [
        (GATEWAY, "UPDATE runs SET state = 'cancelled'"),
        (GATEWAY, f"INSERT INTO detections (run_id) VALUES ('{ONE}')"),
        (GATEWAY, "UPDATE shards SET state = 'done'"),
        (GATEWAY, "INSERT INTO procrastinate_jobs (queue_name, task_name, args) VALUES ('q', 't', '{}')"),
        (GATEWAY, "DELETE FROM users"),
        (ENGINE, "SELECT password_hash FROM users"),
        (ENGINE, "DELETE FROM detections"),
        (ENGINE, f"INSERT INTO detections (run_id) VALUES ('{ONE}')"),
        (ENGINE, "UPDATE ground_truths SET approved_by = 'me'"),
        (WORKER, "SELECT password_hash FROM users"),
        (WORKER, "UPDATE ground_truths SET approved_by = 'me'"),
        (WORKER, "UPDATE truth_boxes SET x = 0"),
        (WORKER, "UPDATE videos SET sha256 = ''"),
        (WORKER, "DELETE FROM runs"),
        (WORKER, "SELECT value FROM signal_events"),
        (CAMERAS, "SELECT name FROM projects"),
        (CAMERAS, "UPDATE signal_events SET value = 'x'"),
        (CAMERAS, "SELECT state FROM live_runs"),
        (GATEWAY, "DELETE FROM signal_events"),
    ],
)
def test_what_is_another_service_s_work_is_refused(as_role, name, statement):
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        as_role(name, statement)


def test_every_service_of_a_deployment_has_its_role():
    assert tuple(roles.ROLES) == roles.SERVICES == DATABASE_SERVICES
    known = set(Table.metadata.tables)
    for role in roles.ROLES.values():
        assert set(role.tables) <= known


def test_running_again_mends_what_was_changed_by_hand(postgres):
    name = postgres.create_database()
    settings = MigrationSettings(**postgres.settings(name).model_dump())
    migrate.upgrade(settings)
    try:
        with psycopg.connect(postgres.conninfo(name), autocommit=True) as connection:
            connection.execute("GRANT UPDATE (verdict) ON runs TO vru_validation_engine")
            connection.execute("GRANT ALL ON users TO vru_validation_worker")
            connection.execute("ALTER ROLE vru_api_gateway CREATEDB")
        before, after = migrate.upgrade(settings)
        assert before == after
        with psycopg.connect(postgres.conninfo(name), autocommit=True) as connection:
            asked = connection.execute(
                "SELECT has_column_privilege('vru_validation_engine', 'runs', 'verdict', 'UPDATE'),"
                " has_table_privilege('vru_validation_worker', 'users', 'SELECT'),"
                " (SELECT rolcreatedb FROM pg_roles WHERE rolname = 'vru_api_gateway')"
            ).fetchone()
            assert asked == (False, False, False)
    finally:
        postgres.drop_database(name)


def test_passwords_are_stored_as_verifiers(postgres):
    name = postgres.create_database()
    given = postgres.settings(name).model_dump() | {"api_gateway_database_password": "gateway's own"}
    try:
        migrate.upgrade(MigrationSettings(**given))
        with psycopg.connect(postgres.conninfo(name)) as connection:
            rows = dict(connection.execute("SELECT rolname, rolpassword FROM pg_authid WHERE rolname LIKE 'vru_%'"))
        assert rows["vru_api_gateway"].startswith("SCRAM-SHA-256$")
        assert rows["vru_validation_worker"] is None
    finally:
        postgres.drop_database(name)
