"""``vru compare``: two versions of a model on the same truth; what changed, and whether the new one is not worse."""

import json
import math
import sys
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click
import yaml
from rich.console import Console
from rich.table import Table

from vru.domain import Verdict, VruError
from vru.evaluation.cli.evaluate import EXIT, PROTOCOL_OF, fail, times_of, write
from vru.evaluation.core.slices import ALL
from vru.evaluation.dataset.evaluate import Figures, measure_all
from vru.evaluation.dataset.prepare import to_dataset
from vru.evaluation.dataset.protocol import Protocol, load_protocol, protocol_names
from vru.evaluation.study.comparison import (
    DEFAULT_MARGIN,
    Difference,
    Judged,
    Margin,
    Misses,
    compare_misses,
    differences,
    judge_comparison,
)
from vru.formats import FORMATS, PREDICTION_FORMATS, Annotations, read_predictions, read_truth

_HOW = "Write a list of {metric: recall, margin: 0.02}, and perhaps slice and confidence_level."
# The first of these that can be compared is held against --margin.
_HEADLINES = ("ap", "mota", "lamr", "recall")


@click.command()
@click.argument("truth", type=click.Path(path_type=Path))
@click.argument("before", metavar="A", type=click.Path(path_type=Path))
@click.argument("after", metavar="B", type=click.Path(path_type=Path))
@click.option(
    "--protocol", metavar="NAME|FILE.yaml", help=f"{', '.join(protocol_names())}, or a file; as in vru evaluate."
)
@click.option(
    "--margin",
    type=click.FloatRange(0, 1),
    default=DEFAULT_MARGIN,
    show_default=True,
    help="By how much B's ap, mota, lamr or recall (the first there is) may be worse.",
)
@click.option("--criteria", type=click.Path(path_type=Path), help="YAML or JSON: margins by metric and slice.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write everything here; - prints it.")
@click.option("--score", type=float, help="Confidence from which a detection counts in precision and recall.")
@click.option("--power", type=click.FloatRange(0.5, 0.999), default=0.8, show_default=True, help="Wanted, of the test.")
@click.option("--resamples", type=click.IntRange(100, 100_000), default=2000, show_default=True)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the resamples.")
@click.option("--truth-format", type=click.Choice(FORMATS), help="Where the content does not tell.")
@click.option("--predictions-format", type=click.Choice(PREDICTION_FORMATS), help="Where the content does not tell.")
def compare(
    truth: Path,
    before: Path,
    after: Path,
    protocol: str | None,
    margin: float,
    criteria: Path | None,
    json_path: Path | None,
    score: float | None,
    power: float,
    resamples: int,
    seed: int,
    truth_format: str | None,
    predictions_format: str | None,
) -> None:
    """Compare the detections B with the detections A, on the same TRUTH: is B worse?

    Exit codes: 0 PASS, B is worse by no more than the margin; 1 FAIL, it is; 3 INCONCLUSIVE, the data are too few; 2
    wrong usage or input.
    """
    try:
        asked = read_margins(criteria) if criteria else ()
        annotations = read_truth(truth, format_=truth_format)
        chosen = load_protocol(protocol or PROTOCOL_OF.get(annotations.format, "coco"))
        if score is not None:
            chosen = replace(chosen, score_threshold=score)
        figures = [
            _measured(annotations, path, predictions_format, chosen, resamples, seed) for path in (before, after)
        ]
        found = differences(*figures)
        margins = asked or _headline(found, margin)
        verdict, judged = judge_comparison(found, margins)
        misses = compare_misses(*figures)
    except VruError as error:
        fail(error)
    text = json.dumps(document(found, judged, misses, verdict, power), indent=1, allow_nan=False) + "\n"
    if json_path is not None and str(json_path) == "-":
        click.echo(text, nl=False)
    else:
        if json_path is not None:
            write(json_path, text.encode())
        _show(found, judged, misses, verdict, power)
    sys.exit(EXIT[verdict])


def _measured(
    annotations: Annotations, path: Path, format_: str | None, protocol: Protocol, resamples: int, seed: int
) -> Figures:
    data = to_dataset(annotations, read_predictions(path, annotations, format_=format_))
    pixels = not annotations.normalised
    return measure_all(data, protocol, times=times_of(annotations), resamples=resamples, seed=seed, pixels=pixels)


def _headline(found: Mapping[tuple[str, str], Difference], margin: float) -> tuple[Margin, ...]:
    for metric in _HEADLINES:
        if (ALL, metric) in found:
            return (Margin(metric, margin),)
    raise VruError(
        "No figure can be compared: there must be two units or more, such as sequences or images.",
        "Use more of them, or a protocol other than kitti.",
    )


