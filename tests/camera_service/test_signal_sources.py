"""Signal sources as they run: a real service, real sockets and a pseudo-terminal, real PostgreSQL and Redis."""

import http.client
import json
import os
import signal
import socket
import time
import tty
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis as redis_client
from tests.camera_service.test_app import Service
from tests.conftest import free_port

from vru.camera_service.delivery.destinations import STREAM

# A user's own driver, in a distribution of its own: it throws until a file is there.
_DRIVER = """
import time
from pathlib import Path
from vru.domain import SignalKind
from vru.signals import Reading

class Driver:
    kind = SignalKind.OTHER
    def __init__(self, file):
        self.file = Path(file)
    def open(self):
        pass
    def read(self, timeout_s):
        if not self.file.exists():
            raise ZeroDivisionError("in the driver")
        time.sleep(0.05)
        return [Reading(time.monotonic_ns(), "mended")]
    def close(self):
        raise RuntimeError("cannot even close")
"""


def until(holds: Callable[[], Any], seconds: float = 120.0) -> Any:
    ends = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < ends, "it did not come to hold in time"
        time.sleep(0.05)
    return found


def udp_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def send(port: int, *payloads: bytes) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for payload in payloads:
            sender.sendto(payload, ("127.0.0.1", port))


class Signals(Service):
    """The service with its stores."""

    conninfo: str
    redis_url: str

    def source(self, name: str, driver: str, settings: dict[str, Any], **more: Any) -> str:
        """A source that runs; its path."""
        body = {"name": name, "driver": driver, "settings": settings, **more}
        answer = self.client.post("/signal-sources", json=body)
        assert answer.status_code == 201, answer.text
        assert answer.json()["state"] == "stopped"
        path = f"/signal-sources/{answer.json()['id']}"
        assert self.client.post(f"{path}/start").status_code == 200
        return path

    def is_running(self, path: str) -> bool:
        return self.client.get(path).json()["state"] == "running"

    def counts(self, path: str) -> dict[str, Any]:
        found: dict[str, Any] = self.client.get(path).json()["counts"]
        return found

    def values(self, kind: str = "event") -> list[tuple[str, str]]:
        with psycopg.connect(self.conninfo) as connection:
            return connection.execute(
                "SELECT source, value FROM signal_events WHERE type = %s ORDER BY position", [kind]
            ).fetchall()

    def stream(self) -> list[str]:
        with redis_client.Redis.from_url(self.redis_url) as client:
            records = [json.loads(entry[b"record"]) for _, entry in client.xrange(STREAM)]
        return [record["value"] for record in records if record["type"] == "event"]


@pytest.fixture
def service(environment, postgres, redis, database, tmp_path: Path) -> Iterator[Signals]:
    redis.flush()
    package = tmp_path / "site" / "mine-1.0.dist-info"
    package.mkdir(parents=True)
    (package / "entry_points.txt").write_text("[vru.signal_drivers]\nmine = mine:Driver\n")
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    (package.parent / "mine.py").write_text(_DRIVER)
    needed = {name: value for name, value in environment.items() if name.startswith(("VRU_DATABASE", "VRU_REDIS"))}
    own = {"VRU_DATABASE_USER": "vru_camera_service", "VRU_REDIS_USER": "camera_service"}
    running = Signals(tmp_path, **needed | own, PYTHONPATH=str(package.parent))
    running.conninfo, running.redis_url = postgres.conninfo(database), redis.admin_url
    running.start()
    yield running
    assert running.process is not None
    if running.process.poll() is None:
        running.end()


def test_sources_of_real_devices_are_stored_and_their_faults_told(service: Signals) -> None:
    port, http_port = udp_port(), free_port()
    near, far = os.openpty()
    tty.setraw(far)
    udp = service.source("udp", "udp", {"port": port}, payload={"format": "json"}, debounce_ms=60_000)
    serial = service.source("serial", "serial", {"device": os.ttyname(far)}, road_user="cyclist", most_per_second=2)
    posted = service.source("http", "http", {"port": http_port}, secrets={"token": "a-secret-token"})
    until(lambda: all(service.is_running(path) for path in (udp, serial, posted)))
    send(port, b'{"value": "a"}', b'{"value": "a"}', b"{garbage", b"\xff", b'{"class": "ghost"}', b'{"value": "b"}')
    os.write(near, b"one\r\ntwo\nthree\n\n")

    for token, status in (("wrong", 401), ("a-secret-token", 204)):
        connection = http.client.HTTPConnection("127.0.0.1", http_port, timeout=10)
        connection.request("POST", "/", b"posted", {"Authorization": f"Bearer {token}"})
        assert connection.getresponse().status == status
        connection.close()
    until(lambda: len(service.values()) == 5)
    assert sorted(service.values()) == [
        ("http", "posted"),
        ("serial", "one"),
        ("serial", "two"),
        ("udp", "a"),
        ("udp", "b"),
    ]
    until(lambda: len(service.stream()) == 5)
    assert service.stream() == [value for _, value in service.values()]
    counts = service.counts(udp)
    assert (counts["received"], counts["events"], counts["debounced"]) == (6, 2, 1)
    assert counts["malformed"] == {"not_json": 1, "not_text": 1, "unknown_class": 1}
    counts = service.counts(serial)
    assert (counts["events"], counts["limited"], counts["malformed"]) == (2, 1, {"empty": 1})
    assert service.counts(posted)["malformed"] == {"no_token": 1}
    body = service.client.get(posted)
    assert body.json()["secret_names"] == ["token"]
    assert "a-secret-token" not in body.text
    assert "no_token" in body.json()["last_fault"]
    for file in service.state.rglob("*"):
        assert not file.is_file() or b"a-secret-token" not in file.read_bytes()
    delivery = service.client.get("/signal-delivery").json()
    assert delivery["active"]
    assert {one["name"]: (one["connected"], one["waiting"]) for one in delivery["destinations"]} == {
        "redis": (True, 0),
        "postgresql": (True, 0),
    }
    os.close(near)
    until(lambda: service.client.get(serial).json()["state"] == "failed")  # the device is gone
    assert service.is_running(udp)
    os.close(far)


