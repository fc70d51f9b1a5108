"""Running the machine's own programs."""

import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path

from sandbox.errors import SandboxError

_SHOWN_LINES = 15


def run(*command: str | Path, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> str:
    """Runs a program to its end.

    Args:
        command: The program and its arguments.
        cwd: The folder to run in; the current one if not given.
        env: The whole environment; the current one if not given.

    Returns:
        What the program wrote to its standard output.

    Raises:
        SandboxError: The program is missing or ended with an error; the message has the end of its output.
    """
    try:
        done = subprocess.run(  # noqa: S603
            command, cwd=cwd, env=env, check=False, text=True, stdin=subprocess.DEVNULL, capture_output=True
        )
    except FileNotFoundError as error:
        raise SandboxError(f"`{command[0]}` is not on PATH: install it and try again") from error
    if done.returncode != 0:
        raise failure(command, done.returncode, done.stderr or done.stdout)
    return done.stdout


def failure(command: tuple[str | Path, ...], code: int, output: str) -> SandboxError:
    """Says which command failed, how, and what it wrote last."""
    tail = "\n".join(output.strip().splitlines()[-_SHOWN_LINES:])
    return SandboxError(f"`{shlex.join(map(str, command))}` ended with exit code {code}:\n{tail}")
