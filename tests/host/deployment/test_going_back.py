"""A deployment that fails goes back by itself: the live release's files return, and it goes on serving."""

import hashlib
import json
from pathlib import Path

import pytest
from tests.host.docker_stand_in import DockerStandIn, platform

from vru.host.base.errors import FencedError, HostError
from vru.host.base.host import Host
from vru.host.base.journal import Journal, read_events
from vru.host.deployment import execute, steps
from vru.host.release import store
from vru.host.release.manifest import parse
from vru.host.rolling import routes
from vru.host.wire import End, Event, Manifest, StepEvent

OLD, NEW = "0" * 11 + "1", "0" * 11 + "2"


def release(host: Host, name: str, text: str) -> Manifest:
    """A release whose one configuration file says ``text``, with its content in the store."""
    files = []
    host.objects.mkdir(parents=True, exist_ok=True)
    for path, content in (
        ("docker-compose.production.yml", "name: vru-platform\n"),
        (".env", f"TEXT='{text}'\n"),
        ("config/production/app.conf", text),
    ):
        sha256 = hashlib.sha256(content.encode()).hexdigest()
        (host.objects / sha256).write_text(content)
        files.append({"path": path, "sha256": sha256, "size": len(content), "mode": "0600"})
    manifest = parse(json.dumps({"protocol": 1, "release": name, "files": files}))
    store.save(host, manifest)
    return manifest


def said(host: Host) -> str:
    return (host.root / "config/production/app.conf").read_text()


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    docker = DockerStandIn(Path("/nowhere"), platform(), "vru", "vru")
    docker.install(monkeypatch)
    found = Host(tmp_path, docker)
    names = {one.name for one in docker.containers()}
    monkeypatch.setattr(
        "vru.host.docker.compose.Compose.containers_and_names", lambda compose: (docker.containers(), names)
    )
    # What only a real Docker could answer.
    monkeypatch.setattr("vru.host.rolling.nginx.check", lambda *arguments: None)
    monkeypatch.setattr("vru.host.rolling.nginx.reload", lambda *arguments: None)
    monkeypatch.setattr("vru.host.resources.role.facts", lambda compose, containers: None)
    monkeypatch.setattr(steps.Executor, "_images", lambda executor: None)
    monkeypatch.setattr(steps.Executor, "_finish", lambda executor: None)
    for name, text in ((OLD, "one"), (NEW, "two")):
        release(found, name, text)
    executor = steps.Executor(found, store.load(found, OLD), Journal(tmp_path / "first.jsonl"))
    executor._prepare(setup_only=False)
    store.set_current(found, OLD)
    routes.ensure(found, docker.view, docker.containers())
    assert said(found) == "one"
    return found


def fail(error: Exception, seen: list[str] | None = None):  # type: ignore[no-untyped-def]
    def containers(executor: steps.Executor) -> None:
        if seen is not None:
            seen.append(said(executor.host))
        raise error

    return containers


def deploy(host: Host, name: str) -> tuple[int, list[Event]]:
    path = host.root / "journal.jsonl"
    return execute.execute(host, name, path, "unit"), read_events(path)


def end(events: list[Event]) -> End:
    assert isinstance(events[-1], End)
    return events[-1]


def ending(events: list[Event]) -> tuple[str, str]:
    return end(events).message, end(events).fix


def test_the_live_release_comes_back(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    broken = HostError("api_gateway is not healthy.", "Read its log.", service="api_gateway", logs=("it broke",))
    monkeypatch.setattr(steps.Executor, "_containers", fail(broken, seen))
    code, events = deploy(host, NEW)
    assert code == 1
    assert seen == ["two"], "the new release was never in place, so nothing was proved"
    assert said(host) == "one"
    assert store.current(host) == OLD
    assert ending(events) == ("api_gateway is not healthy.", f"Release {OLD} goes on serving. Read its log.")
    assert end(events).logs == ("it broke",)
    back = [event for event in events if isinstance(event, StepEvent) and event.name == "go back"]
    assert [event.state for event in back] == ["started", "done"]


def test_containers_that_had_stopped_meanwhile_are_waited_for(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps.Executor, "_containers", fail(HostError("No.")))
    monkeypatch.setattr("vru.host.docker.health._UNHEALTHY_S", 0.0)
    monkeypatch.setattr("vru.host.docker.health._POLL_S", 0.01)
    assert isinstance(host.run, DockerStandIn)
    host.run.unhealthy = {"postgres"}
    _, events = deploy(host, NEW)
    message, fix = ending(events)
    assert message == "No."
    assert f"Going back to release {OLD} failed as well: postgres is up but unhealthy" in fix
    assert "goes on serving" not in fix
    assert said(host) == "one"


def test_the_first_release_and_the_live_one_have_nothing_to_go_back_to(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps.Executor, "_containers", fail(HostError("No.", "Fix it.")))
    assert ending(deploy(host, OLD)[1]) == ("No.", "Fix it.")
    (host.releases / "current").unlink()
    assert ending(deploy(host, NEW)[1]) == ("No.", "Fix it.")
    assert said(host) == "two"


def test_a_change_that_another_took_over_does_not_go_back(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps.Executor, "_containers", fail(FencedError("Another took over.")))
    assert ending(deploy(host, NEW)[1])[0] == "Another took over."
    assert said(host) == "two"


def test_nothing_goes_back_while_docker_does_not_answer(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps.Executor, "_containers", fail(HostError("No.", "Fix it.")))
    monkeypatch.setattr(steps.Executor, "_docker_is_back", lambda executor, error: error.message != "No.")
    assert ending(deploy(host, NEW)[1]) == ("No.", "Fix it.")
    assert said(host) == "two"
