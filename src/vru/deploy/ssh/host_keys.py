"""The rule for SSH host keys: a changed key always stops, an unknown one needs a fingerprint or an answer.

Fabric accepts any key and reads no ``known_hosts``; this module replaces both habits. ``known_hosts`` is only ever
appended to: other programs' lines, hashed ones too, stay as they are.
"""

import base64
import binascii
import hashlib
import hmac
import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import paramiko

from vru.domain import VruError

# How the algorithms are called by which a server proves that it has a key of a type.
_ALGORITHMS = {"ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256")}


class HostKeyError(VruError):
    """The server's host key is unknown and was not accepted, or it is not the one that is known."""


@dataclass(frozen=True, slots=True)
class KnownKey:
    """One line of a ``known_hosts`` file that is about the wanted name."""

    kind: str
    blob: bytes
    revoked: bool
    file: Path


def fingerprint(key: paramiko.PKey) -> str:
    """The key's fingerprint as OpenSSH prints it: ``SHA256:`` and unpadded base64."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(key.asbytes()).digest()).decode().rstrip("=")


def known_keys(files: Sequence[Path], name: str) -> list[KnownKey]:
    """What the files know of a name (``host`` or ``[host]:port``). Lines that are no key of ours are left out."""
    return [found for file in files if file.is_file() for found in _read(file, name)]


def _read(file: Path, name: str) -> Iterator[KnownKey]:
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        fields = line.split()
        marker = fields.pop(0) if fields and fields[0].startswith("@") else ""
        # A certificate authority signs certificates, which are not used here.
        if len(fields) < 3 or fields[0].startswith("#") or marker not in ("", "@revoked"):
            continue
        patterns, kind, encoded = fields[:3]
        if not matches(patterns, name):
            continue
        try:
            yield KnownKey(kind, base64.b64decode(encoded, validate=True), bool(marker), file)
        except binascii.Error:
            continue


def matches(patterns: str, name: str) -> bool:
    """Whether the first field of a line (a hash, or names with ``*``, ``?`` and ``!`` between commas) means a name."""
    if patterns.startswith("|1|"):
        return _hash_matches(patterns, name)
    found = False
    for pattern in patterns.lower().split(","):
        expression = re.escape(pattern.removeprefix("!")).replace(r"\*", ".*").replace(r"\?", ".")
        if re.fullmatch(expression, name.lower()):
            if pattern.startswith("!"):
                return False
            found = True
    return found


def _hash_matches(hashed: str, name: str) -> bool:
    try:
        salt, expected = (base64.b64decode(part, validate=True) for part in hashed.split("|")[2:4])
    except (ValueError, binascii.Error):
        return False
    return hmac.compare_digest(hmac.new(salt, name.lower().encode(), "sha1").digest(), expected)


def preferred_algorithms(known: Sequence[KnownKey], offered: Sequence[str]) -> list[str]:
    """The host key algorithms in the order to ask for: first those of the keys that are known."""
    wanted = [name for key in known if not key.revoked for name in _ALGORITHMS.get(key.kind, (key.kind,))]
    first = [name for name in dict.fromkeys(wanted) if name in offered]
    return [*first, *(name for name in offered if name not in first)]


def remember(file: Path, hostname: str, key: paramiko.PKey, *, hashed: bool = False) -> None:
    """Append the key to a ``known_hosts`` file; ``hostname`` is ``host`` or ``[host]:port``."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    name = paramiko.HostKeys.hash_host(hostname) if hashed else hostname
    with file.open("a+", encoding="utf-8", errors="surrogateescape") as known_hosts:
        known_hosts.seek(0)
        text = known_hosts.read()
        line = f"{name} {key.get_name()} {key.get_base64()}\n"
        known_hosts.write(line if not text or text.endswith("\n") else "\n" + line)


def changed_key_error(hostname: str, key: paramiko.PKey, file: Path) -> HostKeyError:
    """The error for a key that is not the known one."""
    return HostKeyError(
        f"The host key of {hostname} has changed: it is now {fingerprint(key)}. "
        "Someone may be listening in, or the server was installed anew.",
        "If you know why it changed, remove the old key with: "
        f"ssh-keygen -f {shlex.quote(str(file))} -R {shlex.quote(hostname)}",
    )


class HostKeyRule(paramiko.MissingHostKeyPolicy):
    """Decides about every host key that a server shows.

    Args:
        name: as ``known_hosts`` has it; an alias where one is configured.
        files: the ``known_hosts`` files; an accepted key is remembered in the first.
        accept: fingerprint that the user gave (``SHA256:...``), if any.
        ask: asks the user on a terminal, with a question, for yes or no; None where nobody can be asked.
        hashed: whether the name is hashed when it is remembered.
    """

    def __init__(
        self,
        name: str,
        files: Sequence[Path],
        accept: str | None,
        ask: Callable[[str], bool] | None,
        *,
        hashed: bool = False,
    ) -> None:
        self.name = name
        self.files = files
        self.accept = accept
        self.ask = ask
        self.hashed = hashed
        self.known = known_keys(files, name)

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:
        """Let a known key pass; remember an unknown one if it is accepted. paramiko calls this for every key.

        Raises:
            HostKeyError: it is neither.
        """
        blob = key.asbytes()
        if any(known.revoked and known.blob == blob for known in self.known):
            raise HostKeyError(
                f"The host key of {self.name} was revoked: {fingerprint(key)}.",
                "Whoever has that key may pose as the server. Give the server a new one before you log in.",
            )
        current = [known for known in self.known if not known.revoked]
        if any(known.blob == blob for known in current):
            return
        if current:
            raise changed_key_error(self.name, key, current[0].file)
        self._accept(key)
        remember(self.files[0], self.name, key, hashed=self.hashed)
        self.known = known_keys(self.files, self.name)

    def _accept(self, key: paramiko.PKey) -> None:
        shown = fingerprint(key)
        if self.accept is not None:
            if self.accept.strip() != shown:
                raise HostKeyError(
                    f"{self.name} shows the host key {shown}, not the accepted {self.accept}.",
                    "Compare with `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` on the server's console. If this "
                    f"key is right, run again with --accept-host-key {shown}",
                )
        elif self.ask is None or not self.ask(f"{self.name} shows the unknown host key {shown}. Is it the server's?"):
            raise HostKeyError(
                f"The host key of {self.name} is unknown: {shown}.",
                f"Check it on the server's console, then run again with --accept-host-key {shown}",
            )
