"""The fallback plugins and language host with a real engine."""

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest

from sandbox import layout

ROOT = Path(__file__).resolve().parents[2]
FALLBACKS = ROOT / "sandbox" / "plugins" / "bin"
PROGRAM = """
import pulumi, pulumi_command as command, pulumi_tls as tls

class Request(pulumi.ComponentResource):
    def __init__(self, name, names):
        super().__init__("test:index:Request", name, None, None)
        child = pulumi.ResourceOptions(parent=self)
        self.key = tls.PrivateKey("key", algorithm="ECDSA", ecdsa_curve="P256", opts=child)
        self.pem = tls.CertRequest(
            "request", private_key_pem=self.key.private_key_pem, dns_names=names, opts=child
        ).cert_request_pem
        self.register_outputs({"pem": self.pem})

request = Request("request", pulumi.Config().require_object("names"))
shown = command.local.Command("shown", create="cat", stdin=request.pem)
print("the program says hello")
pulumi.export("pem", shown.stdout)
pulumi.export("key", request.key.private_key_pem)
"""


class Project:
    """A Pulumi project in a folder of its own, with nothing but the fallbacks installed."""

    def __init__(self, folder: Path, engine: str) -> None:
        self.folder = folder
        self._engine = engine
        links = {folder / "bin" / "pulumi-language-python": FALLBACKS / "pulumi-language-python"}
        for name in ("kubernetes", "tls", "command"):
            plugin = f"pulumi-resource-{name}"
            home = folder / "home" / "plugins" / f"resource-{name}-v{version(f'pulumi-{name}')}"
            links[home / plugin] = FALLBACKS / plugin
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
        self.write(PROGRAM)
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
        """Returns the command lines of the plugins that run for this project."""
        lines = []
        for process in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                lines.append(process.read_bytes().replace(b"\0", b" ").decode())
            except OSError:
                continue
        return [line for line in lines if str(self.folder) in line and "pulumi-" in line]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    engine = shutil.which("pulumi", path=os.pathsep.join([str(layout.BIN), os.environ["PATH"]]))
    if engine is None:
        pytest.fail("no Pulumi engine, neither on PATH nor in .sandbox/bin: `make up` builds one")
    return Project(tmp_path, engine)


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def test_a_stack_lives_from_preview_to_destroy(project: Project) -> None:
    project.pulumi("config", "set", "--path", "names[0]", "a.example.com")
    assert "+ 5 to create" in project.pulumi("preview")
    assert "the program says hello" in project.pulumi("up", "--yes", "--skip-preview")
    assert "BEGIN CERTIFICATE REQUEST" in project.pulumi("stack", "output", "pem")
    assert project.pulumi("stack", "output", "key").strip() == "[secret]"
    assert "5 unchanged" in project.pulumi("preview", "--expect-no-changes")
    assert "5 unchanged" in project.pulumi("refresh", "--yes", "--skip-preview")
    project.pulumi("config", "set", "--path", "names[1]", "b.example.com")
    changed = project.pulumi("up", "--yes", "--skip-preview")
    assert "+-1 replaced" in changed
    assert "~ 1 updated" in changed
    assert "- 5 deleted" in project.pulumi("destroy", "--yes", "--skip-preview")
    assert project.plugins() == []


def test_an_exception_shows_the_program_s_own_frames(project: Project) -> None:
    project.write("def broken():\n    raise ValueError('so wrong')\n\nbroken()\n")
    output = project.pulumi("preview", fails=True)
    assert "Program failed with an unhandled exception" in output
    assert "ValueError: so wrong" in output
    assert "in broken" in output
    assert "runpy" not in output
    assert "non-zero exit code" not in output


def test_a_run_error_shows_its_message_alone(project: Project) -> None:
    project.write("import pulumi\nraise pulumi.RunError('names: none given')\n")
    output = project.pulumi("preview", fails=True)
    assert "error: names: none given" in output
    assert "Traceback" not in output


def test_a_program_that_exits_is_told_by_its_code(project: Project) -> None:
    project.write("import sys\nsys.exit(7)\n")
    assert "Program exited with non-zero exit code: 7" in project.pulumi("preview", fails=True)


def test_a_missing_virtual_environment_is_named(project: Project) -> None:
    project.write(PROGRAM, options="virtualenv: venv")
    assert f"{project.folder}/venv has no bin/python: run pulumi install" in project.pulumi("preview", fails=True)


def test_the_virtual_environment_of_the_project_runs_the_program(project: Project) -> None:
    project.write("import sys\nprint('run by', sys.prefix)\n", options="virtualenv: venv")
    (project.folder / "venv").symlink_to(sys.prefix)
    assert f"run by {project.folder}/venv" in project.pulumi("preview")


def test_an_unknown_type_names_the_plugin_to_install(project: Project) -> None:
    project.write("import pulumi_tls as tls\ntls.SelfSignedCert('a', allowed_uses=[], validity_period_hours=1)\n")
    assert "pulumi plugin install resource tls " in project.pulumi("preview", fails=True)


def test_an_interrupt_ends_a_command(project: Project) -> None:
    project.write("import pulumi_command as command\ncommand.local.Command('slow', create='echo begun; sleep 600')\n")
    process = project.start("up", "--yes", "--skip-preview")
    assert process.stdout is not None
    while "begun" not in process.stdout.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=30)
    assert process.returncode != 0, output
    wait_until(lambda: not project.plugins(), "plugins run on after an interrupt")


def test_plugins_end_with_an_engine_that_is_killed(project: Project) -> None:
    project.write("import pulumi_command as command\ncommand.local.Command('slow', create='echo begun; sleep 5')\n")
    process = project.start("up", "--yes", "--skip-preview")
    wait_until(lambda: len(project.plugins()) > 1, "no plugin was started")
    process.kill()
    process.communicate(timeout=30)
    wait_until(lambda: not project.plugins(), "plugins run on without their engine")
