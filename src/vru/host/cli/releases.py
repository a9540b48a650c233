"""The releases that are kept here, and going back to one."""

from __future__ import annotations

import argparse
import json

from ..base import terminal
from ..base.errors import OK, HostError
from ..base.host import Host
from ..deployment import detach
from ..deployment import execute as executor
from ..release import releases as releasing
from ..release import store
from . import Run, json_option
from .deployment import watch_option


def releases(parser: argparse.ArgumentParser) -> Run:
    """The releases on this server."""
    json_option(parser)
    return lambda host, options: releasing.show(host, as_json=options.json)


def rollback(parser: argparse.ArgumentParser) -> Run:
    """Bring an earlier release back."""
    parser.add_argument("release", nargs="?", help="as `releases` shows it; default: the one before the live one")
    parser.add_argument("--json", action="store_true", help="print the journal's events as they come")
    watch_option(parser)
    return _rollback


def _rollback(host: Host, options: argparse.Namespace) -> int:
    say = terminal.say if options.json else _say_event
    try:
        release = releasing.choose(host, options.release)
        journal = detach.attach(host, release)
        live = store.current(host) == release and detach.ended_well(host)
        if journal is None and not live:
            releasing.tags_to_restore(host, store.load(host, release))
    except HostError as error:
        if not options.json:
            raise
        say(json.dumps({"event": "end", "ok": False, "message": error.message, "fix": error.fix}))
        return error.code
    if journal is None and live:
        end = {"event": "end", "ok": True, "changed": 0, "release": release, "message": f"Release {release} is live."}
        say(json.dumps(end))
        return OK
    text = detach.greeting(host, journal)
    if text:
        say(json.dumps({"event": "note", "text": text}))
    if journal is None:
        _, journal = detach.start(host, release, executor.ROLLBACK, watch_s=options.watch)
    return detach.follow(host, journal, say)


def _say_event(line: str) -> None:
    """A journal's event for people."""
    event = json.loads(line)
    kind = event.get("event")
    if kind == "step" and event["state"] != "started":
        terminal.say(f"{event['state']:8} {event['name']}: {event.get('detail') or ''}".rstrip(": "))
        if event.get("confirm_within"):
            terminal.say("         confirm over a new connection: vru-platform firewall-confirm")
    elif kind == "note":
        terminal.say(event["text"])
    elif kind == "end" and event["ok"]:
        terminal.say(event.get("message") or f"Release {event['release']} is live again.")
    elif kind == "end":
        for said in event.get("logs", ()):
            terminal.say(f"  | {said}")
        terminal.say_error(f"{event['message']} {event['fix']}".strip())
