"""A tunnel: a service on the server as a port of this laptop, over SSH. Nothing is opened on the server."""

import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from queue import Empty, Queue
from typing import Any, Self

import paramiko

from vru.deploy.server import host_program
from vru.deploy.settings.environment import Environment
from vru.deploy.ssh.connection import ConnectionFailedError, RemoteError, Server
from vru.domain import VruError

HERE = "127.0.0.1"
_CHUNK = 64 * 1024
_ANSWER_TIMEOUT_S = 20.0
# Codes of a refused channel (RFC 4254, 5.1).
_PROHIBITED = 1


class TunnelError(VruError):
    """The tunnel cannot be opened, or one connection through it."""


@dataclass(frozen=True, slots=True)
class Place:
    """A container, and where it answers, seen from the server."""

    name: str
    address: str
    port: int


def url(environment: Environment, service: str, port: int) -> tuple[str, str]:
    """What to type on this laptop to use a service, and who logs in there; no password is shown."""
    match service:
        case "postgres":
            user, name = environment["VRU_DATABASE_USER"], environment["VRU_DATABASE_NAME"]
            return f"postgresql://{user}@{HERE}:{port}/{name}", f"user {user}, password VRU_DATABASE_PASSWORD"
        case "redis":
            return f"redis://app@{HERE}:{port}", "user app, password VRU_REDIS_PASSWORD"
        case "grafana":
            return f"http://{HERE}:{port}", "user admin, password VRU_GRAFANA_PASSWORD"
        case _:
            return f"http://{HERE}:{port}", ""


class Questions:
    """Asks the server where a service is: one program there, started once, answers as often as it is asked."""

    def __init__(self, server: Server, arguments: list[str]) -> None:
        self._asked: Queue[bytes | None] = Queue()
        self._answers: Queue[str | None] = Queue()
        self._failure: VruError | None = None
        self._turn = threading.Lock()
        self._thread = threading.Thread(target=self._run, args=(server, arguments), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._asked.put(None)
        self._thread.join(timeout=_ANSWER_TIMEOUT_S)

    def ask(self) -> Place:
        """Where the service is now.

        Raises:
            TunnelError: it does not run.
            VruError: the server gives no answer.
        """
        with self._turn:
            self._asked.put(b"\n")
            try:
                line = self._answers.get(timeout=_ANSWER_TIMEOUT_S)
            except Empty:
                raise ConnectionFailedError("The server gives no answer.", "Look at: vru status") from None
        if line is None:
            raise self._failure or ConnectionFailedError("The connection to the server is gone.")
        answer: Mapping[str, Any] = json.loads(line)
        if "error" in answer:
            raise TunnelError(str(answer["error"]), str(answer.get("fix", "")))
        return Place(str(answer["name"]), str(answer["address"]), int(answer["port"]))

    def _run(self, server: Server, arguments: list[str]) -> None:
        try:
            exit_code, stderr = host_program.stream(server, arguments, self._answers.put, stdin=self._questions())
            last = (stderr.strip().splitlines() or ["it said nothing"])[-1]
            self._failure = RemoteError(f"The host program ended ({exit_code}): {last}")
        except VruError as error:
            self._failure = error
        finally:
            self._answers.put(None)

    def _questions(self) -> Iterator[bytes]:
        while (question := self._asked.get()) is not None:
            yield question


@dataclass(slots=True)
class Tunnel:
    """Connections to a port of this laptop, each passed on to the container that serves at that moment.

    Args:
        connect: opens a connection to the server; called again when it is lost.
        arguments: for the host program: which service, which of its containers, which port.
        report: told what goes wrong with a single connection.
    """

    connect: Callable[[], Server]
    arguments: list[str]
    report: Callable[[str], None]
    _server: Server | None = None
    _questions: Questions | None = None
    _open: ExitStack = field(default_factory=ExitStack)
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def check(self) -> Place:
        """Open one connection to the service and close it, so that what is wrong is said at once.

        Raises:
            VruError: there is no such service, it does not run, or it cannot be reached.
        """
        server, questions = self._link()
        place = questions.ask()
        with self._channel(server, place):
            return place

    def serve(self, listener: socket.socket) -> None:
        """Pass connections on until the listener is closed or the user interrupts."""
        while True:
            client, _ = listener.accept()
            threading.Thread(target=self._serve_one, args=(client,), daemon=True).start()

    def _link(self) -> tuple[Server, Questions]:
        """The connection to the server, made anew where it was lost."""
        with self._turn:
            if self._server is None or self._questions is None or not self._server.is_open:
                self._open.close()
                self._server = self._open.enter_context(self.connect())
                arguments = ["address", *self.arguments]
                # Once by itself: what is wrong is said, and the program is there for what follows.
                host_program.ask(self._server, *arguments, stdin=b"\n")
                self._questions = self._open.enter_context(Questions(self._server, arguments))
            return self._server, self._questions

    def _serve_one(self, client: socket.socket) -> None:
        with client:
            try:
                server, questions = self._link()
                with self._channel(server, questions.ask()) as channel:
                    relay(client, channel)
            except VruError as error:
                self.report(f"{error.message} {error.fix}".rstrip())

    @contextmanager
    def _channel(self, server: Server, place: Place) -> Iterator[paramiko.Channel]:
        try:
            with server.forward(place.address, place.port) as channel:
                yield channel
        except paramiko.ChannelException as error:
            if error.code == _PROHIBITED:
                raise TunnelError(
                    f"sshd on {server.address.host} forbids forwarding.",
                    "Allow it in /etc/ssh/sshd_config: AllowTcpForwarding yes (or local), and no PermitOpen.",
                ) from error
            raise TunnelError(
                f"{place.name} does not answer on port {place.port}.", "It may be starting: look at vru status."
            ) from error


def listen(wanted: int | None, preferred: int) -> tuple[socket.socket, bool]:
    """Listen on a port of this laptop, reachable from itself only.

    Returns:
        The listener, and whether it has another port than ``preferred`` because that one is taken.

    Raises:
        TunnelError: the port that the user ``wanted`` cannot be had.
    """
    if wanted is not None:
        try:
            return socket.create_server((HERE, wanted)), False
        except OSError as error:
            raise TunnelError(
                f"Port {wanted} of this laptop cannot be used: {error.strerror}.", "Give another --port, or none."
            ) from error
    try:
        return socket.create_server((HERE, preferred)), False
    except OSError:
        return socket.create_server((HERE, 0)), True


def relay(client: socket.socket, channel: paramiko.Channel) -> None:
    """Pass bytes on in both directions until both sides have said all."""
    upwards = threading.Thread(target=_upwards, args=(client, channel), daemon=True)
    upwards.start()
    try:
        while data := channel.recv(_CHUNK):
            client.sendall(data)
        client.shutdown(socket.SHUT_WR)
    except OSError:
        # The program on this laptop has gone: nobody is left to read.
        channel.close()
    upwards.join()


def _upwards(client: socket.socket, channel: paramiko.Channel) -> None:
    try:
        while data := client.recv(_CHUNK):
            channel.sendall(data)
        channel.shutdown_write()
    except (OSError, EOFError):
        # Either end is gone; the other direction notices and ends.
        channel.close()
