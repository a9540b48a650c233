"""Maintenance, and what ``vru`` calls to look inside a service: where it is, and which container is meant."""

from __future__ import annotations

import argparse
import sys

from ..base import terminal
from ..base.errors import OK, USAGE, HostError
from ..base.host import Host
from ..docker.compose import Compose
from ..operations import exec_target
from ..operations import maintenance as closing
from ..operations.services import check_names
from . import Run, json_option
from .lock import parse_duration


def maintenance(parser: argparse.ArgumentParser) -> Run:
    """Close the platform to its users for a while."""
    json_option(parser)
    parser.add_argument("action", nargs="?", choices=("show", "on", "off", "expire"), default="show")
    parser.add_argument("--message", default="", metavar="TEXT", help="what users are told")
    parser.add_argument("--for", dest="duration", metavar="TIME", help="end by itself after 30m, 2h, 1d")
    return _maintenance


def _maintenance(host: Host, options: argparse.Namespace) -> int:
    if options.action != "on" and (options.message or options.duration):
        raise HostError("--message and --for belong to `maintenance on`.", code=USAGE)
    if options.action == "on":
        seconds = parse_duration(options.duration) if options.duration else None
        closing.begin(host, options.message, seconds)
    elif options.action == "off":
        closing.end(host)
    elif options.action == "expire":
        closing.expire(host)
    return closing.show(host, as_json=options.json)


def find_container(parser: argparse.ArgumentParser) -> Run:
    """Name a container of a service, and record who asked."""
    _add_service(parser)
    parser.add_argument("--program", required=True, help="what will be run there")
    return _find_container


def _find_container(host: Host, options: argparse.Namespace) -> int:
    terminal.say_json(exec_target.target(host, options.service, options.index, options.program))
    return OK


def address(parser: argparse.ArgumentParser) -> Run:
    """Say where a service answers, as often as a line comes on standard input."""
    _add_service(parser)
    parser.add_argument("--to", type=int, metavar="PORT", help="its port; the usual one by default")
    return _address


def _address(host: Host, options: argparse.Namespace) -> int:
    check_names(Compose(host), [options.service])
    for answer in exec_target.answer_questions(host, options.service, options.index, options.to, sys.stdin):
        terminal.say(answer)
    return OK


def _add_service(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("service")
    parser.add_argument("--index", type=int, metavar="N", help="which of its containers; 1 is the oldest")
