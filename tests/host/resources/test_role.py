"""The stored verifiers of the roles' passwords, and the passwords of .env -> which are set."""

from dataclasses import replace

from tests.host.containers import container
from tests.host.resources.common import HOST, names

from vru.host.database.postgres import Database, scram
from vru.host.docker.compose import Compose
from vru.host.resources import role

DATABASE = replace(Database.of(Compose(HOST), container("postgres")), user="vru", name="vru")
SALT = b"0123456789abcdef"
OWNER = {"vru": scram("right-Password_1", SALT)}
STORED = role.RoleFacts(DATABASE, OWNER)
RIGHT = {"VRU_DATABASE_PASSWORD": "right-Password_1"}


def test_the_password_is_set_only_where_it_differs():
    assert names(role.changes(STORED, RIGHT)) == []
    changed = names(role.changes(STORED, {"VRU_DATABASE_PASSWORD": "another-Password_2"}))
    assert changed == [("database", "role vru", "update")]


def test_so_are_those_of_the_services_roles_that_are_there():
    stored = {**OWNER, "vru_api_gateway": scram("gateway-Password_1", SALT), "vru_validation_worker": ""}
    environment = RIGHT | {
        "VRU_API_GATEWAY_DATABASE_PASSWORD": "gateway-Password_2",
        "VRU_VALIDATION_ENGINE_DATABASE_PASSWORD": "engine-Password_1",  # its role is not there yet
        "VRU_VALIDATION_WORKER_DATABASE_PASSWORD": "worker-Password_1",
    }
    changed = names(role.changes(role.RoleFacts(DATABASE, stored), environment))
    assert changed == [
        ("database", "role vru_api_gateway", "update"),
        ("database", "role vru_validation_worker", "update"),
    ]


def test_without_a_running_database_or_a_password_there_is_nothing_to_compare():
    assert role.facts(Compose(HOST), [container("postgres", state="exited")]) is None
    assert names(role.changes(None, RIGHT)) == []
    assert names(role.changes(STORED, {})) == []
