"""``vru explain``: why do average precisions of one tool and of another differ?"""

from pathlib import Path
from typing import Any

import click

from vru.domain.errors import VruError
from vru.evaluation.cli.options import Reading, fail, reading_options

_FILE = click.Path(path_type=Path)


@click.command()
@click.argument("truth", type=_FILE)
@click.argument("predictions", type=_FILE)
@click.option("--json", "json_path", type=_FILE, help="Write everything to this file; - prints it.")
@reading_options
def explain(**options: Any) -> None:
    """Say why average precision (at an overlap of 0.5) differs from tool to tool.

    The figure of TRUTH and PREDICTIONS by the rules of pycocotools, of VOC and of YOLO frameworks, and in points what
    each difference of rules is worth, one after the other.

    Exit codes: 0 explained; 2 wrong usage or input.
    """
    from vru.evaluation.cli.run_explain import run

    reading = Reading.taken_from(options)
    try:
        run(reading=reading, **options)
    except VruError as error:
        fail(error)
