"""From a spool on disk to real stores, which go away and come back."""

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
import pytest
import redis as redis_client

from vru.camera_service.delivery import Deliverer, PostgresDestination, RedisDestination, Spool
from vru.camera_service.delivery.destinations import STREAM
from vru.camera_service.delivery.spool import START, Cursor
from vru.domain import SignalKind, VruClass, VruError
from vru.service.settings import ServiceSettings
from vru.signals import Event

SOURCE = uuid4()


def event(number: int, value: str = "") -> Event:
    return Event(f"e-{number}", "front", time.monotonic_ns(), SignalKind.UDP, number, VruClass.CYCLIST, value)


def until(holds: Callable[[], object], seconds: float = 60.0) -> None:
    ends = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < ends, "it did not come to hold in time"
        time.sleep(0.02)


# --- the spool


def read_all(spool: Spool, position: int = 0, most: int = 3) -> list[tuple[int, bytes]]:
    cursor, found = Cursor(position), []
    while True:
        first, lines = spool.read(cursor, most)
        if not lines:
            return found
        found += list(enumerate(lines, start=first))


def test_a_spool_gives_back_what_was_put_in_over_several_files_and_starts(tmp_path: Path) -> None:
    spool = Spool(tmp_path, segment_bytes=20)
    for number in range(10):
        spool.append([b"line %d" % number, b""])
    assert [line for _, line in read_all(spool)] == [part for n in range(10) for part in (b"line %d" % n, b"")]
    numbers = [number for number, _ in read_all(spool)]
    assert numbers == list(range(START + 1, START + 21))
    assert read_all(spool, numbers[4])[0] == (numbers[5], b"")
    assert (spool.waiting(0), spool.waiting(numbers[4]), spool.waiting(numbers[-1])) == (20, 15, 0)
    spool.close()
    with next(iter(sorted(tmp_path.glob("*.lines"), reverse=True))).open("ab") as file:
        file.write(b"torn by a cra")
    again = Spool(tmp_path, segment_bytes=20)
    assert again.id == spool.id
    again.append([b"later"])
    assert read_all(again)[-1] == (2 * START + 1, b"later")
    assert [line for _, line in read_all(again)[:-1]] == [line for _, line in read_all(spool)]
    assert again.waiting(numbers[-1]) == 1


def test_a_spool_forgets_what_was_delivered_and_is_no_longer_new(tmp_path: Path) -> None:
    spool = Spool(tmp_path, segment_bytes=20, kept_s=0)
    for number in range(10):
        spool.append([b"a line of 20 bytes %d" % number])
    spool.forget(START + 5)
    assert len(list(tmp_path.glob("*.lines"))) == 5
    assert read_all(spool, START + 5)[0][1] == b"a line of 20 bytes 5"
    kept = Spool(tmp_path / "other", segment_bytes=20)
    for _ in range(3):
        kept.append([b"a line of 20 bytes .."])
    kept.forget(kept.last())
    assert len(list((tmp_path / "other").glob("*.lines"))) == 3


def test_a_full_spool_says_so_and_keeps_what_it_has(tmp_path: Path) -> None:
    spool = Spool(tmp_path, most_bytes=100)
    spool.append([b"x" * 50])
    with pytest.raises(VruError, match="full"):
        spool.append([b"y" * 60])
    spool.append([b"z"])
    assert [line for _, line in read_all(spool)] == [b"x" * 50, b"z"]


# --- the stores


class Servers:
    """The stores as the camera service's own users see them."""

    def __init__(self, settings: ServiceSettings, conninfo: str, redis_url: str) -> None:
        self.settings, self._conninfo, self._redis_url = settings, conninfo, redis_url

    def rows(self, columns: str = "id") -> list[tuple[object, ...]]:
        with psycopg.connect(self._conninfo) as connection:
            return connection.execute(f"SELECT {columns} FROM signal_events ORDER BY spool, position").fetchall()

    def count(self) -> int:
        with psycopg.connect(self._conninfo) as connection:
            row = connection.execute("SELECT count(*) FROM signal_events").fetchone()
            assert row is not None
            return int(row[0])

    def stream(self) -> list[str]:
        with redis_client.Redis.from_url(self._redis_url) as client:
            return [json.loads(entry[b"record"])["id"] for _, entry in client.xrange(STREAM)]

    def length(self) -> int:
        with redis_client.Redis.from_url(self._redis_url) as client:
            return int(client.xlen(STREAM))


