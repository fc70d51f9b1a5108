"""Host keys of nodes, in every form in which OpenSSH keeps them."""

import asyncio
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from pydantic import ValidationError

from settings import NodeSettings, Settings, SshSettings
from tests import machine
from tests.conftest import Cluster, write_key
from tests.machine import Machine
from verify.checks import nodes
from verify.proof import Fault

NAME, IPV4, IPV6 = "node1.lab.example.com", "192.0.2.1", "fd00::1"


def new_key(algorithm: str = "ssh-ed25519") -> str:
    return asyncssh.generate_private_key(algorithm).export_public_key().decode().strip()


KEY = new_key()


def hash_names(file: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", file], check=True, capture_output=True)


class Stack:
    """The settings of a stack with one node, and its file of host keys."""

    def __init__(self, cluster: Cluster, host: str, port: int) -> None:
        self.config = cluster.config | {"nodes": [{"name": "node1", "host": host, "port": port}]}
        self.known_hosts = cluster.folder / "known_hosts"

    def host_key(self) -> str:
        loaded = Settings.model_validate(self.config)
        return loaded.ssh.host_key(loaded.nodes[0])

    def refusal(self) -> str:
        with pytest.raises(ValidationError) as caught:
            self.host_key()
        (fault,) = caught.value.errors()
        return fault["msg"]


@pytest.mark.parametrize("hashed", [False, True], ids=["plain", "hashed"])
@pytest.mark.parametrize(
    ("host", "port", "names"),
    [
        (NAME, 22, NAME),
        (NAME, 2222, f"[{NAME}]:2222"),
        (NAME, 22, f"other.example.com,{NAME},{IPV4}"),
        (NAME, 2222, f"[{NAME}]:2222,[{IPV4}]:2222"),
        (IPV4, 22, IPV4),
        (IPV4, 22, f"{NAME},{IPV4}"),
        (IPV4, 2222, f"[{IPV4}]:2222"),
        (IPV6, 22, IPV6),
        (IPV6, 2222, f"[{IPV6}]:2222"),
        # As ssh itself does where the file says nothing of the port.
        (NAME, 2222, NAME),
        (IPV4, 2222, IPV4),
    ],
)
def test_a_node_is_known_by_the_names_that_ssh_looks_for(
    cluster: Cluster, host: str, port: int, names: str, hashed: bool
) -> None:
    stack = Stack(cluster, host, port)
    stack.known_hosts.write_text(f"# lab\n{names} {KEY} node1\nother2.example.com {new_key()}\n")
    if hashed:
        hash_names(stack.known_hosts)
        assert host not in stack.known_hosts.read_text()
    assert stack.host_key() == KEY


@pytest.mark.parametrize(
    ("host", "port", "pattern"),
    [
        (NAME, 22, "*.lab.example.com"),
        (NAME, 22, "*,!node2.lab.example.com"),
        (NAME, 2222, "[*.lab.example.com]:2222"),
        (NAME, 2222, "*.lab.example.com"),
        (IPV4, 22, "192.0.2.?"),
        (IPV4, 2222, "[192.0.2.*]:2222"),
    ],
)
def test_a_node_is_known_by_a_pattern(cluster: Cluster, host: str, port: int, pattern: str) -> None:
    stack = Stack(cluster, host, port)
    stack.known_hosts.write_text(f"{pattern} {KEY}\n")
    assert stack.host_key() == KEY


@pytest.mark.parametrize("hashed", [False, True], ids=["plain", "hashed"])
@pytest.mark.parametrize(
    ("port", "names"),
    [
        (22, "node2.lab.example.com"),
        (22, f"[{NAME}]:2222"),
        (2222, f"[{NAME}]:22222"),
        (22, IPV4),
        (22, f"*,!{NAME}"),
    ],
)
def test_a_node_is_not_known_by_the_key_of_another_server(
    cluster: Cluster, port: int, names: str, hashed: bool
) -> None:
    stack = Stack(cluster, NAME, port)
    stack.known_hosts.write_text(f"{names} {KEY}\n")
    if hashed:
        hash_names(stack.known_hosts)
    assert f"has no ed25519 or ecdsa host key of node 'node1' ({NAME})" in stack.refusal()


def test_the_key_of_the_node_s_own_port_goes_first(cluster: Cluster) -> None:
    stack = Stack(cluster, NAME, 2222)
    stack.known_hosts.write_text(f"{NAME} {new_key()}\n[{NAME}]:2222 {KEY}\n")
    assert stack.host_key() == KEY


def test_an_rsa_key_is_passed_over_for_one_that_can_be_verified(cluster: Cluster) -> None:
    stack = Stack(cluster, NAME, 22)
    rsa, ecdsa = new_key("ssh-rsa"), new_key("ecdsa-sha2-nistp256")
    stack.known_hosts.write_text(f"{NAME} {rsa}\n")
    assert "has no ed25519 or ecdsa host key of node 'node1'" in stack.refusal()
    stack.known_hosts.write_text(f"{NAME} {rsa}\n{NAME} {ecdsa}\n")
    assert stack.host_key() == ecdsa


@pytest.mark.parametrize(
    ("port", "revoked"), [(22, "*"), (22, NAME), (2222, "*"), (2222, NAME), (2222, f"[{NAME}]:2222")]
)
def test_a_revoked_key_is_refused_and_another_one_is_taken(cluster: Cluster, port: int, revoked: str) -> None:
    stack = Stack(cluster, NAME, port)
    lines = f"{NAME} {KEY}\n@revoked {revoked} {KEY}\n"
    stack.known_hosts.write_text(lines)
    assert "has only revoked host keys of node 'node1'" in stack.refusal()
    successor = new_key()
    stack.known_hosts.write_text(f"{lines}{NAME} {successor}\n")
    assert stack.host_key() == successor


def test_the_key_of_an_authority_is_no_host_key(cluster: Cluster) -> None:
    stack = Stack(cluster, NAME, 22)
    stack.known_hosts.write_text(f"@cert-authority *.lab.example.com {KEY}\n")
    assert "has no ed25519 or ecdsa host key of node 'node1'" in stack.refusal()


# From here on with a real SSH server, which listens on a port of its own.


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Machine]:
    with machine.running(tmp_path) as server:
        yield server


