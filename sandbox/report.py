"""What a user sees of the work: one line a stage, with its time."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

_HEARTBEAT_SECONDS = 30


class Stage:
    """A piece of work in progress.

    Attributes:
        detail: Said in the line that ends the stage.
    """

    def __init__(self, title: str, bars: Progress, bar: TaskID) -> None:
        self.detail = ""
        self._title = title
        self._bars = bars
        self._bar = bar
        self._started = self._said = time.monotonic()

    def progress(self, text: str) -> None:
        """Shows how far the work is: at once on a terminal, every half minute elsewhere."""
        now = time.monotonic()
        line = f"{self._title}: {text}"
        self._bars.update(self._bar, description=line)
        if not self._bars.console.is_terminal and now - self._said >= _HEARTBEAT_SECONDS:
            self._said = now
            self._bars.console.print(f"   ... {line}, {now - self._started:.0f} s")

    def end(self) -> None:
        """Prints the stage's line."""
        seconds = time.monotonic() - self._started
        detail = f": {self.detail}" if self.detail else ""
        self._bars.console.print(f"{seconds:6.1f} s  {self._title}{detail}")


class Report:
    """Prints stages, of which several may be in progress: with spinners on a terminal, as plain lines elsewhere."""

    def __init__(self) -> None:
        console = Console(highlight=False, markup=False, soft_wrap=True)
        text = TextColumn("{task.description}", markup=False)
        self._bars = Progress(
            SpinnerColumn(), text, TimeElapsedColumn(), console=console, transient=True, disable=not console.is_terminal
        )

    @contextmanager
    def stage(self, title: str) -> Iterator[Stage]:
        """Times the work in the `with` block; its line is printed when it ends well."""
        bar = self._bars.add_task(title)
        if len(self._bars.tasks) == 1:
            self._bars.start()
        try:
            stage = Stage(title, self._bars, bar)
            yield stage
            stage.end()
        finally:
            self._bars.remove_task(bar)
            if not self._bars.tasks:
                self._bars.stop()
