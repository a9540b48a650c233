"""Waiting until services are ready: a step for each, ended as it went."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from vru.host.base.errors import HostError
from vru.host.base.journal import Journal, read_events
from vru.host.docker import health
from vru.host.wire import LogEvent, StepEvent

BROKEN = HostError("redis keeps crashing.", service="redis")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_POLL_S", 0.0)


def looks(*answers: Mapping[str, str] | HostError) -> Iterator[Mapping[str, str]]:
    for answer in answers:
        if isinstance(answer, HostError):
            raise answer
        yield answer


def waited(path: Path, *answers: Mapping[str, str] | HostError) -> tuple[list[str], list[str]]:
    """What became of each step, and what was said meanwhile."""
    look = looks(*answers)
    journal = Journal(path / "journal.jsonl")
    try:
        health.await_ready(lambda: next(look), journal, services=["postgres"])
    except HostError as error:
        assert error is BROKEN
    events = read_events(journal.path)
    steps = [f"{one.name}: {one.state}" for one in events if isinstance(one, StepEvent)]
    return steps, [one.line for one in events if isinstance(one, LogEvent)]


def test_each_service_has_a_step_that_ends_when_it_is_ready(tmp_path: Path) -> None:
    steps, lines = waited(
        tmp_path,
        {"postgres": "is starting", "redis": "is starting"},
        {"postgres": "", "redis": "is starting"},
        {"postgres": "", "redis": "is unhealthy"},
        {"postgres": "", "redis": ""},
    )
    assert steps == [
        "service postgres: started", "service redis: started", "service postgres: done", "service redis: done",
    ]  # fmt: skip
    assert lines == ["postgres is starting", "redis is starting", "redis is unhealthy"]


def test_one_that_failed_is_told_and_the_others_are_not_waited_for(tmp_path: Path) -> None:
    begun = {"postgres": "is starting", "redis": "is starting", "nginx": ""}
    steps, _ = waited(tmp_path, begun, BROKEN)
    assert steps[-2:] == ["service postgres: skipped", "service redis: failed"]
    assert "service nginx: done" in steps


def test_without_a_journal_it_only_waits_and_raises() -> None:
    look = looks({"redis": "is starting"}, {"redis": ""})
    health.await_ready(lambda: next(look))
    look = looks({"redis": "is starting"}, BROKEN)
    with pytest.raises(HostError, match="keeps crashing"):
        health.await_ready(lambda: next(look))
