"""Runs the Pulumi engine on a stack; settings, backend and passphrase are those of the environment."""

import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from pulumi.automation.events import EngineEvent

from pipeline.cluster import ClusterError, check
from pipeline.preview import Preview, not_started, summarise
from settings import SettingsError, of_stack

_ROOT = Path(__file__).resolve().parent.parent
_POLICY = _ROOT / "policy"


def preview(stack: str) -> Preview:
    """Previews a stack with the policy pack, if its settings are right and its cluster answers."""
    try:
        check(of_stack(stack))
    except (SettingsError, ClusterError) as error:
        return not_started(stack, str(error))
    with TemporaryDirectory() as folder:
        events = Path(folder) / "events"
        done = subprocess.run(  # noqa: S603
            _command("preview", stack, "--suppress-progress", f"--event-log={events}", *_policies(stack)),
            cwd=_ROOT,
            # The engine hides the flag for its event log otherwise.
            env={**_environment(), "PULUMI_DEBUG_COMMANDS": "true"},
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        lines = events.read_text().splitlines() if events.exists() else []
    parsed = [EngineEvent.from_json(json.loads(line)) for line in lines]
    return summarise(stack, parsed, done.stdout, succeeded=done.returncode == 0)


def up(stack: str) -> int:
    """Runs `pulumi up` with the policy pack, and returns the engine's exit code; what fails stops nothing else."""
    return _run(_command("up", stack, "--yes", "--skip-preview", "--continue-on-error", *_policies(stack)))


def drift(stack: str) -> int:
    """Compares the cluster with the state, changes nothing, and returns 0 if they are alike."""
    return _run(_command("refresh", stack, "--preview-only", "--expect-no-changes"))


def _command(operation: str, stack: str, *arguments: str) -> list[str]:
    return ["pulumi", operation, "--stack", stack, "--diff", "--color=never", "--non-interactive", *arguments]


def _policies(stack: str) -> list[str]:
    """The policy pack's arguments: its own levels apply where the stack has none."""
    levels = _POLICY / "levels" / f"{stack}.json"
    return [f"--policy-pack={_POLICY}", *([f"--policy-pack-config={levels}"] if levels.exists() else [])]


def _environment() -> dict[str, str]:
    """The environment with this Python, which has the packages of program and policy pack, before any other."""
    return {**os.environ, "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}


def _run(command: list[str]) -> int:
    return subprocess.run(  # noqa: S603
        command, cwd=_ROOT, env=_environment(), check=False, stdin=subprocess.DEVNULL
    ).returncode
