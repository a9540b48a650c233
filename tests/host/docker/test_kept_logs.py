"""What containers wrote, after they are gone: copied once, read back in order, for as long as logrotate keeps it."""

import gzip
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.host.containers import container

from vru.host.base.errors import HostError
from vru.host.base.host import Host
from vru.host.base.run import Done, Runner
from vru.host.docker import kept_logs

DAY = "2026-01-02T03:04:"


class LogsStandIn(Runner):
    """`docker logs` is a script of the test; `docker inspect` tells whether the container runs."""

    script = ""
    running = False

    def __call__(self, argv: Sequence[str], **others: Any) -> Done:
        return Done(tuple(argv), 0, "true" if self.running else "false", "")

    @contextmanager
    def process(self, argv: Sequence[str], **others: Any) -> Iterator[subprocess.Popen[bytes]]:
        if not self.script:
            raise HostError("The program `docker` is not installed.")
        with super().process([sys.executable, "-uc", self.script], **others) as process:
            yield process


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path, LogsStandIn())


def writes(host: Host, *lines: tuple[str, str]) -> None:
    assert isinstance(host.run, LogsStandIn)
    text = "".join(f"{DAY}{second}.000000000Z {said}\n" for second, said in lines)
    host.run.script = f"import sys; sys.stdout.write({text!r})"


def read(
    host: Host, *services: str, since: datetime | None = None, tail: int | None = None, here: Any = ()
) -> list[str]:
    return [f"{line.container}: {line.text}" for line in kept_logs.lines(host, services, since, tail, here)]


def test_what_two_containers_of_a_service_wrote_is_read_in_order(host: Host) -> None:
    writes(host, ("01", "first"), ("05", '{"event": "last | words"}'))
    kept_logs.keep(host, [container("api_gateway", 1)])
    writes(host, ("03", "beside it"))
    kept_logs.keep(host, [container("frontend", 1)])
    writes(host, ("07", "newer"))
    kept_logs.keep(host, [container("api_gateway", 2)])
    assert read(host) == [
        "api_gateway-1: first",
        "frontend-1: beside it",
        'api_gateway-1: {"event": "last | words"}',
        "api_gateway-2: newer",
    ]
    assert read(host, "frontend") == ["frontend-1: beside it"]
    assert read(host, "api_gateway", tail=1) == ["api_gateway-2: newer"]
    assert read(host, since=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))[0].startswith("api_gateway-1: {")
    assert (host.root / "logs/api_gateway.log").stat().st_mode & 0o077 == 0


def test_a_change_that_was_broken_off_copies_nothing_twice(host: Host) -> None:
    writes(host, ("01", "first"), ("02", "second"))
    kept_logs.keep(host, [container("postgres")])
    writes(host, ("01", "first"), ("02", "second"), ("03", "third"))
    kept_logs.keep(host, [container("postgres")])
    assert read(host) == ["postgres-1: first", "postgres-1: second", "postgres-1: third"]


def test_what_docker_still_has_is_left_to_docker(host: Host) -> None:
    writes(host, ("01", "of the one before"), ("05", "of this one"))
    kept_logs.keep(host, [container("postgres")])
    assert read(host, here=[container("postgres", created=f"{DAY}03.5Z")]) == ["postgres-1: of the one before"]


def test_what_logrotate_made_of_it_is_read_the_oldest_first(host: Host) -> None:
    folder = host.root / "logs"
    folder.mkdir()
    names = {"redis.log.10.gz": "01", "redis.log.2.gz": "02", "redis.log.1": "03", "redis.log": "04"}
    for name, second in names.items():
        raw = f"redis-1  | {DAY}{second}.000000000Z {name}\n".encode()
        (folder / name).write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    (folder / "redis.log.part").write_text("something else\n")
    assert read(host, "redis") == [f"redis-1: {name}" for name in names]


def test_the_last_words_of_a_container_that_is_replaced_are_kept(host: Host) -> None:
    assert isinstance(host.run, LogsStandIn)
    host.run.script = f"import time; print('{DAY}01.0Z first'); time.sleep(0.3); print('{DAY}02.0Z last words')"
    with kept_logs.kept_while(host, [container("postgres")]):
        time.sleep(0.05)
    assert read(host) == ["postgres-1: first", "postgres-1: last words"]


def test_a_container_that_runs_on_is_let_go(host: Host) -> None:
    assert isinstance(host.run, LogsStandIn)
    host.run.script = f"import time; print('{DAY}01.0Z first'); time.sleep(600)"
    host.run.running = True
    began = time.monotonic()
    with kept_logs.kept_while(host, [container("postgres")]):
        while not read(host) and time.monotonic() - began < 20:
            time.sleep(0.01)
    assert time.monotonic() - began < 60
    assert read(host) == ["postgres-1: first"]


def test_a_log_that_cannot_be_kept_stops_no_change(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    kept_logs.keep(host, [container("postgres")])
    assert "The log of vru-platform-postgres-1 could not be kept" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "ago"), [("10m", 600), ("2h", 7200), ("1h30m", 5400), ("1d", 86400), ("1.5s", 1.5), ("90s", 90)]
)
def test_durations(text: str, ago: float) -> None:
    now = datetime(2026, 1, 2, tzinfo=UTC)
    assert kept_logs.since_time(text, now) == now - timedelta(seconds=ago)


def test_times() -> None:
    assert kept_logs.since_time("2026-01-31T12:00:00Z") == datetime(2026, 1, 31, 12, tzinfo=UTC)
    assert kept_logs.since_time("2026-01-31T12:00:00") == datetime(2026, 1, 31, 12).astimezone()
    assert kept_logs.since_time("yesterday") is None
    assert kept_logs.since_time("") is None
