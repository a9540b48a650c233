"""One SSH connection to the server. Everything that runs there goes through :class:`Server`."""

import getpass
import logging
import os
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import fabric
import paramiko

from vru.deploy.console import log_file
from vru.deploy.console.errors import ConnectionFailedError, RemoteError
from vru.deploy.ssh.channels import Channels, NoChannelError, request_terminal
from vru.deploy.ssh.credentials import Credentials
from vru.deploy.ssh.elevation import Elevation, ElevationError, Mode
from vru.deploy.ssh.jump_chain import open_jump_chain
from vru.deploy.ssh.markers import MarkedOutput, new_marker, wrap

__all__ = ["Address", "Completed", "ConnectionFailedError", "RemoteError", "Server", "Traffic", "actor", "connect"]

_CHUNK = 64 * 1024
_KEEPALIVE_S = 15
_END_S = 15.0

# paramiko reports what goes wrong to the log as well, with its stack; the errors raised here say it in one sentence.
logging.getLogger("paramiko").addHandler(logging.NullHandler())


def actor() -> str:
    """Who asks for changes, as the server's audit and lock name them: ``VRU_ACTOR``, else ``user@laptop``."""
    told = os.environ.get("VRU_ACTOR", "").strip()
    if told:
        return told
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in some containers
        user = f"uid{os.getuid()}"
    return f"{user}@{socket.gethostname()}"


@dataclass(frozen=True, slots=True)
class Address:
    """Where the server is and how to log in. None means: as ``~/.ssh/config`` says, else ssh's default."""

    host: str
    port: int | None = None
    user: str | None = None
    key_file: Path | None = None


@dataclass(frozen=True, slots=True)
class Completed:
    """What a command on the server answered."""

    exit_code: int
    stdout: str
    stderr: str


@dataclass(frozen=True, slots=True)
class Terminal:
    """A terminal for a command: its kind (``TERM``) and its size in characters."""

    kind: str
    columns: int
    rows: int


@dataclass(slots=True)
class Traffic:
    """What crossed the connection: commands run (one round trip each, as users feel it) and payload bytes."""

    round_trips: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0


