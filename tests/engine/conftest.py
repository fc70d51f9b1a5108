"""A Pulumi project with a real engine, its plugins and the fallback language host."""

import os
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from uuid import uuid4

import pytest

from sandbox import layout
from tests.cluster.conftest import kubeconfig, kubectl
from tests.conformance.plugin import FALLBACKS, program

__all__ = ["kubeconfig"]


class Project:
    """A Pulumi project in a folder of its own, with only the fallbacks and Kubernetes' official plugin installed."""

    def __init__(self, folder: Path, engine: str) -> None:
        self.folder = folder
        self._engine = engine
        links = {folder / "bin" / "pulumi-language-python": FALLBACKS / "pulumi-language-python"}
        for name in ("kubernetes", "tls", "command"):
            plugin = program(name)
            links[folder / "home" / "plugins" / f"resource-{name}-v{version(f'pulumi-{name}')}" / plugin.name] = plugin
        for link, target in links.items():
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(target)
        (folder / "state").mkdir()
        self.environment = {
            "HOME": str(folder),
            "PATH": os.pathsep.join([str(folder / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]]),
            "PULUMI_HOME": str(folder / "home"),
            "PULUMI_BACKEND_URL": f"file://{folder}/state",
            "PULUMI_CONFIG_PASSPHRASE": "test",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        }
        self.write("")
        self.pulumi("stack", "init", "test")

    def write(self, program: str, options: str = "") -> None:
        """Replaces the program; `options` are those of the runtime, as YAML."""
        (self.folder / "Pulumi.yaml").write_text(f"name: test\nruntime:\n  name: python\n  options: {{{options}}}\n")
        (self.folder / "__main__.py").write_text(textwrap.dedent(program))

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Starts the engine."""
        return subprocess.Popen(
            [self._engine, *arguments, "--non-interactive"],
            cwd=self.folder,
            env=self.environment,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def pulumi(self, *arguments: str, fails: bool = False) -> str:
        """Runs the engine to its end and returns what it printed."""
        process = self.start(*arguments)
        output, _ = process.communicate(timeout=120)
        assert (process.returncode != 0) == fails, output
        return output

    def plugins(self) -> list[str]:
        """Returns the command lines of the plugins, programs and policy packs that run for this project."""
        lines = []
        for process in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                lines.append(process.read_bytes().replace(b"\0", b" ").decode())
            except OSError:
                continue
        return [line for line in lines if str(self.folder) in line and "pulumi" in line]


def new_project(folder: Path) -> Project:
    """Makes a project with the engine of this machine."""
    engine = shutil.which("pulumi", path=os.pathsep.join([str(layout.BIN), os.environ["PATH"]]))
    if engine is None:
        pytest.fail("no Pulumi engine, neither on PATH nor in .sandbox/bin: `make up` builds one")
    return Project(folder, engine)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return new_project(tmp_path)


@pytest.fixture
def namespace(kubeconfig: Path) -> Iterator[str]:  # noqa: ARG001 - needs the cluster
    """A namespace that is gone after the test."""
    name = f"engine-{uuid4().hex[:8]}"
    kubectl("create", "namespace", name)
    yield name
    kubectl("delete", "namespace", name, "--wait=false")


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)
