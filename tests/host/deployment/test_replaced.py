"""What an update mends of what was changed by hand, and what it leaves alone because it is replaced anyway."""

from dataclasses import replace
from pathlib import Path

from tests.host.containers import container, view_of
from tests.host.resources.common import HOST

from vru.host.base.journal import Journal
from vru.host.deployment.steps import Executor
from vru.host.release.manifest import parse
from vru.host.resources import settings
from vru.host.resources.containers import ContainerFacts

BASE = view_of("api", "exporter")
# The new release puts both into a network that is made with the first container in it.
VIEW = replace(BASE, services={name: replace(one, networks=("new",)) for name, one in BASE.services.items()})
MANIFEST = '{"protocol": 1, "release": "000000000001", "files": []}'


def mended(tmp_path: Path, *there) -> list[str]:
    executor = Executor(HOST, parse(MANIFEST), Journal(tmp_path / "journal.jsonl"))
    found = ContainerFacts(there, None, None)
    without = executor._replaced(VIEW, found)
    return [f"{one.name} {one.detail}" for one in settings.changes(executor.compose, VIEW, found, without)]


def test_a_container_of_an_earlier_release_is_not_moved_between_networks(tmp_path):
    there = (container("api", networks=("old",), digest="before"), container("exporter", networks=("new",)))
    assert mended(tmp_path, *there) == []


def test_one_of_this_release_is(tmp_path):
    assert mended(tmp_path, container("exporter", networks=())) == ["vru-platform-exporter-1 is not in the network new"]


def test_a_paused_one_is_woken_although_it_is_replaced(tmp_path):
    there = container("api", networks=("new",), digest="before", state="paused")
    assert mended(tmp_path, there) == ["vru-platform-api-1 is paused"]
