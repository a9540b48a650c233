"""Backups, and bringing them back."""

from __future__ import annotations

import argparse

from ..base.host import Host
from ..database import backup as backing_up
from ..lock import audit
from ..lock.lock import busy, holder
from ..operations import restore as restoring
from . import Run, json_option


def backup(parser: argparse.ArgumentParser) -> Run:
    """Back up the database and the configuration."""
    json_option(parser)
    parser.add_argument("--media", action="store_true", help="videos and other media as well")
    return _backup


def _backup(host: Host, options: argparse.Namespace) -> int:
    owner = holder(host)
    if owner is not None and "restore" in str(owner.get("purpose")):
        raise busy(owner)
    with audit.recorded(host, "backup", detail="with media" if options.media else ""):
        return backing_up.run(host, media=options.media, as_json=options.json)


def backups(parser: argparse.ArgumentParser) -> Run:
    """List the backups."""
    json_option(parser)
    return lambda host, options: backing_up.show(host, as_json=options.json)


def restore(parser: argparse.ArgumentParser) -> Run:
    """Bring a backup's database back."""
    json_option(parser)
    parser.add_argument("name", help="`latest`, or a name that `backups` shows")
    return _restore


def _restore(host: Host, options: argparse.Namespace) -> int:
    with audit.recorded(host, "restore", detail=options.name, begin=True):
        return restoring.run(host, options.name, as_json=options.json)
