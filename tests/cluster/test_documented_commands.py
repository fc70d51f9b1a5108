"""The commands that the README gives to those who try the sandbox."""

import os

import pytest

from tests.cluster.conftest import Stack
from tests.cluster.reader import Reader, runs
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def reader(stack: Stack) -> Reader:
    # The README tells those who have the sandbox alone of no variable that they would have to set.
    environment = {name: os.environ[name] for name in ("HOME", "PATH")}
    return Reader(ROOT, environment, {"172.30.53.232": stack.cluster_ip})


@runs("sandbox")
def test_on_the_sandbox(reader: Reader, command: str) -> None:
    printed = reader.run(command)
    if command.startswith("curl"):
        assert "{}" in printed
    if "first-light" in command:
        assert "pulled from the registry" in printed
