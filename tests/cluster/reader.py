"""A reader who types the commands of the documents."""

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.documents import to_run

_LONGEST_SECONDS = 300


def runs(group: str) -> pytest.MarkDecorator:
    """Gives a test the commands of a group of `commands.yaml`, one after the other."""
    return pytest.mark.parametrize("command", to_run(group))


@dataclass(frozen=True)
class Reader:
    """Somebody in a checkout.

    Attributes:
        folder: The checkout.
        environment: The variables of the shell.
        examples: What is typed for what the documents call an example.
    """

    folder: Path
    environment: Mapping[str, str]
    examples: Mapping[str, str] = field(default_factory=dict)

    def start(self, command: str) -> subprocess.Popen[str]:
        """Starts a command."""
        for example, own in self.examples.items():
            command = command.replace(example, own)
        return subprocess.Popen(
            ["sh", "-c", command],
            cwd=self.folder,
            env=dict(self.environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, command: str, stdin: str = "") -> str:
        """Runs a command, which succeeds; returns what it printed."""
        process = self.start(command)
        printed, _ = process.communicate(stdin, timeout=_LONGEST_SECONDS)
        assert process.returncode == 0, printed
        return printed
