"""``vru-platform``: run and rescue the platform on its own server."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

from . import PROTOCOL, audit, backup, detach, restore, services, status, store, system, terminal, verify
from .errors import ATTENTION, OK, HostError
from .execute import execute
from .host import Host
from .lock import busy, holder
from .manifest import Manifest
from .plan import plan
from .resources import firewall

_ABOUT = "Run and rescue the VRU platform on its own server."
_EPILOG = """exit codes: 0 well; 1 failed; 2 wrong use; 3 needs attention; 4 another change is under way

The verbs from facts-json on are called by `vru` on the laptop and by systemd.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; the entry point of the ``.pyz`` and of the command ``vru-platform``."""
    os.umask(0o022)
    signal.signal(signal.SIGTERM, _terminate)
    parser = _parser()
    options = parser.parse_args(arguments)
    host = Host.here()
    try:
        if options.verb != "version":
            host.require_root()
        return int(_VERBS[options.verb](host, options))
    except HostError as error:
        terminal.say_error(f"vru-platform: {error.message}")
        if error.fix:
            terminal.say_error(f"  {error.fix}")
        for line in error.logs:
            terminal.say_error(f"  | {line}")
        return error.code
    except BrokenPipeError:
        # The reader of our output went away (| head, a cut connection): end quietly, as other programs do.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


def _terminate(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="vru-platform", description=_ABOUT, epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")

    def verb(name: str, about: str, *, json_option: bool = False) -> argparse.ArgumentParser:
        added = verbs.add_parser(name, help=about, description=about)
        if json_option:
            added.add_argument("--json", action="store_true", help="print JSON")
        return added

    verb("status", "what runs, how well, on how much", json_option=True)
    logs = verb("logs", "the services' logs", json_option=True)
    logs.add_argument("services", nargs="*", metavar="SERVICE", help="all if none is named")
    logs.add_argument("--tail", default="100", metavar="N", help="the last N lines of each (default 100; `all`)")
    logs.add_argument("--since", metavar="T", help="since a time (2026-01-31T12:00:00) or for a duration (10m)")
    logs.add_argument("-f", "--follow", action="store_true", help="go on printing as lines come")
    logs.add_argument("--timestamps", action="store_true", help="begin each line with its time")
    again = verb("restart", "restart services, each healthy before the next")
    again.add_argument("services", nargs="*", metavar="SERVICE", help="all if none is named")
    made = verb("backup", "back up the database and the configuration", json_option=True)
    made.add_argument("--media", action="store_true", help="videos and other media as well")
    verb("backups", "list the backups", json_option=True)
    back = verb("restore", "bring a backup's database back", json_option=True)
    back.add_argument("name", help="`latest`, or a name that `backups` shows")
    verb("verify", "check services, addresses, units, migrations, firewall", json_option=True)
    log = verb("audit", "who changed what, and whether the record is whole", json_option=True)
    log.add_argument("--tail", type=int, metavar="N", help="show the last N lines only; all are checked")
    log.add_argument("--check", action="store_true", help="check only")
    verb("heal", "restart what is unhealthy (called by a timer)")
    verb("version", "this program's protocol and the live release", json_option=True)

    verb("facts-json", "what this server is, as JSON")
    verb("plan", "what a release (manifest on stdin) would change; changes nothing")
    verb("receive", "store content (tar stream on stdin)")
    apply = verb("apply", "make a release live (manifest on stdin), and watch")
    apply.add_argument("--setup-only", action="store_true", help="only Docker, directories, units, firewall")
    verb("follow", "watch the change that is under way, or read the last one's journal")
    run = verb("execute", "make the change (started by apply)")
    run.add_argument("release")
    run.add_argument("--journal", required=True, type=Path)
    run.add_argument("--unit", required=True)
    run.add_argument("--setup-only", action="store_true")
    verb("firewall-confirm", "keep the new firewall rules")
    verb("firewall-revert", "take unconfirmed firewall rules back (called by a timer)")
    verb("firewall-apply", "put the confirmed firewall rules in place (called at boot)")
    return parser


def _plan(host: Host, options: argparse.Namespace) -> int:
    manifest = Manifest.parse(sys.stdin.buffer.read())
    print(json.dumps(plan(host, manifest)), flush=True)
    return OK


def _receive(host: Host, options: argparse.Namespace) -> int:
    print(json.dumps({"received": store.receive(host, sys.stdin.buffer)}), flush=True)
    return OK


def _apply(host: Host, options: argparse.Namespace) -> int:
    manifest = Manifest.parse(sys.stdin.buffer.read())
    try:
        journal = detach.attach(host, manifest.release)
    except HostError as error:
        print(json.dumps({"event": "end", "ok": False, "message": error.message, "fix": error.fix}), flush=True)
        return error.code
    if journal is None:
        store.save(host, manifest)
        _, journal = detach.start(host, manifest.release, setup_only=options.setup_only)
    return detach.follow(host, journal, terminal.say)


def _follow(host: Host, options: argparse.Namespace) -> int:
    return detach.follow(host, detach.last_journal(host), terminal.say)


def _execute(host: Host, options: argparse.Namespace) -> int:
    return execute(host, options.release, options.journal, options.unit, setup_only=options.setup_only)


def _verify(host: Host, options: argparse.Namespace) -> int:
    checks = verify.checks(host, verify.live_manifest(host))
    problems = [check for check in checks if check.state == "problem"]
    if options.json:
        terminal.say_json({"ok": not problems, "checks": [check.as_json() for check in checks]})
    else:
        for check in checks:
            fix = f"  {check.fix}" if check.state != "ok" and check.fix else ""
            terminal.say(f"{terminal.state(check.state, 8)} {check.name}: {check.detail}{fix}")
        terminal.say(f"{len(checks)} checks, {len(problems)} problems")
    return ATTENTION if problems else OK


def _version(host: Host, options: argparse.Namespace) -> int:
    release = store.current(host) if os.access(host.releases, os.X_OK) else None
    if options.json:
        terminal.say_json({"protocol": PROTOCOL, "release": release})
    else:
        terminal.say(f"vru-platform, protocol {PROTOCOL}, release {release or 'none'}")
    return OK


def _restart(host: Host, options: argparse.Namespace) -> int:
    return services.restart(host, options.services)


def _backup(host: Host, options: argparse.Namespace) -> int:
    owner = holder(host)
    if owner is not None and "restore" in str(owner.get("purpose")):
        raise busy(owner)
    return backup.run(host, media=options.media, as_json=options.json)


def _say_result(work: Callable[[Host], str]) -> Callable[[Host, argparse.Namespace], int]:
    def verb(host: Host, options: argparse.Namespace) -> int:
        terminal.say(work(host))
        return OK

    return verb


def _facts(host: Host, options: argparse.Namespace) -> int:
    print(json.dumps(system.facts(host)), flush=True)
    return OK


_VERBS: dict[str, Callable[[Host, argparse.Namespace], int]] = {
    "status": lambda host, options: status.show(host, as_json=options.json),
    "logs": lambda host, options: services.logs(
        host,
        options.services,
        options.tail,
        options.since,
        follow=options.follow,
        timestamps=options.timestamps,
        as_json=options.json,
    ),
    "restart": _restart,
    "backup": _backup,
    "backups": lambda host, options: backup.show(host, as_json=options.json),
    "restore": lambda host, options: restore.run(host, options.name, as_json=options.json),
    "verify": _verify,
    "audit": lambda host, options: audit.show(
        host, as_json=options.json, tail=options.tail, check_only=options.check
    ),
    "heal": lambda host, options: services.heal(host),
    "version": _version,
    "facts-json": _facts,
    "plan": _plan,
    "receive": _receive,
    "apply": _apply,
    "follow": _follow,
    "execute": _execute,
    "firewall-confirm": _say_result(firewall.confirm),
    "firewall-revert": _say_result(firewall.revert),
    "firewall-apply": _say_result(firewall.apply_at_boot),
}


if __name__ == "__main__":
    sys.exit(main())
