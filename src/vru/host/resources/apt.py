"""Debian's package manager: waits for its locks with a message, as a fresh cloud server holds them for minutes."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import time
from collections.abc import Sequence
from pathlib import Path

from ..base.errors import HostError
from ..base.host import Host
from ..base.journal import Log

_LOCKS = (
    "/var/lib/dpkg/lock-frontend",
    "/var/lib/dpkg/lock",
    "/var/lib/apt/lists/lock",
    "/var/cache/apt/archives/lock",
)
_WAIT_S = 900.0
_FLOCK = "hhqqi4x"  # struct flock on 64-bit Linux: type, whence, start, length, pid
_ENVIRONMENT = {"DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_MODE": "l", "APT_LISTCHANGES_FRONTEND": "none"}


def lock_owner(path: Path) -> int | None:
    """Which process holds one of the package manager's locks; None if none does."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return None
    try:
        answer = fcntl.fcntl(descriptor, fcntl.F_GETLK, struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
    except OSError as error:
        if error.errno == errno.EINVAL:
            return None
        raise
    finally:
        os.close(descriptor)
    kind, _, _, _, pid = struct.unpack(_FLOCK, answer)
    return None if kind == fcntl.F_UNLCK else pid


def wait_for_lock(log: Log, locks: Sequence[str] = _LOCKS, wait_s: float = _WAIT_S, poll_s: float = 1.0) -> None:
    """Wait until nobody holds the package manager's locks, and say every 10 s who does.

    Raises:
        HostError: somebody still holds them after ``wait_s`` seconds.
    """
    started = time.monotonic()
    told = -10.0
    while True:
        owners = [owner for owner in (lock_owner(Path(path)) for path in locks) if owner is not None]
        if not owners:
            return
        waited = time.monotonic() - started
        who = f"{_name(owners[0])} (process {owners[0]})"
        if waited >= wait_s:
            raise HostError(
                f"The package manager is held by {who} for {waited:.0f} s.",
                "Wait until it ends (on a fresh server its first updates run), then run the same command again.",
            )
        if waited - told >= 10:
            told = waited
            log(f"waiting for the package manager: {who} holds it, {waited:.0f} s so far")
        time.sleep(poll_s)


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return "a process"


def update(host: Host, log: Log) -> None:
    """Fetch the package lists."""
    _apt(host, ["update"], log)


def install(host: Host, packages: Sequence[str], log: Log) -> None:
    """Install packages without their recommendations.

    Raises:
        HostError: apt failed three times, or a package does not exist.
    """
    _apt(host, ["install", "--yes", "--no-install-recommends", "-o", "Dpkg::Options::=--force-confold", *packages], log)


def _apt(host: Host, arguments: Sequence[str], log: Log) -> None:
    command = ["apt-get", "-q", "-o", "DPkg::Lock::Timeout=600", "-o", "Acquire::Retries=3", *arguments]
    for attempt in range(1, 4):
        wait_for_lock(log)
        done = host.run.lines(command, log, env=_ENVIRONMENT, timeout=1800)
        if done.ok:
            return
        errors = [line for line in done.out.splitlines() if line.startswith("E: ")]
        if any("Unable to locate" in line or "no installation candidate" in line for line in errors):
            break
        log(f"apt-get {arguments[0]} failed ({attempt} of 3)")
        if any("dpkg was interrupted" in line for line in errors):
            # A power cut, or a kill, in the middle of an installation: dpkg finishes what it had begun.
            log("dpkg was interrupted earlier; it finishes that now")
            host.run.lines(["dpkg", "--force-confold", "--configure", "-a"], log, env=_ENVIRONMENT, timeout=1800)
        else:
            time.sleep(3 * attempt)
    said = errors[-1].removeprefix("E: ") if errors else done.last_words(1)
    raise HostError(
        f"apt-get {arguments[0]} failed: {said}",
        f"Try it on the server: apt-get update && apt-get {' '.join(a for a in arguments if not a.startswith('-'))}",
        logs=tuple(done.out.splitlines()[-20:]),
    )
