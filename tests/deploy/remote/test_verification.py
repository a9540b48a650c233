"""The platform's addresses, tried from outside: real HTTP servers and real sockets."""

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from vru.deploy.checks.check import problems
from vru.deploy.remote import verification
from vru.deploy.settings.environment import Environment, generate
from vru.host.wire import Check


class Answers(BaseHTTPRequestHandler):
    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(b'{"status": "degraded"}')

    def log_message(self, *_arguments: object) -> None:
        """Be quiet."""


class Broken(Answers):
    status = 503


@pytest.fixture
def serve() -> Iterator[object]:
    servers: list[ThreadingHTTPServer] = []

    def start(handler: type[BaseHTTPRequestHandler]) -> int:
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port: int = server.server_address[1]
        return port

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def environment(folder: Path, ports: list[int]) -> Environment:
    names = ("VRU_HTTP_PORT", "VRU_FRONTEND_PUBLIC_PORT", "VRU_API_PUBLIC_PORT")
    given = dict(zip(names, map(str, ports), strict=True))
    return generate(folder / ".env.production", {"VRU_HOST": "127.0.0.1", **given})


def by_name(checks: list[Check]) -> dict[str, Check]:
    return {check.name: check for check in checks}


@pytest.fixture(autouse=True)
def shut_port(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The one port that must be shut: bound, and not listening until a test says so."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        monkeypatch.setattr(verification, "_CLOSED_PORTS", (one.getsockname()[1],))
        yield one


def test_a_whole_platform_has_no_problem(tmp_path: Path, serve) -> None:
    checks = verification.verify_outside(environment(tmp_path, [serve(Answers) for _ in range(3)]))
    assert problems(checks) == []
    assert len(checks) == 5


def test_an_address_that_answers_with_an_error_is_named_with_what_it_said(tmp_path: Path, serve) -> None:
    checks = verification.verify_outside(environment(tmp_path, [serve(Answers), serve(Answers), serve(Broken)]))
    assert {check.name for check in problems(checks)} == {"API documentation", "health"}
    assert "answers 503" in by_name(checks)["health"].detail
    assert "degraded" in by_name(checks)["health"].detail


def test_whoever_asks_too_often_asks_again(tmp_path: Path, serve) -> None:
    class Busy(Answers):
        asked = 0

        def do_GET(self) -> None:
            Busy.asked += 1
            self.status = 429 if Busy.asked == 1 else 200
            super().do_GET()

    checks = verification.verify_outside(environment(tmp_path, [serve(Busy), serve(Answers), serve(Answers)]))
    assert problems(checks) == []
    assert Busy.asked == 2


def test_an_address_that_does_not_answer_is_named(tmp_path: Path, serve) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        ports = [nobody.getsockname()[1], serve(Answers), serve(Answers)]
        checks = verification.verify_outside(environment(tmp_path, ports))
    [check] = problems(checks)
    assert check.name == "page"
    assert "cannot be reached from here" in check.detail
    assert "VRU_EXTERNAL_IP" in check.fix


def test_what_does_not_speak_http_is_a_problem_and_no_traceback(tmp_path: Path, serve) -> None:
    class Mail(Answers):
        def handle(self) -> None:
            self.rfile.readline()
            self.wfile.write(b"220 mail.example ESMTP\r\n")

    class Closes(Answers):
        def handle(self) -> None:
            self.rfile.readline()

    checks = verification.verify_outside(environment(tmp_path, [serve(Mail), serve(Closes), serve(Answers)]))
    said = {check.detail for check in problems(checks)}
    assert any("does not speak HTTP" in detail for detail in said)
    # A service that is just being replaced closes connections: that is another thing.
    assert any("cannot be reached from here" in detail for detail in said)


def test_a_port_that_answers_but_must_not_is_a_problem(tmp_path: Path, serve, shut_port: socket.socket) -> None:
    shut_port.listen()
    checks = verification.verify_outside(environment(tmp_path, [serve(Answers) for _ in range(3)]))
    [check] = problems(checks)
    assert check.name == f"port {shut_port.getsockname()[1]} is shut"
    assert verification.worst(checks) == "problem"
