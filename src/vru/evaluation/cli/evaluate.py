"""``vru evaluate``: truth and predictions in, figures and a verdict out. No service, no server."""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import click
from rich.console import Console
from rich.table import Table

from vru.domain import Criterion, Verdict, VerdictReport, VruError
from vru.evaluation.camera.files import clocks_of, evaluate_recording, to_figures
from vru.evaluation.core.slices import ALL
from vru.evaluation.dataset.conditions import conditions_of
from vru.evaluation.dataset.evaluate import Figures, measure_all
from vru.evaluation.dataset.prepare import to_dataset
from vru.evaluation.dataset.protocol import Protocol, load_protocol, protocol_names
from vru.evaluation.dataset.slice_views import kinds_of
from vru.evaluation.statistics.estimates import Estimate
from vru.evaluation.verdict.criteria_files import read_criteria
from vru.evaluation.verdict.judge import count_of, too_few
from vru.evaluation.verdict.provenance import provenance_of
from vru.evaluation.verdict.results import document, headline, judge_figures, measurement, worst_first
from vru.formats import (
    FORMATS,
    LIMIT_BYTES,
    PREDICTION_FORMATS,
    Annotations,
    digest,
    read_predictions,
    read_signals,
    read_truth,
)
from vru.reports import FORMATS as REPORTS
from vru.reports import report_of_evaluation

EXIT = {Verdict.PASS: 0, Verdict.FAIL: 1, Verdict.INCONCLUSIVE: 3}
EXIT_UNUSABLE = 2
_MEGABYTE = 1 << 20
PROTOCOL_OF = {"mot": "mot", "kitti": "kitti", "kitti-tracking": "mot", "cvat": "default"}
# Resamples of average precision that a criterion on it needs, however long they take.
_LEAST = 200


class _Size(click.ParamType[tuple[int, int]]):
    name = "WIDTHxHEIGHT"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        width, _, height = str(value).lower().partition("x")
        if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
            self.fail(f"{value!r} is not like 1920x1080.", param, ctx)
        return int(width), int(height)


