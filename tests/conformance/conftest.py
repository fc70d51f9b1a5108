"""The plugins that the cases are put to: the fallbacks, or with PLUGINS=official the official ones on PATH."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from tests.cluster.conftest import kubeconfig, kubectl
from tests.conformance import plugin
from tests.conformance.plugin import Plugin

__all__ = ["kubeconfig"]


@contextmanager
def new_namespace() -> Iterator[str]:
    """Makes a namespace that is gone in the end."""
    name = f"conformance-{uuid4().hex[:8]}"
    kubectl("create", "namespace", name)
    try:
        yield name
    finally:
        kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def namespace(kubeconfig: Path) -> Iterator[str]:
    """A namespace that goes with the test."""
    assert kubeconfig.exists()
    with new_namespace() as name:
        yield name


@pytest.fixture(scope="session")
def kubernetes(kubeconfig: Path) -> Iterator[Plugin]:
    with plugin.start("kubernetes") as kubernetes:
        kubernetes.configure(kubeconfig=str(kubeconfig))
        yield kubernetes


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
