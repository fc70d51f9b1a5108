"""The command plugin does not have the faults of the official one."""

import asyncio
import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from sandbox.plugins.command import CommandProvider
from sandbox.plugins.server import Call, Log, ProviderError, ResourceType, Urn
from sandbox.plugins.values import UNKNOWN, Properties, reveal, secret
from tests.machine import Machine, running

REMOTE = "command:remote:Command"
LOCAL = "command:local:Command"
COPY = "command:remote:CopyToRemote"
MARKER = "4dabf18193072939515e22adb298388d"
ASSET = "c44067f5952c0a294b673a41bacd8c17"
ARCHIVE = "0def7320c3a5731c473e5ecbe6d01bc7"


class Lines(Log):
    """Collects what the user would see."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.warnings: list[str] = []

    async def info(self, urn: Urn, message: str) -> None:  # noqa: ARG002
        self.lines.append(message)

    async def warning(self, urn: Urn, message: str) -> None:  # noqa: ARG002
        self.warnings.append(message)


def command(token: str, log: Lines | None = None) -> tuple[ResourceType, Call]:
    provider = CommandProvider()
    provider.log = log or Lines()
    return provider.resource_type(token), Call(Urn(f"urn:pulumi:dev::p::{token}::node"))


def create(token: str, log: Lines | None = None, **inputs: Any) -> Properties:
    resource_type, call = command(token, log)
    return asyncio.run(resource_type.create(call, inputs))[1]


def update(token: str, outputs: Properties, **inputs: Any) -> Properties:
    resource_type, call = command(token)
    return asyncio.run(resource_type.update(call, outputs, inputs))


def check(token: str, **inputs: Any) -> tuple[Properties, list[str]]:
    resource_type, call = command(token)
    return asyncio.run(resource_type.check(call, {}, inputs))


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    files = tmp_path / "machine"
    files.mkdir()
    with running(files) as machine:
        yield machine


def test_a_connection_gets_its_defaults_and_loses_what_nobody_knows() -> None:
    connection = secret({"host": "a", "privateKey": "k", "keyFile": "x", "proxy": {"host": "b", "password": "p"}})
    inputs, failures = check(REMOTE, connection=connection, create="true", shell="sh")
    assert not failures
    defaults = {"user": "root", "port": 22, "dialErrorLimit": 10, "perDialTimeout": 15}
    proxy = {**defaults, "host": "b", "password": secret("p")}
    assert inputs == {
        "connection": secret({**defaults, "host": "a", "privateKey": secret("k"), "proxy": proxy}),
        "create": "true",
    }


def test_a_connection_that_is_not_known_yet_is_left_alone() -> None:
    assert check(REMOTE, connection=UNKNOWN, create="true") == ({"connection": UNKNOWN, "create": "true"}, [])


@pytest.mark.parametrize("name", ["assetPaths", "archivePaths"])
def test_files_of_a_local_command_are_refused_by_name(name: str) -> None:
    _, failures = check(LOCAL, create="true", **{name: ["*"]})
    assert len(failures) == 1
    assert failures[0].startswith(f"{name}: ")
    assert "pulumi plugin install resource command " in failures[0]


def test_streams_are_shown_line_by_line_and_hidden_on_request() -> None:
    log = Lines()
    create(LOCAL, log, create="cat; printf half; echo bad >&2", stdin="x\n")
    assert sorted(log.lines) == ["bad", "half", "x"]
    log.lines.clear()
    create(LOCAL, log, create="echo out; echo bad >&2", logging="stderr")
    assert log.lines == ["bad"]


def test_a_long_line_and_a_broken_character_are_no_trouble() -> None:
    outputs = create(LOCAL, create="head -c 300000 /dev/zero | tr '\\0' a; printf '\\303'")
    assert outputs["stdout"] == "a" * 300000 + "\N{REPLACEMENT CHARACTER}"


def test_a_folder_or_an_interpreter_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ProviderError, match=f"{tmp_path}/none: No such file or directory: running"):
        create(LOCAL, create="true", dir=f"{tmp_path}/none")
    with pytest.raises(ProviderError, match="no-such-shell: No such file or directory: running"):
        create(LOCAL, create="true", interpreter=["no-such-shell", "-c"])


def test_a_local_command_that_is_killed_says_by_what() -> None:
    with pytest.raises(ProviderError, match=r"^signal: killed: running"):
        create(LOCAL, create="kill -9 $$")


def test_a_local_command_ends_with_its_operation(tmp_path: Path) -> None:
    async def run() -> None:
        resource_type, call = command(LOCAL)
        inputs = {"create": f"sleep 600 & echo $! > {tmp_path}/pid; mv {tmp_path}/pid {tmp_path}/background"}
        task = asyncio.create_task(resource_type.create(call, inputs))
        while not (tmp_path / "background").exists():
            await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        background = Path("/proc", (tmp_path / "background").read_text().strip(), "stat")
        while background.exists() and " Z " not in background.read_text():
            await asyncio.sleep(0.05)

    asyncio.run(asyncio.wait_for(run(), 20))


def test_an_update_without_commands_keeps_the_output() -> None:
    outputs = update(LOCAL, {"delete": "true", "stdout": "before", "stderr": ""}, delete="false")
    assert outputs == {"delete": "false", "stdout": "before", "stderr": ""}


def test_previous_output_is_in_the_environment_where_there_is_any() -> None:
    before = {"stdout": "before", "stderr": ""}
    shown = "echo ${PULUMI_COMMAND_STDOUT-none} ${PULUMI_COMMAND_STDERR-none}"
    assert update(LOCAL, before, create=shown)["stdout"] == "before none"
    assert update(LOCAL, before, create=shown, addPreviousOutputInEnv=False)["stdout"] == "none none"


def test_the_message_of_a_failing_command_has_no_secrets() -> None:
    log = Lines()
    with pytest.raises(ProviderError) as error:
        create(
            LOCAL,
            log,
            create=secret("echo t0ken; echo $A; sed -n 2p; exit 1"),
            environment={"A": secret("t0ken-a"), "B": "harmless"},
            stdin=secret("first line\nsecond line\n"),
        )
    assert str(error.value) == 'exit status 1: running "[secret]":\nt0ken\n[secret]\n[secret]\n'
    assert log.lines == ["t0ken", "[secret]", "[secret]"]


def test_the_message_of_a_failing_remote_command_has_no_credentials(machine: Machine) -> None:
    connection = {**machine.connection, "password": "pass-word"}
    with pytest.raises(ProviderError) as error:
        create(REMOTE, connection=secret(connection), create="echo root@127.0.0.1 pass-word; exit 1")
    assert str(error.value) == (
        'Process exited with status 1: running "echo root@127.0.0.1 [secret]; exit 1":\nroot@127.0.0.1 [secret]\n'
    )


def test_a_key_that_is_none_is_not_quoted(machine: Machine) -> None:
    with pytest.raises(ProviderError, match="privateKey or hostKey cannot be used") as error:
        create(REMOTE, connection={**machine.connection, "privateKey": "very secret"}, create="true")
    assert "very secret" not in str(error.value)


def test_a_remote_command_gets_its_environment(machine: Machine) -> None:
    outputs = create(REMOTE, connection=machine.connection, create="echo $A$B", environment={"A": "1", "B": "2"})
    assert outputs["stdout"] == "12"


@pytest.fixture
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the SSH server accept no environment variables, like an sshd without AcceptEnv."""
    monkeypatch.setattr(asyncssh.channel.SSHServerChannel, "_process_env_request", lambda *_: False)


