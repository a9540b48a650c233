"""The rule for SSH host keys: a changed key always stops, an unknown one needs a fingerprint or an answer.

Fabric accepts any key and reads no ``known_hosts``; this module replaces both habits. ``known_hosts`` is only ever
appended to: other programs' lines, hashed ones too, stay as they are.
"""

import base64
import hashlib
from collections.abc import Callable
from pathlib import Path

import paramiko

from vru.domain import VruError

SYSTEM_KNOWN_HOSTS = Path("/etc/ssh/ssh_known_hosts")


class HostKeyError(VruError):
    """The server's host key is unknown and was not accepted, or it is not the one that is known."""


def fingerprint(key: paramiko.PKey) -> str:
    """The key's fingerprint as OpenSSH prints it: ``SHA256:`` and unpadded base64."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(key.asbytes()).digest()).decode().rstrip("=")


def remember(file: Path, hostname: str, key: paramiko.PKey) -> None:
    """Append the key to a ``known_hosts`` file; ``hostname`` is ``host`` or ``[host]:port``."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with file.open("a+", encoding="utf-8") as known_hosts:
        known_hosts.seek(0)
        text = known_hosts.read()
        line = f"{hostname} {key.get_name()} {key.get_base64()}\n"
        known_hosts.write(line if not text or text.endswith("\n") else "\n" + line)


def changed_key_error(hostname: str, key: paramiko.PKey, file: Path) -> HostKeyError:
    """The error for a key that is not the known one."""
    return HostKeyError(
        f"The host key of {hostname} has changed: it is now {fingerprint(key)}. "
        "Someone may be listening in, or the server was installed anew.",
        f'If you know why it changed, remove the old key with: ssh-keygen -f {file} -R "{hostname}"',
    )


class HostKeyRule(paramiko.MissingHostKeyPolicy):
    """Decides about a host key that no ``known_hosts`` file has.

    Args:
        file: where an accepted key is remembered.
        accept: fingerprint that the user gave (``SHA256:...``), if any.
        ask: asks the user on a terminal, with a question, for yes or no; None where nobody can be asked.
    """

    def __init__(self, file: Path, accept: str | None, ask: Callable[[str], bool] | None) -> None:
        self.file = file
        self.accept = accept
        self.ask = ask

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:
        """Remember the key if it is accepted.

        Raises:
            HostKeyError: it is not.
        """
        shown = fingerprint(key)
        if self.accept is not None:
            if self.accept.strip() != shown:
                raise HostKeyError(
                    f"{hostname} shows the host key {shown}, not the accepted {self.accept}.",
                    "Compare with `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` on the server's console.",
                )
        elif self.ask is None or not self.ask(f"{hostname} shows the unknown host key {shown}. Is it the server's?"):
            raise HostKeyError(
                f"The host key of {hostname} is unknown: {shown}.",
                f"Check it on the server's console, then run again with --accept-host-key {shown}",
            )
        remember(self.file, hostname, key)
