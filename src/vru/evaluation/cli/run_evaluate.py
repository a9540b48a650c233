"""One evaluation from files to files: read, measure, judge, write, show."""

import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from vru.domain import Criterion, VerdictReport, VruError
from vru.evaluation.cli.evaluate import Request
from vru.evaluation.cli.inputs import kinds_asked, predictions_of, protocol_of, times_of, truth_of
from vru.evaluation.cli.options import EXIT, write
from vru.evaluation.cli.show import show
from vru.evaluation.dataset.conditions import Conditions, conditions_of
from vru.evaluation.dataset.evaluate import DatasetEvaluation, evaluate_dataset
from vru.evaluation.dataset.protocol import Protocol
from vru.evaluation.verdict.criteria_files import CriteriaFile, read_criteria
from vru.evaluation.verdict.provenance import Provenance, provenance_of
from vru.evaluation.verdict.results import document, judge_metrics
from vru.formats import Annotations, digest

# Misses, and false alarms, in the JSON document; the tables of --csv have all of them.
_MOST_FINDINGS = 10_000
# Resamples of average precision that a criterion on it needs, however long they take.
_LEAST = 200


@dataclass(frozen=True, slots=True)
class _Run:
    """What was read and measured."""

    annotations: Annotations
    protocol: Protocol
    origin: Provenance
    metrics: DatasetEvaluation
    report: VerdictReport | None
    counted: dict[str, int]
    conditions: Conditions
    seconds: dict[str, float]


def run(request: Request) -> int:
    """Do what is asked; the exit code.

    Raises:
        VruError: the input is not what it should be; nothing was written.
    """
    done = _measured(request)
    to_stdout = str(request.json_path) == "-"
    written, text = _written(request, done)
    if request.json_path is not None and not to_stdout:
        written[request.json_path] = text.encode()
    for path, made in written.items():
        write(path, made)
    if to_stdout:
        click.echo(text, nl=False)
    else:
        show(done.metrics, done.report, done.protocol.title)
    return EXIT[done.report.verdict] if done.report else 0


def _measured(request: Request) -> _Run:
    if request.media is not None and request.html_path is None and request.pdf_path is None:
        raise VruError("--media is for the pictures of --html and --pdf.", "Give one of them, too.")
    if request.media is not None and not request.media.exists():
        raise VruError(f"There is no file or folder {request.media}.", "--media is a video, or a folder with images.")
    started = time.perf_counter()
    asked_of = read_criteria(request.criteria) if request.criteria else CriteriaFile()
    criteria = asked_of.criteria
    annotations = truth_of(request.truth, request.reading)
    protocol = protocol_of(request.protocol, annotations, request.reading.classes)
    asked: dict[str, Any] = {
        "score_threshold": request.score,
        "smallest_n": request.smallest_n,
        "unseen_truth": request.unseen_truth,
        "unseen_false_boxes": request.unseen_false_boxes,
    }
    # What the command says comes before what the file says.
    said = {name: value for name, value in asked.items() if value is not None}
    protocol = replace(protocol, **{**asked_of.assumed, **said})
    origin = provenance_of(annotations, request.model, request.truth_source)
    kinds = kinds_asked(request.slices, criteria, protocol)
    read = time.perf_counter()
    measure = _camera if protocol.task == "camera" else _boxes
    conditions = conditions_of(annotations, request.attributes) if measure is _boxes else Conditions()
    metrics, counted = measure(request, annotations, protocol, criteria, kinds, conditions)
    nothing = () if any(counted.values()) else ("The predictions are empty: everybody was missed.",)
    metrics = replace(metrics, notes=(*metrics.notes, *origin.notes, *nothing))
    measured = time.perf_counter()
    report = judge_metrics(metrics, criteria, origin.approved) if criteria else None
    seconds = {"reading the truth": read - started, "reading the detections and measuring": measured - read}
    if report:
        seconds["judging"] = time.perf_counter() - measured
    return _Run(annotations, protocol, origin, metrics, report, counted, conditions, seconds)


def _camera(
    request: Request,
    annotations: Annotations,
    protocol: Protocol,
    criteria: Sequence[Criterion],
    kinds: Sequence[str],
    conditions: Conditions,
) -> tuple[DatasetEvaluation, dict[str, int]]:
    """A device's signals."""
    from vru.evaluation.camera.files import clocks_of, evaluate_recording, to_metrics
    from vru.formats import read_signals

    limit = request.reading.limit_bytes
    clocks = clocks_of(request.markers, request.offset_ns, request.offset_uncertainty_ms, limit)
    recording = read_signals(request.predictions, videos=annotations.sequences, limit_bytes=limit)
    measured = evaluate_recording(
        annotations,
        recording,
        clocks,
        protocol,
        poll_ms=request.poll_ms,
        hold_ms=request.hold_ms,
        resamples=request.resamples,
        seed=request.seed,
    )
    return replace(to_metrics(measured), smallest_n=protocol.smallest_n), {"signals": len(recording)}