@pytest.fixture
def servers(settings, postgres, redis, database) -> Servers:
    own = settings.model_copy(update={"database_user": "vru_camera_service", "redis_user": "camera_service"})
    return Servers(own, postgres.conninfo(database), redis.admin_url)


@pytest.fixture
def start(servers: Servers, tmp_path: Path) -> Iterator[Callable[..., Deliverer]]:
    started: list[Deliverer] = []

    def make(folder: Path = tmp_path / "spool", length: int = 10_000_000) -> Deliverer:
        stores = (RedisDestination(servers.settings, length), PostgresDestination(servers.settings))
        deliverer = Deliverer(Spool(folder), stores)
        started.append(deliverer)
        deliverer.start()
        return deliverer

    yield make
    for one in started:
        one.close(0.2)


def test_where_nothing_waits_the_end_does_not_wait(start: Callable[..., Deliverer]) -> None:
    for _ in range(2):  # the numbers of each start begin anew: the second's are far from what was stored
        deliverer = start()
        until(lambda one=deliverer: all(state.connected for state in one.states()))
        assert deliverer.wait_stored("postgresql", deliverer.spool.last(), 0)
        begun = time.monotonic()
        deliverer.close(20)
        assert time.monotonic() - begun < 10


def delivered(deliverer: Deliverer) -> bool:
    return all(state.connected and not state.waiting for state in deliverer.states())


def test_records_come_to_both_stores_once_and_in_order(start: Callable[..., Deliverer], servers: Servers) -> None:
    deliverer = start()
    ids = [f"e-{number}" for number in range(2500)]
    for first in range(0, 2500, 7):
        deliverer.take(SOURCE, [event(n, 'ä\t\\ "quoted"') for n in range(first, min(2500, first + 7))])
    until(lambda: delivered(deliverer))
    assert [row[0] for row in servers.rows()] == servers.stream() == ids
    columns = (
        "source_id, source, type, kind, device_ns, road_user, value, abs(extract(epoch FROM now() - received_at)) < 60"
    )
    assert servers.rows(columns)[3] == (SOURCE, "front", "event", "udp", 3, "cyclist", 'ä\t\\ "quoted"', True)


def test_what_a_killed_process_had_taken_is_delivered_by_the_next(
    start: Callable[..., Deliverer], servers: Servers, tmp_path: Path
) -> None:
    spool = Spool(tmp_path / "spool")
    idle = Deliverer(spool, [])
    idle.take(SOURCE, [event(n) for n in range(5)])  # nobody delivers, and nobody closes
    deliverer = start()
    deliverer.take(SOURCE, [event(n) for n in range(5, 8)])
    until(lambda: delivered(deliverer))
    deliverer.close()
    third = start()
    third.take(SOURCE, [event(8)])
    until(lambda: delivered(third))
    assert [row[0] for row in servers.rows()] == servers.stream() == [f"e-{n}" for n in range(9)]


def test_an_answer_that_is_lost_makes_no_double(start: Callable[..., Deliverer], servers: Servers) -> None:
    deliverer = start()
    until(lambda: delivered(deliverer))
    for carrier in deliverer._carriers:
        store, done = carrier._destination.store, []

        def lose(spool: UUID, first: int, lines: list[bytes], store=store, done=done) -> None:
            store(spool, first, lines)
            if not done:
                done.append(1)
                raise ConnectionResetError("after it was stored")

        carrier._destination.store = lose  # type: ignore[method-assign]
    deliverer.take(SOURCE, [event(n) for n in range(20)])
    until(lambda: delivered(deliverer))
    deliverer.take(SOURCE, [event(n) for n in range(20, 40)])
    until(lambda: delivered(deliverer))
    assert [row[0] for row in servers.rows()] == servers.stream() == [f"e-{n}" for n in range(40)]


