"""Rows of the printed tables, and whether a target is met."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One figure. ``limit`` is the target: at most, or with ``least`` at least; None is for orientation only."""

    what: str
    shown: str
    value: float = 0.0
    limit: float | None = None
    unit: str = ""
    least: bool = False

    @property
    def met(self) -> bool:
        """Whether the figure is within its target."""
        if self.limit is None:
            return True
        return self.value >= self.limit if self.least else self.value <= self.limit

    def cells(self) -> tuple[str, str, str, str]:
        """For a Markdown table."""
        if self.limit is None:
            return self.what, self.shown, "-", "-"
        bound = f"{'at least' if self.least else 'at most'} {self.limit:,g}{self.unit}"
        return self.what, self.shown, bound, "met" if self.met else "NOT MET"


def markdown(title: str, rows: Sequence[Row]) -> str:
    """A heading and a table."""
    lines = [f"\n### {title}\n", "| what | measured | target | |", "|---|---|---|---|"]
    lines += ["| " + " | ".join(row.cells()) + " |" for row in rows]
    return "\n".join(lines)
