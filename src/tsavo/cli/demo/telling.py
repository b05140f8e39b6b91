"""How the story reaches the terminal: plain lines, a progress bar where there is a screen."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

__all__ = ["Teller"]


class Teller:
    """Prints chapters, lines and alerts."""

    def __init__(self) -> None:
        self._console = Console(highlight=False, soft_wrap=True)
        self._chapter = 0
        self._started = time.perf_counter()

    def chapter(self, title: str) -> None:
        """A new chapter."""
        self._chapter += 1
        self._console.print(f"\n[bold]{self._chapter}. {title}[/bold]  [dim]{self.seconds:.0f} s[/dim]")

    def line(self, text: str) -> None:
        """One line of the story."""
        self._console.print(f"   {text}", markup=False)

    def alert(self, text: str) -> None:
        """A line that must be seen."""
        self._console.print(f"   {text}", style="bold yellow", markup=False)

    @property
    def seconds(self) -> float:
        """Since the story began."""
        return time.perf_counter() - self._started

    @contextmanager
    def progress(self, total: int) -> Iterator[Callable[[int, str], None]]:
        """A bar that is advanced with (done, label); without a screen nothing is drawn."""
        columns = (TextColumn("   {task.description}"), BarColumn(), MofNCompleteColumn())
        with Progress(
            *columns, console=self._console, transient=True, disable=not self._console.is_terminal
        ) as bar:
            task = bar.add_task("", total=total)
            yield lambda done, label: bar.update(task, completed=done, description=label)