def test_a_record_that_is_refused_keeps_no_other_back(start: Callable[..., Deliverer], servers: Servers) -> None:
    deliverer = start()
    deliverer.take(SOURCE, [event(0), event(1)])
    deliverer.spool.append([b'{"id": "e-x", "time_ns": 1' + b"0" * 30 + b', "source": 1}'])
    deliverer.take(SOURCE, [event(2)])
    until(lambda: servers.count() == 3)
    assert [row[0] for row in servers.rows()] == ["e-0", "e-1", "e-2"]
    assert next(one for one in deliverer.states() if one.name == "postgresql").refused == 1


class Relay:
    """A way to a server that can be cut: what runs over it ends, and nobody gets through meanwhile."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._open: list[socket.socket] = []
        self._away = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    @contextmanager
    def away(self) -> Iterator[None]:
        self._away = True
        self._cut()
        yield
        self._away = False

    def close(self) -> None:
        self._away = True
        self._listener.close()
        self._cut()

    def _cut(self) -> None:
        while self._open:
            one = self._open.pop()
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                inner, _ = self._listener.accept()
                if self._away:
                    inner.close()
                    continue
                outer = socket.create_connection(("127.0.0.1", self._target))
                self._open += [inner, outer]
                for one, other in ((inner, outer), (outer, inner)):
                    threading.Thread(target=self._carry, args=(one, other), daemon=True).start()

    @staticmethod
    def _carry(one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while data := one.recv(2**16):
                other.sendall(data)
            other.shutdown(socket.SHUT_RDWR)


def _fill(deliverer: Deliverer, rate: int, seconds: float, first: int = 0) -> int:
    """Events at a rate, in reads as a receiver makes them; how many there are now."""
    began, number, memory = time.monotonic(), first, []
    while (now := time.monotonic() - began) < seconds:
        wanted = first + int(now * rate)
        if wanted > number:
            deliverer.take(SOURCE, [event(n) for n in range(number, wanted)])
            number = wanted
        memory.append(_resident())
        time.sleep(0.01)
    assert max(memory) - memory[0] < 64 * 2**20
    return number


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.fixture
def relays(postgres, redis) -> Iterator[dict[str, Relay]]:
    made = {"redis": Relay(redis.port), "postgresql": Relay(postgres.port)}
    yield made
    for relay in made.values():
        relay.close()


def _outage(servers: Servers, relays: dict[str, Relay], folder: Path, rate: int, seconds: float) -> None:
    ports = {"redis_port": relays["redis"].port, "database_port": relays["postgresql"].port}
    reached = servers.settings.model_copy(update=ports)
    stores = (RedisDestination(reached, 10_000_000), PostgresDestination(reached))
    deliverer = Deliverer(Spool(folder), stores)
    deliverer.start()
    until(lambda: delivered(deliverer))
    number = _fill(deliverer, rate, 1.0)
    for name, other in (("redis", "postgresql"), ("postgresql", "redis")):
        with relays[name].away():
            number = _fill(deliverer, rate, seconds, number)
            states = {one.name: one for one in deliverer.states()}
            assert not states[name].connected
            assert states[name].reason
            assert states[name].waiting > rate * seconds * 0.8
            assert states[other].connected
        number = _fill(deliverer, rate, 0.5, number)
    until(lambda: delivered(deliverer), 180)
    deliverer.close()
    assert number > rate * seconds * 2 * 0.9
    expected = [f"e-{n}" for n in range(number)]
    assert [row[0] for row in servers.rows()] == expected
    assert servers.stream() == expected


def test_stores_that_are_away_for_a_moment_get_everything_in_order(
    servers: Servers, relays: dict[str, Relay], tmp_path: Path
) -> None:
    _outage(servers, relays, tmp_path / "spool", rate=1000, seconds=1.5)


@pytest.mark.soak
def test_stores_that_are_away_for_a_minute_under_load_get_everything_in_order(
    servers: Servers, relays: dict[str, Relay], tmp_path: Path
) -> None:
    _outage(servers, relays, tmp_path / "spool", rate=5000, seconds=60.0)
