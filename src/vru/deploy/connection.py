"""One SSH connection to the server. Everything that runs there goes through :class:`Server`."""

import getpass
import os
import shlex
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import fabric
import paramiko
from paramiko.ssh_exception import NoValidConnectionsError

from vru.deploy.host_keys import SYSTEM_KNOWN_HOSTS, HostKeyRule, changed_key_error
from vru.domain import VruError

CONNECT_TIMEOUT_S = 15.0
_CHUNK = 64 * 1024


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


class ConnectionFailedError(VruError):
    """The server cannot be reached, or it does not let us in."""


class RemoteError(VruError):
    """A command on the server failed."""


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


@dataclass(slots=True)
class Traffic:
    """What crossed the connection: commands run (one round trip each, as users feel it) and payload bytes."""

    round_trips: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0


@dataclass(slots=True)
class Server:
    """An open connection. Use as a context manager; make it with :func:`connect`."""

    address: Address
    connection: fabric.Connection
    traffic: Traffic = field(default_factory=Traffic)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.connection.close()

    @property
    def needs_sudo(self) -> bool:
        """Whether we are logged in as someone other than root."""
        return str(self.connection.user) != "root"

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
            last = (stderr.strip() or completed.stdout.strip() or "no output").splitlines()[-1]
            raise RemoteError(f"On {self.address.host}, `{' '.join(argv[:3])}` failed ({exit_code}): {last}")
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
            ConnectionFailedError: the connection broke before the command ended.
        """
        # After sudo, which drops the environment: the server's audit names who sits at this laptop.
        command = shlex.join(["env", f"VRU_ACTOR={actor()}", *argv])
        if self.needs_sudo:
            command = f"sudo -n -- {command}"
        try:
            channel = self.connection.transport.open_session(timeout=CONNECT_TIMEOUT_S)
            channel.exec_command(command)
        except (paramiko.SSHException, OSError) as error:
            raise ConnectionFailedError(f"The connection to {self.address.host} is gone: {error}.") from error
        self.traffic.round_trips += 1
        sender = threading.Thread(target=self._send, args=(channel, stdin), daemon=True)
        sender.start()
        errors: list[bytes] = []
        error_reader = threading.Thread(target=lambda: errors.extend(_chunks(channel.recv_stderr)), daemon=True)
        error_reader.start()
        for line in self._lines(channel):
            on_line(line)
        error_reader.join()
        exit_code = channel.recv_exit_status()
        sender.join(timeout=CONNECT_TIMEOUT_S)
        channel.close()
        if exit_code == -1:
            raise ConnectionFailedError(
                f"The connection to {self.address.host} broke.", "Run the same command again: it picks up where it was."
            )
        stderr = b"".join(errors).decode(errors="replace")
        if self.needs_sudo and exit_code == 1 and "sudo:" in stderr:
            raise ConnectionFailedError(
                f"User {self.connection.user} may not use sudo without a password on {self.address.host}.",
                f"Allow it on the server (echo '{self.connection.user} ALL=(ALL) NOPASSWD: ALL' | "
                f"sudo tee /etc/sudoers.d/vru), or log in as root.",
            )
        return exit_code, stderr

    def _send(self, channel: paramiko.Channel, stdin: bytes | Iterable[bytes]) -> None:
        parts: Iterable[bytes] = (stdin,) if isinstance(stdin, bytes) else stdin
        try:
            for part in parts:
                for start in range(0, len(part), _CHUNK):
                    piece = part[start : start + _CHUNK]
                    channel.sendall(piece)
                    self.traffic.bytes_sent += len(piece)
            channel.shutdown_write()
        except OSError:
            # The command ended without reading all of it. Its exit code, which the reader waits for, says why.
            return

    def _lines(self, channel: paramiko.Channel) -> Iterator[str]:
        rest = b""
        for chunk in _chunks(channel.recv):
            self.traffic.bytes_received += len(chunk)
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                yield line.decode(errors="replace") + "\n"
        if rest:
            yield rest.decode(errors="replace")


def _chunks(receive: Callable[[int], bytes]) -> Iterator[bytes]:
    while chunk := receive(_CHUNK):
        yield chunk


def connect(
    address: Address, *, accept_host_key: str | None = None, ask: Callable[[str], bool] | None = None
) -> Server:
    """Open a connection, with ``~/.ssh/config``, the agent and jump hosts honoured and the host key checked.

    Args:
        address: the server.
        accept_host_key: fingerprint of the key to accept if it is unknown.
        ask: asks the user on a terminal; None where nobody can be asked.

    Raises:
        HostKeyError: the host key is unknown or has changed.
        ConnectionFailedError: the server does not answer, speaks no SSH or refuses the login.
    """
    key_files = [str(address.key_file)] if address.key_file else []
    if address.key_file and not address.key_file.expanduser().is_file():
        raise ConnectionFailedError(f"The SSH key {address.key_file} does not exist.", "Correct VRU_SSH_KEY.")
    connection = fabric.Connection(
        address.host,
        user=address.user,
        port=address.port,
        connect_timeout=CONNECT_TIMEOUT_S,
        connect_kwargs={
            "key_filename": [str(Path(name).expanduser()) for name in key_files],
            "look_for_keys": not key_files,
            "banner_timeout": CONNECT_TIMEOUT_S,
            "auth_timeout": CONNECT_TIMEOUT_S,
        },
    )
    hops = [connection]
    while isinstance(hops[-1].gateway, fabric.Connection):
        hops.append(hops[-1].gateway)
    for hop in hops:
        _check_host_keys(hop, accept_host_key if hop is connection else None, ask)
    where = f"{connection.host} port {connection.port}"
    try:
        connection.open()
    except paramiko.BadHostKeyException as error:
        name = connection.host if connection.port == 22 else f"[{connection.host}]:{connection.port}"
        raise changed_key_error(name, error.key, _known_hosts(connection)) from error
    except paramiko.AuthenticationException as error:
        raise ConnectionFailedError(
            f"{where} refused the login of user {connection.user or getpass.getuser()}: {error}.",
            f"Put your key there with: ssh-copy-id -p {connection.port} {connection.user}@{connection.host}, "
            "or name another key with VRU_SSH_KEY or another user with VRU_SSH_USER.",
        ) from error
    except (NoValidConnectionsError, ConnectionRefusedError) as error:
        raise ConnectionFailedError(
            f"Nothing answers at {where}.", "Check VRU_HOST and VRU_SSH_PORT, and that sshd runs there."
        ) from error
    except socket.gaierror as error:
        raise ConnectionFailedError(f"No host is called {connection.host}.", "Check VRU_HOST.") from error
    except TimeoutError as error:
        raise ConnectionFailedError(
            f"{where} did not answer within {CONNECT_TIMEOUT_S:.0f} s.", "Check VRU_HOST, VRU_SSH_PORT and firewalls."
        ) from error
    except (paramiko.SSHException, EOFError, OSError) as error:
        raise ConnectionFailedError(
            f"{where} answers, but an SSH session cannot be opened: {error or type(error).__name__}.",
            "Check that VRU_SSH_PORT is the port of sshd.",
        ) from error
    connection.transport.set_keepalive(15)
    return Server(address, connection)


def _known_hosts(connection: fabric.Connection) -> Path:
    configured = str(connection.ssh_config.get("userknownhostsfile", "~/.ssh/known_hosts")).split()[0]
    return Path(configured).expanduser()


def _check_host_keys(connection: fabric.Connection, accept: str | None, ask: Callable[[str], bool] | None) -> None:
    """Replace Fabric's policy, which accepts any key, and read the files that it never reads."""
    own = _known_hosts(connection)
    for file in (SYSTEM_KNOWN_HOSTS, own):
        if file.is_file():
            connection.client.load_system_host_keys(str(file))
    connection.client.set_missing_host_key_policy(HostKeyRule(own, accept, ask))
