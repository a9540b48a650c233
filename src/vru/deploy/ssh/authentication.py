"""Logging in with keys: the right one first, and as many as there are, although sshd hears only six at a time."""

import base64
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path

import paramiko
from cryptography.exceptions import UnsupportedAlgorithm
from paramiko.agent import AgentSSH
from paramiko.auth_strategy import AuthResult, AuthSource, AuthStrategy, SourceResult
from paramiko.pkey import UnknownKeyType
from paramiko.ssh_exception import PartialAuthentication

from vru.deploy.console.errors import ConnectionFailedError
from vru.deploy.ssh.config import Hop
from vru.deploy.ssh.credentials import ATTEMPTS, Credentials

_OPENSSH = b"-----BEGIN OPENSSH PRIVATE KEY-----"
_AGENT_TIMEOUT_S = 10.0
_UNREADABLE = (paramiko.SSHException, UnknownKeyType, UnsupportedAlgorithm, ValueError, TypeError)


class KeyFileError(ConnectionFailedError):
    """A key file that the user named cannot be used."""


class HungUpError(paramiko.AuthenticationException):
    """The server hung up after some keys; others are left, for a new connection."""


@dataclass(frozen=True, slots=True)
class KeyFile:
    """A private key's file, and what can be seen without its passphrase."""

    path: Path
    public: bytes | None
    encrypted: bool


class Offer(AuthSource):
    """A key that may be tried: its name for messages, and how it is got when its turn comes."""

    def __init__(self, username: str, name: str, load: Callable[[], paramiko.PKey | None]) -> None:
        super().__init__(username)
        self.name = name
        self.load = load

    def authenticate(self, transport: paramiko.Transport) -> list[str]:
        """Offer it.

        Returns:
            What the server wants besides; empty if this key was enough.

        Raises:
            paramiko.AuthenticationException: it is refused, or cannot be had.
        """
        key = self.load()
        if key is None:
            raise paramiko.AuthenticationException(f"{self.name} cannot be used")
        return list(transport.auth_publickey(self.username, key))


