"""What a user sees of the work: one line a stage, with its time."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.status import Status

_HEARTBEAT_SECONDS = 30


class Stage:
    """A piece of work in progress.

    Attributes:
        detail: Said in the line that ends the stage.
    """

    def __init__(self, title: str, console: Console, status: Status | None) -> None:
        self.detail = ""
        self._title = title
        self._console = console
        self._status = status
        self._started = self._said = time.monotonic()

    def progress(self, text: str) -> None:
        """Shows how far the work is: at once on a terminal, every half minute elsewhere."""
        now = time.monotonic()
        line = f"{self._title}: {text}, {now - self._started:.0f} s"
        if self._status:
            self._status.update(line)
        elif now - self._said >= _HEARTBEAT_SECONDS:
            self._said = now
            self._console.print(f"   ... {line}")

    def end(self) -> None:
        """Prints the stage's line."""
        seconds = time.monotonic() - self._started
        detail = f": {self.detail}" if self.detail else ""
        self._console.print(f"{seconds:6.1f} s  {self._title}{detail}")


class Report:
    """Prints stages: with a spinner on a terminal, as plain lines elsewhere."""

    def __init__(self) -> None:
        self._console = Console(highlight=False, markup=False, soft_wrap=True)

    @contextmanager
    def stage(self, title: str) -> Iterator[Stage]:
        """Times the work in the `with` block; its line is printed when it ends well."""
        if self._console.is_terminal:
            with self._console.status(title) as status:
                stage = Stage(title, self._console, status)
                yield stage
        else:
            stage = Stage(title, self._console, None)
            yield stage
        stage.end()
