"""How good ground truth is, from files to the terminal."""

import json
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from vru.evaluation.cli.inputs import predictions_of, protocol_of, times_of, truth_of
from vru.evaluation.cli.options import EXIT, Reading, write
from vru.evaluation.dataset.conditions import conditions_of
from vru.evaluation.dataset.evaluate import evaluate_dataset
from vru.evaluation.dataset.prepare import to_dataset
from vru.evaluation.dataset.slice_views import kinds_of
from vru.evaluation.study.truth_quality import agreement as agreement_of
from vru.evaluation.study.truth_quality import noise_effects, side_by_side
from vru.evaluation.verdict.criteria_files import read_criteria
from vru.formats import Boxes, read_truth

# Differences that the terminal shows; the JSON has all.
_SHOWN = 20


def run_agreement(first: Path, second: Path, json_path: Path | None) -> None:
    """Compare two annotations.

    Raises:
        VruError: one cannot be read, or they are of different pictures.
    """
    sides = []
    for path in (first, second):
        annotations = read_truth(path)
        sides.append(to_dataset(annotations, Boxes(lambda _, number: f"box {number}")))
    found = agreement_of(side_by_side(sides[0], sides[1]))
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


def run_noise(
    *,
    reading: Reading,
    truth_path: Path,
    predictions: Path,
    criteria: Path,
    protocol: str | None,
    attributes: Path | None,
    rounds: int,
    resamples: int,
    seed: int,
    json_path: Path | None,
) -> int:
    """Judge the truth as it is, and with noise; the exit code.

    Raises:
        VruError: the input is not what it should be.
    """
    file = read_criteria(criteria)
    asked, assumed = file.criteria, dict[str, Any](file.assumed)
    annotations = truth_of(truth_path, reading)
    data = predictions_of(predictions, annotations, reading).data
    measure = partial(
        evaluate_dataset,
        protocol=replace(protocol_of(protocol, annotations, reading.classes), **assumed),
        times=times_of(annotations),
        resamples=resamples,
        seed=seed,
        pixels=not annotations.normalised,
        slices=kinds_of(criterion.slice for criterion in asked),
        conditions=conditions_of(annotations, attributes),
    )
    report, effects = noise_effects(data, measure, asked, rounds=rounds, seed=seed)
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
    return EXIT[report.verdict]
