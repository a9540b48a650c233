"""Somebody on the internet who tries every TCP port of a server: runs in a container of its own, on the same network.

The container needs Python and nothing else. Every port is tried with a real connection, thousands at once. Usage:
``python scanner.py LAST ADDRESS...`` tries the ports up to LAST, and prints JSON: for each address the ports that are
``open`` and those that refuse.
"""

from __future__ import annotations

import errno
import json
import multiprocessing
import select
import socket
import sys
import time

_AT_ONCE = 8192
_PATIENCE_S = 1.6  # a lost packet is sent again after one second


def scan(address: str, ports: range) -> dict[str, list[int]]:
    """Try some ports of one address at once."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    found: dict[str, list[int]] = {"open": [], "refused": []}
    poll = select.epoll()
    waiting: dict[int, tuple[socket.socket, int]] = {}
    for port in ports:
        link = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        code = link.connect_ex((address, port))
        if code != errno.EINPROGRESS:
            _note(code, port, found)
            link.close()
            continue
        waiting[link.fileno()] = link, port
        poll.register(link.fileno(), select.EPOLLOUT | select.EPOLLERR | select.EPOLLHUP)
    deadline = time.monotonic() + _PATIENCE_S
    while waiting and (left := deadline - time.monotonic()) > 0:
        for number, _ in poll.poll(left):
            link, port = waiting.pop(number)
            _note(link.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), port, found)
            link.close()
    for link, _ in waiting.values():
        link.close()
    poll.close()
    return found


def _note(code: int, port: int, found: dict[str, list[int]]) -> None:
    if code == 0:
        found["open"].append(port)
    elif code == errno.ECONNREFUSED:
        found["refused"].append(port)


def main(last: int, addresses: list[str]) -> None:
    """Try every port of every address."""
    starts = range(1, last + 1, _AT_ONCE)
    tasks = [(address, range(first, min(first + _AT_ONCE, last + 1))) for address in addresses for first in starts]
    total: dict[str, dict[str, list[int]]] = {address: {"open": [], "refused": []} for address in addresses}
    with multiprocessing.Pool(8) as pool:
        for (address, _), answer in zip(tasks, pool.starmap(scan, tasks, chunksize=1), strict=True):
            for kind, ports in answer.items():
                total[address][kind] += ports
    print(json.dumps(total))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
