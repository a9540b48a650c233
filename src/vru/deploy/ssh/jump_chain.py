"""The jump chain: one SSH connection a hop, each host key checked, each login with the keys meant for that hop."""

import contextlib
import os
import shlex
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import fabric
import paramiko
from paramiko.ssh_exception import PartialAuthentication

from vru.deploy.console.errors import ConnectionFailedError
from vru.deploy.ssh.authentication import HungUpError, Keys
from vru.deploy.ssh.config import Hop, SshConfigError, resolve
from vru.deploy.ssh.credentials import Credentials
from vru.deploy.ssh.host_keys import HostKeyError, HostKeyRule, preferred_algorithms

CONNECT_TIMEOUT_S = 15.0
# A connection whose other end says nothing for so long, although it is asked every 15 s, is gone.
_SILENCE_MS = 60_000
_FAMILIES = {"inet": socket.AF_INET, "inet6": socket.AF_INET6}


def open_jump_chain(
    host: str,
    port: int | None,
    user: str | None,
    key_file: Path | None,
    *,
    accept_host_key: str | None,
    ask: Callable[[str], bool] | None,
    secrets: Credentials,
) -> list[fabric.Connection]:
    """Open the connection to each hop; the last one is the server's.

    Raises:
        HostKeyError: a host key is unknown or has changed.
        ConnectionFailedError: one of them cannot be reached, or does not let us in.
    """
    try:
        hops = resolve(host, port, user).chain
    except SshConfigError as error:
        raise ConnectionFailedError(error.message, error.fix) from error
    opened: list[fabric.Connection] = []
    try:
        for hop in hops:
            keys = Keys(hop, key_file if hop is hops[-1] else None, secrets)
            before = opened[-1] if opened else None
            rule = HostKeyRule(hop.key_name, hop.known_hosts, accept_host_key, ask, hashed=hop.hash_known_hosts)
            opened.append(_open(hop, before, keys, rule))
    except BaseException:
        for connection in reversed(opened):
            connection.close()
        raise
    return opened


def _open(hop: Hop, before: fabric.Connection | None, keys: Keys, rule: HostKeyRule) -> fabric.Connection:
    """Connect, over and again while the server hangs up before all keys were offered."""
    with _errors(hop, keys):
        try:
            while True:
                connection = _connection(hop, _link(hop, before), keys, rule)
                try:
                    connection.open()
                except HungUpError:
                    connection.client.close()
                    continue
                except BaseException:
                    connection.client.close()
                    raise
                return connection
        finally:
            # Signing is over; the socket need not stay open.
            keys.close()


def _connection(hop: Hop, link: socket.socket | paramiko.Channel, keys: Keys, rule: HostKeyRule) -> fabric.Connection:
    def transport(sock: socket.socket | paramiko.Channel, **settings: object) -> paramiko.Transport:
        made = paramiko.Transport(sock, **settings)  # type: ignore[arg-type]  # SSHClient's own arguments
        options = made.get_security_options()
        options.key_types = preferred_algorithms(rule.known, options.key_types)
        return made

    # All of ~/.ssh/config is in the hop already: Fabric reads it in its own way, and takes jump hosts in reverse.
    config = fabric.Config(ssh_config=paramiko.SSHConfig(), lazy=True)
    connection = fabric.Connection(
        hop.host,
        user=hop.user,
        port=hop.port,
        config=config,
        gateway=False,
        forward_agent=False,
        connect_timeout=CONNECT_TIMEOUT_S,
        connect_kwargs={
            "sock": link,
            "transport_factory": transport,
            "auth_strategy": keys,
            "banner_timeout": CONNECT_TIMEOUT_S,
            "auth_timeout": CONNECT_TIMEOUT_S,
        },
    )
    connection.client.set_missing_host_key_policy(rule)
    return connection


def _link(hop: Hop, before: fabric.Connection | None) -> socket.socket | paramiko.Channel:
    if before is not None:
        channel: paramiko.Channel = before.transport.open_channel(
            "direct-tcpip", (hop.host, hop.port), ("127.0.0.1", 0), timeout=CONNECT_TIMEOUT_S
        )
        return channel
    if hop.proxy_command is not None:
        return _Program(hop.proxy_command)
    return _dial(hop)


