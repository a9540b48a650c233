"""``vru-platform``: run and rescue the platform on its own server.

Only the module of the command that is called is imported: the laptop calls this program for every question it has.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from types import FrameType
from typing import TYPE_CHECKING

from .base.errors import FAILED, UserError, plain
from .base.host import Host

if TYPE_CHECKING:
    from .cli import Command

_ABOUT = "Run and rescue the VRU platform on its own server."
_EPILOG = """exit codes: 0 well; 1 failed; 2 wrong use; 3 needs attention; 4 another change is under way

The commands from facts-json on are called by `vru` on the laptop and by systemd.
"""

# command -> module:function below this package, one line of help. The function adds the command's arguments to a parser
# and returns what runs it.
_COMMANDS = {
    "status": ("cli.services:status", "what runs, how well, on how much"),
    "logs": ("cli.services:logs", "the services' logs"),
    "restart": ("cli.services:restart", "restart services, each healthy before the next"),
    "backup": ("cli.backup:backup", "back up the database and the configuration"),
    "backups": ("cli.backup:backups", "list the backups"),
    "restore": ("cli.backup:restore", "bring a backup's database back"),
    "verify": ("cli.services:verify", "check services, addresses, units, migrations, firewall"),
    "releases": ("cli.releases:releases", "the releases on this server, and what each changed"),
    "rollback": ("cli.releases:rollback", "bring an earlier release back, without building anything"),
    "lock": ("cli.lock:lock", "keep others' changes out for a while; show or release that lock"),
    "audit": ("cli.lock:audit", "who changed what, and whether the record is whole"),
    "start": ("cli.services:start", "start what is stopped, replacing nothing (called at boot)"),
    "maintenance": ("cli.access:maintenance", "close the platform to its users for a while, or open it again"),
    "heal": ("cli.services:heal", "restart what is unhealthy (called by a timer)"),
    "version": ("cli.services:version", "this program's protocol and the live release"),
    "unpack": ("cli.plan:unpack", "unpack a version of this program from the content store"),
    "address": ("cli.access:address", "where a service's container answers (called by vru tunnel)"),
    "find-container": ("cli.access:find_container", "which container of a service is meant (called by vru exec)"),
    "facts-json": ("cli.deployment:facts_json", "what this server is, as JSON"),
    "plan": ("cli.plan:plan", "what a release would change; changes nothing"),
    "receive": ("cli.transfer:receive", "store content (a stream of frames on stdin)"),
    "layers": ("cli.transfer:layers", "which layers of images need not be sent (question on stdin)"),
    "load-images": ("cli.transfer:load_images", "make images of layers that were sent (list on stdin)"),
    "apply": ("cli.deployment:apply", "make a release live (manifest on stdin), and watch"),
    "follow": ("cli.deployment:follow", "watch the change that is under way, or read the last one's journal"),
    "execute": ("cli.deployment:execute", "make the change (started by apply)"),
    "firewall-confirm": ("cli.deployment:firewall_confirm", "keep the new firewall rules"),
    "firewall-revert": ("cli.deployment:firewall_revert", "take unconfirmed firewall rules back (called by a timer)"),
    "firewall-apply": ("cli.deployment:firewall_apply", "put the confirmed firewall rules in place (called at boot)"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the entry point of the ``.pyz`` and of the command ``vru-platform``."""
    os.umask(0o022)
    signal.signal(signal.SIGTERM, _terminate)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup sets it
        signal.signal(signal.SIGHUP, _terminate)
    words = list(sys.argv[1:] if arguments is None else arguments)
    name = words[0] if words else ""
    if name not in _COMMANDS:
        _overview().parse_args(words)  # help, or a usage error that lists the commands; either way it exits
        return 2
    place, about = _COMMANDS[name]
    parser = argparse.ArgumentParser(prog=f"vru-platform {name}", description=about)
    run = _load(place)(parser)
    options = parser.parse_args(words[1:])
    host = Host.here()
    try:
        if name != "version":
            host.require_root()
        return int(run(host, options))
    except UserError as error:
        _say_error(error)
        return error.code
    except BrokenPipeError:
        # The reader of our output went away (| head, a cut connection): end quietly, as other programs do.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except Exception as error:  # noqa: BLE001 - the last resort, so that nobody has to read a traceback
        _say_fault(host, name, error)
        return FAILED


def _load(place: str) -> Command:
    module, function = place.split(":")
    command: Command = getattr(import_module(f"{__package__}.{module}"), function)
    return command


def _overview() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="vru-platform", description=_ABOUT, epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (_, about) in _COMMANDS.items():
        commands.add_parser(name, help=about)
    return parser


def _say_error(error: UserError) -> None:
    from .base import terminal

    terminal.say_error(f"vru-platform: {error.message}")
    if error.fix:
        terminal.say_error(f"  {error.fix}")
    for line in error.logs:
        terminal.say_error(f"  | {line}")


def _say_fault(host: Host, name: str, error: Exception) -> None:
    """What nobody foresaw: a sentence for the administrator, the whole story in a file."""
    import traceback
    from datetime import datetime, timezone

    path = host.root / "logs" / "vru-platform.log"
    story = "".join(traceback.format_exception(error))
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{datetime.now(timezone.utc).isoformat(timespec='seconds')} {name}\n{story}\n")
        where = f"What this program was doing is written in {path}."
    except OSError:
        where = story
    _say_error(UserError(f"`{name}` could not go on: {plain(error)}.", where))


def _terminate(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