@pytest.mark.usefixtures("_no_variables")
def test_a_variable_that_the_server_refuses_stops_the_command(machine: Machine, tmp_path: Path) -> None:
    with pytest.raises(ProviderError, match="environment: the SSH server refuses A, B: allow that with AcceptEnv"):
        create(REMOTE, connection=machine.connection, create=f"touch {tmp_path}/run", environment={"A": "1", "B": "2"})
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("_no_variables")
def test_previous_output_that_the_server_refuses_is_a_warning(machine: Machine) -> None:
    log = Lines()
    resource_type, call = command(REMOTE, log)
    inputs = {"connection": machine.connection, "create": "echo done"}
    outputs = asyncio.run(resource_type.update(call, {"stdout": "before", "stderr": "x"}, inputs))
    assert outputs["stdout"] == "done"
    assert len(log.warnings) == 1
    assert log.warnings[0].startswith("PULUMI_COMMAND_STDOUT, PULUMI_COMMAND_STDERR: refused by the SSH server")


def test_connections_are_closed_after_success_and_failure(machine: Machine) -> None:
    create(REMOTE, connection=machine.connection, create="true")
    with pytest.raises(ProviderError):
        create(REMOTE, connection=machine.connection, create="false")
    machine.wait_until_closed()


def test_a_machine_is_reached_through_its_proxy(machine: Machine) -> None:
    connection = {**machine.connection, "proxy": machine.connection}
    assert create(REMOTE, connection=connection, create="echo there")["stdout"] == "there"
    machine.wait_until_closed()


