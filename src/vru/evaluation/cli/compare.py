"""``vru compare``: two versions of a model on the same truth; what changed, and whether the new one is not worse."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from vru.domain.errors import VruError
from vru.evaluation.cli.options import Reading, fail, reading_options, unseen_options

_FILE = click.Path(path_type=Path)
_DEFAULT_MARGIN = 0.02


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for; see the options of the same names."""

    truth: Path
    before: Path
    after: Path
    reading: Reading
    protocol: str | None
    margin: float
    criteria: Path | None
    json_path: Path | None
    score: float | None
    power: float
    resamples: int
    seed: int
    unseen_truth: float | None
    unseen_false_boxes: float | None


@click.command()
@click.argument("truth", type=_FILE)
@click.argument("before", metavar="A", type=_FILE)
@click.argument("after", metavar="B", type=_FILE)
@click.option("--protocol", metavar="NAME|FILE.yaml", help="As in vru evaluate.")
@click.option(
    "--margin",
    type=click.FloatRange(0, 1),
    default=_DEFAULT_MARGIN,
    show_default=True,
    help="By how much B's ap, mota, lamr or recall (the first there is) may be worse.",
)
@click.option("--criteria", type=_FILE, help="YAML or JSON: margins by metric and slice.")
@click.option("--json", "json_path", type=_FILE, help="Write everything here; - prints it.")
@click.option("--score", type=float, help="Confidence from which a detection counts in precision and recall.")
@click.option("--power", type=click.FloatRange(0.5, 0.999), default=0.8, show_default=True, help="Wanted, of the test.")
@click.option("--resamples", type=click.IntRange(100, 100_000), default=2000, show_default=True)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the resamples.")
@unseen_options
@reading_options
def compare(**options: Any) -> None:
    """Compare the detections B with the detections A, on the same TRUTH: is B worse?

    Exit codes: 0 PASS, B is worse by no more than the margin; 1 FAIL, it is; 3 INCONCLUSIVE, the data are too few; 2
    wrong usage or input.
    """
    from vru.evaluation.cli.run_compare import run

    request = Request(reading=Reading.taken_from(options), **options)
    try:
        code = run(request)
    except VruError as error:
        fail(error)
    sys.exit(code)
