"""The fallback plugins and language host with a real engine."""

import json
import signal
import sys

import pytest

from tests.engine.conftest import Project, wait_until
from tests.machine import running

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


def test_a_stack_lives_from_preview_to_destroy(project: Project) -> None:
    project.write(PROGRAM)
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


@pytest.mark.parametrize(
    "program",
    [
        pytest.param("pulumi.CustomResource('tls:index/other:Other', 'a', {})", id="type"),
        pytest.param("pulumi_tls.get_public_key(private_key_pem='a')", id="function"),
    ],
)
def test_what_is_not_known_names_the_plugin_to_install(project: Project, program: str) -> None:
    project.write(f"import pulumi, pulumi_tls\n{program}\n")
    assert "pulumi plugin install resource tls " in project.pulumi("preview", fails=True)


def test_a_schema_comes_with_the_official_plugin_alone(project: Project) -> None:
    assert "pulumi plugin install resource tls " in project.pulumi("package", "get-schema", "tls", fails=True)


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


def test_an_interrupt_ends_the_connection_of_a_remote_command(project: Project) -> None:
    files = project.folder / "machine"
    files.mkdir()
    with running(files) as machine:
        (project.folder / "connection.json").write_text(json.dumps(machine.connection))
        project.write("""
            import json, pathlib, pulumi_command as command
            connection = json.loads(pathlib.Path("connection.json").read_text())
            command.remote.Command("slow", connection=connection, create="echo begun; sleep 600")
        """)
        process = project.start("up", "--yes", "--skip-preview")
        assert process.stdout is not None
        while "begun" not in process.stdout.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=30)
        assert process.returncode != 0, output
        machine.wait_until_closed()
    wait_until(lambda: not project.plugins(), "plugins run on after an interrupt")


def test_plugins_end_with_an_engine_that_is_killed(project: Project) -> None:
    project.write("import pulumi_command as command\ncommand.local.Command('slow', create='echo begun; sleep 5')\n")
    process = project.start("up", "--yes", "--skip-preview")
    wait_until(lambda: len(project.plugins()) > 1, "no plugin was started")
    process.kill()
    process.communicate(timeout=30)
    wait_until(lambda: not project.plugins(), "plugins run on without their engine")