def test_a_remote_command_that_ends_without_a_status_has_failed(machine: Machine) -> None:
    with pytest.raises(
        ProviderError, match=r"^wait: remote command exited without exit status or exit signal: running"
    ):
        create(REMOTE, connection=machine.connection, create="kill -9 $$")


def test_the_connection_is_closed_when_the_operation_is_cancelled(machine: Machine) -> None:
    async def run() -> None:
        log = Lines()
        resource_type, call = command(REMOTE, log)
        inputs = {"connection": machine.connection, "create": "echo begun; sleep 600"}
        task = asyncio.create_task(resource_type.create(call, inputs))
        while not log.lines:
            await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(asyncio.wait_for(run(), 20))
    machine.wait_until_closed()


def test_a_command_has_the_time_that_the_program_gives_it(machine: Machine) -> None:
    resource_type, call = command(REMOTE)
    limited = Call(call.urn, timeout=0.5)
    with pytest.raises(ProviderError, match=r"^not finished after 0\.5 seconds: running"):
        asyncio.run(resource_type.create(limited, {"connection": machine.connection, "create": "sleep 600"}))


def test_a_server_that_never_says_anything_does_not_hang_the_run() -> None:
    async def run() -> None:
        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()

        async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            connection = {"host": "127.0.0.1", "port": port, "dialErrorLimit": 1, "perDialTimeout": 0.3}
            resource_type, call = command(REMOTE)
            await resource_type.create(call, {"connection": connection, "create": "true"})

    with pytest.raises(ProviderError, match=r"^after 1 failed attempts: dial tcp 127\.0\.0\.1:\d+: i/o timeout"):
        asyncio.run(asyncio.wait_for(run(), 30))


def test_a_server_that_falls_silent_does_not_hang_the_run(machine: Machine) -> None:
    awake = threading.Event()

    class Freezing(Lines):
        async def info(self, urn: Urn, message: str) -> None:  # noqa: ARG002
            machine.loop.call_soon_threadsafe(awake.wait)

    connection = {**machine.connection, "perDialTimeout": 0.3}
    try:
        with pytest.raises(ProviderError, match=r"^127\.0\.0\.1: "):
            create(REMOTE, Freezing(), connection=connection, create="echo begun; sleep 600")
    finally:
        awake.set()


def file_asset(path: Path) -> Properties:
    return {MARKER: ASSET, "hash": hashlib.sha256(path.read_bytes()).hexdigest(), "path": str(path)}