@dataclass(slots=True)
class Keys(AuthStrategy):
    """All keys that may open a server, offered one after the other, over several connections where that is needed.

    Args:
        hop: the server, and what the configuration says about its keys.
        chosen: the key that the user named for this server; it is offered first.
        credentials: where passphrases come from.
    """

    hop: Hop
    chosen: Path | None
    credentials: Credentials
    refused: list[str] = field(default_factory=list)
    locked: list[Path] = field(default_factory=list)
    _left: Iterator[Offer] | None = None
    _agent: AgentSSH | None = None

    def get_sources(self) -> Iterator["Offer"]:
        """Every key in the order in which it is offered."""
        in_agent = {key.blob: key for key in self._agent_keys()}
        offered: set[bytes] = set()
        locked: list[KeyFile] = []
        for file in self._files():
            held = in_agent.get(file.public) if file.public is not None else None
            if file.public is not None and (held is not None or not file.encrypted):
                offered.add(file.public)
            if held is not None:
                yield self._offer(str(file.path), partial(_itself, held))
            elif not file.encrypted:
                yield self._offer(str(file.path), partial(self._load, file, None))
            elif file.path == self.chosen:
                yield self._offer(str(file.path), partial(self._unlock, file))
            else:
                locked.append(file)
        if not self.hop.identities_only:
            for blob, key in in_agent.items():
                if blob not in offered:
                    yield self._offer(f"{key.comment or key.get_name()} of the agent", partial(_itself, key))
        # Asked for last: most often a key of the agent has opened the door before.
        for file in locked:
            yield self._offer(str(file.path), partial(self._unlock, file))

    def authenticate(self, transport: paramiko.Transport) -> AuthResult:
        """Offer the keys that were not offered yet.

        Raises:
            HungUpError: the server hung up; call again with a new connection.
            AuthenticationException: all keys were refused.
        """
        if self._left is None:
            self._left = self.get_sources()
        for offer in self._left:
            key = offer.load()
            if key is None:
                continue
            if not transport.is_active():
                # Somebody was asked for a passphrase, and the server would not wait.
                self._left = chain([offer], self._left)
                raise HungUpError("The server did not wait for the passphrase")
            try:
                more = transport.auth_publickey(offer.username, key)
            except paramiko.BadAuthenticationType:
                raise
            except paramiko.SSHException as error:
                # Refused; or the agent would not sign with it.
                self.refused.append(offer.name)
                if not transport.is_active():
                    raise HungUpError("Too many authentication failures") from error
                continue
            if more:
                raise PartialAuthentication(more)
            return AuthResult(self, SourceResult(offer, []))
        raise paramiko.AuthenticationException(self.summary())

    def summary(self) -> str:
        """What was tried, for the error."""
        count = len(self.refused)
        shown = ", ".join(self.refused[:4]) + (f" and {count - 4} more" if count > 4 else "")
        text = f"no key was accepted ({shown})" if count else "there is no key to log in with"
        if self.locked:
            text += f"; {', '.join(map(str, self.locked))} needs its passphrase"
        return text

    def close(self) -> None:
        """Let go of the agent."""
        if self._agent is not None:
            self._agent._close()  # type: ignore[attr-defined]  # only its subclasses have a public one
            self._agent = None

    def _offer(self, name: str, load: Callable[[], paramiko.PKey | None]) -> Offer:
        return Offer(self.hop.user, name, load)

    def _files(self) -> Iterator[KeyFile]:
        chosen = [self.chosen] if self.chosen is not None else []
        for path in dict.fromkeys([*chosen, *self.hop.identity_files]):
            found = inspect(path)
            if found is not None:
                yield found

    def _agent_keys(self) -> tuple[paramiko.AgentKey, ...]:
        if self.hop.agent is None:
            return ()
        link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        link.settimeout(_AGENT_TIMEOUT_S)
        try:
            link.connect(self.hop.agent)
            self._agent = AgentSSH()
            # paramiko's own Agent knows only SSH_AUTH_SOCK.
            self._agent._connect(link)  # type: ignore[attr-defined]
        except (OSError, paramiko.SSHException):
            # As with ssh: an agent that is gone is no agent.
            link.close()
            self._agent = None
            return ()
        # A key that wants a touch or an answer on the screen may take its time.
        link.settimeout(None)
        return self._agent.get_keys()

    def _load(self, file: KeyFile, passphrase: str | None) -> paramiko.PKey | None:
        """The key of a file; None if it is damaged or of a kind that is not supported, and nobody asked for it."""
        try:
            # A certificate beside it is taken along.
            return paramiko.PKey.from_path(file.path, passphrase.encode() if passphrase else None)  # type: ignore[arg-type]
        except _UNREADABLE as error:
            if passphrase is not None:
                raise
            if file.path == self.chosen:
                raise KeyFileError(
                    f"The SSH key {file.path} cannot be read ({str(error).rstrip('.?')}).", "Correct VRU_SSH_KEY."
                ) from error
            return None

    def _unlock(self, file: KeyFile) -> paramiko.PKey | None:
        """The key of an encrypted file, its passphrase asked for once in this process; None if nobody can be asked."""
        with self.credentials.lock:
            known = self.credentials.passphrases.get(file.path)
            if known is not None:
                return self._load(file, known)
            if self.credentials.ask is None:
                self.locked.append(file.path)
                return None
            for _ in range(ATTEMPTS):
                passphrase = self.credentials.ask(f"Passphrase of the SSH key {file.path}")
                if not passphrase:
                    break
                try:
                    key = self._load(file, passphrase)
                except _UNREADABLE:
                    continue
                self.credentials.passphrases[file.path] = passphrase
                return key
        return None


def _itself(key: paramiko.PKey) -> paramiko.PKey:
    return key


def inspect(path: Path) -> KeyFile | None:
    """Look at a key's file without its passphrase; None if there is none, or none that can be read.

    A public key's file stands for a private key that the agent has.
    """
    public = _public(path if path.suffix == ".pub" else Path(f"{path}.pub"))
    if path.suffix == ".pub" or not path.is_file() or not os.access(path, os.R_OK):
        return KeyFile(path, public, encrypted=True) if public is not None else None
    content = path.read_bytes()
    if _OPENSSH not in content:
        return KeyFile(path, public, encrypted=b"ENCRYPTED" in content)
    try:
        cipher, blob = _openssh_header(content)
    except (ValueError, IndexError):
        return KeyFile(path, public, encrypted=False)  # damaged: loading it says so
    return KeyFile(path, blob, encrypted=cipher != "none")


def _openssh_header(content: bytes) -> tuple[str, bytes]:
    """The cipher and the public key, which stand in the clear before the private one (openssh's PROTOCOL.key)."""
    body = content.split(_OPENSSH)[1].split(b"-----END")[0]
    message = paramiko.Message(base64.b64decode(b"".join(body.split())))
    message.get_bytes(len(b"openssh-key-v1\0"))
    cipher = message.get_text()
    message.get_text()  # key derivation
    message.get_string()  # its options
    message.get_int()  # number of keys: one
    blob = message.get_string()
    if not cipher or not blob:
        raise ValueError("the header is cut")
    return cipher, blob


def _public(path: Path) -> bytes | None:
    try:
        return base64.b64decode(path.read_text(encoding="utf-8").split()[1])
    except (OSError, ValueError, IndexError):
        return None