@click.command()
@click.argument("truth", type=click.Path(path_type=Path))
@click.argument("predictions", type=click.Path(path_type=Path))
@click.option(
    "--protocol",
    metavar="NAME|FILE.yaml",
    help=f"What is counted and reported: {', '.join(protocol_names())}, or a file of your own.  "
    "[default: mot, kitti or default by the truth's format, else coco]",
)
@click.option("--criteria", type=click.Path(path_type=Path), help="YAML or JSON: what must be reached to PASS.")
@click.option(
    "--json", "json_path", type=click.Path(path_type=Path), help="Write everything to this file; - prints it."
)
@click.option("--html", "html_path", type=click.Path(path_type=Path), help="Write a report: one file, for any browser.")
@click.option("--pdf", "pdf_path", type=click.Path(path_type=Path), help="Write a report on paper (the extra pdf).")
@click.option("--junit", "junit_path", type=click.Path(path_type=Path), help="Write JUnit XML: one test a criterion.")
@click.option(
    "--csv", "csv_path", type=click.Path(path_type=Path), help="Write the figures, and NAME.tracks.csv beside them."
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
@click.option("--attributes", type=click.Path(path_type=Path), help="YAML or JSON: light, weather, ..., calibration.")
@click.option("--model", help="What is under test: truth that it made itself is refused.")
@click.option("--truth-source", metavar="SOURCE", help="Who made the truth: manual, synthetic or model:NAME.")
@click.option("--smallest-n", type=click.IntRange(1), help="Units below which a slice decides nothing.  [default: 10]")
@click.option("--truth-format", type=click.Choice(FORMATS), help="Where the content does not tell.")
@click.option("--predictions-format", type=click.Choice(PREDICTION_FORMATS), help="Where the content does not tell.")
@click.option("--frames", type=click.IntRange(1), help="How many frames there are, for MOT and KITTI.")
@click.option("--size", type=_Size(), help="Of the pictures in pixels, for YOLO.")
@click.option("--markers", type=click.Path(path_type=Path), help="Of a camera run: the markers that join the clocks.")
@click.option("--offset-ns", type=click.IntRange(0), help="Instead: what the signals' clock shows at media time 0.")
@click.option("--offset-uncertainty-ms", type=click.FloatRange(0), help="Standard uncertainty of --offset-ns.")
@click.option("--poll-ms", type=click.FloatRange(0), default=0.0, help="Period in which signals are looked for.")
@click.option("--hold-ms", type=click.FloatRange(0), help="Signals that follow each other so soon are one warning.")
@click.option(
    "--max-mb", type=click.IntRange(1), default=LIMIT_BYTES // _MEGABYTE, show_default=True, help="Largest input."
)
def evaluate(
    truth: Path,
    predictions: Path,
    protocol: str | None,
    criteria: Path | None,
    json_path: Path | None,
    html_path: Path | None,
    pdf_path: Path | None,
    junit_path: Path | None,
    csv_path: Path | None,
    errors: bool,
    score: float | None,
    resamples: int | None,
    seed: int,
    slices: str | None,
    attributes: Path | None,
    model: str | None,
    truth_source: str | None,
    smallest_n: int | None,
    truth_format: str | None,
    predictions_format: str | None,
    frames: int | None,
    size: tuple[int, int] | None,
    markers: Path | None,
    offset_ns: int | None,
    offset_uncertainty_ms: float | None,
    poll_ms: float,
    hold_ms: float | None,
    max_mb: int,
) -> None:
    """Measure PREDICTIONS against TRUTH, and judge them by criteria.

    TRUTH is COCO JSON, CVAT XML, KITTI or YOLO labels, or MOT text; PREDICTIONS are COCO results, MOT text, KITTI or
    YOLO labels with a confidence. Files or folders. With --protocol camera they are a recording of signals, CSV or
    JSON Lines, and --markers or --offset-ns joins its clock with the video's.

    Exit codes: 0 PASS, or no criteria; 1 FAIL; 3 INCONCLUSIVE, the data are too few; 2 wrong usage or input, nothing
    was measured.
    """
    try:
        asked = read_criteria(criteria) if criteria else ()
        limit = max_mb * _MEGABYTE
        annotations = read_truth(truth, format_=truth_format, limit_bytes=limit, frames=frames, size=size)
        chosen = load_protocol(protocol or PROTOCOL_OF.get(annotations.format, "coco"))
        if score is not None:
            chosen = replace(chosen, score_threshold=score)
        if smallest_n is not None:
            chosen = replace(chosen, smallest_n=smallest_n)
        origin = provenance_of(annotations, model, truth_source)
        kinds = _kinds(slices, asked, chosen)
        conditions = conditions_of(annotations, attributes)
        if chosen.task == "camera":
            clocks = clocks_of(markers, offset_ns, offset_uncertainty_ms, limit)
            recording = read_signals(predictions, videos=annotations.sequences, limit_bytes=limit)
            measured = evaluate_recording(
                annotations, recording, clocks, chosen, poll_ms=poll_ms, hold_ms=hold_ms, resamples=resamples, seed=seed
            )
            figures = replace(to_figures(measured), smallest_n=chosen.smallest_n)
            counted = {"signals": len(recording)}
        else:
            found = read_predictions(predictions, annotations, format_=predictions_format, limit_bytes=limit)
            figures = measure_all(
                to_dataset(annotations, found),
                chosen,
                times=times_of(annotations),
                resamples=resamples,
                seed=seed,
                least=_least(asked),
                errors=errors,
                pixels=not annotations.normalised,
                slices=kinds,
                conditions=conditions,
            )
            counted = {"boxes": len(found)}
        nothing = () if any(counted.values()) else ("The predictions are empty: everybody was missed.",)
        figures = replace(figures, notes=(*figures.notes, *origin.notes, *nothing))
        report = judge_figures(figures, asked, origin.approved) if asked else None
        hashed = {"truth": digest(truth), "predictions": digest(predictions)}
        if attributes is not None:
            hashed["attributes"] = digest(attributes)
    except VruError as error:
        fail(error)
    inputs: dict[str, dict[str, Any]] = {
        "truth": {
            "path": str(truth),
            "sha256": hashed["truth"],
            "format": annotations.format,
            "images": len(annotations.pictures),
            "sequences": len(annotations.sequences),
            "boxes": len(annotations.boxes),
            "classes": list(annotations.labels),
        },
        "predictions": {"path": str(predictions), "sha256": hashed["predictions"], **counted},
        "settings": {"score_threshold": chosen.score_threshold, "overlap": chosen.overlap, "seed": seed},
    }
    if origin.source:
        inputs["truth"]["source"] = origin.source
    if origin.approved is not None:
        inputs["truth"]["approved"] = origin.approved
    if model is not None:
        inputs["predictions"]["model"] = model
    if attributes is not None:
        inputs["truth"] |= {"attributes": str(attributes), "attributes_sha256": hashed["attributes"]}
    content = document(figures, chosen, inputs, report)
    text = json.dumps(content, indent=1, allow_nan=False) + "\n"
    outputs = {"html": html_path, "pdf": pdf_path, "xml": junit_path, "csv": csv_path}
    if csv_path is not None and figures.tracks:
        outputs["tracks.csv"] = csv_path.with_suffix(".tracks.csv")
    try:
        written = _render(content, {name: path for name, path in outputs.items() if path is not None})
    except VruError as error:
        fail(error)
    if json_path is not None and str(json_path) != "-":
        written[json_path] = text.encode()
    for path, made in written.items():
        write(path, made)
    if json_path is not None and str(json_path) == "-":
        click.echo(text, nl=False)
    else:
        _show(figures, report, chosen.title)
    sys.exit(EXIT[report.verdict] if report else 0)


def _render(content: dict[str, Any], outputs: Mapping[str, Path]) -> dict[Path, bytes]:
    """The reports asked for: all are made before the first is written."""
    if not outputs:
        return {}
    report = report_of_evaluation(content)
    return {path: REPORTS[name].render(report) for name, path in outputs.items()}


def fail(error: VruError) -> NoReturn:
    """Say what is wrong and end with exit code 2."""
    click.secho(f"error: {error.message}", fg="red", err=True)
    if error.fix:
        click.echo(f"  {error.fix}", err=True)
    sys.exit(EXIT_UNUSABLE)


def times_of(annotations: Annotations) -> list[float] | None:
    """Media seconds of the pictures, if the truth has them all."""
    times = [picture.time_s for picture in annotations.pictures if picture.time_s is not None]
    return times if times and len(times) == len(annotations.pictures) else None


def _kinds(slices: str | None, criteria: Sequence[Criterion], protocol: Protocol) -> tuple[str, ...]:
    """The kinds of slices that are asked for, or that a criterion names."""
    named = [name.strip() for name in (slices or "").split(",") if name.strip()]
    kinds = tuple(dict.fromkeys((*named, *kinds_of(criterion.slice for criterion in criteria))))
    if kinds and protocol.task == "camera":
        raise VruError(f"A camera run has slices by class only, not by {kinds[0]}.", "Leave it out.")
    return kinds


def _least(criteria: Sequence[Criterion]) -> int:
    asked = any(criterion.metric.startswith(("ap", "ar_", "lamr")) for criterion in criteria)
    return _LEAST if asked else 0


def write(path: Path, data: bytes) -> None:
    """Write it whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        fail(VruError(f"{path} cannot be written: {error.strerror}.", "Check the path."))


def _show(figures: Figures, report: VerdictReport | None, title: str) -> None:
    console = Console(highlight=False, soft_wrap=True)
    table = Table("metric", "value", "95 % interval", "n", title=title, title_justify="left")
    for metric, estimate in figures.slices[ALL].items():
        table.add_row(*_row(metric, estimate))
    console.print(table)
    _show_slices(console, figures)
    if figures.tide is not None:
        mended = Table("error", "count", "ap gained by mending it", title="Errors (TIDE)", title_justify="left")
        for kind, count in figures.tide.counts.items():
            mended.add_row(kind.value, str(count), _known(figures.tide.cost[kind]))
        console.print(mended)
    for note in figures.notes:
        console.print(f"note: {note}", style="dim", markup=False)
    if report is None:
        return
    for result in report.results:
        console.print(f"{result.verdict.value}: {result.reason}", markup=False)
    colour = {Verdict.PASS: "green", Verdict.FAIL: "red"}.get(report.verdict, "yellow")
    console.print(f"verdict: {report.verdict.value}", style=f"bold {colour}")


def _show_slices(console: Console, figures: Figures) -> None:
    """One line a slice, the worst first."""
    names = worst_first(figures)
    if not names:
        return
    table = Table("slice", "metric", "value", "95 % interval", "n", title="Worst slice first", title_justify="left")
    for name in names:
        metric, estimate = headline(figures, name)
        if estimate is None:
            continue
        mark = " (too few)" if too_few(estimate, name, figures.smallest_n) else ""
        table.add_row(*_row(metric, estimate, name, mark))
    console.print(table)


def _row(metric: str, estimate: Estimate, slice_: str = "", mark: str = "") -> tuple[str, ...]:
    measured = measurement(metric, estimate)
    interval = _interval(measured.low, measured.high, measured.unit)
    cells = (metric, _known(measured.value, measured.unit), interval, count_of(measured.n, estimate.units) + mark)
    return (slice_, *cells) if slice_ else cells


def _interval(low: float | None, high: float | None, unit: str) -> str:
    if low is None:
        return "-" if high is None else f"up to {_number(high, unit)}"
    return f"from {_number(low, unit)}" if high is None else f"{_number(low, unit)} to {_number(high, unit)}"


def _known(value: float | None, unit: str = "") -> str:
    return "-" if value is None else _number(value, unit)


def _number(value: float, unit: str = "") -> str:
    if unit == "ms":
        return f"{value:.1f}"
    # Counts have no fractions.
    whole = value.is_integer() and (abs(value) >= 2 or unit not in ("", "1/min"))
    return f"{value:.0f}" if whole else f"{value:.4f}"
