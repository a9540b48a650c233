"""What a plan shows is what a deployment makes, in the same order."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.host.cli.test_protocol import ONE, release

from vru.host.base.change import Change
from vru.host.base.host import Host
from vru.host.base.journal import Journal
from vru.host.deployment import steps
from vru.host.deployment.plan import Planner
from vru.host.release import store
from vru.host.release.manifest import parse
from vru.host.wire import Manifest


def planned(host: Host, manifest: Manifest) -> list[Change]:
    return list(Planner(host, manifest).changes())


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """A server that runs nothing, with the content of a release in its store."""
    host = Host(tmp_path / "root")
    host.objects.mkdir(parents=True)
    return host


def release_of(host: Host, contents: dict[str, bytes]) -> Manifest:
    for content in contents.values():
        (host.objects / hashlib.sha256(content).hexdigest()).write_bytes(content)
    manifest = parse(json.dumps(release(contents)))
    store.save(host, manifest)
    return manifest


def test_the_plan_is_the_very_list_that_a_deployment_makes(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Change] = []
    apply = steps.Executor._apply

    def note(executor: steps.Executor, phase: str, name: str, changes: Iterable[Change]) -> None:
        wanted = list(changes)
        made.extend(wanted)
        apply(executor, phase, name, wanted)

    monkeypatch.setattr(steps.Executor, "_apply", note)
    for contents in (ONE, {"src/a.py": b"a = 2\n", "config/new.conf": b"x\n"}):
        manifest = release_of(host, contents)
        made.clear()
        *expected, live = planned(host, manifest)
        assert live.resource == "release"
        journal = Journal(host.root / "journal.jsonl")
        steps.Executor(host, manifest, journal).run(steps.DEPLOY)
        assert made == [replace(change, setup=False) for change in expected]
        assert journal.changed == len(expected) + 1
        assert planned(host, manifest) == []
