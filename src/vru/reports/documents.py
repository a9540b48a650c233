"""From the document of ``vru evaluate``, or a stored run as the API shows it, to a ``Report``."""

from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import Any

from vru.domain import Comparator, Severity, Verdict
from vru.reports.findings import read_findings
from vru.reports.model import ALL, ErrorKind, Fact, Judged, Line, Measured, Report, Section, TrackRow


def report_of_evaluation(document: Mapping[str, Any]) -> Report:
    """A report on files. ``document`` is that of ``vru.evaluation.verdict.results.document``."""
    protocol, level = document["protocol"], document["confidence_level"]
    found = []
    for name, part in ({ALL: document["metrics"]} | document["slices"]).items():
        found += [_measured(metric, name, row, level) for metric, row in part.items()]
    units = {(row.metric, row.slice): row.unit for row in found}
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
        findings=read_findings(document["findings"]) if document.get("findings") else None,
    )


def report_of_run(run: Mapping[str, Any], title: str, inputs: Iterable[Section]) -> Report:
    """A report on a run that is over. ``run`` is the API's ``RunBody`` as JSON; ``inputs`` are what it was made of."""
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
    return Report(
        title=title,
        kind=f"Validation run {run['id']}",
        verdict=_verdict(run["verdict"]),
        approved=approved,
        inputs=tuple(inputs),
        settings=facts(run["settings"]),
        measurements=tuple(
            _measured(row["metric"], row["slice"], row, row["confidence_level"])
            for row in metrics.get("measurements", ())
        ),
        criteria=tuple(
            _judged(row["criterion"], row["measurement"], row["verdict"], row["reason"], row["more_needed"], {})
            for row in run["verdict_reasons"] or ()
        ),
        notes=tuple(notes),
        tracks=tracks,
        curves=_lines(metrics.get("curves", ())),
        errors=(),
        platform=version("vru-platform"),
        times=(*(Fact(name, run[key]) for name, key in times if run[key]), Fact("started by", run["created_by"])),
        failure=run["error"] or (None if run["metrics"] else f"The run was {run['state']}; it has no figures."),
    )


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


def _measured(metric: str, slice_: str, row: Mapping[str, Any], level: float, unit: str = "") -> Measured:
    return Measured(
        metric,
        slice_,
        row["value"],
        row["low"],
        row["high"],
        row["n"],
        row.get("units", ""),
        row.get("unit") or unit,
        level,
        bool(row.get("too_few")),
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
        _measured(*key, measurement, round(2 * level - 1, 12), units.get(key, "")),
        Verdict(verdict),
        reason,
        more_needed,
    )


def _tracks(rows: Iterable[Mapping[str, Any]]) -> tuple[TrackRow, ...]:
    names = ("track_id", "road_user", "first_visible_s", "last_visible_s", "first_detected_s", "latency_ms")
    return tuple(TrackRow(**{name: row[name] for name in names}) for row in rows)


def _lines(rows: Iterable[Mapping[str, Any]]) -> tuple[Line, ...]:
    return tuple(Line(row["chart"], row["series"], tuple((x, y) for x, y in row["points"])) for row in rows)
