"""The platform's addresses as the server sees them."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from vru.host.operations import verify


@pytest.fixture
def no_http() -> Iterator[str]:
    """The address of something that answers, and does not speak HTTP."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(1000)
                    connection.sendall(b"220 mail.example ESMTP\r\n")

        threading.Thread(target=answer, daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
        listening.shutdown(socket.SHUT_RDWR)


def test_what_does_not_speak_http_is_a_problem_and_no_traceback(no_http: str) -> None:
    check = verify._address("page", no_http, time.monotonic())
    assert (check.state, check.name) == ("problem", "page")
    assert check.detail == f"what answers at {no_http} does not speak HTTP"
