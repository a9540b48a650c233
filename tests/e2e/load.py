"""Users of the platform while it is updated: many small requests, one long upload, one open event stream."""

import hashlib
import http.client
import json
import os
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from tests.e2e.api import Api


@dataclass(frozen=True)
class Target:
    """What is asked for, with a token or without."""

    url: str
    token: str = ""


@dataclass
class Load:
    """A steady rate of GET requests: half of them on connections that are kept, half on new ones.

    A client that sends a request on a kept connection, and finds that the server has closed it before a single byte of
    an answer, sends the request once more, as every browser does (RFC 9112, 9.3.1). How often is in ``sent_again``.

    ``starved`` counts answers of /health that a part was slow, at moments when this machine had several times more to
    do than it has processors: they tell of the machine, not of the update.
    """

    targets: Sequence[Target]
    rate: float = 50.0
    clients: int = 10
    failures: list[str] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    sent_again: int = 0
    starved: int = 0
    slowest_s: float = 0.0
    _stop: threading.Event = field(default_factory=threading.Event)
    _guard: threading.Lock = field(default_factory=threading.Lock)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> "Load":
        for number in range(self.clients):
            thread = threading.Thread(target=self._client, args=(number,), daemon=True)
            thread.start()
            self._threads.append(thread)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=60)

    @property
    def requests(self) -> int:
        """How many were made."""
        return sum(self.statuses.values()) + len(self.failures) + self.starved

    def __str__(self) -> str:
        return (
            f"{self.requests} requests, {len(self.failures)} failed, {self.sent_again} sent again on a new connection, "
            f"the slowest took {self.slowest_s:.1f} s" + (f", {self.starved} said: slow" if self.starved else "")
        )

    def _client(self, number: int) -> None:
        pause = self.clients / self.rate
        due = time.monotonic() + pause * number / self.clients
        keep = number % 2 == 0
        kept: dict[str, http.client.HTTPConnection] = {}
        turn = number
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            due += pause
            self._ask(self.targets[turn % len(self.targets)], kept if keep else {})
            turn += 1

    def _ask(self, target: Target, kept: dict[str, http.client.HTTPConnection]) -> None:
        parts = urlsplit(target.url)
        headers = {"Authorization": f"Bearer {target.token}"} if target.token else {}
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        began = time.monotonic()
        reused = parts.netloc in kept
        try:
            try:
                status, body = self._exchange(parts.netloc, path, headers, kept)
            except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
                if not reused:
                    raise
                kept.pop(parts.netloc, None)
                with self._guard:
                    self.sent_again += 1
                status, body = self._exchange(parts.netloc, path, headers, kept)
        except (OSError, http.client.HTTPException) as error:
            kept.pop(parts.netloc, None)
            self._fail(target, f"{type(error).__name__}: {error}")
            return
        with self._guard:
            self.slowest_s = max(self.slowest_s, time.monotonic() - began)
            if status == 200:
                self.statuses[status] += 1
            elif status == 503 and _only_slow(body) and os.getloadavg()[0] > 3 * (os.cpu_count() or 1):
                self.starved += 1
                return
        if status != 200:
            self._fail(target, f"status {status}: {body[:600].decode(errors='replace')}")

    def _exchange(
        self, address: str, path: str, headers: dict[str, str], kept: dict[str, http.client.HTTPConnection]
    ) -> tuple[int, bytes]:
        connection = kept.get(address) or http.client.HTTPConnection(address, timeout=60)
        try:
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException):
            connection.close()
            raise
        if answer.will_close:
            kept.pop(address, None)
            connection.close()
        else:
            kept[address] = connection
        return answer.status, body

    def _fail(self, target: Target, what: str) -> None:
        with self._guard:
            self.failures.append(f"{time.strftime('%H:%M:%S')} GET {target.url}: {what}")


def _only_slow(body: bytes) -> bool:
    """Whether an answer of /health says of every part that is not well that it took too long, and nothing else."""
    try:
        parts = json.loads(body)["services"].values()
        said = [part["detail"] for part in parts if part["status"] != "ok"]
    except (ValueError, KeyError, TypeError):
        return False
    return bool(said) and all(re.search(r"no answer within \d+ s$", one) for text in said for one in text.split("; "))


