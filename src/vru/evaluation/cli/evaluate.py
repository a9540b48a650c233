"""``vru evaluate``: truth and predictions in, figures and a verdict out. No service, no server."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from vru.domain.errors import VruError
from vru.evaluation.cli.about import About, about_options
from vru.evaluation.cli.options import Reading, fail, reading_options, unseen_options
from vru.formats.collection import no_collection

_FILE = click.Path(path_type=Path)


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for; see the options of the same names."""

    truth: Path
    predictions: Path
    reading: Reading
    about: About
    protocol: str | None
    criteria: Path | None
    json_path: Path | None
    html_path: Path | None
    pdf_path: Path | None
    junit_path: Path | None
    csv_path: Path | None
    media: Path | None
    most_pictures: int
    errors: bool
    score: float | None
    resamples: int | None
    seed: int
    slices: str | None
    attributes: Path | None
    model: str | None
    truth_source: str | None
    smallest_n: int | None
    unseen_truth: float | None
    unseen_false_boxes: float | None
    markers: Path | None
    offset_ns: int | None
    offset_uncertainty_ms: float | None
    poll_ms: float
    hold_ms: float


@click.command()
@click.argument("truth", type=_FILE)
@click.argument("predictions", type=_FILE)
@click.option(
    "--protocol",
    metavar="NAME|FILE.yaml",
    help="What is counted and reported: caltech, camera, coco, default, eurocity, kitti, mot, mot20, or a file of your "
    "own.  [default: mot, kitti or default by the truth's format, else coco]",
)
@click.option("--criteria", type=_FILE, help="YAML or JSON: what must be reached to PASS.")
@click.option("--json", "json_path", type=_FILE, help="Write everything to this file; - prints it.")
@click.option("--html", "html_path", type=_FILE, help="Write a report: one file, for any browser.")
@click.option("--pdf", "pdf_path", type=_FILE, help="Write a report on paper (the extra pdf).")
@click.option("--junit", "junit_path", type=_FILE, help="Write JUnit XML: one test a criterion.")
@click.option("--csv", "csv_path", type=_FILE, help="Write the figures, and NAME.tracks.csv beside them.")
@click.option("--media", metavar="FOLDER|VIDEO", type=_FILE, help="Show misses and false alarms in --html and --pdf.")
@click.option(
    "--most-pictures", type=click.IntRange(1, 500), default=100, show_default=True, help="So many, the worst first."
)
@click.option("--errors", is_flag=True, help="Add TIDE's six kinds of error, and what each costs.")
@click.option("--score", type=float, help="Confidence from which a detection counts in precision and recall.")
@click.option("--resamples", type=click.IntRange(0, 100_000), help="Resamples behind the intervals; 0 gives none.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the resamples.")
@click.option(
    "--slices",
    metavar="KIND,...",
    help="Measure these by themselves: size, occlusion, truncation, distance, or an attribute such as light. "
    "Those that criteria name are measured anyway.",
)
@click.option("--attributes", type=_FILE, help="YAML or JSON: light, weather, ..., calibration.")
@click.option("--model", help="What is under test: truth that it made itself is refused.")
@click.option("--truth-source", metavar="SOURCE", help="Who made the truth: manual, synthetic or model:NAME.")
@click.option("--smallest-n", type=click.IntRange(1), help="Units below which a slice decides nothing.  [default: 10]")
@unseen_options
@about_options
@reading_options
@click.option("--markers", type=_FILE, help="Of a camera run: the markers that join the clocks.")
@click.option("--offset-ns", type=click.IntRange(0), help="Instead: what the signals' clock shows at media time 0.")
@click.option("--offset-uncertainty-ms", type=click.FloatRange(0), help="Standard uncertainty of --offset-ns.")
@click.option("--poll-ms", type=click.FloatRange(0), default=0.0, help="Period in which signals are looked for.")
@click.option(
    "--hold-ms",
    type=click.FloatRange(0),
    default=0.0,
    help="A signal so soon after another of its class goes on with it: for messages that are sent again and again.",
)
def evaluate(**options: Any) -> None:
    """Measure PREDICTIONS against TRUTH, and judge them by criteria.

    TRUTH is COCO JSON, CVAT XML, KITTI or YOLO labels, or MOT text; PREDICTIONS are COCO results, MOT text, KITTI or
    YOLO labels with a confidence. Files or folders. With --protocol camera they are a recording of signals, CSV or
    JSON Lines, and --markers or --offset-ns joins its clock with the video's.

    Exit codes: 0 PASS, or no criteria; 1 FAIL; 3 INCONCLUSIVE, the data are too few; 2 wrong usage or input, nothing
    was measured.
    """
    request = Request(reading=Reading.taken_from(options), about=About.taken_from(options), **options)
    try:
        with no_collection():
            # What measures is imported only now: --help does not wait for it.
            from vru.evaluation.cli.run_evaluate import run

            code = run(request)
    except VruError as error:
        fail(error)
    sys.exit(code)
