"""The lock that keeps others' changes out, and the audit of what was changed."""

from __future__ import annotations

import argparse
import os
import re
import select
import sys
import time
from typing import Any

from ..base import terminal
from ..base.errors import OK, USAGE, HostError
from ..base.host import Host
from ..lock import audit as auditing
from ..lock.lock import STALE_S, holder, operator_lock, release_operator_lock, renew_operator_lock, take_operator_lock
from . import Run, json_option

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_LONGEST_S = 30 * 86400.0


def audit(parser: argparse.ArgumentParser) -> Run:
    """Who changed what."""
    json_option(parser)
    parser.add_argument("--tail", type=int, metavar="N", help="show the last N lines only; all are checked")
    parser.add_argument("--check", action="store_true", help="check only")
    return lambda host, options: auditing.show(host, as_json=options.json, tail=options.tail, check_only=options.check)


def lock(parser: argparse.ArgumentParser) -> Run:
    """Keep others' changes out."""
    json_option(parser)
    parser.add_argument(
        "action", nargs="?", choices=("show", "take", "hold", "release"), default="show",
        help="`hold` holds it while lines come on standard input (called by vru)",
    )  # fmt: skip
    parser.add_argument("--reason", metavar="TEXT", help="for those whom it stops")
    parser.add_argument("--for", dest="duration", default="1h", metavar="TIME", help="30m, 2h, 1d (default 1h)")
    parser.add_argument("--force", action="store_true", help="release somebody else's lock")
    return _lock


def _lock(host: Host, options: argparse.Namespace) -> int:
    if options.action in ("take", "hold") and not (options.reason or "").strip():
        raise HostError("A lock needs a reason.", 'Say why: --reason "new disk"', code=USAGE)
    actions = {"show": _show_lock, "take": _take_lock, "hold": _hold_lock, "release": _release_lock}
    return actions[options.action](host, options)


def _show_lock(host: Host, options: argparse.Namespace) -> int:
    locked, change = operator_lock(host), holder(host)
    if options.json:
        terminal.say_json({"lock": _shown(locked), "change": _shown(change)})
        return OK
    if locked is None:
        terminal.say("Nobody has locked changes.")
    else:
        terminal.say(f"{locked['owner']} has locked all changes until {locked['expires']}: {locked['reason']}")
    if change is not None:
        terminal.say(f"Under way: {change['purpose']}, by {change['owner']}, since {change['since']}.")
    return OK


def _take_lock(host: Host, options: argparse.Namespace) -> int:
    taken = take_operator_lock(host, options.reason.strip(), parse_duration(options.duration))
    auditing.record(host, "lock", outcome="taken", detail=f"until {taken['expires']}: {taken['reason']}")
    if options.json:
        terminal.say_json({"lock": _shown(taken)})
    else:
        terminal.say(f"Only {taken['owner']} may change something until {taken['expires']}.")
    return OK


def _hold_lock(host: Host, options: argparse.Namespace) -> int:
    """Hold it as long as lines come: it is released at the input's end, and goes stale if they stop."""
    seconds = parse_duration(options.duration)
    taken = take_operator_lock(host, options.reason.strip(), seconds, stale_s=STALE_S)
    auditing.record(host, "lock", outcome="taken", detail=f"while a command runs: {taken['reason']}")
    print("held", flush=True)
    deadline = time.monotonic() + seconds
    kept = True
    while kept and time.monotonic() < deadline:
        ready, _, _ = select.select([sys.stdin], [], [], STALE_S)
        if not ready or not os.read(sys.stdin.fileno(), 4096):
            break
        kept = renew_operator_lock(host, taken["token"])
    released = release_operator_lock(host, token=taken["token"])
    if released is None:
        raise HostError("The lock was lost while the command ran.", "It was released, over, or the laptop was silent.")
    auditing.record(host, "lock", outcome="released", detail=taken["reason"])
    return OK


def _release_lock(host: Host, options: argparse.Namespace) -> int:
    released = release_operator_lock(host, force=options.force)
    if released is not None:
        auditing.record(host, "lock", outcome="released", detail=f"{released['owner']}'s: {released['reason']}")
    if options.json:
        terminal.say_json({"released": _shown(released)})
    elif released is None:
        terminal.say("Nobody has locked changes.")
    else:
        terminal.say(f"Released: {released['owner']}'s lock ({released['reason']}).")
    return OK


def _shown(record: dict[str, Any] | None) -> dict[str, Any] | None:
    names = ("owner", "reason", "purpose", "release", "since", "expires", "heartbeat", "token", "unit")
    return None if record is None else {name: record[name] for name in names if record.get(name) is not None}


def parse_duration(text: str) -> float:
    """``90s``, ``30m``, ``2h``, ``1d`` in seconds.

    Raises:
        HostError: it is none, or longer than 30 days.
    """
    found = re.fullmatch(r"([1-9]\d{0,5})([smhd])", text)
    seconds = int(found[1]) * _UNITS_S[found[2]] if found else 0.0
    if not 0 < seconds <= _LONGEST_S:
        raise HostError(f"{text!r} is no time that this can last.", "Write 30m, 2h or 1d; at most 30d.", code=USAGE)
    return float(seconds)