def archive(path: str) -> Properties:
    return {MARKER: ARCHIVE, "hash": "0", "path": path}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder with a file, a link to it, and a folder with another file."""
    folder = tmp_path / "source"
    (folder / "below").mkdir(parents=True)
    (folder / "file").write_text("content")
    (folder / "link").symlink_to("file")
    (folder / "below" / "other").write_text("more")
    return folder


def copied(machine: Machine) -> dict[str, str]:
    """Returns the files that a machine has, with their content."""
    files = (path for path in machine.files.rglob("*") if path.is_file() and not path.is_symlink())
    return {str(path.relative_to(machine.files)): path.read_text() for path in files}


TREE = {"file": "content", "link": "content", "below/other": "more"}


@pytest.mark.parametrize("exists", [False, True])
@pytest.mark.parametrize(("slash", "prefix"), [("", "there/source"), ("/", "there")])
def test_a_folder_is_copied_as_a_whole_or_what_is_in_it(
    machine: Machine, source: Path, exists: bool, slash: str, prefix: str
) -> None:
    if exists:
        (machine.files / "there").mkdir()
    for _ in range(2):
        create(COPY, connection=machine.connection, remotePath="/there", source=archive(f"{source}{slash}"))
    assert copied(machine) == {f"{prefix}/{name}": content for name, content in TREE.items()}


@pytest.mark.parametrize(
    ("target", "result"), [("/new", "new"), ("/folder", "folder/file"), ("/way/to/new", "way/to/new")]
)
def test_a_file_is_copied_to_a_name_or_into_a_folder(machine: Machine, source: Path, target: str, result: str) -> None:
    (machine.files / "folder").mkdir()
    create(COPY, connection=machine.connection, remotePath=target, source=file_asset(source / "file"))
    assert copied(machine) == {result: "content"}


def test_a_text_needs_the_name_of_a_file(machine: Machine) -> None:
    text = {MARKER: ASSET, "hash": "0", "text": "hello"}
    create(COPY, connection=machine.connection, remotePath="/way/to/new", source=text)
    assert copied(machine) == {"way/to/new": "hello"}
    with pytest.raises(ProviderError, match="remote path /way is a directory; when using a text asset, remotePath"):
        create(COPY, connection=machine.connection, remotePath="/way", source=text)


def test_what_cannot_be_copied_is_named(machine: Machine, source: Path) -> None:
    (machine.files / "file").touch()
    with pytest.raises(ProviderError, match=r"^127\.0\.0\.1: .*/none"):
        create(COPY, connection=machine.connection, remotePath="/new", source=archive(f"{source}/none"))
    with pytest.raises(ProviderError, match=r"^127\.0\.0\.1: .*file"):
        create(COPY, connection=machine.connection, remotePath="/file/below", source=file_asset(source / "file"))
    machine.wait_until_closed()


def test_another_machine_gets_its_copy_and_another_login_key_copies_nothing(machine: Machine, source: Path) -> None:
    inputs = {"connection": machine.connection, "remotePath": "/new", "source": file_asset(source / "file")}
    update(COPY, inputs, **{**inputs, "connection": {**machine.connection, "privateKey": "another"}})
    assert copied(machine) == {}
    update(COPY, {**inputs, "connection": {**machine.connection, "host": "192.0.2.1"}}, **inputs)
    assert copied(machine) == {"new": "content"}


@pytest.mark.parametrize(
    ("source", "failures"),
    [
        (UNKNOWN, []),
        ({MARKER: ASSET, "hash": "0", "text": ""}, []),
        ({MARKER: ASSET, "hash": "0", "uri": "u"}, ["asset must be a path-based file asset or a text asset"]),
        ({MARKER: ARCHIVE, "hash": "0", "assets": {}}, ["archive must be a path to a file or directory"]),
        ("file", ["either asset or archive must be set"]),
    ],
)
def test_the_source_of_a_copy_is_a_file_a_folder_or_a_text(source: Any, failures: list[str]) -> None:
    assert check(COPY, connection={"host": "a"}, remotePath="/a", source=source)[1] == failures


def test_an_imported_command_is_refused() -> None:
    resource_type, call = command(LOCAL)
    with pytest.raises(ProviderError, match="it cannot be imported, only run"):
        asyncio.run(resource_type.read(call, {}, {}))


def test_secret_inputs_stay_secret(machine: Machine) -> None:
    outputs = create(REMOTE, connection=secret(machine.connection), create="cat", stdin=secret("hello"))
    assert outputs["stdin"] == secret("hello")
    assert outputs["connection"] == secret(machine.connection)
    assert reveal(outputs["stdout"]) == "hello"


def test_an_unknown_type_names_the_official_plugin() -> None:
    with pytest.raises(ProviderError, match="pulumi plugin install resource command "):
        command("command:remote:CopyFile")
