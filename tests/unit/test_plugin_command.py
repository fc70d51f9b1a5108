"""The command plugin answers as the official one (1.2.1) was seen to answer, without its faults."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncssh
import pytest

from sandbox.plugins.command import CommandProvider
from sandbox.plugins.server import Call, Change, Difference, Log, ProviderError, ResourceType, Urn
from sandbox.plugins.values import UNKNOWN, Properties, is_secret, reveal, secret

REMOTE = "command:remote:Command"
LOCAL = "command:local:Command"


class Lines(Log):
    """Collects what the user would see."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    async def info(self, urn: Urn, message: str) -> None:  # noqa: ARG002
        self.lines.append(message)


def command(token: str, log: Lines | None = None) -> tuple[ResourceType, Call]:
    provider = CommandProvider()
    provider.log = log or Lines()
    return provider.resource_type(token), Call(Urn(f"urn:pulumi:dev::p::{token}::node"))


def create(token: str, log: Lines | None = None, **inputs: Any) -> tuple[str, Properties]:
    resource_type, call = command(token, log)
    return asyncio.run(resource_type.create(call, inputs))


@asynccontextmanager
async def machine(key: asyncssh.SSHKey) -> AsyncIterator[Properties]:
    """Runs an SSH server that executes commands; yields the connection settings for it."""

    async def execute(process: asyncssh.SSHServerProcess[bytes]) -> None:
        shell = await asyncio.create_subprocess_shell(
            process.command or "",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await shell.communicate(await process.stdin.read())
        process.stdout.write(out)
        process.stderr.write(err)
        process.exit(shell.returncode or 0)

    client_key = asyncssh.generate_private_key("ssh-ed25519")
    accepted = asyncssh.import_authorized_keys(client_key.export_public_key().decode())
    async with asyncssh.listen(
        "127.0.0.1", 0, server_host_keys=[key], authorized_client_keys=accepted, process_factory=execute, encoding=None
    ) as server:
        yield {
            "host": "127.0.0.1",
            "port": server.get_port(),
            "user": "root",
            "hostKey": key.export_public_key().decode().strip(),
            "privateKey": client_key.export_private_key().decode(),
            "dialErrorLimit": 1,
            "perDialTimeout": 5,
        }


def on_machine(which: str, connection: Properties | None = None, **inputs: Any) -> Any:
    """Runs one operation of a remote command against a machine of its own."""

    async def run() -> Any:
        async with machine(asyncssh.generate_private_key("ssh-ed25519")) as settings:
            resource_type, call = command(REMOTE)
            properties = {**inputs, "connection": secret({**settings, **(connection or {})})}
            if which == "create":
                return await resource_type.create(call, properties)
            if which == "update":
                return await resource_type.update(call, {"stdout": "before", "stderr": ""}, properties)
            return await resource_type.delete(call, properties)

    return asyncio.run(run())


def test_credentials_in_a_connection_are_secret_even_inside_a_secret() -> None:
    resource_type, call = command(REMOTE)
    connection = secret({"host": "a", "privateKey": "k", "proxy": {"host": "b", "password": "p"}})
    inputs, failures = asyncio.run(resource_type.check(call, {}, {"connection": connection, "create": "true"}))
    assert not failures
    inner = inputs["connection"]["value"]
    assert is_secret(inputs["connection"])
    assert is_secret(inner["privateKey"])
    assert is_secret(inner["proxy"]["password"])
    assert reveal(inputs) == reveal({"connection": connection, "create": "true"})


def test_a_change_is_an_update_that_names_its_path() -> None:
    resource_type, call = command(LOCAL)
    old, new = {"create": "a", "triggers": [1]}, {"create": "a", "triggers": [2]}
    assert asyncio.run(resource_type.diff(call, {}, old, new)) == Difference(
        changed=True, properties=["triggers"], detailed={"triggers[0]": Change.UPDATE}
    )


def test_a_preview_knows_no_output() -> None:
    resource_type, call = command(REMOTE)
    preview = Call(call.urn, preview=True)
    resource_id, outputs = asyncio.run(resource_type.create(preview, {"create": "true"}))
    assert re.fullmatch(r"node[0-9a-f]{8}", resource_id)
    assert outputs == {"create": "true", "stdout": UNKNOWN, "stderr": UNKNOWN}


def test_a_local_command_gets_its_input_and_environment() -> None:
    log = Lines()
    _, outputs = create(LOCAL, log, create="cat; echo $A; echo bad >&2", stdin="x\n", environment={"A": "1"})
    assert (outputs["stdout"], outputs["stderr"]) == ("x\n1", "bad")
    assert sorted(log.lines) == ["1", "bad", "x"]


def test_logging_hides_streams() -> None:
    log = Lines()
    create(LOCAL, log, create="echo out; echo bad >&2", logging="stderr")
    assert log.lines == ["bad"]


def test_a_failing_local_command_shows_its_output() -> None:
    with pytest.raises(ProviderError) as error:
        create(LOCAL, create="echo x; exit 4")
    assert str(error.value) == 'exit status 4: running "echo x; exit 4":\nx\n'


def test_a_remote_command_gets_its_input() -> None:
    _, outputs = on_machine("create", create="cat; echo done", stdin="hello")
    assert (outputs["stdout"], outputs["stderr"]) == ("hellodone", "")
    assert is_secret(outputs["connection"])


def test_an_update_runs_the_update_command_or_else_the_create_command() -> None:
    assert on_machine("update", create="echo made", update="echo changed")["stdout"] == "changed"
    assert on_machine("update", create="echo made")["stdout"] == "made"


def test_a_delete_runs_the_delete_command_with_the_input_if_there_is_one(tmp_path: Any) -> None:
    on_machine("delete", create="true")
    on_machine("delete", create="true", delete=f"cat > {tmp_path}/deleted", stdin="x")
    assert (tmp_path / "deleted").read_text() == "x"


def test_a_failing_remote_command_shows_its_output() -> None:
    with pytest.raises(ProviderError) as error:
        on_machine("create", create="echo out; exit 3")
    assert str(error.value) == 'Process exited with status 3: running "echo out; exit 3":\nout\n'


def test_a_machine_with_another_host_key_is_refused() -> None:
    other = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()
    with pytest.raises(ProviderError) as error:
        on_machine("create", {"hostKey": other}, create="true")
    assert str(error.value) == "after 1 failed attempts: ssh: handshake failed: ssh: host key mismatch"


def test_a_key_that_is_none_is_not_quoted() -> None:
    with pytest.raises(ProviderError, match="privateKey or hostKey cannot be used") as error:
        on_machine("create", {"privateKey": "very secret"}, create="true")
    assert "very secret" not in str(error.value)


def test_a_refused_connection_is_tried_again() -> None:
    connection = {"host": "127.0.0.1", "port": 1, "privateKey": None, "dialErrorLimit": 2}
    with pytest.raises(ProviderError) as error:
        create(REMOTE, connection=connection, create="true")
    assert str(error.value) == "after 2 failed attempts: dial tcp 127.0.0.1:1: connect: connection refused"


def test_a_server_that_says_nothing_does_not_hang_the_run() -> None:
    async def run() -> None:
        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()

        async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            connection = {"host": "127.0.0.1", "port": port, "dialErrorLimit": 1, "perDialTimeout": 1}
            resource_type, call = command(REMOTE)
            await resource_type.create(call, {"connection": connection, "create": "true"})

    started = time.monotonic()
    with pytest.raises(ProviderError, match=r"^after 1 failed attempts: dial tcp 127\.0\.0\.1:"):
        asyncio.run(run())
    assert time.monotonic() - started < 5


def test_a_copied_file_is_refused_by_name() -> None:
    with pytest.raises(ProviderError, match="CopyToRemote: this plugin stands in"):
        command("command:remote:CopyToRemote")
