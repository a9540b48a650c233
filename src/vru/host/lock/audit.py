"""The audit: one line a change, chained by hashes, so that a line that was altered, added or taken out is found.

``state/audit.jsonl`` holds the lines; each has the hash of the one before it in its own. ``state/audit-head.json``
names the newest line, so that cutting the end off is found as well. Whoever may write to both can forge both: that is
why `vru audit` remembers on the laptop the last line that it saw.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import pwd
import signal
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..base import terminal
from ..base.disk import sync_directory, write_json
from ..base.errors import BUSY, FAILED, OK, HostError, UserError, plain
from ..base.host import Host
from ..base.journal import now
from ..base.processes import started
from ..wire import AuditHead
from .login import Login, login

ACTOR_VARIABLE = "VRU_ACTOR"
ZERO = "0" * 64
_DETAIL = 500
_PATIENCE_S = 15.0
_ACTOR = 100
# More than the longest line can have.
_TAIL_BYTES = 64 * 1024
_LINE_FIELDS = frozenset({"seq", "time", "actor", "action", "release", "outcome", "detail", "previous", "hash"})
# Lines from before they were kept lack these two.
_LOGIN_FIELDS = frozenset({"key", "login_uid"})

Entry = Mapping[str, Any]


def actor() -> str:
    """Who asks for this change: the laptop's user, else the one behind sudo, else systemd or the user here."""
    told = os.environ.get(ACTOR_VARIABLE)
    if told:
        return "".join(letter for letter in told if letter.isprintable())[:_ACTOR]
    user = os.environ.get("SUDO_USER")
    if not user and os.environ.get("INVOCATION_ID") and not os.environ.get("SSH_CONNECTION"):
        return f"systemd@{socket.gethostname()}"
    return f"{user or pwd.getpwuid(os.geteuid()).pw_name}@{socket.gethostname()}"


def record(host: Host, action: str, *, outcome: str, release: str | None = None, detail: str = "") -> AuditHead:
    """Append one line, and wait until the disk has it. Never give it a secret.

    A last line that a crash has cut is replaced by one that says so.

    Args:
        host: the server.
        action: what was done: ``apply``, ``restart``, ``backup``...
        outcome: ``begun``, ``done``, ``failed``, or another word for how it ended.
        release: the release that it concerned.
        detail: one sentence: what was changed, or why it failed.

    Returns:
        The line's number and hash, by which a laptop can remember it.
    """
    host.state.mkdir(parents=True, exist_ok=True)
    # Asked before others have to wait.
    who = actor(), login()
    with _alone(host):
        last, cut = _end(host)
        head = _head(host)
        if head is not None and not _follows(last, head):
            # Somebody changed the end. Going on from what was really written leaves a mark that every check names.
            last = head
        if cut:
            said = cut.decode(errors="replace")[:200]
            last = _append(host, last, who, "audit", None, "repaired", f"a crash had cut this line: {said}")
        elif last is not None and head is None:
            last = _append(host, last, who, "audit", None, "repaired", "the record of the newest line was gone")
        made = _append(host, last, who, action, release, outcome, detail)
    return AuditHead(made["seq"], made["hash"])


@contextmanager
def recorded(
    host: Host, action: str, *, release: str | None = None, detail: str = "", begin: bool = False
) -> Iterator[None]:
    """Record how the block ends: ``done``, ``failed`` (and why), ``refused`` (another change), or ``stopped``.

    With ``begin`` also that it begins: for what may be killed on the way.
    """
    if begin:
        record(host, action, outcome="begun", release=release, detail=detail)
    outcome, why = "stopped", ""
    try:
        yield
        outcome = "done"
    except UserError as error:
        outcome, why = "refused" if error.code == BUSY else "failed", error.message
        raise
    except (OSError, ValueError) as error:
        outcome, why = "failed", plain(error)
        raise
    finally:
        record(host, action, outcome=outcome, release=release, detail=": ".join(filter(None, (detail, why))))


