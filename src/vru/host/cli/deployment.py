"""What ``vru`` on the laptop calls, and systemd: plan, apply, execute, and the firewall's confirmation."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

from ..base import terminal
from ..base.errors import OK, HostError
from ..base.host import Host
from ..deployment import detach
from ..deployment import execute as executor
from ..firewall import confirmation
from ..lock import audit
from ..operations import server_facts
from ..release import store
from ..release.manifest import parse
from ..strict_json import write
from ..wire import End, Note
from . import Run


def facts_json(parser: argparse.ArgumentParser) -> Run:
    """What this server is."""
    return _facts


def _facts(host: Host, options: argparse.Namespace) -> int:
    print(json.dumps(server_facts.facts(host)), flush=True)
    return OK


def apply(parser: argparse.ArgumentParser) -> Run:
    """Start the executor, or find it at work for this release, and watch."""
    parser.add_argument("release", nargs="?", help="a release that is kept here; else its manifest comes on stdin")
    parser.add_argument("--setup-only", action="store_true", help="only Docker, directories, units, firewall")
    parser.add_argument("--expect", metavar="STATE", help="stop unless the server is as it was when this was planned")
    watch_option(parser)
    return _apply


def watch_option(parser: argparse.ArgumentParser) -> None:
    """``--watch``, for every command that replaces containers."""
    parser.add_argument(
        "--watch",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="how long the old containers stand by while the new ones are watched (default 0)",
    )


def _apply(host: Host, options: argparse.Namespace) -> int:
    manifest = store.load(host, options.release) if options.release else parse(sys.stdin.buffer.read())
    try:
        journal = detach.attach(host, manifest.release)
    except HostError as error:
        print(json.dumps(write(End(False, error.message, error.fix))), flush=True)
        return error.code
    _greet(host, journal)
    if journal is None:
        store.save(host, manifest)
        mode = executor.SETUP_ONLY if options.setup_only else executor.DEPLOY
        _, journal = detach.start(host, manifest.release, mode, expect=options.expect, watch_s=options.watch)
    return detach.follow(host, journal, terminal.say)


def _greet(host: Host, journal: Path | None) -> None:
    text = detach.greeting(host, journal)
    if text:
        terminal.say(json.dumps(write(Note(text))))


def follow(parser: argparse.ArgumentParser) -> Run:
    """Watch the change that is under way, or read the last one's journal."""
    return lambda host, options: detach.follow(host, detach.last_journal(host), terminal.say)


def execute(parser: argparse.ArgumentParser) -> Run:
    """Make the change."""
    parser.add_argument("release")
    parser.add_argument("--journal", required=True, type=Path)
    parser.add_argument("--unit", required=True)
    parser.add_argument("--mode", choices=(executor.DEPLOY, executor.SETUP_ONLY, executor.ROLLBACK), required=True)
    parser.add_argument("--expect", metavar="STATE")
    watch_option(parser)
    return lambda host, options: executor.execute(
        host,
        options.release,
        options.journal,
        options.unit,
        mode=options.mode,
        expect=options.expect,
        watch_s=options.watch,
    )


def firewall_confirm(parser: argparse.ArgumentParser) -> Run:
    """Keep the new rules."""
    return _say_result(confirmation.confirm)


def firewall_revert(parser: argparse.ArgumentParser) -> Run:
    """Take unconfirmed rules back."""
    return _say_result(confirmation.revert)


def firewall_apply(parser: argparse.ArgumentParser) -> Run:
    """Put the confirmed rules in place."""
    return _say_result(confirmation.apply_at_boot)


def _say_result(work: Callable[[Host], str]) -> Run:
    def command(host: Host, options: argparse.Namespace) -> int:
        said = work(host)
        if not said.startswith("nothing"):
            audit.record(host, "firewall", outcome="done", detail=said)
        terminal.say(said)
        return OK

    return command