def test_a_driver_that_throws_touches_no_other_and_recovers(service: Signals, tmp_path: Path) -> None:
    port, file = udp_port(), tmp_path / "mended"
    mine = service.source("mine", "mine", {"file": str(file)})
    other = service.source("other", "udp", {"port": port})
    until(lambda: "ZeroDivisionError: in the driver" in str(service.values("state")))
    until(lambda: service.is_running(other))
    send(port, b"still here")
    until(lambda: ("other", "still here") in service.values())
    until(lambda: service.counts(mine)["reopened"] >= 2)
    assert service.counts(other)["reopened"] == 0
    file.touch()
    until(lambda: ("mine", "mended") in service.values())
    assert service.is_running(mine)
    assert service.client.post(f"{mine}/stop").json()["state"] == "stopped"
    assert service.client.delete(mine).status_code == 204
    assert [one["name"] for one in service.client.get("/signal-sources").json()["items"]] == ["other"]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_sources_survive_a_restart_with_all_that_came_before_it(service: Signals, how: signal.Signals) -> None:
    port = udp_port()
    path = service.source("front", "udp", {"port": port})
    until(lambda: service.is_running(path))
    send(port, *(b"%d" % number for number in range(500)))
    until(lambda: service.counts(path)["events"] == 500)
    service.end(how)
    service.start()
    until(lambda: service.is_running(path))
    send(port, b"500")
    until(lambda: len(service.values()) == 501)
    assert [value for _, value in service.values()] == service.stream() == [str(number) for number in range(501)]


def test_the_next_process_takes_over_when_the_one_before_it_ends(service: Signals, tmp_path: Path) -> None:
    port = udp_port()
    path = service.source("front", "udp", {"port": port})
    until(lambda: service.is_running(path))
    other = Signals(tmp_path / "other", **service.more)
    other.state = service.state
    other.start()
    assert other.client.get(path).json()["state"] == "opening"
    assert not other.client.get("/signal-delivery").json()["active"]
    late = udp_port()
    added = other.source("late", "udp", {"port": late})
    until(lambda: service.is_running(added))  # the old one does what the new one was asked for
    send(late, b"before")
    until(lambda: ("late", "before") in service.values())
    service.end()
    until(lambda: other.is_running(path) and other.is_running(added))
    send(port, b"after")
    until(lambda: ("front", "after") in service.values())
    other.end()


@pytest.mark.parametrize(
    ("change", "status", "word"),
    [
        ({"driver": "smoke"}, 422, "no signal driver 'smoke'"),
        ({"settings": {}}, 422, "port"),
        ({"settings": {"port": 5005, "speed": 1}}, 422, "speed"),
        ({"settings": {"port": 5005, "password": "x"}}, 422, "put it into secrets"),
        ({"settings": {"port": 5005}, "secrets": {"port": "5005"}}, 422, "put it into one of them"),
        ({"payload": {"format": "text", "pattern": "("}}, 422, "pattern"),
        ({"camera_id": str(uuid.uuid4())}, 422, "There is no camera"),
        ({"name": "taken"}, 409, "already a signal source called 'taken'"),
        ({"name": "../x"}, 422, "name"),
    ],
)
def test_wrong_sources_are_refused(refusing: Service, change: dict[str, Any], status: int, word: str) -> None:
    good = {"name": "front", "driver": "udp", "settings": {"port": 5005}}
    answer = refusing.client.post("/signal-sources", json=good | change)
    assert (answer.status_code, word in answer.json()["detail"] + answer.json().get("fix", "")) == (status, True)


@pytest.fixture(scope="module")
def refusing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service whose stores are away: it works all the same."""
    service = Service(tmp_path_factory.mktemp("refusing"), VRU_DATABASE_HOST="127.0.0.1", VRU_DATABASE_PORT="9")
    service.start()
    good = {"name": "taken", "driver": "udp", "settings": {"port": 5005}}
    assert service.client.post("/signal-sources", json=good).status_code == 201
    yield service
    service.end()


def test_a_camera_with_signal_sources_stays(refusing: Service) -> None:
    camera = refusing.add(name="street", kind="virtual", source="empty")
    body = {"name": "of street", "driver": "udp", "settings": {"port": 5006}, "camera_id": camera["id"]}
    source = refusing.client.post("/signal-sources", json=body).json()
    assert source["camera_id"] == camera["id"]
    refused = refusing.client.delete(f"/cameras/{camera['id']}")
    assert (refused.status_code, refused.json()["detail"]) == (409, "Signal sources belong to this camera: of street.")
    assert refusing.client.delete(f"/signal-sources/{source['id']}").status_code == 204
    assert refusing.client.delete(f"/cameras/{camera['id']}").status_code == 204


def test_a_store_that_is_away_is_told_with_its_reason(refusing: Service) -> None:
    def reason() -> str:
        states = refusing.client.get("/signal-delivery").json()["destinations"]
        return next((one["reason"] for one in states if one["name"] == "postgresql" and not one["connected"]), "")

    assert until(lambda: "refused" in reason())
