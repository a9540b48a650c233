"""ufw, where it is in charge: what it lets through, and taking back what it was told by a change nobody confirmed."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from ..base.disk import read_json, write_json
from ..base.host import Host

_ACTIVE = "Status: active"


def status(host: Host) -> str:
    """What ``ufw status`` prints; nothing where it is not installed."""
    return host.run(["ufw", "status"], check=False).out if shutil.which("ufw") else ""


def is_active(text: str) -> bool:
    """Whether a status says that ufw is in charge."""
    return _ACTIVE in text


def allowed(text: str) -> frozenset[int]:
    """The TCP ports that a status says are open to all."""
    return frozenset(int(port) for port in re.findall(r"^(\d+)/tcp\s+ALLOW\s+Anywhere\s*$", text, re.M))


def _unconfirmed(host: Host) -> Path:
    """The ports that ufw was told to let through and that nobody has confirmed yet."""
    return host.state / "firewall" / "ufw.json"


def allow(host: Host, ports: Sequence[int], *, unconfirmed: bool) -> None:
    """Let ports through; what is not confirmed yet is remembered, to be taken back."""
    if unconfirmed:
        write_json(_unconfirmed(host), sorted({*read_json(_unconfirmed(host), []), *ports}))
    for port in ports:
        host.run(["ufw", "allow", f"{port}/tcp"])


def take_back(host: Host) -> None:
    """Take back what ufw was told by a change that nobody confirmed; what its administrator allowed stays."""
    path = _unconfirmed(host)
    for port in read_json(path, []):
        # One that is not there any more is no error.
        host.run(["ufw", "delete", "allow", f"{port}/tcp"])
    path.unlink(missing_ok=True)


def confirm(host: Host) -> None:
    """Keep what was allowed."""
    _unconfirmed(host).unlink(missing_ok=True)
