"""What an update mends of what was changed by hand, and what it leaves alone because it is replaced anyway."""

import json
from dataclasses import replace

import pytest
from tests.host.containers import container, view_of
from tests.host.resources.common import HOST

from vru.host.deployment import stages
from vru.host.deployment.comparison import Comparison
from vru.host.docker.compose import Compose, Container
from vru.host.release.manifest import parse
from vru.host.resources import containers

BASE = view_of("api", "exporter")
# The new release puts both into a network that is made with the first container in it.
VIEW = replace(BASE, services={name: replace(one, networks=("new",)) for name, one in BASE.services.items()})
FILES = [
    {"path": path, "sha256": "0" * 64, "size": 0, "mode": "0600"} for path in ("docker-compose.production.yml", ".env")
]
MANIFEST = json.dumps({"protocol": 1, "release": "000000000001", "files": FILES})


def mended(monkeypatch: pytest.MonkeyPatch, *there: Container) -> list[str]:
    monkeypatch.setattr(containers, "facts", lambda *_: containers.ContainerFacts(there, None, None))
    monkeypatch.setattr(HOST.__class__, "environment", lambda _: {})
    release = Comparison(HOST, parse(MANIFEST), Compose(HOST), view=VIEW, expected={})
    return [f"{one.name} {one.detail}" for one in stages.REPAIRS.changes(release)]


def test_a_container_of_an_earlier_release_is_not_moved_between_networks(monkeypatch):
    there = (container("api", networks=("old",), digest="before"), container("exporter", networks=("new",)))
    assert mended(monkeypatch, *there) == []


def test_one_of_this_release_is(monkeypatch):
    assert mended(monkeypatch, container("exporter", networks=())) == [
        "vru-platform-exporter-1 is not in the network new"
    ]


def test_a_paused_one_is_woken_although_it_is_replaced(monkeypatch):
    there = container("api", networks=("new",), digest="before", state="paused")
    assert mended(monkeypatch, there) == ["vru-platform-api-1 is paused"]
