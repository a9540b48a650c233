"""Which port each process listens on, and who holds a port that is taken."""

import errno
import socket
from collections.abc import Mapping

import psutil

from vru.domain import VruError

HOST = "127.0.0.1"

# The paper's ports for what people open. The others are shifted: 5432, 6379 and 9100 are often the machine's own.
DEFAULT_PORTS: Mapping[str, int] = {
    "api_gateway": 8000,
    "ml_engine": 8001,
    "camera_service": 8002,
    "validation_engine": 8003,
    "frontend": 3000,
    "validation_worker": 19100,
    "postgres": 15432,
    "redis": 16379,
    "signer": 18005,
}


def choose_ports(base_port: int | None, overrides: Mapping[str, int]) -> dict[str, int]:
    """One port for each process: the defaults, or ``base_port`` and the ones after it; then the overrides.

    Raises:
        VruError: an override names no process, a port is out of range, or two processes got the same one.
    """
    ports = dict(DEFAULT_PORTS)
    if base_port is not None:
        ports = {name: base_port + offset for offset, name in enumerate(DEFAULT_PORTS)}
    for name, port in overrides.items():
        if name not in ports:
            raise VruError(f"There is no process called {name!r}.", f"Use one of: {', '.join(ports)}.")
        ports[name] = port
    for name, port in ports.items():
        if not 1 <= port <= 65535:
            raise VruError(f"Port {port} for {name} is not between 1 and 65535.", "Choose another one.")
    for port in ports.values():
        users = [name for name, used in ports.items() if used == port]
        if len(users) > 1:
            raise VruError(f"Port {port} is given to {' and '.join(users)}.", "Give each its own.")
    return ports


def check_free(ports: Mapping[str, int]) -> None:
    """Do nothing if every port can be listened on.

    Raises:
        VruError: some cannot; names each one, its process here and, where it can be known, who holds it.
    """
    taken = [f"port {port} ({name}) is taken by {_holder(port)}" for name, port in ports.items() if not _is_free(port)]
    if taken:
        text = "; ".join(taken)
        raise VruError(
            f"{text[0].upper()}{text[1:]}.",
            "Stop what holds it, or choose other ports, for example with --base-port 18000.",
        )


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: a port whose last connections are in TIME_WAIT is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise VruError(
                f"Port {port} cannot be used: {error.strerror}.", "Choose another with --base-port or --port."
            ) from None
    return True


def _holder(port: int) -> str:
    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.AccessDenied:
        return "another process"
    for connection in connections:
        if connection.status == psutil.CONN_LISTEN and connection.pid and tuple(connection.laddr)[1] == port:
            return _describe(connection.pid)
    return "another user's process"


def _describe(pid: int) -> str:
    try:
        command = " ".join(psutil.Process(pid).cmdline())
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        command = ""
    return f"process {pid} ({command[:80]})" if command else f"process {pid}"
