"""From the document of ``vru evaluate``, or a stored run as the API shows it, to a ``Report``."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from importlib.metadata import version
from typing import Any

from vru.domain import Comparator, Severity, Verdict
from vru.reports.findings import read_findings
from vru.reports.model import ALL, ErrorKind, Fact, Judged, Line, Measured, Report, Section, TrackRow

_NOT_STATED = "not stated"
_METHOD = (
    "Bounds are Gaffke's: weights drawn from Dirichlet(1, ..., 1) over the units and one more, the worst that may not "
    "have been seen. Each bound holds by itself; a two-sided interval of 95 % is two bounds of 97.5 %."
)
_CAMERA_METHOD = "Bounds are exact or widened by the clocks' uncertainty, as docs/measuring.md says of each figure."


def report_of_evaluation(document: Mapping[str, Any]) -> Report:
    """A report on files. ``document`` is that of ``vru.evaluation.verdict.results.document``."""
    protocol, level = document["protocol"], document["confidence_level"]
    found = []
    for name, part in ({ALL: document["metrics"]} | document["slices"]).items():
        found += [
            _measured(metric, name, row, level, decides="confidence_level" in row) for metric, row in part.items()
        ]
    units = {(row.metric, row.slice): row.unit for row in found}
    camera = "clocks" in document or protocol["name"] == "camera"
    return Report(
        title=f"{_last(document['predictions']['path'])} against {_last(document['truth']['path'])}",
        kind=f"Evaluation of files: {protocol['title']}",
        verdict=_verdict(document["verdict"]),
        approved=document["truth"].get("approved"),
        inputs=(
            Section("Ground truth", facts(document["truth"])),
            Section("Detections", facts(document["predictions"])),
        ),
        settings=(
            Fact("protocol", protocol["name"]),
            Fact("defined in", protocol["source"]),
            *facts(document.get("settings", {})),
            Fact("units drawn again", document["units"]),
            Fact("resamples", str(document["resamples"])),
        ),
        measurements=tuple(found),
        criteria=tuple(
            _judged(row, row, row["verdict"], row["reason"], row["more_needed"], units) for row in document["criteria"]
        ),
        notes=tuple(document["notes"]),
        tracks=_tracks(document.get("tracks", ())),
        curves=_lines(document.get("curves", ())),
        errors=tuple(
            ErrorKind(kind, row["count"], row["ap_gained"]) for kind, row in document.get("errors", {}).items()
        ),
        platform=version("vru-platform"),
        times=facts({f"made {name}": value for name, value in document.get("made", {}).items()}),
        findings=read_findings(document["findings"]) if document.get("findings") else None,
        method=_CAMERA_METHOD if camera else _METHOD,
        under_test=facts(document.get("under_test", {})),
        seconds=tuple(document.get("seconds", {}).items()),
    )


def report_of_run(
    run: Mapping[str, Any], title: str, inputs: Iterable[Section], findings: Mapping[str, Any] | None = None
) -> Report:
    """A report on a run that is over. ``run`` is the API's ``RunBody`` as JSON; ``inputs`` are what it was made of,
    ``findings`` is the document of what was missed and what was false, if there is one.
    """
    metrics = run["metrics"] or {}
    approved = metrics.get("ground_truth_approved")
    tracks = _tracks(metrics.get("tracks", ()))
    notes = list(run["notes"] or ())
    if "clocks" in metrics:
        counts = (metrics[name]["count"] for name in ("early", "false_alarms", "duplicates"))
        found = f"Of all {metrics['signals']:,} signals, detections: {metrics['detections']:,}; "
        notes.append(found + "early: {:,}; false alarms: {:,}; duplicates: {:,}.".format(*counts))
    elif metrics:
        counts = (metrics[name] for name in ("true_positives", "false_positives", "false_negatives"))
        notes.append("{:,} detections are right, {:,} are false, {:,} truth boxes were not found.".format(*counts))
    times = (("created", "created_at"), ("started", "started_at"), ("finished", "finished_at"))
    judged = [
        _judged(row["criterion"], row["measurement"], row["verdict"], row["reason"], row["more_needed"], {})
        for row in run["verdict_reasons"] or ()
    ]
    return Report(
        title=title,
        kind=f"Validation run {run['id']}",
        verdict=_verdict(run["verdict"]),
        approved=approved,
        inputs=tuple(inputs),
        settings=facts(run["settings"]),
        measurements=_deciding(
            [
                _measured(row["metric"], row["slice"], row, row["confidence_level"])
                for row in metrics.get("measurements", ())
            ],
            judged,
        ),
        criteria=tuple(judged),
        notes=tuple(notes),
        tracks=tracks,
        curves=_lines(metrics.get("curves", ())),
        errors=(),
        platform=version("vru-platform"),
        times=(*(Fact(name, run[key]) for name, key in times if run[key]), Fact("started by", run["created_by"])),
        findings=read_findings(findings) if findings else None,
        method=_CAMERA_METHOD if "clocks" in metrics else _METHOD,
        under_test=_model_of(run),
        seconds=_seconds_of(run),
        failure=run["error"] or (None if run["metrics"] else f"The run was {run['state']}; it has no figures."),
    )


def _deciding(rows: Iterable[Measured], judged: Iterable[Judged]) -> tuple[Measured, ...]:
    """The figures, each that a criterion asks for with the interval that decides: one number has one interval."""
    intervals: dict[tuple[str, str], Measured] = {}
    for result in judged:
        measured = result.measured
        key = measured.metric, measured.slice
        if key not in intervals or measured.confidence_level > intervals[key].confidence_level:
            intervals[key] = measured
    return tuple(
        replace(row, low=known.low, high=known.high, confidence_level=known.confidence_level, decides=True)
        if (known := intervals.get((row.metric, row.slice)))
        else row
        for row in rows
    )


def _model_of(run: Mapping[str, Any]) -> tuple[Fact, ...]:
    """What a run says about what was under test. A camera is named by the project's inputs."""
    if run.get("kind") != "model":
        return ()
    known = {"name": run.get("model"), "version": run.get("model_version"), "digest": run.get("model_sha256")}
    known |= {"hardware": None, "software": None}
    settings = run.get("settings") or {}
    thresholds = {"confidence from": settings.get("score_threshold"), "overlap from": settings.get("iou_threshold")}
    return (*(Fact(name, value or _NOT_STATED) for name, value in known.items()), *facts(thresholds))


