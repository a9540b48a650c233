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
from ..strict_json import write
from ..wire import End, Note, StepEvent, read_event
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
        say(json.dumps(write(End(False, error.message, error.fix))))
        return error.code
    if journal is None and live:
        say(json.dumps(write(End(True, f"Release {release} is live.", release=release))))
        return OK
    text = detach.greeting(host, journal)
    if text:
        say(json.dumps(write(Note(text))))
    if journal is None:
        _, journal = detach.start(host, release, executor.ROLLBACK, watch_s=options.watch)
    return detach.follow(host, journal, say)


def _say_event(line: str) -> None:
    """A journal's event for people."""
    event = read_event(json.loads(line))
    if isinstance(event, StepEvent) and event.state != "started":
        terminal.say(f"{event.state:8} {event.name}: {event.detail}".rstrip(": "))
        if event.confirm_within:
            terminal.say("         confirm over a new connection: vru-platform firewall-confirm")
    elif isinstance(event, Note):
        terminal.say(event.text)
    elif isinstance(event, End) and event.ok:
        terminal.say(event.message or f"Release {event.release} is live again.")
    elif isinstance(event, End):
        for said in event.logs:
            terminal.say(f"  | {said}")
        terminal.say_error(f"{event.message} {event.fix}".strip())
