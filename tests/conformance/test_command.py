"""The command plugin answers as the official one (1.2.1) was seen to."""

import hashlib
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import asyncssh
import pytest

from sandbox.plugins.values import UNKNOWN, reveal, secret
from tests.conformance import plugin
from tests.conformance.plugin import Answer, Plugin, RefusedError, Resource, Values
from tests.machine import Machine, running

LOCAL = "command:local:Command"
REMOTE = "command:remote:Command"
COPY = "command:remote:CopyToRemote"
CAT = {"create": "cat", "environment": {"A": "1"}, "stdin": "text\n", "triggers": [1]}
TRUST = {"addPreviousOutputInEnv": False, "create": "cat; echo done", "delete": "true", "stdin": "hello"}
NONE = {"changes": "DIFF_NONE", "hasDetailedDiff": True}
NO_OUTPUT = {"stdout": UNKNOWN, "stderr": UNKNOWN}


def asset(text: str) -> Values:
    """Returns a text asset as the engine sends it to be made."""
    return {**asset_in_state(text), "text": text}


def asset_in_state(text: str) -> Values:
    """Returns a text asset as the engine keeps and compares it."""
    return {
        "4dabf18193072939515e22adb298388d": "c44067f5952c0a294b673a41bacd8c17",
        "hash": hashlib.sha256(text.encode()).hexdigest(),
    }


def changed(name: str, path: str) -> Answer:
    detail = {"detailedDiff": {path: {"kind": "UPDATE"}}, "hasDetailedDiff": True}
    return {"changes": "DIFF_SOME", "diffs": [name], **detail}


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with running(tmp_path) as machine:
        yield machine


@pytest.fixture
def connection(machine: Machine) -> Values:
    """The connection as the engine sends it, checked: secret, and its key once more."""
    known: Values = secret({**machine.connection, "privateKey": secret(machine.connection["privateKey"])})
    return known


@pytest.fixture
def local(command: Plugin) -> Resource:
    return command.resource(LOCAL, "local")


@pytest.fixture
def remote(command: Plugin) -> Resource:
    return command.resource(REMOTE, "node1")


@pytest.fixture
def copy(command: Plugin) -> Resource:
    return command.resource(COPY, "copy")


def test_the_settings_name_the_library_of_the_official_plugin(command: Plugin) -> None:
    settings = {"version": "1.2.1"}
    assert command.check_config(settings) == {"inputs": {**settings, "__pulumi-go-provider-version": "v1.5.0"}}


def test_check_keeps_a_local_command_as_it_is(local: Resource) -> None:
    assert local.check(CAT) == {"inputs": CAT}


@pytest.mark.parametrize(
    ("token", "rest"),
    [
        pytest.param(REMOTE, TRUST, id="command"),
        pytest.param(REMOTE, {"create": "true"}, id="command-without-options"),
        pytest.param(COPY, {"remotePath": "/run/copied.txt", "source": asset("hello")}, id="copy"),
    ],
)
def test_check_hides_the_login_key(
    command: Plugin, machine: Machine, connection: Values, token: str, rest: Values
) -> None:
    given = {**rest, "connection": secret(machine.connection)}
    assert command.resource(token, "a").check(given) == {"inputs": {**rest, "connection": connection}}


def test_check_takes_inputs_that_are_checked_already(remote: Resource, connection: Values) -> None:
    inputs = {**TRUST, "connection": connection}
    assert remote.check(inputs, olds=inputs) == {"inputs": inputs}


@pytest.mark.parametrize(
    ("token", "inputs"),
    [
        pytest.param(LOCAL, CAT, id="local"),
        pytest.param(REMOTE, {**TRUST, "connection": secret({"host": "192.0.2.1"})}, id="remote"),
    ],
)
def test_a_preview_of_a_command_runs_nothing_and_knows_no_output(command: Plugin, token: str, inputs: Values) -> None:
    answer = command.resource(token, "node1").create(inputs, preview=True)
    assert re.fullmatch("node1[0-9a-f]{8}", answer["id"])
    assert answer["properties"] == {**inputs, **NO_OUTPUT}


def test_a_preview_of_a_copy_copies_nothing_and_has_no_id(copy: Resource, connection: Values, tmp_path: Path) -> None:
    inputs = {"connection": connection, "remotePath": "/copied.txt", "source": asset("hello")}
    assert copy.create(inputs, preview=True) == {"properties": inputs}
    assert list(tmp_path.iterdir()) == []


