"""The charts of a report as SVG, drawn here so that a report needs neither a script nor the network to show them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from vru.reports.model import ALL, Judged, Line

WIDTH, HEIGHT = 520, 320
LEFT, RIGHT, TOP, BOTTOM = 66, 16, 14, 56
# Lines are told apart by their dashes, on paper without colours too.
DASHES = ("", "9 4", "2 4", "12 4 2 4", "18 5", "6 3 2 3 2 3")
_LEAST_FPPI = 1e-3
# Figures of these units are shares and rates, of which 1 is written with its decimals as the others are.
_FRACTIONAL = ("", "1/min")


@dataclass(frozen=True, slots=True)
class Palette:
    """Colours as SVG takes them."""

    ink: str
    soft: str
    line: str
    series: tuple[str, ...]
    font_size: int
    passed: str
    failed: str
    unsure: str


# Black on white. Half a page of A4 wide, 17 units are 7.6 points.
PAPER = Palette(
    "#000000",
    "#000000",
    "#c4c9ce",
    ("#000000",) * len(DASHES),
    17,
    "#116b3a",
    "#b3261e",
    "#7d5200",
)
# Variables of the HTML report's style sheet, which has them light and dark.
SCREEN = Palette(
    "var(--ink)",
    "var(--faint)",
    "var(--line)",
    tuple(f"var(--series-{number})" for number in range(len(DASHES))),
    14,
    "var(--pass)",
    "var(--fail)",
    "var(--unsure)",
)


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis: ``low`` and ``high`` are its ends. A logarithmic one has both above 0."""

    label: str
    low: float
    high: float
    logarithmic: bool = False
    unit: str = ""

    @property
    def words(self) -> str:
        """The label with the unit."""
        return f"{self.label} ({self.unit})" if self.unit else self.label

    def share(self, value: float) -> float:
        """Where a value lies, from 0 to 1; values beyond an end lie on it."""
        low, high, at = self.low, self.high, min(max(value, self.low), self.high)
        if self.logarithmic:
            low, high, at = math.log(low), math.log(high), math.log(at)
        return (at - low) / (high - low)

    @property
    def ticks(self) -> list[float]:
        """Round numbers, evenly spaced: about five, or the powers of ten."""
        if self.logarithmic:
            return [10.0**power for power in range(round(math.log10(self.low)), math.floor(math.log10(self.high)) + 1)]
        rough = (self.high - self.low) / 5
        unit = 10.0 ** math.floor(math.log10(rough))
        step = next(unit * factor for factor in (1, 2, 2.5, 5, 10) if unit * factor >= rough * 0.999)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [round(number * step, 12) for number in range(first, last + 1)]


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart with its lines."""

    name: str
    title: str
    explanation: str
    x: Axis
    y: Axis
    lines: tuple[Line, ...]


def charts_of(lines: Sequence[Line]) -> tuple[Chart, ...]:
    """The charts that the lines of a report make, in a fixed order; none for lines of a chart not known here."""
    share = Axis("", 0, 1)
    made = []
    for name, title, explanation, (x_label, x_unit), (y_label, y_unit) in (
        (
            "precision_recall",
            "Precision over recall",
            "At every confidence: the share of detections that are right, over the share of truth boxes found.",
            ("recall", "share"),
            ("precision", "share"),
        ),
        (
            "miss_rate",
            "Misses over false positives",
            "At every confidence: the share of truth boxes not found, over false positives per image.",
            ("false positives per image", "1/image, logarithmic"),
            ("miss rate", "share"),
        ),
        (
            "detected_in_time",
            "Detected in time",
            "Share of road users detected within a time of becoming visible. Who was missed is never counted as "
            "detected: the curve then ends below 1.",
            ("time since visible", "ms"),
            ("detected", "share of road users"),
        ),
    ):
        mine = tuple(line for line in lines if line.chart == name and line.points)
        if not mine:
            continue
        # Where the staircase's last step is: beyond it there is only a flat line.
        rise = max(line.points[-2][0] if len(line.points) > 1 else 0.0 for line in mine)
        furthest = max(x for line in mine for x, _ in line.points)
        ends = {
            "precision_recall": Axis(x_label, 0, 1, unit=x_unit),
            "miss_rate": Axis(
                x_label, _LEAST_FPPI, max(1.0, 10.0 ** math.ceil(math.log10(max(furthest, 1)))), True, x_unit
            ),
            "detected_in_time": Axis(
                x_label, 0, max(min(furthest, 2.5 * rise), 1.1 * rise) or furthest or 1.0, unit=x_unit
            ),
        }
        made.append(
            Chart(name, title, explanation, ends[name], Axis(y_label, share.low, share.high, unit=y_unit), mine)
        )
    return tuple(made)


def draw(chart: Chart, palette: Palette) -> str:
    """A chart as an SVG element. The script of the HTML report reads the geometry from its ``data-`` attributes."""
    x_of, y_of = _places(chart)
    parts = []
    for tick in chart.y.ticks:
        y = y_of(tick)
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}" stroke="{palette.line}"/>')
        parts.append(_text(LEFT - 7, y + 5, number(tick), palette.soft, "end"))
    ticks = [_text(x_of(tick), HEIGHT - BOTTOM + 20, number(tick), palette.soft, "middle") for tick in chart.x.ticks]
    parts.append(f'<g class="ticks">{"".join(ticks)}</g>')
    bottom = HEIGHT - BOTTOM
    parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{bottom}" y2="{bottom}" stroke="{palette.soft}"/>')
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, chart.x.words, palette.ink, "middle"))
    middle = (TOP + HEIGHT - BOTTOM) / 2
    turned = f'transform="rotate(-90 17 {middle})"'
    parts.append(_text(17, middle, chart.y.words, palette.ink, "middle", turned))
    for position, line in enumerate(chart.lines):
        points = " ".join(f"{x_of(x)},{y_of(y)}" for x, y in line.points)
        colour = palette.series[position % len(palette.series)]
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2" stroke-linejoin="round"'
            f"{_dashes(position)}/>"
        )
    said = escape(f"{chart.title}: {chart.y.words} over {chart.x.words}", quote=True)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{said}" '
        f'font-family="sans-serif" font-size="{palette.font_size}">{"".join(parts)}</svg>'
    )


def draw_key(position: int, palette: Palette) -> str:
    """A short piece of the line at this position, for the legend."""
    colour = palette.series[position % len(palette.series)]
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 44 8" width="44" height="8" aria-hidden="true">'
        f'<line x1="0" x2="44" y1="4" y2="4" stroke="{colour}" stroke-width="2.5"{_dashes(position)}/></svg>'
    )


def _dashes(position: int) -> str:
    dashes = DASHES[position % len(DASHES)]
    return f' stroke-dasharray="{dashes}"' if dashes else ""


def draw_interval(result: Judged, palette: Palette) -> str:
    """A criterion on one scale: value (dot), interval (bar), threshold (tick), and the side that meets it tinted."""
    width, height, measured = 180, 20, result.measured
    known = [value for value in (measured.value, measured.low, measured.high, result.threshold) if value is not None]
    if all(0 <= value <= 1 for value in known) and not measured.unit:
        low, high = 0.0, 1.0
    else:
        low, high = min(0.0, *known), max(known) * 1.15 or 1.0

    def x_of(value: float) -> float:
        return round(4 + (value - low) / (high - low) * (width - 8), 1)

    colour = {"PASS": palette.passed, "FAIL": palette.failed}.get(result.verdict.value, palette.unsure)
    limit, middle = x_of(result.threshold), height / 2
    begin, end = (limit, width - 4) if result.comparator.value == ">=" else (4, limit)
    size = max(0, round(end - begin, 1))
    parts = [
        f'<rect x="4" y="{middle - 0.5}" width="{width - 8}" height="1" fill="{palette.soft}"/>',
        f'<rect x="{begin}" y="3" width="{size}" height="14" fill="{palette.passed}" opacity="0.16"/>',
    ]
    if measured.low is not None or measured.high is not None:
        left = 4 if measured.low is None else x_of(measured.low)
        right = width - 4 if measured.high is None else x_of(measured.high)
        wide = max(1.5, round(right - left, 1))
        parts.append(f'<rect x="{left}" y="7.5" width="{wide}" height="5" rx="1" fill="{colour}" opacity="0.45"/>')
    parts.append(f'<rect x="{limit - 1}" y="2" width="2" height="16" fill="{palette.ink}"/>')
    if measured.value is not None:
        parts.append(f'<circle cx="{x_of(measured.value)}" cy="{middle}" r="4" fill="{colour}"/>')
    values = f"{figure(measured.value, measured.unit)}, {interval(measured.low, measured.high, measured.unit)}"
    said = escape(f"{values}; required {result.requirement}")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" aria-label="{said}">{"".join(parts)}</svg>'
    )


def figure(value: float | None, unit: str = "") -> str:
    """A figure for a table: counts without decimals, milliseconds with one, small others with four; a dash if it is
    not known.
    """
    if value is None:
        return "–"
    if value == int(value) and (abs(value) != 1 or unit not in _FRACTIONAL):
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 100 or unit == "ms" else f"{value:.4f}"


def interval(low: float | None, high: float | None, unit: str = "") -> str:
    """``0.9 to 0.95``, ``from 0.9`` or ``up to 0.95``; a dash without both bounds."""
    if low is None:
        return "–" if high is None else f"up to {figure(high, unit)}"
    return f"from {figure(low, unit)}" if high is None else f"{figure(low, unit)} to {figure(high, unit)}"


def number(value: float) -> str:
    """A tick's label."""
    return f"{value:g}"


def series_name(line: Line) -> str:
    """What a legend calls a line."""
    return "all road users" if line.series == ALL else line.series


def _places(chart: Chart) -> tuple["_Scale", "_Scale"]:
    return _Scale(chart.x, LEFT, WIDTH - RIGHT), _Scale(chart.y, HEIGHT - BOTTOM, TOP)


@dataclass(frozen=True, slots=True)
class _Scale:
    axis: Axis
    start: float
    end: float

    def __call__(self, value: float) -> float:
        return round(self.start + self.axis.share(value) * (self.end - self.start), 1)


def _text(x: float, y: float, text: str, colour: str, anchor: str, more: str = "") -> str:
    return f'<text x="{x:g}" y="{y:g}" fill="{colour}" text-anchor="{anchor}" {more}>{escape(text)}</text>'
