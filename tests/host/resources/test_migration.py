"""The schema as it is, what was recorded, and the image -> whether migrations run."""

import pytest
from tests.host.resources.common import HOST, names

from vru.host.base.errors import HostError
from vru.host.docker.compose import Compose, Service, View
from vru.host.resources import migration

VIEW = View({}, {"migrate": Service("migrate", "engine:2", "", (), healthcheck=False, restart="no", depends_on=())})


@pytest.mark.parametrize(
    ("image", "recorded", "version", "needed"),
    [
        ("engine:2", "0003", "0003", False),
        ("engine:1", "0003", "0003", True),  # another image may bring more
        ("engine:2", "0003", "0002", True),  # an older backup came back
        ("engine:2", "0003", "", True),  # the database was dropped
        ("engine:2", "0003", None, True),  # the database does not run yet
        ("", "", "", True),
    ],
)
def test_migrations_run_when_the_image_or_the_schema_is_another(image, recorded, version, needed):
    facts = migration.MigrationFacts(migration.Record(image, recorded), version)
    changed = names(migration.changes(Compose(HOST), "migrate", VIEW, facts))
    assert changed == ([("migration", "migrate", "run")] if needed else [])


def test_a_missing_migration_service_is_named():
    with pytest.raises(HostError, match="'upgrade'"):
        list(migration.changes(Compose(HOST), "upgrade", VIEW, migration.MigrationFacts(migration.Record(), "")))
