"""How long a run takes that changes nothing, with the plugins of the sandbox.

`python -m bench.noop`, with the sandbox up (`python -m sandbox up`) and little else running: it deploys the registry of
`tests/conformance/scenario`, 23 resources, runs `pulumi up` on it without a change and `pulumi preview` of an empty
program by turns, and compares the medians. With PLUGINS=official only official plugins are measured.

The empty preview is the measure of the machine: of the processors' time, for that of the clock depends on what else
runs. With the official plugins the run without a change was seen to take 1.9 s of the clock where an empty preview took
0.93 s of the processors. The sandbox's may take 1.3 times as long as those would here.
"""

import os
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from sandbox import layout
from tests.conformance.registry import prepared
from tests.engine.conftest import Project

_RUNS = 5
_OFFICIAL_SECONDS = 1.9
_EMPTY_PREVIEW_SECONDS = 0.93
_GOAL = 1.3


@dataclass(frozen=True)
class Duration:
    """How long a run took, in seconds: of the clock, and of the processors."""

    wall: float
    processor: float


def run(project: Project, *arguments: str) -> Duration:
    """Runs the engine to its end."""
    before, began = os.times(), time.perf_counter()
    project.pulumi(*arguments)
    after, ended = os.times(), time.perf_counter()
    used = after.children_user - before.children_user + after.children_system - before.children_system
    return Duration(ended - began, used)


def main() -> None:
    """Prints both durations, what the official plugins would take on this machine, the ratio and the goal."""
    ready = (layout.BIN / "kubectl", f"--kubeconfig={layout.KUBECONFIG}", "get", "--raw=/readyz")
    if subprocess.run(ready, check=False, capture_output=True).returncode:  # noqa: S603
        raise SystemExit("bench: the sandbox does not answer: start it with `python -m sandbox up`")
    with tempfile.TemporaryDirectory() as folder:
        nothing = Path(folder, "nothing")
        nothing.mkdir()
        empty = Project(nothing, str(layout.BIN / "pulumi"))
        with prepared(layout.KUBECONFIG, Path(folder)) as scenario:
            scenario.fix()
            scenario.up()
            runs = [
                (run(scenario.project, "up", "--yes", "--skip-preview"), run(empty, "preview")) for _ in range(_RUNS)
            ]
    no_change = median(each.wall for each, _ in runs)
    preview = median(each.processor for _, each in runs)
    official = _OFFICIAL_SECONDS * preview / _EMPTY_PREVIEW_SECONDS
    table = Table("no change", "empty preview (processors)", "official plugins here", "ratio", "goal")
    table.add_row(
        f"{no_change:.2f} s", f"{preview:.2f} s", f"{official:.2f} s", f"{no_change / official:.2f}", f"≤ {_GOAL}"
    )
    Console().print(table)


if __name__ == "__main__":
    main()