@dataclass(slots=True)
class Server:
    """An open connection. Use as a context manager; make it with :func:`connect`.

    Commands may run side by side, from several threads, over the one connection.
    """

    address: Address
    connection: fabric.Connection
    elevation: Elevation
    channels: Channels
    close_way: Callable[[], None]
    traffic: Traffic = field(default_factory=Traffic)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection, and those to the jump hosts on the way."""
        self.close_way()

    @property
    def is_open(self) -> bool:
        """Whether the connection stands, as far as is known."""
        return bool(self.connection.is_connected)

    @property
    def needs_sudo(self) -> bool:
        """Whether we are logged in as someone other than root."""
        return self.elevation.mode is not Mode.ROOT

    def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes | Iterable[bytes] = b"",
        check: bool = True,
        on_line: Callable[[str], None] | None = None,
    ) -> Completed:
        """Run a command as root and wait for it; ``on_line`` sees each line of its output as it comes.

        Raises:
            RemoteError: ``check`` is set and the command exits with another code than 0.
        """
        lines: list[str] = []

        def keep(line: str) -> None:
            lines.append(line)
            if on_line is not None:
                on_line(line)

        exit_code, stderr = self.stream(argv, keep, stdin=stdin)
        completed = Completed(exit_code, "".join(lines), stderr)
        if check and exit_code != 0:
            reason = log_file.said(stderr.strip() or completed.stdout, last=True)
            # A script that is given as an argument is no name of a command.
            command = " ".join(word for word in argv[:3] if "\n" not in word)
            raise RemoteError(f"On {self.address.host}, `{command}` failed ({exit_code}): {reason}")
        return completed

    def stream(
        self,
        argv: Sequence[str],
        on_line: Callable[[str], None],
        *,
        stdin: bytes | Iterable[bytes] = b"",
    ) -> tuple[int, str]:
        """Run a command as root and pass on each line of its output, newline included, as it comes.

        Returns:
            Its exit code and what it wrote to standard error.

        Raises:
            ConnectionFailedError: the connection broke before the command ended, or root cannot be reached.
        """
        # Input that comes once cannot be sent again when sudo turns out to want a password: settle that before.
        if self.elevation.mode is Mode.UNKNOWN and not isinstance(stdin, bytes):
            self.elevate()
        guessed = self.elevation.mode is Mode.UNKNOWN
        exit_code, stderr = self._stream(self._command(argv), on_line, self._input(stdin))
        if guessed:
            with self._elevation_errors():
                refused = self.elevation.refused(exit_code, stderr)
            if refused:
                self.elevate()
                return self._stream(self._command(argv), on_line, self._input(stdin))
            if self.elevation.mode is Mode.UNKNOWN:
                self.elevation.mode = Mode.FREE
        return exit_code, stderr

    def elevate(self) -> None:
        """Settle how root is reached, if that is not known yet; sudo's password is asked for here.

        Raises:
            ConnectionFailedError: it cannot be reached.
        """
        if self.elevation.mode is Mode.UNKNOWN:
            with self._elevation_errors():
                self.elevation.find_out(lambda command, given: self._stream(command, _ignore, [given]))

    @contextmanager
    def session(self, argv: Sequence[str], terminal: Terminal | None = None) -> Iterator[paramiko.Channel]:
        """Start a command as root whose three streams are the caller's business, on a terminal if one is given.

        Raises:
            ConnectionFailedError: the connection is gone, or root cannot be reached.
        """
        self.elevate()
        prompt = f"[vru {os.urandom(8).hex()}]" if terminal is not None else None
        with self._errors(), self.channels.session() as channel:
            if terminal is not None:
                request_terminal(channel, terminal.kind, terminal.columns, terminal.rows)
            marker = self._execute(channel, self._command(argv, prompt), terminal=terminal is not None)
            self._skip_login(channel, marker, terminal=terminal is not None)
            password = self.elevation.first_input
            if password and prompt is not None:
                _read_until(channel.recv, prompt.encode())  # at its end: whoever reads on finds it
            if password:
                channel.sendall(password)
            if password and prompt is not None:
                _read_until(channel.recv, b"\n")  # sudo ends its prompt's line
            yield channel

    def forward(self, host: str, port: int) -> AbstractContextManager[paramiko.Channel]:
        """A connection from the server to an address that it can reach; nothing is opened on the server.

        Raises:
            ConnectionFailedError: the connection is gone.
            paramiko.ChannelException: the address does not answer (code 2), or sshd forbids forwarding (code 1).
        """
        return self._forward(host, port)

    @contextmanager
    def _forward(self, host: str, port: int) -> Iterator[paramiko.Channel]:
        with self._errors(passing=(paramiko.ChannelException,)):
            channel = self.connection.transport.open_channel("direct-tcpip", (host, port), ("127.0.0.1", 0))
        try:
            yield channel
        finally:
            channel.close()

    def _execute(self, channel: paramiko.Channel, command: str, *, terminal: bool = False) -> str:
        """Start a command line in ``/bin/sh``. Returns the marker after which its output begins."""
        self.traffic.round_trips += 1
        marker = new_marker()
        try:
            channel.exec_command(wrap(command, marker, terminal=terminal))
        except paramiko.SSHException as error:
            if not self.is_open:
                raise
            raise ConnectionFailedError(
                f"sshd on {self.address.host} refuses to run commands.",
                "On the server, look at ForceCommand in /etc/ssh/sshd_config and at the user's shell.",
            ) from error
        return marker

    def _skip_login(self, channel: paramiko.Channel, marker: str, *, terminal: bool) -> None:
        """Read what the login prints, up to the markers of both streams (one stream on a terminal)."""
        for receive in (channel.recv,) if terminal else (channel.recv, channel.recv_stderr):
            if not _read_until(receive, marker.encode()) or not _read_until(receive, b"\n"):
                raise self._no_command()

    def _no_command(self, said: bytes = b"") -> ConnectionFailedError:
        last = (said.decode(errors="replace").strip().splitlines() or [""])[-1][:200].rstrip(".")
        return ConnectionFailedError(
            f"The login on {self.address.host} ended before the command could run"
            + (f"; the last line it printed: {last}." if last else "."),
            "On the server, look at the user's login shell, at what its start files (~/.bashrc) do, and at "
            "ForceCommand in /etc/ssh/sshd_config.",
        )

    def _command(self, argv: Sequence[str], prompt: str | None = None) -> str:
        return self.elevation.command(argv, {"VRU_ACTOR": actor()}, prompt)

    def _input(self, stdin: bytes | Iterable[bytes]) -> Iterator[bytes]:
        # Never counted or logged: it may be sudo's password.
        yield self.elevation.first_input
        yield from (stdin,) if isinstance(stdin, bytes) else stdin

    def _stream(self, command: str, on_line: Callable[[str], None], stdin: Iterable[bytes]) -> tuple[int, str]:
        with self._errors(), self.channels.session() as channel:
            # Before the command: the answers to both come together.
            self.channels.prepare()
            marker = self._execute(channel, command)
            output, error_output = MarkedOutput(channel.recv, marker), MarkedOutput(channel.recv_stderr, marker)
            sender = threading.Thread(target=self._send, args=(channel, stdin), daemon=True)
            sender.start()
            errors: list[bytes] = []
            error_reader = threading.Thread(target=lambda: errors.extend(_chunks(error_output.read)), daemon=True)
            error_reader.start()
            for line in self._lines(output.read):
                on_line(line)
            error_reader.join()
            exit_code = channel.recv_exit_status()
            sender.join(timeout=_END_S)
        if exit_code == -1:
            if self.is_open:
                raise ConnectionFailedError(
                    f"The command on {self.address.host} was killed.",
                    "Run the same command again: it picks up where it was.",
                )
            raise ConnectionFailedError(
                f"The connection to {self.address.host} broke.", "Run the same command again: it picks up where it was."
            )
        if not output.begun:
            raise self._no_command(error_output.before + b"\n" + output.before)
        return exit_code, b"".join(errors).decode(errors="replace")

    @contextmanager
    def _errors(self, passing: tuple[type[BaseException], ...] = ()) -> Iterator[None]:
        try:
            yield
        except passing:
            raise
        except NoChannelError as error:
            raise ConnectionFailedError(
                f"sshd on {self.address.host} opens no session: {error}.",
                "On the server, look at MaxSessions and ForceCommand in /etc/ssh/sshd_config.",
            ) from error
        except (paramiko.SSHException, OSError, EOFError) as error:
            if isinstance(error, OSError) and self.is_open:
                raise  # of the caller's own files, not of the connection
            raise ConnectionFailedError(
                f"The connection to {self.address.host} is gone: {error or type(error).__name__}."
            ) from error

    @contextmanager
    def _elevation_errors(self) -> Iterator[None]:
        try:
            yield
        except ElevationError as error:
            raise ConnectionFailedError(error.message, error.fix) from error

    def _send(self, channel: paramiko.Channel, stdin: Iterable[bytes]) -> None:
        try:
            for part in stdin:
                for start in range(0, len(part), _CHUNK):
                    piece = part[start : start + _CHUNK]
                    channel.sendall(piece)
                    self.traffic.bytes_sent += len(piece)
            channel.shutdown_write()
        except (OSError, EOFError):
            # The command ended without reading all of it. Its exit code, which the reader waits for, says why.
            return

    def _lines(self, receive: Callable[[int], bytes]) -> Iterator[str]:
        rest = b""
        for chunk in _chunks(receive):
            self.traffic.bytes_received += len(chunk)
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                yield line.decode(errors="replace") + "\n"
        if rest:
            yield rest.decode(errors="replace")


def _ignore(line: str) -> None:
    """The output of a question whose answer is its exit code."""


def _chunks(receive: Callable[[int], bytes]) -> Iterator[bytes]:
    while chunk := receive(_CHUNK):
        yield chunk


def _read_until(receive: Callable[[int], bytes], mark: bytes) -> bool:
    """Read up to a mark, and nothing beyond it. False: the stream ended first."""
    seen = b""
    while mark not in seen:
        byte = receive(1)
        if not byte:
            return False
        seen = (seen + byte)[-1000:]
    return True


def connect(
    address: Address,
    *,
    accept_host_key: str | None = None,
    ask: Callable[[str], bool] | None = None,
    credentials: Credentials | None = None,
) -> Server:
    """Open a connection, with ``~/.ssh/config``, the agent and jump hosts honoured and every host key checked.

    Args:
        address: the server.
        accept_host_key: fingerprint of the key to accept if it is unknown.
        ask: asks the user on a terminal; None where nobody can be asked.
        credentials: where passphrases and sudo's password come from; shared by the connections of one command.

    Raises:
        HostKeyError: a host key is unknown or has changed.
        ConnectionFailedError: the server does not answer, speaks no SSH or refuses the login.
    """
    key_file = address.key_file.expanduser() if address.key_file else None
    if key_file is not None and not key_file.is_file():
        raise ConnectionFailedError(f"The SSH key {address.key_file} does not exist.", "Correct VRU_SSH_KEY.")
    secrets = credentials or Credentials()
    chain = open_jump_chain(
        address.host, address.port, address.user, key_file, accept_host_key=accept_host_key, ask=ask, secrets=secrets
    )
    connection = chain[-1]
    connection.transport.set_keepalive(_KEEPALIVE_S)

    def close() -> None:
        for hop in reversed(chain):
            hop.close()

    elevation = Elevation(str(connection.user), address.host, secrets)
    return Server(address, connection, elevation, Channels(connection.transport), close)
