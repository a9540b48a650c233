"""What the laptop asks before it changes anything. A plan writes nothing, not even what would make the next faster."""

from __future__ import annotations

import argparse
import json
import os
import sys

from ..base.errors import OK
from ..base.host import Host
from ..deployment import plan as planner
from ..release import store
from ..release.manifest import parse
from ..strict_json import write
from ..wire import COMPOSE_FILE, ENV_FILE, Answer, Manifest
from . import Run


def plan(parser: argparse.ArgumentParser) -> Run:
    """What a release would change."""
    parser.add_argument("release", nargs="?", help="a release that is kept here; else its manifest comes on stdin")
    parser.add_argument("--facts", type=int, metavar="FD", help="a descriptor with the server's facts, handed on")
    parser.add_argument("--contents", action="store_true", help="with what stands in the files that would change")
    return _plan


def _plan(host: Host, options: argparse.Namespace) -> int:
    manifest = _manifest(host, options.release)
    answer = None if manifest is None else planner.plan(host, manifest, contents=options.contents)
    facts = None
    if options.facts is not None:
        with os.fdopen(options.facts, encoding="utf-8", errors="replace") as pipe:
            facts = pipe.read()
    document = answer if facts is None else Answer(facts, answer)
    print(json.dumps(write(document)), flush=True)
    return OK


def _manifest(host: Host, release: str | None) -> Manifest | None:
    """The manifest from stdin, or the kept one; None if the named one is not kept."""
    if release is not None:
        if not (host.releases / release / "manifest.json").exists():
            return None
        manifest = store.load(host, release)
        whole = all(store.content(host, manifest, path) is not None for path in (COMPOSE_FILE, ENV_FILE))
        return manifest if whole or not manifest.has_compose else None
    return parse(sys.stdin.buffer.read())


def unpack(parser: argparse.ArgumentParser) -> Run:
    """Unpack a version of this program, so that it starts fast."""
    parser.add_argument("sha256")
    return _unpack


def _unpack(host: Host, options: argparse.Namespace) -> int:
    from ..release import program

    program.unpack(host, options.sha256)
    return OK