def test_a_local_command_gets_its_input_and_its_output_loses_the_last_newline(local: Resource) -> None:
    made = local.create(CAT)
    assert re.fullmatch("local[0-9a-f]{8}", made["id"])
    assert made["properties"] == {**CAT, "stdout": "text", "stderr": ""}


def test_a_remote_command_gets_its_input(remote: Resource, connection: Values) -> None:
    made = remote.create({**TRUST, "connection": connection})
    assert re.fullmatch("node1[0-9a-f]{8}", made["id"])
    assert made["properties"] == {**TRUST, "connection": connection, "stdout": "hellodone", "stderr": ""}


def test_a_copy_puts_a_text_into_a_file(copy: Resource, connection: Values, tmp_path: Path) -> None:
    inputs = {"connection": connection, "remotePath": "/copied.txt", "source": asset("hello")}
    made = copy.create(inputs)
    assert re.fullmatch("[0-9a-f]{8}", made["id"])
    assert made["properties"] == inputs
    assert (tmp_path / "copied.txt").read_text() == "hello"


def test_a_remote_command_that_fails_shows_itself_and_its_output(remote: Resource, connection: Values) -> None:
    with pytest.raises(RefusedError) as error:
        remote.create({"connection": connection, "create": "echo out; echo out2; exit 3"})
    assert str(error.value) == ('Process exited with status 3: running "echo out; echo out2; exit 3":\nout\nout2\n')


def test_a_local_command_that_fails_shows_itself_and_its_output(local: Resource) -> None:
    with pytest.raises(RefusedError) as error:
        local.create({"create": "echo x; exit 4"})
    assert str(error.value) == 'exit status 4: running "echo x; exit 4":\nx\n'


def test_a_refused_connection_is_tried_as_often_as_allowed(remote: Resource, machine: Machine) -> None:
    refused = {**machine.connection, "port": 1, "dialErrorLimit": 2}
    with pytest.raises(RefusedError) as error:
        remote.create({"connection": secret(refused), "create": "true"})
    assert str(error.value) == "after 2 failed attempts: dial tcp 127.0.0.1:1: connect: connection refused"


def test_a_machine_with_another_host_key_is_refused(remote: Resource, machine: Machine) -> None:
    other = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode().strip()
    with pytest.raises(RefusedError) as error:
        remote.create({"connection": secret({**machine.connection, "hostKey": other}), "create": "true"})
    assert str(error.value) == "after 1 failed attempts: ssh: handshake failed: ssh: host key mismatch"


@pytest.fixture
def agent(machine: Machine, tmp_path: Path) -> Iterator[Path]:
    """The socket of an SSH agent that has the login key."""
    path = tmp_path / "agent"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", path], stdout=subprocess.DEVNULL)
    try:
        while not path.exists():
            assert process.poll() is None
        environment = {**os.environ, "SSH_AUTH_SOCK": str(path)}
        subprocess.run(["ssh-add", "-"], env=environment, input=machine.connection["privateKey"], text=True, check=True)
        yield path
    finally:
        process.kill()
        process.wait()


def test_an_agent_can_hold_the_login_key(remote: Resource, machine: Machine, agent: Path) -> None:
    connection = {**machine.connection, "agentSocketPath": str(agent)}
    del connection["privateKey"]
    inputs = {"connection": secret(connection), "create": "echo there"}
    assert remote.create(inputs)["properties"]["stdout"] == "there"


