"""The end of a service, as a process of its own: streams end at once, an upload goes on to its end."""

import http.client
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator

import pytest

from vru.service.ending import Ending

SERVICE = """
import asyncio, sys
from fastapi import Request
from fastapi.responses import StreamingResponse
from vru.service.app import create_app, serve
from vru.service.settings import ServiceSettings

def build():
    app = create_app(title="test", settings=ServiceSettings(), public=True)

    async def numbers():
        while True:
            yield b"data: 1\\n\\n"
            await asyncio.sleep(0.2)

    @app.get("/stream")
    async def stream(request: Request) -> StreamingResponse:
        return StreamingResponse(request.app.state.ending.cut(numbers()), media_type="text/event-stream")

    @app.post("/upload")
    async def upload(request: Request) -> int:
        return sum([len(chunk) async for chunk in request.stream()])

    return app

serve(build, int(sys.argv[1]))
"""


@pytest.fixture
def service() -> Iterator[tuple["subprocess.Popen[bytes]", int]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-c", SERVICE, str(port)])
    end = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            break
        except OSError:
            assert time.monotonic() < end
            time.sleep(0.1)
    yield process, port
    process.kill()
    process.wait()


def test_streams_end_at_once_and_uploads_go_on(service: tuple["subprocess.Popen[bytes]", int]) -> None:
    process, port = service
    stream = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    stream.request("GET", "/stream")
    answer = stream.getresponse()
    assert answer.readline() == b"data: 1\n"
    upload = socket.create_connection(("127.0.0.1", port), timeout=20)
    upload.sendall(b"POST /upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2000\r\n\r\n" + b"x" * 1000)
    time.sleep(0.3)
    process.send_signal(signal.SIGTERM)
    asked = time.monotonic()
    answer.read()  # to its end: a whole message, not a broken connection
    assert time.monotonic() - asked < 2
    time.sleep(1)
    assert process.poll() is None, "the upload was abandoned"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
    upload.sendall(b"x" * 1000)
    assert b"200 OK" in upload.recv(4096)
    upload.close()
    process.wait(5)


def test_an_idle_service_ends_soon(service: tuple["subprocess.Popen[bytes]", int]) -> None:
    process, port = service
    kept = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    kept.request("GET", "/health")
    assert kept.getresponse().read()
    asked = time.monotonic()
    process.send_signal(signal.SIGTERM)
    process.wait(5)
    assert time.monotonic() - asked < 1.5


async def test_cut_passes_on_the_end_and_errors() -> None:
    async def few() -> AsyncIterator[int]:
        yield 1
        yield 2

    async def broken() -> AsyncIterator[int]:
        yield 1
        raise ValueError("broken")

    assert [item async for item in Ending().cut(few())] == [1, 2]
    with pytest.raises(ValueError, match="broken"):
        _ = [item async for item in Ending().cut(broken())]
    ending = Ending()
    ending.begin()
    assert [item async for item in ending.cut(few())] == []
