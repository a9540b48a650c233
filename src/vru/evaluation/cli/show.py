"""Metrics and a verdict on the terminal."""

from collections.abc import Mapping, Sequence

import click

from vru.domain import Verdict, VerdictReport
from vru.domain.slices import ALL
from vru.evaluation.dataset.evaluate import DatasetEvaluation
from vru.evaluation.statistics.estimates import Estimate
from vru.evaluation.verdict.judge import count_of, too_few
from vru.evaluation.verdict.results import CONFIDENCE_LEVEL, deciding_levels, headline, measurement, worst_first


def show(metrics: DatasetEvaluation, report: VerdictReport | None, title: str) -> None:
    """Print the figures, the slices with the worst first, what limits them, and the verdict."""
    levels = deciding_levels(report)
    figures = [
        row(metric, estimate, level=levels.get((ALL, metric))) for metric, estimate in metrics.slices[ALL].items()
    ]
    _print(title, ("metric", "value", "95 % interval", "n"), figures)
    _slices(metrics, levels)
    if metrics.tide is not None:
        costs = [
            (kind.value, str(count), _known(metrics.tide.cost[kind])) for kind, count in metrics.tide.counts.items()
        ]
        _print("Errors (TIDE)", ("error", "count", "ap gained by mending it"), costs)
    for note in metrics.notes:
        click.secho(f"note: {note}", dim=True)
    if report is None:
        return
    for result in report.results:
        click.echo(f"{result.verdict.value}: {result.reason}")
    colour = {Verdict.PASS: "green", Verdict.FAIL: "red"}.get(report.verdict, "yellow")
    click.secho(f"verdict: {report.verdict.value}", fg=colour, bold=True)


def _print(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table, each column as wide as its widest cell. Loading a library for it would take as long as measuring."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]

    def line(cells: Sequence[str], left: str, between: str, right: str) -> str:
        return left + between.join(cells) + right

    def filled(cells: Sequence[str]) -> list[str]:
        return [f" {cell:{width}} " for cell, width in zip(cells, widths, strict=True)]

    click.secho(title, italic=True)
    click.echo(line(["━" * (width + 2) for width in widths], "┏", "┳", "┓"))
    click.echo("┃" + "┃".join(click.style(cell, bold=True) for cell in filled(header)) + "┃")
    click.echo(line(["━" * (width + 2) for width in widths], "┡", "╇", "┩"))
    click.echo("".join(line(filled(cells), "│", "│", "│\n") for cells in rows), nl=False)
    click.echo(line(["─" * (width + 2) for width in widths], "└", "┴", "┘"))


def _slices(metrics: DatasetEvaluation, levels: Mapping[tuple[str, str], float]) -> None:
    """One line a slice, the worst first."""
    names = worst_first(metrics)
    if not names:
        return
    rows = []
    for name in names:
        metric, estimate = headline(metrics, name)
        if estimate is None or estimate.value is None:
            continue
        mark = " (too few)" if too_few(estimate, name, metrics.smallest_n) else ""
        rows.append(row(metric, estimate, name, mark, levels.get((name, metric))))
    _print("Worst slice first", ("slice", "metric", "value", "95 % interval", "n"), rows)


def row(
    metric: str, estimate: Estimate, slice_: str = "", mark: str = "", level: float | None = None
) -> tuple[str, ...]:
    """A figure's cells: (slice,) metric, value, interval, units. ``level`` is that of the interval that decides."""
    measured = measurement(metric, estimate, level=level or CONFIDENCE_LEVEL)
    interval = _interval(measured.low, measured.high, measured.unit)
    if level is not None:
        interval += f" at {level * 100:g} %"
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
