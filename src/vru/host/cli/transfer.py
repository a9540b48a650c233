"""What ``vru`` on the laptop calls to bring content: receive, layers, load-images."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from typing import Any

from ..base.errors import OK, HostError, plain
from ..base.host import Host
from ..lock import audit
from ..release import image_transfer as image_layers
from ..release.receive import receive as store_stream
from . import Run


def receive(parser: argparse.ArgumentParser) -> Run:
    """Store content."""
    return _answer(lambda host: {"received": store_stream(host, sys.stdin.buffer)})


def layers(parser: argparse.ArgumentParser) -> Run:
    """Which layers of images the engine has, and how much of their content is here."""
    return _answer(lambda host: image_layers.ask(host, _question()))


def load_images(parser: argparse.ArgumentParser) -> Run:
    """Make images of layers that were sent."""
    return _answer(_load)


def _load(host: Host) -> dict[str, Any]:
    question = _question()
    answer = image_layers.load(host, question)
    audit.record(host, "load images", outcome="done", detail=", ".join(answer["images"]))
    return answer


def _question() -> dict[str, Any]:
    try:
        question = json.load(sys.stdin.buffer)
    except ValueError as error:
        raise HostError(f"The question cannot be read: {plain(error)}.") from error
    if not isinstance(question, dict):
        raise HostError("The question is no JSON object.")
    return question


def _answer(work: Callable[[Host], dict[str, Any]]) -> Run:
    """Print what came of it as JSON; a failure too, since the laptop shows it."""

    def command(host: Host, options: argparse.Namespace) -> int:
        try:
            answer, code = work(host), OK
        except HostError as error:
            answer, code = {"error": error.message, "fix": error.fix}, error.code
        print(json.dumps(answer), flush=True)
        return code

    return command
