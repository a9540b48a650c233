"""Looking at what runs, and restarting it."""

from __future__ import annotations

import argparse
import os

from ..base import terminal
from ..base.errors import ATTENTION, OK
from ..base.host import Host
from ..lock import audit
from ..operations import logs as service_logs
from ..operations import services, watchdog
from ..operations import status as status_of
from ..operations import verify as verification
from ..release import store
from ..strict_json import write
from ..wire import PROTOCOL, Verification
from . import Run, json_option


def status(parser: argparse.ArgumentParser) -> Run:
    """What runs, how well, on how much."""
    json_option(parser)
    return lambda host, options: status_of.show(host, as_json=options.json)


def logs(parser: argparse.ArgumentParser) -> Run:
    """The services' logs."""
    json_option(parser)
    parser.add_argument("services", nargs="*", metavar="SERVICE", help="all if none is named")
    parser.add_argument("--tail", default="100", metavar="N", help="the last N lines of each (default 100; `all`)")
    parser.add_argument("--since", metavar="T", help="since a time (2026-01-31T12:00:00) or for a duration (10m)")
    parser.add_argument("-f", "--follow", action="store_true", help="go on printing as lines come")
    parser.add_argument("--timestamps", action="store_true", help="begin each line with its time")
    return lambda host, options: service_logs.logs(
        host,
        options.services,
        options.tail,
        options.since,
        follow=options.follow,
        timestamps=options.timestamps,
        as_json=options.json,
    )


def restart(parser: argparse.ArgumentParser) -> Run:
    """Restart services, each healthy before the next."""
    parser.add_argument("services", nargs="*", metavar="SERVICE", help="all if none is named")
    return _restart


def _restart(host: Host, options: argparse.Namespace) -> int:
    with audit.recorded(host, "restart", detail=", ".join(options.services) or "all services"):
        return services.restart(host, options.services)


def start(parser: argparse.ArgumentParser) -> Run:
    """Start what is stopped."""
    return lambda host, options: services.start(host)


def heal(parser: argparse.ArgumentParser) -> Run:
    """Restart what is unhealthy."""
    return lambda host, options: watchdog.heal(host)


def verify(parser: argparse.ArgumentParser) -> Run:
    """Check services, addresses, units, migrations, firewall."""
    json_option(parser)
    return _verify


def _verify(host: Host, options: argparse.Namespace) -> int:
    checks = verification.checks(host, verification.live_manifest(host))
    problems = [check for check in checks if check.state == "problem"]
    if options.json:
        terminal.say_json(write(Verification(not problems, tuple(checks))))
    else:
        for check in checks:
            fix = f"  {check.fix}" if check.state != "ok" and check.fix else ""
            terminal.say(f"{terminal.state(check.state, 8)} {check.name}: {check.detail}{fix}")
        terminal.say(f"{len(checks)} checks, {len(problems)} problems")
    return ATTENTION if problems else OK


def version(parser: argparse.ArgumentParser) -> Run:
    """The program's protocol and the live release; needs no root."""
    json_option(parser)
    return _version


def _version(host: Host, options: argparse.Namespace) -> int:
    release = store.current(host) if os.access(host.releases, os.X_OK) else None
    if options.json:
        terminal.say_json({"protocol": PROTOCOL, "release": release})
    else:
        terminal.say(f"vru-platform, protocol {PROTOCOL}, release {release or 'none'}")
    return OK
