"""Which login a change comes from, as the server itself knows it: who asks says what he likes (``VRU_ACTOR``).

Two things are known, each where the server gives it:

- The SSH key. sshd tells a session in the file that ``SSH_USER_AUTH`` names (``ExposeAuthInfo yes``); else its line in
  the journal does, for the connection's own address and port. sudo drops ``SSH_USER_AUTH``.
- The login uid: the user as whom somebody logged in, which sudo and su do not change. The kernel keeps it, where it has
  the audit subsystem and PAM sets it (``pam_loginuid``).

A change goes on in a unit of systemd, which has no login: the command that starts it passes both on.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

VARIABLE = "VRU_LOGIN"
_NO_UID = 2**32 - 1
_KEY = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")
_JOURNAL_S = 5.0


@dataclass(frozen=True)
class Login:
    """The fingerprint of the SSH key, as ``ssh-keygen -l`` shows it, and the login uid; None for what is not known."""

    key: str | None = None
    uid: int | None = None

    def as_variable(self) -> str:
        """For ``VRU_LOGIN``."""
        return f"{self.key or '-'} {'-' if self.uid is None else self.uid}"

    @classmethod
    def of_variable(cls, text: str) -> Login:
        """From ``VRU_LOGIN``; what is not of its form is not known."""
        key, _, uid = text.partition(" ")
        return cls(key if _KEY.fullmatch(key) else None, int(uid) if uid.isdecimal() else None)


def login(variables: Mapping[str, str] | None = None, proc: Path = Path("/proc/self")) -> Login:
    """The login behind this process; ``variables`` are its environment.

    What a unit of systemd was told is believed, and a shell is not asked: whoever starts units is root.
    """
    known = os.environ if variables is None else variables
    connection = known.get("VRU_SSH_CONNECTION") or known.get("SSH_CONNECTION") or ""
    if not connection and known.get("INVOCATION_ID") and known.get(VARIABLE):
        return Login.of_variable(known[VARIABLE])
    return Login(_exposed(known.get("SSH_USER_AUTH", "")) or _in_journal(connection), _uid(proc))


def fingerprint(key: str) -> str | None:
    """The fingerprint of a public key in base64; None if it is none."""
    try:
        digest = hashlib.sha256(base64.b64decode(key, validate=True)).digest()
    except binascii.Error:
        return None
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def _exposed(path: str) -> str | None:
    """From sshd's own file: lines such as ``publickey ssh-ed25519 AAAA...``."""
    if not path:
        return None
    try:
        lines = Path(path).read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return None  # it goes with the session
    keys = [words[2] for line in lines if len(words := line.split()) >= 3 and words[0] == "publickey"]
    return fingerprint(keys[-1]) if keys else None


@lru_cache(maxsize=1)
def _in_journal(connection: str) -> str | None:
    """From what sshd logged of this very connection; only root's lines count, as anybody may write to the journal."""
    words = connection.split()
    if len(words) < 2 or not words[1].isdecimal() or shutil.which("journalctl") is None:
        return None
    said = rf"Accepted publickey for \S+ from {re.escape(words[0])} port {words[1]} ssh2: "
    command = [
        "journalctl", "--quiet", "--no-pager", "--output=cat", "--since=-7d", "--lines=1", "--identifier=sshd",
        "--identifier=sshd-session", f"--grep=^{said}", "_UID=0",
    ]  # fmt: skip
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_JOURNAL_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(said + rf"\S+ ({_KEY.pattern})", done.stdout)
    return found[1] if found else None


def _uid(proc: Path) -> int | None:
    try:
        text = (proc / "loginuid").read_text(encoding="ascii").strip()
    except OSError:
        return None
    return int(text) if text.isdecimal() and int(text) != _NO_UID else None
