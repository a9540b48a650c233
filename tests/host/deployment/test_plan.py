"""What a plan shows is what a deployment makes, in the same order."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from tests.host.cli.test_protocol import ONE, release
from tests.host.containers import view_of

from vru.host.base.change import Change
from vru.host.base.host import Host
from vru.host.base.journal import Journal
from vru.host.deployment import steps
from vru.host.deployment.comparison import Comparison
from vru.host.deployment.plan import Planner
from vru.host.deployment.stages import STAGES, Stage, of_service
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

    def note(executor: steps.Executor, stage: Stage, changes: Iterable[Change]) -> None:
        wanted = list(changes)
        made.extend(wanted)
        apply(executor, stage, wanted)

    monkeypatch.setattr(steps.Executor, "_apply", note)
    for contents in (ONE, {"src/a.py": b"a = 2\n", "config/new.conf": b"x\n"}):
        manifest = release_of(host, contents)
        made.clear()
        *expected, live = planned(host, manifest)
        assert live.resource == "release"
        journal = Journal(host.root / "journal.jsonl")
        steps.Executor(host, manifest, journal).run(steps.DEPLOY)
        assert made == expected
        assert journal.changed == len(expected) + 1
        assert planned(host, manifest) == []


def test_each_stage_is_called_by_one_name_and_knows_its_services() -> None:
    names = [stage.name for stage in STAGES]
    assert len(set(names)) == len(names)
    view = view_of("postgres", "api_gateway", "grafana")
    stages = [of_service(view, name) for name in ("postgres", "grafana", "api_gateway")]
    assert [stage.name for stage in stages] == ["start stores", "start services in place", "start services"]
    assert stages == sorted(stages, key=STAGES.index)


def test_every_stage_is_walked_once_and_in_the_order_of_the_list(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a stage finds is made before the next one is asked: none is left out, and none comes twice."""
    asked: list[str] = []
    looked = Stage.changes

    def note(stage: Stage, release: Comparison) -> Iterator[Change]:
        asked.append(stage.name)
        return looked(stage, release)

    monkeypatch.setattr(Stage, "changes", note)
    manifest = release_of(host, ONE)
    planned(host, manifest)
    assert asked == [stage.name for stage in STAGES]
    asked.clear()
    steps.Executor(host, manifest, Journal(host.root / "journal.jsonl")).run(steps.DEPLOY)
    applied = [stage.name for stage in STAGES if stage.name in asked]
    assert asked == applied
    assert {"directories", "files", "units", "release"} <= set(applied)