def run_advice(text: str) -> str:
    """Runs the commands of an advice, which stand in backticks; returns what the last one prints."""
    printed = [
        subprocess.run(command, shell=True, check=True, capture_output=True, text=True).stdout
        for command in re.findall("`([^`]+)`", text)
    ]
    return printed[-1]


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
@pytest.mark.parametrize("hashed", [False, True], ids=["plain", "hashed"])
def test_what_a_refusal_advises_makes_the_node_known(
    cluster: Cluster, server: Machine, host: str, hashed: bool
) -> None:
    stack = Stack(cluster, host, server.connection["port"])
    stack.known_hosts.write_text(f"other.example.com {KEY}\n")
    if hashed:
        hash_names(stack.known_hosts)
    added = run_advice(stack.refusal())
    assert added.count(host) == (0 if hashed else 1)
    stack.known_hosts.write_text(stack.known_hosts.read_text() + added)
    assert stack.host_key() == server.connection["hostKey"]


def login(server: Machine, known_hosts: Path, host: str, **of_node: Any) -> tuple[NodeSettings, SshSettings]:
    """The settings of a login to the server."""
    key = known_hosts.parent / "login"
    write_key(key, server.connection["privateKey"].encode())
    node = {"name": "node1", "host": host, "port": server.connection["port"], **of_node}
    ssh = {"user": "root", "knownHostsFile": str(known_hosts), "privateKeyFile": str(key)}
    return NodeSettings.model_validate(node), SshSettings.model_validate(ssh)


def try_login(node: NodeSettings, ssh: SshSettings) -> str:
    """Logs in as verify does; returns what it reports."""

    async def log_in() -> str:
        proved = await nodes.log_in(node, ssh)
        proved.value.login.close()
        await proved.value.login.wait_closed()
        return proved.detail

    return asyncio.run(log_in())


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_verify_logs_in_with_hashed_names(tmp_path: Path, server: Machine, host: str) -> None:
    known_hosts, port = tmp_path / "known_hosts", server.connection["port"]
    known_hosts.write_text(f"[{host}]:{port} {server.connection['hostKey']}\n")
    hash_names(known_hosts)
    assert try_login(*login(server, known_hosts, host)) == f"root@{host}:{port}, host key as known"


@pytest.mark.parametrize("hashed", [False, True], ids=["plain", "hashed"])
def test_what_verify_advises_for_a_new_host_key_makes_the_node_known(
    tmp_path: Path, server: Machine, hashed: bool
) -> None:
    known_hosts, port = tmp_path / "known_hosts", server.connection["port"]
    known_hosts.write_text(f"[localhost]:{port} {KEY}\nother.example.com {KEY}\n")
    if hashed:
        hash_names(known_hosts)
    settings = login(server, known_hosts, "localhost")
    with pytest.raises(Fault, match="localhost shows another host key than") as caught:
        try_login(*settings)
    added = run_advice(caught.value.mend)
    known_hosts.write_text(known_hosts.read_text() + added)
    assert ("localhost" in known_hosts.read_text()) is not hashed
    assert "host key as known" in try_login(*settings)


def test_verify_trusts_no_key_that_up_would_refuse(tmp_path: Path, server: Machine) -> None:
    known_hosts, port = tmp_path / "known_hosts", server.connection["port"]
    # `up` asks for the name alone, whatever address it has.
    known_hosts.write_text(f"[127.0.0.1]:{port} {server.connection['hostKey']}\n[localhost]:{port} {KEY}\n")
    with pytest.raises(Fault, match="localhost shows another host key than"):
        try_login(*login(server, known_hosts, "localhost"))


@pytest.mark.parametrize(("own", "user"), [({}, "root"), ({"user": "ops"}, "ops")])
def test_verify_logs_in_as_the_node_s_own_user_and_acts_as_root(
    tmp_path: Path, server: Machine, monkeypatch: pytest.MonkeyPatch, own: dict[str, str], user: str
) -> None:
    known_hosts, port = tmp_path / "known_hosts", server.connection["port"]
    known_hosts.write_text(f"[localhost]:{port} {server.connection['hostKey']}\n")
    settings = login(server, known_hosts, "localhost", **own)
    run, commands = asyncssh.SSHClientConnection.run, list[str]()

    async def recorded(self: asyncssh.SSHClientConnection, command: str, **options: Any) -> Any:
        commands.append(command)
        return await run(self, command.removeprefix("sudo -n "), **options)

    monkeypatch.setattr(asyncssh.SSHClientConnection, "run", recorded)
    assert try_login(*settings).startswith(f"{user}@localhost:")
    assert all(command.startswith("sudo -n ") is (user != "root") for command in commands)
    assert commands


def test_verify_says_when_a_user_has_no_root_rights(
    tmp_path: Path, server: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    known_hosts, port = tmp_path / "known_hosts", server.connection["port"]
    known_hosts.write_text(f"[localhost]:{port} {server.connection['hostKey']}\n")
    monkeypatch.setattr("verify.vantage.shlex.join", lambda _: "false")
    with pytest.raises(Fault, match="ops may not run `sudo` without a password on localhost"):
        try_login(*login(server, known_hosts, "localhost", user="ops"))
