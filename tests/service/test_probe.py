import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from vru.service.probe import main


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        status = int(self.path.rpartition("/")[2])
        self.send_response(status)
        self.end_headers()
        self.wfile.write(b"database: no answer")

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_healthy_answer_is_0_and_says_nothing(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([f"{address}/200"]) == 0
    assert capsys.readouterr().out == ""


def test_another_answer_is_1_and_is_shown(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([f"{address}/503"]) == 1
    assert "answers 503: database: no answer" in capsys.readouterr().out


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/health", "https://127.0.0.1:1/", "health", "http://localhost/"])
def test_nobody_there_is_1(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([url]) == 1
    assert url in capsys.readouterr().out


def test_wrong_usage_is_2() -> None:
    assert main([]) == 2
