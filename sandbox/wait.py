"""Waiting for something another process does."""

import time
from collections.abc import Callable
from typing import TypeVar

from sandbox.errors import SandboxError

Result = TypeVar("Result")

_PAUSE_SECONDS = 0.05


def until(question: Callable[[], Result | None], what: str, seconds: float, mend: str) -> Result:
    """Asks until the answer is true.

    Args:
        question: Called again and again; its first true answer ends the wait. An OSError counts as "not yet".
        what: What is waited for, for the message.
        seconds: How long to wait.
        mend: What the user can do when it does not happen.

    Returns:
        The first true answer.

    Raises:
        SandboxError: It did not happen in time.
    """
    deadline = time.monotonic() + seconds
    reason = ""
    while time.monotonic() < deadline:
        try:
            if answer := question():
                return answer
        except OSError as error:
            reason = f" (last: {error})"
        time.sleep(_PAUSE_SECONDS)
    raise SandboxError(f"{what}: not within {seconds:g} s{reason}; {mend}")