def _boxes(
    request: Request,
    annotations: Annotations,
    protocol: Protocol,
    criteria: Sequence[Criterion],
    kinds: Sequence[str],
    conditions: Conditions,
) -> tuple[DatasetEvaluation, dict[str, int]]:
    """Boxes of a detector or a tracker."""
    found = predictions_of(request.predictions, annotations, request.reading)
    metrics = evaluate_dataset(
        found.data,
        protocol,
        times=times_of(annotations),
        resamples=request.resamples,
        seed=request.seed,
        least=_least(criteria),
        decides=bool(criteria or request.html_path or request.pdf_path or request.junit_path),
        errors=request.errors,
        curves=any((request.json_path, request.html_path, request.pdf_path, request.csv_path)),
        pixels=not annotations.normalised,
        slices=kinds,
        conditions=conditions,
    )
    assumption = annotations.assumption
    notes = (*((assumption,) if assumption else ()), *found.notes, *metrics.notes)
    return replace(metrics, notes=notes, assumption=assumption), {"boxes": found.boxes}


def _least(criteria: Sequence[Criterion]) -> int:
    asked = any(criterion.metric.startswith(("ap", "ar_", "lamr")) for criterion in criteria)
    return _LEAST if asked else 0


def _inputs(request: Request, done: _Run) -> dict[str, dict[str, Any]]:
    """What was under test, with which truth and settings."""
    annotations, origin, reading = done.annotations, done.origin, request.reading
    truth: dict[str, Any] = {
        "path": str(request.truth),
        "sha256": digest(request.truth),
        "format": annotations.format,
        "images": len(annotations.pictures),
        "sequences": len(annotations.sequences),
        "boxes": len(annotations.boxes),
        "classes": list(annotations.labels),
    }
    predictions: dict[str, Any] = {
        "path": str(request.predictions),
        "sha256": digest(request.predictions),
        **done.counted,
    }
    settings: dict[str, Any] = {
        "score_threshold": done.protocol.score_threshold,
        "overlap": done.protocol.overlap,
        "seed": request.seed,
        "unseen_truth": done.protocol.unseen_truth,
        "unseen_false_boxes": done.protocol.unseen_false_boxes,
    }
    settings |= reading.recorded()
    if request.hold_ms:
        settings["hold_ms"] = request.hold_ms
    if annotations.assumption:
        settings["assumption"] = annotations.assumption
    if origin.source:
        truth["source"] = origin.source
    if origin.approved is not None:
        truth["approved"] = origin.approved
    if request.attributes is not None:
        truth |= {"attributes": str(request.attributes), "attributes_sha256": digest(request.attributes)}
    if request.model is not None:
        predictions["model"] = request.model
    return {
        "under_test": request.about.under_test(request.model) | _thresholds(done.protocol),
        "made": request.about.made(),
        "truth": truth,
        "predictions": predictions,
        "settings": settings,
        "seconds": {name: round(taken, 6) for name, taken in done.seconds.items()},
    }


def _thresholds(protocol: Protocol) -> dict[str, float]:
    """From which confidence and overlap on a detection is right. A tracker has made its own choice, KITTI has none."""
    if protocol.task != "detection":
        return {}
    return {"confidence_from": protocol.score_threshold, "overlap_from": protocol.overlap}


def _written(request: Request, done: _Run) -> tuple[dict[Path, bytes], str]:
    """The reports asked for, and the text of the JSON document: all are made before the first is written."""
    asked = {"html": request.html_path, "pdf": request.pdf_path, "xml": request.junit_path, "csv": request.csv_path}
    outputs = {name: path for name, path in asked.items() if path is not None}
    if request.csv_path is not None and done.metrics.tracks:
        outputs["tracks.csv"] = request.csv_path.with_suffix(".tracks.csv")
    if not outputs and request.json_path is None:
        return {}, ""
    from vru.evaluation.dataset.findings import findings_document, findings_of

    content: dict[str, Any] = document(done.metrics, done.protocol, _inputs(request, done), done.report)
    found = findings_of(done.metrics, done.annotations, done.conditions, done.protocol.overlap)
    content["findings"] = findings_document(found, _MOST_FINDINGS) if found else None
    # The same input gives the same JSON: when it was made, and how long that took, stand in the reports.
    lasting = {name: value for name, value in content.items() if name not in ("made", "seconds")}
    text = json.dumps(lasting, indent=1, allow_nan=False) + "\n"
    if not outputs:
        return {}, text
    from vru.reports import FORMATS as REPORTS
    from vru.reports import report_of_evaluation

    report = report_of_evaluation(content)
    if request.media is not None:
        from vru.evaluation.cli.pictures import pictures_of

        if found is None or report.findings is None:
            raise VruError(
                f"With the protocol {done.protocol.name} there is no list of misses to show.", "Leave out --media."
            )
        score = -math.inf if done.protocol.task == "tracking" else done.protocol.score_threshold
        shown = pictures_of(found, report.findings, request.media, request.most_pictures, score)
        report = replace(report, pictures=shown)
    written = {path: REPORTS[name].render(report) for name, path in outputs.items()}
    if request.csv_path is not None and found is not None:
        whole = report_of_evaluation(content | {"findings": findings_document(found)})
        for name in ("misses.csv", "false-alarms.csv"):
            written[request.csv_path.with_suffix(f".{name}")] = REPORTS[name].render(whole)
    return written, text
