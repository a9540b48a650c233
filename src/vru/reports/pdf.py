"""A report as PDF, set by Typst: a wheel with everything in it, so that no server needs Pango or a browser."""

import json
import re
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from vru.domain import VruError
from vru.reports import charts
from vru.reports.definitions import definitions_of
from vru.reports.findings import Findings
from vru.reports.model import ALL, PLOT_WORDS, Report

# A report of every track of a long video would have hundreds of pages; the other formats have them all.
_MOST_TRACKS = 400
# Rows of a list of findings, and classes of the confusion matrix that fit across a page.
_MOST_ROWS, _MOST_CLASSES = 100, 8
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def to_pdf(report: Report) -> bytes:
    """A tagged PDF. The report goes in as data and is never read as markup.

    Raises:
        VruError: Typst is not installed.
    """
    try:
        import typst
    except ModuleNotFoundError as error:
        if error.name != "typst":
            raise
        raise VruError(
            "typst is not installed: a report as PDF needs it.", "Install it: pip install 'vru-platform[pdf]'"
        ) from None
    template = files("vru.reports").joinpath("templates", "report.typ").read_bytes()
    inputs = {"report": json.dumps(_printable(_data(report)))}
    # Typst reads pictures from files below its root; text goes in as data.
    with TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "report.typ").write_bytes(template)
        for number, item in enumerate(report.pictures.all if report.pictures else ()):
            (root / f"{number}-crop.jpg").write_bytes(item.crop)
            (root / f"{number}-frame.jpg").write_bytes(item.frame)
        return bytes(typst.compile(root / "report.typ", root=root, sys_inputs=inputs))


def _printable(value: Any) -> Any:
    """The same without control characters: no font has them."""
    if isinstance(value, str):
        return _CONTROL.sub("\ufffd", value)
    if isinstance(value, dict):
        return {name: _printable(part) for name, part in value.items()}
    return [_printable(part) for part in value] if isinstance(value, list | tuple) else value


def _data(report: Report) -> dict[str, Any]:
    """What the template shows, in words already."""
    missed_first = sorted(report.tracks, key=lambda track: (track.latency_ms is not None, -(track.latency_ms or 0)))
    return {
        "title": report.title,
        "kind": report.kind,
        "verdict": report.verdict.value if report.verdict else "No verdict",
        "failure": report.failure or ("" if report.verdict else "No criteria were given: figures only."),
        "meaning": report.meaning,
        "passed": report.passed,
        "plot": PLOT_WORDS,
        "marked": report.approved is False,
        "platform": report.platform,
        "notes": report.notes,
        "criteria": [
            {
                "verdict": result.verdict.value,
                "severity": result.severity.value,
                "requirement": result.requirement,
                "confidence": f"{result.confidence_level * 100:g} % confidence",
                "level": result.measured.level,
                "value": charts.figure(result.measured.value, result.measured.unit),
                "n": str(result.measured.n),
                "interval": charts.interval(result.measured.low, result.measured.high, result.measured.unit),
                "plot": charts.draw_interval(result, charts.PAPER),
                "reason": result.reason,
            }
            for result in report.criteria
        ],
        "charts": [
            {
                "title": chart.title,
                "explanation": chart.explanation,
                "svg": charts.draw(chart, charts.PAPER),
                "legend": [
                    {"name": charts.series_name(line), "key": charts.draw_key(at, charts.PAPER)}
                    for at, line in enumerate(chart.lines)
                ],
            }
            for chart in charts.charts_of(report.curves)
        ],
        "figures": [
            [
                row.slice,
                row.metric,
                charts.figure(row.value, row.unit),
                charts.interval(row.low, row.high, row.unit),
                row.level,
                row.counted,
                row.unit,
            ]
            for name in (ALL, *report.slices)
            for row in report.of_slice(name)
        ],
        "errors": [[row.kind, str(row.count), charts.figure(row.ap_gained)] for row in report.errors],
        "tracks": [
            [
                *(track.recording or "–", str(track.track_id), track.road_user),
                *(f"{track.first_visible_s:.3f}", f"{track.last_visible_s:.3f}"),
                "–" if track.latency_ms is None else f"{track.latency_ms:.1f}",
            ]
            for track in missed_first[:_MOST_TRACKS]
        ],
        "findings": _findings(report.findings) if report.findings else None,
        "tracks_left_out": max(0, len(report.tracks) - _MOST_TRACKS),
        "pictures": None
        if report.pictures is None
        else {
            "notes": report.pictures.notes,
            "shown": [
                {
                    "number": str(number),
                    "what": item.what,
                    "where": item.where,
                    "alternative": item.alternative,
                }
                for number, item in enumerate(report.pictures.all)
            ],
        },
        "method": report.method,
        "under_test": [asdict(fact) for fact in report.under_test],
        "made": [asdict(fact) for fact in report.times],
        "definitions": definitions_of(row.metric for row in report.measurements),
        "facts": [
            {"title": section["title"], "facts": section["facts"]}
            for section in (
                *map(asdict, report.inputs),
                {"title": "Settings", "facts": list(map(asdict, report.settings))},
            )
        ],
    }


def _findings(found: Findings) -> dict[str, Any]:
    confusion, scenarios = found.confusion.with_most_errors(_MOST_CLASSES), found.scenarios
    last = len(confusion.classes) - 1
    return {
        "overlap": f"{found.overlap:g}",
        "most": _MOST_ROWS,
        "stretches": [
            [row.recording, str(row.track_id), row.road_user, row.begins, row.ends, str(row.frames)]
            for row in found.stretches[:_MOST_ROWS]
        ],
        "misses": [
            [
                *(row.recording, row.place, row.road_user, "–" if row.track_id is None else str(row.track_id)),
                *(row.box_words, row.nearest),
            ]
            for row in found.misses[:_MOST_ROWS]
        ],
        "all_misses": found.missed,
        "all_stretches": found.stretched,
        "all_misses_in": found.all_in("misses"),
        "all_false_alarms_in": found.all_in("false-alarms"),
        "false_alarms": [
            [row.recording, row.place, row.road_user, charts.figure(row.score), row.box_words, row.nearest]
            for row in found.false_alarms[:_MOST_ROWS]
        ],
        "all_false_alarms": found.false,
        "classes": confusion.classes,
        "confusion": [
            ["–" if row == column == last else str(count) for column, count in enumerate(counts)]
            for row, counts in enumerate(confusion.counts)
        ],
        "classes_left_out": max(0, found.confusion.occurring - _MOST_CLASSES),
        "recordings": [
            [
                *(row.recording, str(row.images), str(row.truth), str(row.missed), str(row.false_alarms)),
                *(charts.figure(row.recall), charts.figure(row.precision)),
            ]
            for row in found.recordings[:_MOST_ROWS]
        ],
        "all_recordings": len(found.recordings),
        "scenarios": None
        if scenarios is None
        else {
            "head": [*scenarios.attributes, "Images", *scenarios.columns, "False alarms per image"],
            "rows": [
                [*row.values, str(row.images), *row.cells, f"{row.false_alarms_per_image:.4f} ({row.false_alarms})"]
                for row in scenarios.rows[:_MOST_ROWS]
            ],
        },
    }