def read_margins(path: Path) -> tuple[Margin, ...]:
    """The margins in a YAML or JSON file: a list of {metric, margin, slice, confidence_level}.

    Raises:
        VruError: it is no such file; the message names the entry.
    """
    try:
        entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise VruError(f"The margins in {path} cannot be read: {' '.join(str(error).split())}.", _HOW) from None
    if not isinstance(entries, list) or not entries:
        raise VruError(f"{path} holds no list of margins.", _HOW)
    return tuple(_margin(entry, f"{path}, entry {number}") for number, entry in enumerate(entries, start=1))


def _margin(entry: Any, where: str) -> Margin:
    keys = set(Margin.__slots__)
    if not isinstance(entry, dict) or not {"metric", "margin"} <= set(entry) <= keys:
        raise VruError(f"{where} is {entry!r}.", _HOW)
    margin, level = entry["margin"], entry.get("confidence_level", 0.95)
    for value, low, high in ((margin, 0.0, math.inf), (level, 0.5, 1.0)):
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value < high:
            raise VruError(f"{where}: {value!r} is no number from {low:g} to below {high:g}.", _HOW)
    return Margin(str(entry["metric"]), float(margin), str(entry.get("slice", ALL)), float(level))


def document(
    found: Mapping[tuple[str, str], Difference],
    judged: tuple[Judged, ...],
    misses: Misses,
    verdict: Verdict,
    power: float,
) -> dict[str, Any]:
    """Everything, ready for JSON. Differences are B less A, with two-sided 95 % intervals."""
    slices: dict[str, dict[str, Any]] = {}
    for (slice_, metric), difference in found.items():
        low, high = difference.bounds(0.975)
        slices.setdefault(slice_, {})[metric] = {
            "before": difference.before,
            "after": difference.after,
            "difference": difference.value,
            "low": low if math.isfinite(low) else None,
            "high": high if math.isfinite(high) else None,
            "n": difference.n,
            "units": difference.units,
        }
    return {
        "differences": slices,
        "criteria": [
            asdict(item.margin)
            | {
                "verdict": item.verdict.value,
                "mark": item.mark,
                "reason": item.reason,
                "more_needed": item.more_needed,
                "power": item.difference.power(item.margin.margin, item.margin.confidence_level),
                "units_needed": item.difference.units_needed(item.margin.margin, power, item.margin.confidence_level),
                "power_wanted": power,
            }
            for item in judged
        ],
        "newly_missed": [_named(item) for item in misses.newly_missed],
        "newly_found": [_named(item) for item in misses.newly_found],
        "verdict": verdict.value,
    }


def _named(item: tuple[str, int, str]) -> dict[str, Any]:
    return dict(zip(("sequence", "track", "class"), item, strict=True))


def _show(
    found: Mapping[tuple[str, str], Difference],
    judged: tuple[Judged, ...],
    misses: Misses,
    verdict: Verdict,
    power: float,
) -> None:
    console = Console(highlight=False, soft_wrap=True)
    table = Table("slice", "metric", "A", "B", "B - A", "95 % interval", "", title="B against A", title_justify="left")
    for (slice_, metric), difference in found.items():
        low, high = difference.bounds(0.975)
        gain_low, gain_high = difference.gain_bounds(0.975)
        mark = "better" if gain_low > 0 else "worse" if gain_high < 0 else ""
        interval = f"{low:+.4f} to {high:+.4f}" if math.isfinite(low) else "-"
        values = (f"{difference.before:.4f}", f"{difference.after:.4f}", f"{difference.value:+.4f}")
        table.add_row(slice_, metric, *values, interval, mark)
    console.print(table)
    for title, names in (("newly missed", misses.newly_missed), ("newly found", misses.newly_found)):
        for sequence, track, label in names:
            place = f" of {sequence}" if sequence else ""
            console.print(f"{title}: track {track}{place} ({label})", markup=False)
    for item in judged:
        console.print(f"{item.verdict.value}: {item.reason}", markup=False)
        reached = item.difference.power(item.margin.margin, item.margin.confidence_level)
        needed = item.difference.units_needed(item.margin.margin, power, item.margin.confidence_level)
        if reached is not None:
            console.print(
                f"  A loss of {item.margin.margin:g} is found with a power of {reached:.0%} by these "
                f"{item.difference.n} {item.difference.units}; {power:.0%} takes {needed}.",
                markup=False,
            )
    colour = {Verdict.PASS: "green", Verdict.FAIL: "red"}.get(verdict, "yellow")
    console.print(f"verdict: {verdict.value}", style=f"bold {colour}")
