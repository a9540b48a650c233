"""One change at a time: a lease with a fencing token, and the lock that an operator may put on all changes.

The lease belongs to one process. It is renewed every few seconds; it is over when it is released, when its process is
gone, or when it was not renewed for half a minute (a process that was stopped, or hangs). Whoever takes it next gets a
token one higher. The earlier holder, should it wake up, finds the higher token before its next command and changes
nothing more: `Lease.check`.

The operator's lock keeps others' changes out, for a time, with a reason.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..base import terminal
from ..base.errors import BUSY, FencedError, HostError, plain
from ..base.host import Host
from ..base.journal import now
from ..base.processes import started
from . import audit
from .leases import Leases

HEARTBEAT_S = 5.0
STALE_S = 30.0
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass
class Lease:
    """The lock as its holder has it."""

    host: Host
    token: int
    record: dict[str, Any]

    def check(self) -> None:
        """Make sure that nobody else has taken over: called before each step and each command.

        Raises:
            FencedError: somebody has.
        """
        token, found = _changes(self.host).latest()
        if token != self.token:
            raise FencedError(
                f"fenced: this change had token {self.token} and was not heard of for a while; "
                f"meanwhile {_described(found)} took over with token {token}.",
                "Nothing more was changed by this one. Run the same command again if its change is still wanted.",
            )

    def renew(self) -> None:
        """Say that the holder is alive. A lease that was lost stays lost: a higher token counts, whatever this says."""
        self.record.update(_beat())
        _changes(self.host).write(self.token, self.record)

    def release(self) -> None:
        """Let others go on."""
        if _changes(self.host).latest()[0] == self.token:
            _changes(self.host).write(self.token, {"held": False})


@contextmanager
def lock(
    host: Host,
    purpose: str,
    *,
    heartbeat_s: float = HEARTBEAT_S,
    stale_s: float = STALE_S,
    automatic: bool = False,
    **about: Any,
) -> Iterator[Lease]:
    """Hold the lease, renew it, and have every command of ``host.run`` check it first.

    Args:
        host: the server.
        purpose: what it is for, as others will read it.
        heartbeat_s: how often it is renewed, in seconds.
        stale_s: after how many seconds without renewal others may take over.
        automatic: the server itself asks, not a person: an operator's lock does not stop it.
        about: more that `holder` should tell: ``release``, ``unit``, ``journal``.

    Raises:
        HostError: something else holds it, or an operator has locked all changes; the message says who and why.
        FencedError: while it was held, somebody else took over.
    """
    lease = _take(host, purpose, stale_s, about, automatic=automatic)
    done = threading.Event()
    beating = threading.Thread(target=_beat_on, args=(lease, heartbeat_s, done), daemon=True)
    beating.start()
    before = host.run.guard
    host.run.guard = lease.check
    try:
        yield lease
    finally:
        host.run.guard = before
        done.set()
        beating.join(timeout=heartbeat_s)
        lease.release()


def holder(host: Host) -> dict[str, Any] | None:
    """Who holds the lease now; None if nobody does, or if whoever did is gone or was not heard of for too long."""
    token, record = _changes(host).latest()
    return {**record, "token": token} if _alive(record) else None


def busy(owner: Mapping[str, Any]) -> HostError:
    """The error that names the holder."""
    which = f" ({owner['unit']})" if owner.get("unit") else ""
    return HostError(
        f"Another change is under way: {_described(owner)}{which}, since {owner.get('since', 'just now')}.",
        "Wait for its end, or watch it: vru-platform follow",
        code=BUSY,
    )


def operator_lock(host: Host) -> dict[str, Any] | None:
    """The operator's lock that holds now: token, owner, reason, since, expires; None if there is none."""
    token, record = _locks(host).latest()
    if not record.get("held") or time.time() > record["until"] or ("beat" in record and not _fresh(record)):
        return None
    return {**record, "token": token}


def require_unlocked(host: Host) -> None:
    """Let a change through unless somebody else has locked all changes.

    Raises:
        HostError: somebody has; the message says who, why and until when.
    """
    record = operator_lock(host)
    if record is not None and record["owner"] != audit.actor():
        raise HostError(
            f"{record['owner']} has locked all changes until {record['expires']}: {record['reason']}",
            "Ask them, or wait. To change something all the same: vru lock release --force",
            code=BUSY,
        )


