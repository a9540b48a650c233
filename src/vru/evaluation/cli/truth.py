"""``vru truth``: do two annotations agree, and would label noise change the verdict?"""

import json
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from vru.domain import VruError
from vru.evaluation.cli.evaluate import EXIT, PROTOCOL_OF, fail, times_of, write
from vru.evaluation.dataset.conditions import conditions_of
from vru.evaluation.dataset.evaluate import measure_all
from vru.evaluation.dataset.prepare import to_dataset
from vru.evaluation.dataset.protocol import load_protocol
from vru.evaluation.dataset.slice_views import kinds_of
from vru.evaluation.study.truth_quality import agreement as agreement_of
from vru.evaluation.study.truth_quality import noise_effects, side_by_side
from vru.evaluation.verdict.criteria_files import read_criteria
from vru.formats import Boxes, read_predictions, read_truth

# Differences that the terminal shows; the JSON has all.
_SHOWN = 20
_JSON_HELP = "Write everything to this file; - prints it."


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def truth() -> None:
    """Say how good ground truth is."""


@truth.command()
@click.argument("first", metavar="A", type=click.Path(path_type=Path))
@click.argument("second", metavar="B", type=click.Path(path_type=Path))
@click.option("--json", "json_path", type=click.Path(path_type=Path), help=_JSON_HELP)
def agreement(first: Path, second: Path, json_path: Path | None) -> None:
    """Compare two annotations A and B of the same video or images.

    Exit codes: 0 compared; 2 wrong usage or input.
    """
    try:
        sides = []
        for path in (first, second):
            annotations = read_truth(path)
            sides.append(to_dataset(annotations, Boxes(lambda _, number: f"box {number}")))
        found = agreement_of(side_by_side(sides[0], sides[1]))
    except VruError as error:
        fail(error)
    document = asdict(found)
    if json_path is not None:
        text = json.dumps(document, indent=1, allow_nan=False) + "\n"
        if str(json_path) == "-":
            click.echo(text, nl=False)
            return
        write(json_path, text.encode())
    console = Console(highlight=False, soft_wrap=True)
    table = Table("what", "value", title="Agreement of A and B", title_justify="left")
    table.add_row("boxes", f"{found.boxes[0]} and {found.boxes[1]}, {found.matched} matched")
    for name in ("box_agreement", "mean_iou", "class_share", "kappa", "alpha"):
        table.add_row(name, "-" if document[name] is None else f"{document[name]:.4f}")
    console.print(table)
    for title, tracks in (("A's", found.split_tracks), ("B's", found.joined_tracks)):
        for sequence, track, count in tracks:
            place = f" of {sequence}" if sequence else ""
            console.print(f"{title} track {track}{place} is {count} tracks on the other side", markup=False)
    for item in found.disagreements[:_SHOWN]:
        place = f"{item.sequence}, frame {item.frame}" if item.sequence else f"frame {item.frame}"
        what = f"{item.label} in A, {item.other_label} in B" if item.kind == "class" else f"{item.label} {item.kind}"
        console.print(f"{place}, track {item.track}: {what}", markup=False)
    if len(found.disagreements) > _SHOWN:
        console.print(f"... and {len(found.disagreements) - _SHOWN} more; --json has all.")


@truth.command()
@click.argument("truth_path", metavar="TRUTH", type=click.Path(path_type=Path))
@click.argument("predictions", type=click.Path(path_type=Path))
@click.option("--criteria", type=click.Path(path_type=Path), required=True, help="As in vru evaluate.")
@click.option("--protocol", metavar="NAME|FILE.yaml", help="As in vru evaluate.")
@click.option("--attributes", type=click.Path(path_type=Path), help="As in vru evaluate.")
@click.option("--rounds", type=click.IntRange(1, 1000), default=5, show_default=True, help="For each share of noise.")
@click.option("--resamples", type=click.IntRange(100, 100_000), default=500, show_default=True)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--json", "json_path", type=click.Path(path_type=Path), help=_JSON_HELP)
def noise(
    truth_path: Path,
    predictions: Path,
    criteria: Path,
    protocol: str | None,
    attributes: Path | None,
    rounds: int,
    resamples: int,
    seed: int,
    json_path: Path | None,
) -> None:
    """Would the verdict be another if 1, 5 or 10 % of the labels were wrong?

    Exit codes: those of vru evaluate, for the truth as it is.
    """
    try:
        asked = read_criteria(criteria)
        annotations = read_truth(truth_path)
        data = to_dataset(annotations, read_predictions(predictions, annotations))
        measure = partial(
            measure_all,
            protocol=load_protocol(protocol or PROTOCOL_OF.get(annotations.format, "coco")),
            times=times_of(annotations),
            resamples=resamples,
            seed=seed,
            pixels=not annotations.normalised,
            slices=kinds_of(criterion.slice for criterion in asked),
            conditions=conditions_of(annotations, attributes),
        )
        report, effects = noise_effects(data, measure, asked, rounds=rounds, seed=seed)
    except VruError as error:
        fail(error)
    names = [f"{item.metric} {item.comparator.value} {item.threshold:g} ({item.slice})" for item in asked]
    rows = [
        {
            "noise": effect.share,
            "rounds": rounds,
            "verdicts": {verdict.value: count for verdict, count in effect.verdicts.items()},
            "flipped": dict(zip(names, effect.flipped, strict=True)),
        }
        for effect in effects
    ]
    text = json.dumps({"verdict": report.verdict.value, "label_noise": rows}, indent=1) + "\n"
    if json_path is not None and str(json_path) != "-":
        write(json_path, text.encode())
    if json_path is not None and str(json_path) == "-":
        click.echo(text, nl=False)
    else:
        table = Table("criterion", "now", title="Share of rounds with another verdict", title_justify="left")
        for effect in effects:
            table.add_column(f"{effect.share:.0%} noise")
        for place, (name, result) in enumerate(zip(names, report.results, strict=True)):
            table.add_row(name, result.verdict.value, *(f"{effect.flipped[place]:.0%}" for effect in effects))
        console = Console(highlight=False, soft_wrap=True)
        console.print(table)
        console.print(f"verdict: {report.verdict.value}")
    sys.exit(EXIT[report.verdict])
