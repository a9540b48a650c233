"""Metrics and a verdict on the terminal."""

from collections.abc import Mapping

from rich.console import Console
from rich.table import Table

from vru.domain import Verdict, VerdictReport
from vru.domain.slices import ALL
from vru.evaluation.dataset.evaluate import DatasetEvaluation
from vru.evaluation.statistics.estimates import Estimate
from vru.evaluation.verdict.judge import count_of, too_few
from vru.evaluation.verdict.results import CONFIDENCE_LEVEL, deciding_levels, headline, measurement, worst_first


def show(metrics: DatasetEvaluation, report: VerdictReport | None, title: str) -> None:
    """Print the figures, the slices with the worst first, what limits them, and the verdict."""
    console = Console(highlight=False, soft_wrap=True)
    table = Table("metric", "value", "95 % interval", "n", title=title, title_justify="left")
    levels = deciding_levels(report)
    for metric, estimate in metrics.slices[ALL].items():
        table.add_row(*row(metric, estimate, level=levels.get((ALL, metric))))
    console.print(table)
    _slices(console, metrics, levels)
    if metrics.tide is not None:
        mended = Table("error", "count", "ap gained by mending it", title="Errors (TIDE)", title_justify="left")
        for kind, count in metrics.tide.counts.items():
            mended.add_row(kind.value, str(count), _known(metrics.tide.cost[kind]))
        console.print(mended)
    for note in metrics.notes:
        console.print(f"note: {note}", style="dim", markup=False)
    if report is None:
        return
    for result in report.results:
        console.print(f"{result.verdict.value}: {result.reason}", markup=False)
    colour = {Verdict.PASS: "green", Verdict.FAIL: "red"}.get(report.verdict, "yellow")
    console.print(f"verdict: {report.verdict.value}", style=f"bold {colour}")


def _slices(console: Console, metrics: DatasetEvaluation, levels: Mapping[tuple[str, str], float]) -> None:
    """One line a slice, the worst first."""
    names = worst_first(metrics)
    if not names:
        return
    table = Table("slice", "metric", "value", "95 % interval", "n", title="Worst slice first", title_justify="left")
    for name in names:
        metric, estimate = headline(metrics, name)
        if estimate is None or estimate.value is None:
            continue
        mark = " (too few)" if too_few(estimate, name, metrics.smallest_n) else ""
        table.add_row(*row(metric, estimate, name, mark, levels.get((name, metric))))
    console.print(table)


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