def _dial(hop: Hop) -> socket.socket:
    """A TCP connection to the first of the host's addresses that answers."""
    family = _FAMILIES.get(hop.family, socket.AF_UNSPEC)
    failed: OSError | None = None
    for kind, _, _, _, where in socket.getaddrinfo(hop.host, hop.port, family, socket.SOCK_STREAM):
        link = socket.socket(kind, socket.SOCK_STREAM)
        try:
            link.settimeout(CONNECT_TIMEOUT_S)
            link.connect(where)
        except OSError as error:
            link.close()
            failed = failed or error
            continue
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(AttributeError):  # only Linux has it
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _SILENCE_MS)
        return link
    raise failed or OSError("it has no address")


class _Program(socket.socket):
    """A program's two streams as one socket, as ``ssh`` runs a ProxyCommand; it ends with the connection."""

    def __init__(self, command: str) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            # Its errors go to the user. In a session of its own, Ctrl-C does not cut the connection under a command.
            self._process = subprocess.Popen(
                [os.environ.get("SHELL") or "/bin/sh", "-c", f"exec {command}"],
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                start_new_session=True,
            )
        super().__init__(fileno=ours.detach())
        self.settimeout(CONNECT_TIMEOUT_S)

    def close(self) -> None:
        """Close both streams, and see that the program ends."""
        super().close()
        if self._process.poll() is None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=1)


@contextmanager
def _errors(hop: Hop, keys: Keys) -> Iterator[None]:  # noqa: C901 - a branch an error, each a sentence
    """Turn what goes wrong on the way to a hop into one sentence."""
    user, where = hop.user, str(hop)
    try:
        yield
    except (HostKeyError, ConnectionFailedError):
        raise
    except PartialAuthentication as error:
        raise ConnectionFailedError(
            f"{where} wants more than a key from user {user}: {', '.join(error.allowed_types)}.",
            "Use a user who logs in with a key only.",
        ) from error
    except paramiko.BadAuthenticationType as error:
        raise ConnectionFailedError(
            f"{where} lets user {user} not log in with a key; it offers {', '.join(error.allowed_types)}.",
            "Allow it in /etc/ssh/sshd_config: PubkeyAuthentication yes",
        ) from error
    except paramiko.AuthenticationException as error:
        raise ConnectionFailedError(
            f"{where} refused the login of user {user}: {error}.", _login_fix(hop, keys)
        ) from error
    except paramiko.ChannelException as error:
        raise ConnectionFailedError(
            f"The jump host cannot connect to {where}: {error.text or 'refused'}.",
            "Check the name and the port, and AllowTcpForwarding on the jump host.",
        ) from error
    except ConnectionRefusedError as error:
        raise ConnectionFailedError(
            f"Nothing answers at {where}.", "Check VRU_HOST and VRU_SSH_PORT, and that sshd runs there."
        ) from error
    except socket.gaierror as error:
        raise ConnectionFailedError(f"No host is called {hop.host}.", "Check VRU_HOST.") from error
    except TimeoutError as error:
        raise ConnectionFailedError(
            f"{where} did not answer within {CONNECT_TIMEOUT_S:.0f} s.", "Check VRU_HOST, VRU_SSH_PORT and firewalls."
        ) from error
    except (paramiko.SSHException, EOFError) as error:
        raise ConnectionFailedError(
            f"{where} answers, but an SSH session cannot be opened: {error or type(error).__name__}.",
            "Check that VRU_SSH_PORT is the port of sshd.",
        ) from error
    except OSError as error:
        raise ConnectionFailedError(
            f"{where} cannot be reached: {error.strerror or error}.", "Check VRU_HOST, VRU_SSH_PORT and the network."
        ) from error


def _login_fix(hop: Hop, keys: Keys) -> str:
    if keys.locked:
        return f"Give the key to the agent first: ssh-add {shlex.quote(str(keys.locked[0]))}"
    return (
        f"Put your key there with: ssh-copy-id -p {hop.port} {hop.user}@{hop.host}, "
        "or name another key with VRU_SSH_KEY or another user with VRU_SSH_USER."
    )
