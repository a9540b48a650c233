"""``python -m vru.service.probe URL``: exit code 0 if the URL answers 2xx, for health checks.

Only ``socket``: a container runs this every few seconds, and an HTTP library would cost more than the check itself.
"""

import socket
import sys
from collections.abc import Sequence

TIMEOUT_S = 8.0
_SHOWN_BYTES = 2000


def probe(url: str, timeout_s: float = TIMEOUT_S) -> tuple[int, str]:
    """Ask ``http://HOST:PORT/PATH`` once.

    Returns:
        The status, and the beginning of the body.

    Raises:
        OSError: nothing answers in time.
        ValueError: ``url`` is no such URL, or the answer is no HTTP.
    """
    scheme, _, rest = url.partition("://")
    authority, _, path = rest.partition("/")
    host, _, port = authority.rpartition(":")
    if scheme != "http" or not host or not port.isdigit():
        raise ValueError(f"{url} is not like http://HOST:PORT/PATH")
    with socket.create_connection((host, int(port)), timeout=timeout_s) as connection:
        connection.sendall(f"GET /{path} HTTP/1.0\r\nHost: {authority}\r\nUser-Agent: vru-probe\r\n\r\n".encode())
        answer = b""
        while len(answer) < _SHOWN_BYTES and (chunk := connection.recv(_SHOWN_BYTES)):
            answer += chunk
    head, _, body = answer.partition(b"\r\n\r\n")
    words = head.split(b"\r\n", 1)[0].split(b" ", 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():
        raise ValueError(f"{url} does not answer with HTTP")
    return int(words[1]), body.decode(errors="replace").strip()


def main(argv: Sequence[str]) -> int:
    """The command line. Returns the exit code."""
    if len(argv) != 1:
        print("usage: python -m vru.service.probe http://HOST:PORT/PATH", file=sys.stderr)
        return 2
    try:
        status, body = probe(argv[0])
    except (OSError, ValueError) as error:
        print(f"{argv[0]}: {error}")
        return 1
    if not 200 <= status < 300:
        print(f"{argv[0]} answers {status}: {body}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
