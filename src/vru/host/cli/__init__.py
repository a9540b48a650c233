"""The commands of ``vru-platform``, one module a group, one function a command, loaded when it is called.

A function adds its command's arguments to the parser that it gets, and returns what runs the command: it takes the host
and the parsed arguments, and returns the exit code.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

from ..base.host import Host

Run = Callable[[Host, argparse.Namespace], int]
Command = Callable[[argparse.ArgumentParser], Run]


def json_option(parser: argparse.ArgumentParser) -> None:
    """The option ``--json``, the same for all."""
    parser.add_argument("--json", action="store_true", help="print JSON")