def _follows(last: Entry | None, head: Entry) -> bool:
    """Whether the last line is the one that the head names, or the one after it (a crash came between the two)."""
    if last is None:
        return False
    return bool(
        last["hash"] == head["hash"] or (last["seq"] == head["seq"] + 1 and last.get("previous") == head["hash"])
    )


def _append(
    host: Host, last: Entry | None, who: tuple[str, Login], action: str, release: str | None, outcome: str, detail: str
) -> Entry:
    name, known = who
    entry: dict[str, Any] = {
        "seq": 1 if last is None else int(last["seq"]) + 1,
        "time": now(),
        "actor": name,
        "key": known.key,
        "login_uid": known.uid,
        "action": action,
        "release": release,
        "outcome": outcome,
        "detail": " ".join(detail.split())[:_DETAIL],
        "previous": ZERO if last is None else last["hash"],
    }
    entry["hash"] = digest(entry)
    path = _path(host)
    new = not path.exists()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(descriptor, _canonical(entry) + b"\n")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    if new:
        sync_directory(host.state)
    write_json(_head_path(host), {"seq": entry["seq"], "hash": entry["hash"]})
    return entry


def digest(entry: Entry) -> str:
    """The hash of a line: SHA-256 of its other fields as JSON with sorted keys and no spaces."""
    return hashlib.sha256(_canonical({name: value for name, value in entry.items() if name != "hash"})).hexdigest()


def check(entries: Sequence[Entry], head: Entry | None) -> list[str]:
    """What is wrong with a chain, one sentence each, the first wrong line first; empty if all of it holds.

    Args:
        entries: all lines, from the first. An ``unreadable`` line has only that field.
        head: the newest line's ``seq`` and ``hash`` as they were kept beside the lines; None if they were not.
    """
    previous, number = ZERO, 0
    for number, entry in enumerate(entries, 1):
        if "unreadable" in entry:
            if number == len(entries) and entry.get("cut"):
                # The next change writes a line that says so.
                return _check_head(entries[:-1], head)
            return [f"Line {number} cannot be read."]
        if set(entry) - _LOGIN_FIELDS != _LINE_FIELDS or digest(entry) != entry["hash"]:
            return [f"Line {number} was altered: its hash is not that of its content."]
        if entry["seq"] != number:
            return [f"Line {number} has the number {entry['seq']}: lines were taken out or put in before it."]
        if entry["previous"] != previous:
            return [f"Line {number} does not follow from the line before it: one of them was replaced."]
        previous = entry["hash"]
    return _check_head(entries, head)


def _check_head(entries: Sequence[Entry], head: Entry | None) -> list[str]:
    if head is None:
        return ["The record of the newest line (audit-head.json) is gone."] if entries else []
    missing = int(head["seq"]) - len(entries)
    if missing > 0:
        what = "last line was" if missing == 1 else f"last {missing} lines were"
        return [f"The {what} cut off: the newest was number {head['seq']}."]
    if int(head["seq"]) < 1 or entries[int(head["seq"]) - 1]["hash"] != head["hash"]:
        return [f"Line {head['seq']} is not the one that was written: the lines were rewritten."]
    # A crash between the line and the head leaves the head one line behind, no more.
    if missing < -1:
        return [f"Line {int(head['seq']) + 2} was added by something else than this program."]
    return []


def read(host: Host) -> tuple[list[Entry], Entry | None]:
    """All lines, from the first, and the newest line's number and hash as kept beside them."""
    if not host.state.exists():
        return [], None
    with _alone(host):
        path = _path(host)
        text = path.read_bytes() if path.exists() else b""
        head = _head(host)
    *lines, rest = text.split(b"\n")
    entries = [_parse(line) for line in lines]
    if rest:
        entries.append({"unreadable": rest.decode(errors="replace")[:200], "cut": True})
    return entries, head