class Background:
    """Something that goes on in a thread; ``result`` waits for it and raises what went wrong in it."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self._error: Exception | None = None
        self._value: Any = None
        self._thread = threading.Thread(target=self._run, args=(work,), daemon=True)
        self._thread.start()

    def _run(self, work: Callable[[], Any]) -> None:
        try:
            self._value = work()
        except Exception as error:  # noqa: BLE001 - handed on to whoever waits
            self._error = error

    def result(self, timeout_s: float) -> Any:
        self._thread.join(timeout_s)
        assert not self._thread.is_alive(), "it has not ended"
        if self._error is not None:
            raise self._error
        return self._value


def upload_slowly(url: str, token: str, project: str, video: Path, seconds: float) -> dict[str, Any]:
    """Upload a video so that it takes that long; the platform's answer."""
    content = video.read_bytes()
    parts = urlsplit(url)
    assert parts.hostname
    with socket.create_connection((parts.hostname, parts.port or 80), timeout=200) as link:
        head = (
            f"POST /api/v1/projects/{project}/videos?name={quote(video.name)} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
            f"Authorization: Bearer {token}\r\nContent-Type: video/mp4\r\nContent-Length: {len(content)}\r\n\r\n"
        )
        link.sendall(head.encode())
        began, pieces = time.monotonic(), 240
        for number in range(pieces):
            link.sendall(content[len(content) * number // pieces : len(content) * (number + 1) // pieces])
            time.sleep(max(0.0, began + seconds * (number + 1) / pieces - time.monotonic()))
        answer = http.client.HTTPResponse(link)
        answer.begin()
        body: dict[str, Any] = json.loads(answer.read())
    assert answer.status == 201, body
    assert body["sha256"] == hashlib.sha256(content).hexdigest()
    return body


@dataclass
class Follower:
    """Follows one run after the other, as a browser does: when the stream ends, it connects again and goes on.

    Each run must come to its verdict, and no event may be missing at the end, come twice or come out of order.
    """

    api: Api
    inputs: dict[str, str]
    events: int = 0
    connections: int = 0
    cut: int = 0
    runs: int = 0
    stop: threading.Event = field(default_factory=threading.Event)

    def follow(self) -> None:
        while not self.stop.is_set():
            run = self.api.post("/runs", {**self.inputs, "model": "opencv-hog", "settings": {"frame_stride": 5}})
            self._follow_one(run["id"])
            self.runs += 1

    def _follow_one(self, run: str) -> None:
        seen: list[tuple[int, ...]] = []
        state = ""
        end = time.monotonic() + 900
        while state not in {"completed", "failed", "cancelled"}:
            assert time.monotonic() < end, f"run {run} does not end: {seen[-3:]}"
            headers = {"Last-Event-ID": ".".join(map(str, seen[-1]))} if seen else {}
            self.connections += 1
            parts = urlsplit(str(self.api.client.base_url))
            connection = http.client.HTTPConnection(parts.netloc, timeout=200)
            headers["Authorization"] = str(self.api.client.headers["Authorization"])
            connection.request("GET", f"/api/v1/runs/{run}/events", headers=headers)
            answer = connection.getresponse()
            assert answer.status == 200, f"{answer.status} when following again: {answer.read()[:300]!r}"
            identity, data = "", ""
            try:
                while line := answer.readline():
                    name, _, value = line.decode().rstrip("\n").partition(": ")
                    if name == "id":
                        identity = value
                    elif name == "data":
                        data = value
                    elif not name and data:
                        position = tuple(map(int, identity.split(".")))
                        assert not seen or position > seen[-1], f"{position} after {seen[-1]}"
                        seen.append(position)
                        state = json.loads(data)["state"]
                        self.events += 1
                        data = ""
            except (OSError, http.client.HTTPException):
                self.cut += 1
            finally:
                connection.close()
            time.sleep(0.2)
        assert state == "completed", f"run {run} ended as {state}"
