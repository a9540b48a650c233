"""The stored verifier of the role's password, and the password of .env -> whether it is set."""

from dataclasses import replace

from tests.host.containers import container
from tests.host.resources.common import HOST, names

from vru.host.database.postgres import Database, scram
from vru.host.docker.compose import Compose
from vru.host.resources import role

DATABASE = replace(Database.of(Compose(HOST), container("postgres")), user="vru", name="vru")
STORED = role.RoleFacts(DATABASE, scram("right-Password_1", b"0123456789abcdef"))


def test_the_password_is_set_only_where_it_differs():
    assert names(role.changes(STORED, "right-Password_1")) == []
    assert names(role.changes(STORED, "another-Password_2")) == [("database", "role vru", "update")]


def test_without_a_running_database_or_a_password_there_is_nothing_to_compare():
    assert role.facts(Compose(HOST), [container("postgres", state="exited")]) is None
    assert names(role.changes(None, "right-Password_1")) == []
    assert names(role.changes(STORED, "")) == []
