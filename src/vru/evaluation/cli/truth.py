"""``vru truth``: do two annotations agree, and would label noise change the verdict?"""

import sys
from pathlib import Path
from typing import Any

import click

from vru.domain.errors import VruError
from vru.evaluation.cli.options import Reading, fail, reading_options

_FILE = click.Path(path_type=Path)
_JSON_HELP = "Write everything to this file; - prints it."


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def truth() -> None:
    """Say how good ground truth is."""


@truth.command()
@click.argument("first", metavar="A", type=_FILE)
@click.argument("second", metavar="B", type=_FILE)
@click.option("--json", "json_path", type=_FILE, help=_JSON_HELP)
def agreement(first: Path, second: Path, json_path: Path | None) -> None:
    """Compare two annotations A and B of the same video or images.

    Exit codes: 0 compared; 2 wrong usage or input.
    """
    from vru.evaluation.cli.run_truth import run_agreement

    try:
        run_agreement(first, second, json_path)
    except VruError as error:
        fail(error)


@truth.command()
@click.argument("truth_path", metavar="TRUTH", type=_FILE)
@click.argument("predictions", type=_FILE)
@click.option("--criteria", type=_FILE, required=True, help="As in vru evaluate.")
@click.option("--protocol", metavar="NAME|FILE.yaml", help="As in vru evaluate.")
@click.option("--attributes", type=_FILE, help="As in vru evaluate.")
@click.option("--rounds", type=click.IntRange(1, 1000), default=5, show_default=True, help="For each share of noise.")
@click.option("--resamples", type=click.IntRange(100, 100_000), default=500, show_default=True)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--json", "json_path", type=_FILE, help=_JSON_HELP)
@reading_options
def noise(**options: Any) -> None:
    """Would the verdict be another if 1, 5 or 10 % of the labels were wrong?

    Exit codes: those of vru evaluate, for the truth as it is.
    """
    from vru.evaluation.cli.run_truth import run_noise

    reading = Reading.taken_from(options)
    try:
        code = run_noise(reading=reading, **options)
    except VruError as error:
        fail(error)
    sys.exit(code)
