"""What answers on a service's port, and is no service."""

import socket
import threading
from collections.abc import Iterator

import pytest

from vru.local.platform import _http_check
from vru.local.state import _process_status


@pytest.fixture
def echo() -> Iterator[int]:
    """A port that sends back what it was sent: a connection to one's own port does so."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.sendall(connection.recv(1000))

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def test_what_is_no_http_does_not_answer(echo: int) -> None:
    said = _http_check(f"http://127.0.0.1:{echo}/ready")()
    assert said is not None and "does not answer (GET /ready HTTP/1.1" in said


def test_the_status_says_so_too(echo: int) -> None:
    import os

    status = _process_status("frontend", os.getpid(), echo)
    assert not status.ok and "does not answer" in status.detail
