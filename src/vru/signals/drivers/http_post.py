"""HTTP: the body of each POST is one payload."""

import hmac
import queue
import threading
import time
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

from pydantic import Field, IPvAnyAddress, SecretStr

from vru.domain import SignalKind
from vru.signals.driver import Fault, Reading
from vru.signals.drivers.settings import DriverSettings

_LONGEST = 4096
_MOST_WAITING = 10_000


class HttpSettings(DriverSettings):
    """``host`` is the address of this machine to listen on. With a ``token``, a request must bear it."""

    port: int = Field(ge=1, le=65_535)
    host: IPvAnyAddress = Field(default="127.0.0.1", validate_default=True)
    token: SecretStr | None = None


class HttpDriver:
    """A server of its own. Answers 204; 401 without the token, 413 to more than 4096 bytes, 503 when it is overrun."""

    kind: ClassVar[SignalKind] = SignalKind.HTTP

    def __init__(self, **settings: Any) -> None:
        self._settings = HttpSettings(**settings)
        self._queue: queue.Queue[Reading | Fault] = queue.Queue(_MOST_WAITING)
        self._server: ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None

    def open(self) -> None:
        """Listen. Raises OSError if the port is taken."""
        token = self._settings.token
        handler = _handler(self._queue, token.get_secret_value() if token else None)
        self._server = ThreadingHTTPServer((str(self._settings.host), self._settings.port), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True)
        self._thread.start()

    def read(self, timeout_s: float) -> Sequence[Reading | Fault]:
        """What was posted since."""
        try:
            found = [self._queue.get(timeout=timeout_s)]
        except queue.Empty:
            return []
        found += [self._queue.get_nowait() for _ in range(self._queue.qsize())]
        # Each request has a thread of its own, so they may queue in another order than they came.
        return sorted(found, key=lambda item: item.received_ns)

    def close(self) -> None:
        """Stop listening."""
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()
            self._server = self._thread = None


def _handler(found: "queue.Queue[Reading | Fault]", token: str | None) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 10

        def do_POST(self) -> None:  # the name that http.server looks for
            now = time.monotonic_ns()
            said = self.headers.get("Authorization", "")
            length = self.headers.get("Content-Length", "")
            if token is not None and not hmac.compare_digest(said.encode(), f"Bearer {token}".encode()):
                self._answer(401, Fault(now, "no_token", "a request without the token"))
            elif not (length.isascii() and length.isdecimal()):
                self._answer(411, Fault(now, "no_length", "a request without Content-Length"))
            elif len(length) > 6 or int(length) > _LONGEST:
                self._answer(413, Fault(now, "too_long", f"a body of {length[:20]} bytes"))
            else:
                body = self.rfile.read(int(length))
                whole = len(body) == int(length)
                short = Fault(now, "cut_short", f"a body of {len(body)} bytes instead of {length}")
                self._answer(204 if whole else 400, Reading(now, body) if whole else short)

        def _answer(self, status: int, item: Reading | Fault) -> None:
            try:
                found.put_nowait(item)
            except queue.Full:
                status = 503
            # A refused body was not read: the connection cannot be used again.
            self.close_connection = status != 204
            self.send_response(status)
            if status != 204:
                self.send_header("Content-Length", "0")
                self.send_header("Connection", "close")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            return

    return Handler
