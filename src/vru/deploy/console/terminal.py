"""How `vru` talks on a terminal: lines that stay for what is done, one live line for what runs."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.status import Status

from vru.deploy.console.phases import PHASES
from vru.domain import VruError


class TerminalReporter:
    """Lines that stay for what is done, one live line for what runs."""

    def __init__(self) -> None:
        self.console = Console(highlight=False)
        self._status: Status | None = None
        self._running = ""

    def phase(self, number: int) -> None:
        self._stop()
        self.console.print(f"\n[bold]{number}/{len(PHASES)} {PHASES[number - 1]}[/bold]")

    def step(self, name: str, detail: str = "") -> None:
        self._stop()
        self._running = f"{escape(name)}  [dim]{escape(detail)}[/dim]"
        self._status = self.console.status(self._running)
        self._status.start()

    def log(self, line: str) -> None:
        if self._status is not None:
            room = max(20, self.console.width - 8)
            self._status.update(f"{self._running}\n    [dim]{escape(line.strip()[:room])}[/dim]")

    def output(self, line: str) -> None:
        self.console.print(f"    {escape(line)}")

    def done(self, name: str, detail: str = "", seconds: float | None = None) -> None:
        self._stop()
        took = f"  [dim]{seconds:.1f} s[/dim]" if seconds is not None and seconds >= 1 else ""
        self.console.print(f"  [green]✓[/green] {escape(name)}  [dim]{escape(detail)}[/dim]{took}")

    def warn(self, text: str) -> None:
        self._stop()
        self.console.print(f"  [yellow]![/yellow] {escape(text)}")

    def failed(self, error: VruError, logs: tuple[str, ...] = (), data: Mapping[str, Any] | None = None) -> None:
        self._stop()
        for line in logs:
            self.console.print(f"    [dim]{escape(line.rstrip())}[/dim]")
        self.console.print(f"\n[red]✗ {escape(error.message)}[/red]")
        if error.fix:
            self.console.print(f"  {escape(error.fix)}")

    def result(self, text: str, data: Mapping[str, Any]) -> None:
        self._stop()
        self.console.print(f"\n{escape(text)}")

    def _stop(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None