def take_operator_lock(host: Host, reason: str, seconds: float, *, stale_s: float | None = None) -> dict[str, Any]:
    """Lock all changes but one's own. One's own lock is replaced.

    Args:
        host: the server.
        reason: for those whom it stops.
        seconds: when it ends by itself.
        stale_s: it also ends when `renew_operator_lock` was not called for so many seconds.

    Raises:
        HostError: somebody else has the lock, or is making a change.
    """
    require_unlocked(host)
    _refuse_others(host)
    until = time.time() + seconds
    record = {
        "held": True, "owner": audit.actor(), "reason": reason, "since": now(),
        "until": until, "expires": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(until)),
        **({} if stale_s is None else {"stale_after": stale_s, **_beat()}),
    }  # fmt: skip
    token = _locks(host).latest()[0] + 1
    if not _locks(host).claim(token, record):
        require_unlocked(host)
        raise HostError("Somebody else locked changes at this very moment.", "See: vru lock", code=BUSY)
    try:
        # Whoever began a change meanwhile has either seen this lock, or is seen here.
        _refuse_others(host)
    except HostError:
        _locks(host).write(token, {"held": False})
        raise
    return {**record, "token": token}


def renew_operator_lock(host: Host, token: int) -> bool:
    """Say that its owner is alive; False if the lock is no longer theirs."""
    latest, record = _locks(host).latest()
    if latest != token or not record.get("held"):
        return False
    _locks(host).write(token, {**record, **_beat()})
    return True


def release_operator_lock(host: Host, *, force: bool = False, token: int | None = None) -> dict[str, Any] | None:
    """Let others make changes again; with ``token`` only if the lock still is that one.

    Returns:
        The lock that was released; None if there was none.

    Raises:
        HostError: it is somebody else's, and ``force`` is not set.
    """
    record = operator_lock(host)
    if record is None or (token is not None and record["token"] != token):
        return None
    if record["owner"] != audit.actor() and not force:
        raise HostError(
            f"The lock is {record['owner']}'s, until {record['expires']}: {record['reason']}",
            "Ask them; or release it all the same: vru lock release --force",
            code=BUSY,
        )
    # The next number, not the same: a heartbeat that is just being written must not bring it back.
    _locks(host).claim(record["token"] + 1, {"held": False})
    return record


# -- internal ------------------------------------------------------------------------------------------------------


def _changes(host: Host) -> Leases:
    return Leases(host.state / "leases")


def _locks(host: Host) -> Leases:
    return Leases(host.state / "operator-locks")


def _refuse_others(host: Host) -> None:
    owner = holder(host)
    if owner is not None and owner.get("owner") != audit.actor():
        raise busy(owner)


def _take(host: Host, purpose: str, stale_s: float, about: Mapping[str, Any], *, automatic: bool) -> Lease:
    host.state.mkdir(parents=True, exist_ok=True)
    last, before = _changes(host).latest()
    if _alive(before):
        raise busy(before)
    if not automatic:
        require_unlocked(host)
    record = {
        **about, "held": True, "owner": audit.actor(), "purpose": purpose, "since": now(),
        "pid": os.getpid(), "process": started(os.getpid()), "stale_after": stale_s, **_beat(),
    }  # fmt: skip
    lease = Lease(host, last + 1, record)
    if not _changes(host).claim(lease.token, record):
        raise busy(_changes(host).latest()[1])
    if not automatic:
        try:
            require_unlocked(host)
        except HostError:
            lease.release()
            raise
    if before.get("held"):
        audit.record(
            host, "lock", outcome="taken over", release=before.get("release"),
            detail=f"{_described(before)} (token {last}) had stopped before its end",
        )  # fmt: skip
    return lease


def _beat_on(lease: Lease, interval_s: float, done: threading.Event) -> None:
    while not done.wait(interval_s):
        try:
            lease.renew()
        except OSError as error:
            # A full disk, say: the lease goes stale and the next check tells the change, if another takes over.
            terminal.say_error(f"the lock could not be renewed: {plain(error)}")


def _alive(record: Mapping[str, Any]) -> bool:
    """Whether a lease still counts."""
    if not record.get("held"):
        return False
    return _fresh(record) and started(int(record["pid"])) == record["process"]


def _fresh(record: Mapping[str, Any]) -> bool:
    silent_s = time.clock_gettime(time.CLOCK_BOOTTIME) - float(record["beat"])
    return record["boot"] == _boot() and silent_s <= float(record["stale_after"])


def _beat() -> dict[str, Any]:
    # Time since boot: a clock that is set right meanwhile ends no lease and prolongs none.
    return {"boot": _boot(), "beat": time.clock_gettime(time.CLOCK_BOOTTIME), "heartbeat": now()}


def _boot() -> str:
    return _BOOT_ID.read_text().strip()


def _described(record: Mapping[str, Any]) -> str:
    by = f" by {record['owner']}" if record.get("owner") else ""
    return f"{record.get('purpose', 'another change')}{by}"