def show(host: Host, *, as_json: bool, tail: int | None, check_only: bool) -> int:
    """The command ``audit``. Its exit code is 1 if the chain is broken."""
    entries, head = read(host)
    problems = check(entries, head)
    shown = entries if tail is None else entries[max(0, len(entries) - tail) :]
    if as_json:
        answer = {"ok": not problems, "problems": problems, "head": head, "lines": len(entries)}
        terminal.say_json(answer if check_only else {**answer, "entries": shown})
        return FAILED if problems else OK
    if shown and not check_only:
        terminal.table([row(entry) for entry in shown], COLUMNS)
    for problem in problems:
        terminal.say_error(f"The audit is broken. {problem}")
    if not problems:
        terminal.say(f"{len(entries)} lines, the chain is whole")
    return FAILED if problems else OK


COLUMNS = ("NO.", "TIME", "ACTOR", "LOGIN", "ACTION", "RELEASE", "OUTCOME", "DETAIL")


def row(entry: Entry) -> tuple[str, ...]:
    """One line for a table with `COLUMNS`."""
    if "unreadable" in entry:
        return ("?", "", "", "", "", "", "cut" if entry.get("cut") else "unreadable", entry["unreadable"][:80])
    return (
        str(entry.get("seq", "?")), str(entry.get("time", ""))[:19].replace("T", " "), str(entry.get("actor", "")),
        _login(entry), str(entry.get("action", "")), str(entry.get("release") or "-"), str(entry.get("outcome", "")),
        str(entry.get("detail", "")),
    )  # fmt: skip


def _login(entry: Entry) -> str:
    """What the server knows of the login, short: ``SHA256:AbCdEfGh uid 1000``."""
    key, uid = entry.get("key"), entry.get("login_uid")
    return " ".join(filter(None, (str(key)[:15] if key else "", f"uid {uid}" if uid is not None else ""))) or "-"


# -- internal ------------------------------------------------------------------------------------------------------


def _path(host: Host) -> Path:
    return host.state / "audit.jsonl"


def _head_path(host: Host) -> Path:
    return host.state / "audit-head.json"


@contextmanager
def _alone(host: Host) -> Iterator[None]:
    """Writers and readers take turns; it takes milliseconds, and the kernel lets go when a process dies.

    One that keeps the others waiting was stopped or hangs. It is killed: that does no harm, as each of our processes
    may be killed at any moment, and it is the one way to be sure that it writes nothing later.

    Raises:
        HostError: it cannot even be killed.
    """
    descriptor = os.open(host.state / "audit.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if not _flock(descriptor, _PATIENCE_S):
            pid, _, since = os.pread(descriptor, 100, 0).decode().partition(" ")
            if pid.isdigit() and started(int(pid)) == since:
                os.kill(int(pid), signal.SIGKILL)
            if not _flock(descriptor, _PATIENCE_S):
                raise HostError(f"The audit is in use by process {pid}, which hangs.", f"End it: kill -9 {pid}")
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()} {started(os.getpid())}".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _flock(descriptor: int, patience_s: float) -> bool:
    deadline = time.monotonic() + patience_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        else:
            return True


def _canonical(entry: Entry) -> bytes:
    return json.dumps(entry, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def _parse(line: bytes) -> Entry:
    try:
        entry = json.loads(line)
    except ValueError:
        entry = None
    return entry if isinstance(entry, dict) else {"unreadable": line.decode(errors="replace")[:200]}


def _head(host: Host) -> Entry | None:
    path = _head_path(host)
    entry = _parse(path.read_bytes()) if path.exists() else {}
    return entry if isinstance(entry.get("seq"), int) and isinstance(entry.get("hash"), str) else None


def _end(host: Host) -> tuple[Entry | None, bytes]:
    """The last whole line, and what follows it (taken out here): the beginning of a line that a crash has cut."""
    path = _path(host)
    if not path.exists():
        return None, b""
    with path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _TAIL_BYTES))
        whole, newline, cut = file.read().rpartition(b"\n")
        if cut:
            file.truncate(size - len(cut))
            os.fsync(file.fileno())
    last = _parse(whole.rpartition(b"\n")[2]) if newline else None
    if last is not None and not (isinstance(last.get("seq"), int) and isinstance(last.get("hash"), str)):
        # Somebody made it unreadable; the check names it, and the head knows where to go on.
        last = None
    return last, cut
