"""Two versions of a model on the same truth, from files to a verdict."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click
import yaml
from rich.console import Console
from rich.table import Table

from vru.domain import Verdict, VruError
from vru.domain.slices import ALL
from vru.evaluation.cli.compare import Request
from vru.evaluation.cli.inputs import predictions_of, protocol_of, times_of, truth_of
from vru.evaluation.cli.options import EXIT, Reading, write
from vru.evaluation.dataset.evaluate import DatasetEvaluation, evaluate_dataset
from vru.evaluation.dataset.protocol import Protocol
from vru.evaluation.study.comparison import (
    Difference,
    Judged,
    Margin,
    Misses,
    compare_misses,
    differences,
    judge_comparison,
)
from vru.formats import Annotations

_HOW = "Write a list of {metric: recall, margin: 0.02}, and perhaps slice and confidence_level."
# The first of these that can be compared is held against --margin.
_HEADLINES = ("ap", "mota", "lamr", "recall")


def run(request: Request) -> int:
    """Do what is asked; the exit code.

    Raises:
        VruError: the input is not what it should be; nothing was written.
    """
    asked = read_margins(request.criteria) if request.criteria else ()
    annotations = truth_of(request.truth, request.reading)
    protocol = protocol_of(request.protocol, annotations, request.reading.classes)
    said: dict[str, Any] = {
        "score_threshold": request.score,
        "unseen_truth": request.unseen_truth,
        "unseen_false_boxes": request.unseen_false_boxes,
    }
    protocol = replace(protocol, **{name: value for name, value in said.items() if value is not None})
    metrics = [_measured(annotations, path, protocol, request) for path in (request.before, request.after)]
    found = differences(*metrics)
    margins = asked or _headline(found, request.margin)
    verdict, judged = judge_comparison(found, margins)
    misses = compare_misses(*metrics)
    content = document(found, judged, misses, verdict, request.power)
    content["settings"] = _settings(request.reading, annotations, protocol, request)
    text = json.dumps(content, indent=1, allow_nan=False) + "\n"
    if request.json_path is not None and str(request.json_path) == "-":
        click.echo(text, nl=False)
        return EXIT[verdict]
    if request.json_path is not None:
        write(request.json_path, text.encode())
    notes = tuple(dict.fromkeys(note for of in metrics for note in of.notes))
    _show(found, judged, misses, verdict, request.power, notes)
    return EXIT[verdict]


def _settings(reading: Reading, annotations: Annotations, protocol: Protocol, request: Request) -> dict[str, Any]:
    """What the bounds assume, and what was said of the images."""
    return {
        "assumption": annotations.assumption,
        "unseen_truth": protocol.unseen_truth,
        "unseen_false_boxes": protocol.unseen_false_boxes,
        "resamples": request.resamples,
        "seed": request.seed,
        **reading.recorded(),
    }


def _measured(annotations: Annotations, path: Path, protocol: Protocol, request: Request) -> DatasetEvaluation:
    found = predictions_of(path, annotations, request.reading)
    metrics = evaluate_dataset(
        found.data,
        protocol,
        times=times_of(annotations),
        resamples=request.resamples,
        seed=request.seed,
        pixels=not annotations.normalised,
    )
    assumption = (annotations.assumption,) if annotations.assumption else ()
    return replace(metrics, notes=(*assumption, *found.notes, *metrics.notes))


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


def _interval(low: float, high: float) -> str:
    """In words where one side has no bound."""
    if not math.isfinite(low):
        return f"up to {high:+.4f}" if math.isfinite(high) else "-"
    return f"{low:+.4f} to {high:+.4f}" if math.isfinite(high) else f"from {low:+.4f}"


def _show(
    found: Mapping[tuple[str, str], Difference],
    judged: tuple[Judged, ...],
    misses: Misses,
    verdict: Verdict,
    power: float,
    notes: tuple[str, ...],
) -> None:
    console = Console(highlight=False, soft_wrap=True)
    table = Table("slice", "metric", "A", "B", "B - A", "95 % interval", "", title="B against A", title_justify="left")
    for (slice_, metric), difference in found.items():
        low, high = difference.bounds(0.975)
        gain_low, gain_high = difference.gain_bounds(0.975)
        mark = "better" if gain_low > 0 else "worse" if gain_high < 0 else ""
        interval = _interval(low, high)
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
    for note in notes:
        console.print(f"note: {note}", style="dim", markup=False)
    colour = {Verdict.PASS: "green", Verdict.FAIL: "red"}.get(verdict, "yellow")
    console.print(f"verdict: {verdict.value}", style=f"bold {colour}")