def test_the_agent_of_the_environment_can_hold_the_login_key(
    machine: Machine, agent: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = {name: value for name, value in machine.connection.items() if name != "privateKey"}
    monkeypatch.setenv("SSH_AUTH_SOCK", str(agent))
    with plugin.start("command") as command:
        command.configure()
        remote = command.resource(REMOTE, "node1")
        made = remote.create({"connection": secret(connection), "create": "echo there"})
    assert made["properties"]["stdout"] == "there"


def test_an_agent_that_is_not_there_is_named(remote: Resource, machine: Machine, tmp_path: Path) -> None:
    connection = {**machine.connection, "agentSocketPath": f"{tmp_path}/none"}
    del connection["privateKey"]
    with pytest.raises(RefusedError, match=f"{tmp_path}/none"):
        remote.create({"connection": secret(connection), "create": "true"})


def test_a_change_of_triggers_is_named_by_its_place(local: Resource) -> None:
    made = {**CAT, "stdout": "text", "stderr": ""}
    assert local.diff(CAT, {**CAT, "triggers": [2]}, made) == changed("triggers", "triggers[0]")


@pytest.mark.parametrize("name", ["create", "delete", "stdin"])
def test_a_change_of_a_command_is_an_update(remote: Resource, connection: Values, name: str) -> None:
    inputs = {**TRUST, "connection": connection}
    made = {**inputs, "stdout": "hellodone", "stderr": ""}
    assert remote.diff(inputs, {**inputs, name: "other"}, made) == changed(name, name)


def test_a_change_of_what_is_copied_is_one_of_the_source(copy: Resource, connection: Values) -> None:
    inputs = {"connection": connection, "remotePath": "/copied.txt", "source": asset_in_state("hello")}
    assert copy.diff(inputs, {**inputs, "source": asset_in_state("hello2")}) == changed("source", "source")


def test_nothing_changes_by_itself(local: Resource, remote: Resource, copy: Resource, connection: Values) -> None:
    assert local.diff(CAT, CAT, {**CAT, "stdout": "text", "stderr": ""}) == NONE
    inputs = {**TRUST, "connection": connection}
    assert remote.diff(inputs, inputs, {**inputs, "stdout": "hellodone", "stderr": ""}) == NONE
    copied = {"connection": connection, "remotePath": "/copied.txt", "source": asset_in_state("hello")}
    assert copy.diff(copied, copied) == NONE


def test_an_update_without_a_command_of_its_own_runs_create_again(remote: Resource, connection: Values) -> None:
    inputs = {**TRUST, "connection": connection}
    made = remote.create(inputs)
    news = {**inputs, "create": "cat; echo again"}
    assert remote.update(made, inputs, news) == {"properties": {**news, "stdout": "helloagain", "stderr": ""}}


def test_a_preview_of_an_update_knows_no_output(remote: Resource, connection: Values) -> None:
    inputs = {**TRUST, "connection": connection}
    made = {"id": "node112345678", "properties": {**inputs, "stdout": "hellodone", "stderr": ""}}
    news = {**inputs, "create": "false"}
    assert remote.update(made, inputs, news, preview=True) == {"properties": {**news, **NO_OUTPUT}}


@pytest.mark.parametrize(("preview", "content"), [(True, "hello"), (False, "hello2")], ids=["preview", "update"])
def test_an_update_copies_what_has_changed(
    copy: Resource, connection: Values, tmp_path: Path, preview: bool, content: str
) -> None:
    inputs = {"connection": connection, "remotePath": "/copied.txt", "source": asset("hello")}
    made = copy.create(inputs)
    known = {**inputs, "source": asset_in_state("hello")}
    news = {**inputs, "source": asset("hello2")}
    answer = copy.update({**made, "properties": known}, known, news, preview=preview)
    assert answer == {"properties": news}
    assert (tmp_path / "copied.txt").read_text() == content


def test_reading_finds_what_the_state_holds(
    local: Resource, remote: Resource, copy: Resource, connection: Values
) -> None:
    inputs = {**TRUST, "connection": connection}
    copied = {"connection": connection, "remotePath": "/copied.txt", "source": asset_in_state("hello")}
    for resource, known, outputs in (
        (local, CAT, {**CAT, "stdout": "text", "stderr": ""}),
        (remote, inputs, {**inputs, "stdout": "hellodone", "stderr": ""}),
        (copy, copied, copied),
    ):
        answer = resource.read("id", outputs, known)
        assert (answer["id"], reveal(answer["properties"]), reveal(answer["inputs"])) == (
            "id",
            reveal(outputs),
            reveal(known),
        )


def test_deleting_a_command_without_a_delete_command_does_nothing(local: Resource) -> None:
    assert local.delete({"id": "local12345678", "properties": {**CAT, "stdout": "text", "stderr": ""}}) == {}


def test_deleting_runs_the_delete_command(remote: Resource, connection: Values, tmp_path: Path) -> None:
    (tmp_path / "trusted").touch()
    inputs = {**TRUST, "connection": connection, "delete": f"rm {tmp_path}/trusted"}
    made = {"id": "node112345678", "properties": {**inputs, "stdout": "hellodone", "stderr": ""}}
    assert remote.delete(made) == {}
    assert not (tmp_path / "trusted").exists()


def test_deleting_a_copy_leaves_the_file(copy: Resource, connection: Values, tmp_path: Path) -> None:
    made = copy.create({"connection": connection, "remotePath": "/copied.txt", "source": asset("hello")})
    assert copy.delete(made) == {}
    assert (tmp_path / "copied.txt").exists()
