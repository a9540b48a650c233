"""What ``vru`` on the laptop calls to bring content: receive."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from typing import Any

from ..errors import OK, HostError
from ..host import Host
from ..receive import receive as store_stream
from . import Run


def receive(parser: argparse.ArgumentParser) -> Run:
    """Store content."""
    return _answer(lambda host: {"received": store_stream(host, sys.stdin.buffer)})


def _answer(work: Callable[[Host], dict[str, Any]]) -> Run:
    """Print what came of it as JSON; a failure too, since the laptop shows it."""

    def verb(host: Host, options: argparse.Namespace) -> int:
        try:
            answer, code = work(host), OK
        except HostError as error:
            answer, code = {"error": error.message, "fix": error.fix}, error.code
        print(json.dumps(answer), flush=True)
        return code

    return verb
