"""What `vru local` prints: live on a terminal, plain lines elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

_PLAIN_INTERVAL_S = 2.0


class ProgressLine:
    """One thing's progress: a bar on a terminal; elsewhere a line now and then."""

    def __init__(self, console: Console, label: str, bar: Progress | None) -> None:
        self._console, self._label, self._bar = console, label, bar
        self._task = bar.add_task(label, total=None) if bar else None
        self._said = ("", 0.0)

    def show(self, state: str, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` are finished, in the given state. ``total`` 0 means not known yet."""
        if self._bar and self._task is not None:
            self._bar.update(
                self._task, description=f"{self._label}: {state}", completed=done, total=total if total else None
            )
            return
        last_state, last_time = self._said
        if state != last_state or time.monotonic() - last_time >= _PLAIN_INTERVAL_S:
            self._said = (state, time.monotonic())
            self._console.print(f"{self._label}: {state}" + (f", {done} of {total} frames" if total else ""))


class Output:
    """Standard output for people. Safe to call from several threads."""

    def __init__(self) -> None:
        self.console = Console(highlight=False, soft_wrap=True)

    def heading(self, text: str) -> None:
        """A line that begins a part."""
        self.console.print(f"[bold]{escape(text)}[/bold]")

    def line(self, text: str = "") -> None:
        """One line, or several, exactly as given."""
        self.console.print(escape(text))

    def item(self, text: str) -> None:
        """One line of a list of things that happened."""
        self.console.print(f"  [dim]-[/dim] {escape(text)}")

    def emphasised(self, text: str, style: str) -> None:
        """One line in a style of rich's."""
        self.console.print(f"[{style}]{escape(text)}[/{style}]")

    @contextmanager
    def busy(self, text: str) -> Iterator[Callable[[], None]]:
        """Show on a terminal that something takes a while, until the end or until what this gives is called."""
        status = self.console.status(escape(text))
        if self.console.is_terminal:
            status.start()
        try:
            yield status.stop
        finally:
            status.stop()

    @contextmanager
    def progress(self, label: str) -> Iterator[ProgressLine]:
        """Show one thing's progress while inside."""
        if not self.console.is_terminal:
            yield ProgressLine(self.console, label, None)
            return
        columns = (TextColumn("  {task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self.console) as bar:
            yield ProgressLine(self.console, label, bar)
