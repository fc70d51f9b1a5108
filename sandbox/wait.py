"""Waiting for something another process does."""

from collections.abc import Callable
from typing import TypeVar

from tenacity import RetryError, Retrying, retry_if_exception_type, retry_if_not_result, stop_after_delay, wait_fixed

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
    asking = Retrying(
        stop=stop_after_delay(seconds),
        wait=wait_fixed(_PAUSE_SECONDS),
        retry=retry_if_not_result(bool) | retry_if_exception_type(OSError),
    )
    try:
        answer = asking(question)
    except RetryError as error:
        last = error.last_attempt.exception()
        reason = f" (last: {last})" if last else ""
        raise SandboxError(f"{what}: not within {seconds:g} s{reason}; {mend}") from last
    assert answer is not None  # noqa: S101 - a true answer
    return answer
