"""A report as one HTML file: no network, no other file; styles, script and data lie inside."""

import base64
import hashlib
import json
from functools import cache
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from vru.reports import charts
from vru.reports.definitions import definitions_of
from vru.reports.model import ALL, PLOT_WORDS, Judged, Report, TrackRow

# Rows of a list of findings, classes of the confusion matrix, and road users: the report says so where there are more.
_MOST_ROWS, _MOST_CLASSES, _MOST_TRACKS = 500, 30, 2000


def to_html(report: Report) -> bytes:
    """A self-contained page. All text is escaped; only the style and the script that are here may act (CSP by hash)."""
    drawn = [
        {"chart": chart, "svg": Markup(charts.draw(chart, charts.SCREEN))}  # noqa: S704 - escapes its texts
        for chart in charts.charts_of(report.curves)
    ]
    found = report.findings
    page = _environment().get_template("report.html")
    return page.render(
        report=report,
        findings=found,
        confusion=found.confusion.with_most_errors(_MOST_CLASSES) if found else None,
        confusion_left_out=max(0, found.confusion.occurring - _MOST_CLASSES) if found else 0,
        most_rows=_MOST_ROWS,
        meaning=report.meaning,
        plot_words=PLOT_WORDS,
        tracks=_tracks(report),
        definitions=definitions_of(row.metric for row in report.measurements),
        rows=[row for name in (ALL, *report.slices) for row in report.of_slice(name)],
        drawn=drawn,
        data=_json([_geometry(item["chart"]) for item in drawn]),  # type: ignore[arg-type]
        style=Markup(_asset("report.css")),  # noqa: S704 - a file of this package
        script=Markup(_asset("report.js")),  # noqa: S704 - a file of this package
        style_hash=_hash(_asset("report.css")),
        script_hash=_hash(_asset("report.js")),
        policy=content_policy(),
        marked=report.approved is False,
    ).encode()


def _tracks(report: Report) -> tuple[TrackRow, ...]:
    """All, or of very many those who were not detected first."""
    if len(report.tracks) <= _MOST_TRACKS:
        return report.tracks
    return tuple(sorted(report.tracks, key=lambda track: track.first_detected_s is not None)[:_MOST_TRACKS])


def content_policy() -> str:
    """The Content-Security-Policy of a report: nothing from anywhere, and only its own style and script."""
    return (
        f"default-src 'none'; style-src '{_hash(_asset('report.css'))}'; script-src '{_hash(_asset('report.js'))}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _geometry(chart: charts.Chart) -> dict[str, object]:
    """What the script needs to find the value under the pointer, and to draw a part of a chart."""
    return {
        "box": [charts.LEFT, charts.WIDTH - charts.RIGHT, charts.HEIGHT - charts.BOTTOM, charts.TOP],
        "x": [chart.x.low, chart.x.high, chart.x.logarithmic, chart.x.label],
        "y": [chart.y.low, chart.y.high, chart.y.label],
        "lines": [{"name": charts.series_name(line), "points": line.points} for line in chart.lines],
    }


def _json(value: object) -> Markup:
    """JSON that may stand in a script element: nothing in it can end the element."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))  # noqa: S704


@cache
def _asset(name: str) -> str:
    return files("vru.reports").joinpath("templates", name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("vru.reports", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )

    def interval_plot(result: Judged) -> Markup:
        return Markup(charts.draw_interval(result, charts.SCREEN))  # noqa: S704 - escapes its texts

    def key(position: int) -> Markup:
        return Markup(charts.draw_key(position, charts.SCREEN))  # noqa: S704 - numbers and colours only

    def jpeg(data: bytes) -> str:
        return f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"

    environment.filters |= {"jpeg": jpeg, "figure": charts.figure, "plot": interval_plot, "key": key}
    environment.globals |= {"interval": charts.interval, "series_name": charts.series_name}
    return environment
