"""The formats of a report. Each is a pure function from ``Report`` to bytes: the same report gives the same bytes."""

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from xml.etree import ElementTree

from vru.domain import Severity, Verdict
from vru.reports import charts
from vru.reports.findings import Finding
from vru.reports.html import to_html
from vru.reports.model import Judged, Measured, Report, TrackRow
from vru.reports.pdf import to_pdf

# What XML 1.0 has no way to write, not even escaped.
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class Format:
    """How a report is written: the function, and the content type for a download."""

    render: Callable[[Report], bytes]
    media_type: str


def to_json(report: Report) -> bytes:
    """Everything that the report says, as one object, without the pictures."""
    said = asdict(replace(report, pictures=None))
    return (json.dumps({"format": "vru-report/1"} | said, indent=1, allow_nan=False) + "\n").encode()


def to_csv(report: Report) -> bytes:
    """One row a figure; an empty cell is a figure that the data do not determine."""
    unapproved = {"ground_truth_approved": _approval(report)}
    rows = [asdict(row) | unapproved for row in report.measurements]
    return _csv([*_names(Measured), *unapproved], rows)


def to_tracks_csv(report: Report) -> bytes:
    """One row a road user."""
    unapproved = {"ground_truth_approved": _approval(report)}
    rows = [asdict(row) | {"outcome": row.outcome} | unapproved for row in report.tracks]
    return _csv([*_names(TrackRow), "outcome", *unapproved], rows)


def to_misses_csv(report: Report) -> bytes:
    """One row a truth box that was missed."""
    return _findings_csv(report.findings.misses if report.findings else ())


def to_false_alarms_csv(report: Report) -> bytes:
    """One row a false alarm."""
    return _findings_csv(report.findings.false_alarms if report.findings else ())


def _findings_csv(found: Iterable[Finding]) -> bytes:
    sides = ("x", "y", "width", "height")
    names = ["recording", "image", "frame", "time_s", "road_user", "track_id", "score", *sides, "nearest"]
    return _csv(names, [asdict(item) | dict(zip(sides, item.box, strict=True)) for item in found])


def to_junit(report: Report) -> bytes:
    """JUnit XML, one test case a criterion, as Jenkins and GitLab read it.

    A required criterion that is FAIL or INCONCLUSIVE is a failure of that type: a pipeline stops unless the evidence
    is there. An advisory one that did not pass is skipped, with the reason. A run without figures is an error.
    The suite's time is that of the steps that were timed, which its properties have one by one; criteria are judged
    together, so a case has no time of its own.
    """
    title = _xml(report.title)
    cases = [_case(result, _xml(report.kind)) for result in report.criteria]
    if report.failure is not None:
        case = ElementTree.Element("testcase", {"name": "run", "classname": "vru"} | _time(report))
        ElementTree.SubElement(case, "error", type="FAILED", message=_xml(report.failure))
        cases.append(case)
    counts = {
        "tests": str(len(cases)),
        "failures": str(sum(case.find("failure") is not None for case in cases)),
        "errors": str(sum(case.find("error") is not None for case in cases)),
    }
    root = ElementTree.Element("testsuites", {"name": "VRU Platform"} | _time(report) | counts)
    counts["skipped"] = str(sum(case.find("skipped") is not None for case in cases))
    suite = ElementTree.SubElement(root, "testsuite", {"name": title} | _time(report) | counts)
    properties = ElementTree.SubElement(suite, "properties")
    named = [("platform", report.platform), ("verdict", report.verdict.value if report.verdict else "none")]
    named += [(f"under test: {fact.name}", fact.value) for fact in report.under_test]
    named += [(fact.name, fact.value) for fact in (*report.settings, *report.times)]
    named += [("bounds", report.method)] if report.method else []
    named += [(f"seconds of {name}", f"{taken:.6f}") for name, taken in report.seconds]
    for name, value in named:
        ElementTree.SubElement(properties, "property", name=_xml(name), value=_xml(value))
    suite.extend(cases)
    if report.notes:
        ElementTree.SubElement(suite, "system-out").text = _xml("\n".join(report.notes))
    ElementTree.indent(root, " ")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ElementTree.tostring(root, encoding="unicode")}\n'.encode()


def _case(result: Judged, classname: str) -> ElementTree.Element:
    name = f"{result.requirement} ({result.confidence_level:g} confidence)"
    case = ElementTree.Element("testcase", name=_xml(name), classname=classname)
    measured = result.measured
    bounds = charts.interval(measured.low, measured.high, measured.unit)
    reason = _xml(
        f"{result.reason} Measured: {charts.figure(measured.value, measured.unit)}, {bounds}; {measured.level}."
    )
    if result.verdict == Verdict.PASS:
        ElementTree.SubElement(case, "system-out").text = reason
    elif result.severity == Severity.REQUIRED:
        ElementTree.SubElement(case, "failure", type=result.verdict.value, message=reason).text = reason
    else:
        ElementTree.SubElement(case, "skipped", message=f"advisory, {result.verdict.value}: {reason}")
    return case


def _time(report: Report) -> dict[str, str]:
    """The seconds that all of it took; nothing where they are not known."""
    return {"time": f"{sum(taken for _, taken in report.seconds):.6f}"} if report.seconds else {}


def _xml(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)


def _approval(report: Report) -> str:
    return {True: "yes", False: "no", None: ""}[report.approved]


def _names(of: type[Measured] | type[TrackRow]) -> list[str]:
    return [field.name for field in fields(of)]


def _csv(names: Sequence[str], rows: Iterable[Mapping[str, object]]) -> bytes:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\r\n")
    writer.writerow(names)
    for row in rows:
        writer.writerow([_cell(row[name]) for name in names])
    return stream.getvalue().encode()


def _cell(value: object) -> object:
    """A number as a person writes it: 1100, and not 1100.0000000000002, the nearest that the arithmetic could reach.

    A text that a spreadsheet would take for a formula gets an apostrophe (OWASP, CSV injection).
    """
    if isinstance(value, float):
        return f"{value:.12g}"
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value


FORMATS: Mapping[str, Format] = {
    "html": Format(to_html, "text/html; charset=utf-8"),
    "pdf": Format(to_pdf, "application/pdf"),
    "json": Format(to_json, "application/json"),
    "csv": Format(to_csv, "text/csv; charset=utf-8"),
    "tracks.csv": Format(to_tracks_csv, "text/csv; charset=utf-8"),
    "misses.csv": Format(to_misses_csv, "text/csv; charset=utf-8"),
    "false-alarms.csv": Format(to_false_alarms_csv, "text/csv; charset=utf-8"),
    "xml": Format(to_junit, "application/xml"),
}
