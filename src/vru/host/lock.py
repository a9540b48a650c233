"""One change at a time. The lock is the kernel's (it dies with its holder); the file says who holds it."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .errors import BUSY, HostError
from .host import Host
from .journal import now


def _open(host: Host) -> int:
    host.state.mkdir(parents=True, exist_ok=True)
    return os.open(host.state / "lock", os.O_RDWR | os.O_CREAT, 0o600)


@contextmanager
def lock(host: Host, purpose: str, **owner: Any) -> Iterator[None]:
    """Hold the lock.

    Raises:
        HostError: something else holds it; the message says what, since when.
    """
    descriptor = _open(host)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise busy(_read(descriptor)) from error
        content = json.dumps({"purpose": purpose, "pid": os.getpid(), "since": now(), **owner})
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, content.encode(), 0)
        yield
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def holder(host: Host) -> dict[str, Any] | None:
    """Who holds the lock now; None if nobody does."""
    if not (host.state / "lock").exists():
        return None
    descriptor = os.open(host.state / "lock", os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read(descriptor)
    finally:
        os.close(descriptor)
    return None


def busy(owner: dict[str, Any]) -> HostError:
    """The error that names the holder."""
    what = owner.get("purpose", "another change")
    which = f" ({owner['unit']})" if owner.get("unit") else ""
    return HostError(
        f"Another change is under way: {what}{which}, since {owner.get('since', 'just now')}.",
        "Wait for its end, or watch it: vru-platform follow",
        code=BUSY,
    )


def _read(descriptor: int) -> dict[str, Any]:
    try:
        owner = json.loads(os.pread(descriptor, 4096, 0) or b"{}")
    except ValueError:  # its holder is writing at this very moment
        return {}
    return owner if isinstance(owner, dict) else {}