def _seconds_of(run: Mapping[str, Any]) -> tuple[tuple[str, float], ...]:
    """How long the run took; nothing where that is not known."""
    if not run.get("started_at") or not run.get("finished_at"):
        return ()
    begin, end = (datetime.fromisoformat(run[name]) for name in ("started_at", "finished_at"))
    return (("the run", (end - begin).total_seconds()),)


def facts(values: Mapping[str, Any]) -> tuple[Fact, ...]:
    """Facts from a flat mapping; what is None is left out."""
    return tuple(Fact(name.replace("_", " "), _words(value)) for name, value in values.items() if value is not None)


def _words(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _last(path: str) -> str:
    """The last part of a path, for a title."""
    return path.rstrip("/").rpartition("/")[2] or path


def _verdict(value: str | None) -> Verdict | None:
    return Verdict(value) if value else None


def _measured(
    metric: str, slice_: str, row: Mapping[str, Any], level: float, unit: str = "", decides: bool = False
) -> Measured:
    return Measured(
        metric,
        slice_,
        row["value"],
        row["low"],
        row["high"],
        row["n"],
        row.get("units", ""),
        row.get("unit") or unit,
        row.get("confidence_level", level),
        bool(row.get("too_few")),
        decides,
    )


def _judged(
    criterion: Mapping[str, Any],
    measurement: Mapping[str, Any],
    verdict: str,
    reason: str,
    more_needed: int | None,
    units: Mapping[tuple[str, str], str],
) -> Judged:
    """``measurement`` is two-sided at 2 c - 1, so that each bound holds with the criterion's confidence c."""
    level = criterion["confidence_level"]
    key = criterion["metric"], criterion["slice"]
    return Judged(
        Comparator(criterion["comparator"]),
        criterion["threshold"],
        level,
        Severity(criterion["severity"]),
        _measured(
            *key,
            {name: measurement.get(name) for name in ("value", "low", "high", "n", "unit")},
            round(2 * level - 1, 12),
            units.get(key, ""),
            decides=True,
        ),
        Verdict(verdict),
        reason,
        more_needed,
    )


def _tracks(rows: Iterable[Mapping[str, Any]]) -> tuple[TrackRow, ...]:
    names = ("track_id", "road_user", "first_visible_s", "last_visible_s", "first_detected_s", "latency_ms")
    return tuple(TrackRow(**{name: row[name] for name in names}, recording=row.get("recording", "")) for row in rows)


def _lines(rows: Iterable[Mapping[str, Any]]) -> tuple[Line, ...]:
    return tuple(Line(row["chart"], row["series"], tuple((x, y) for x, y in row["points"])) for row in rows)
