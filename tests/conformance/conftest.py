"""The plugins that the cases are put to: the fallbacks, or with PLUGINS=official the official ones."""

from collections.abc import Iterator

import pytest

from tests.cluster.conftest import kubeconfig
from tests.conformance import plugin
from tests.conformance.plugin import Plugin

__all__ = ["kubeconfig"]


@pytest.fixture(scope="session")
def tls() -> Iterator[Plugin]:
    with plugin.start("tls") as tls:
        tls.configure()
        yield tls


@pytest.fixture(scope="session")
def command() -> Iterator[Plugin]:
    with plugin.start("command") as command:
        command.configure()
        yield command
