"""The commands that README and runbooks give to those who have a stack, on `Pulumi.lab.yaml` and the sandbox.

Each test goes on where the one before it ended, as a reader does.
"""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox import layout, nfs, s3
from sandbox.topology import CONTROL_PLANE
from sandbox.wait import until
from tests.cluster.api import Registry
from tests.cluster.conftest import delete_volumes, kubectl, sandbox
from tests.cluster.reader import Reader, runs
from tests.cluster.shipped import pulled, ssh_agent, write_what_the_readme_asks_for
from tests.conformance.plugin import program
from tests.conftest import ROOT
from tests.documents import settings

NAMESPACE = "image-registry"
FILE = "Pulumi.lab.yaml"
SHIPPED = yaml.safe_load((ROOT / FILE).read_text())["config"]
(BACKUP,), (COLLECTION,), (MOVE,) = (
    list(settings(ROOT / "docs" / "runbook" / f"{name}.md")) for name in ("backup", "garbage-collection", "moving")
)
BEFORE = {"registry:replicas": 1, "registry:storage": MOVE["registry:move"]["from"]}
"""What the stack starts with: the storage that the runbook on moves moves from."""
IMAGES = {
    SHIPPED["registry:image"]: "sandbox.local/registry:3.1.2",
    MOVE["registry:tools"]["kubectl"]: "sandbox.local/kubectl:1.34.2",
    MOVE["registry:tools"]["rclone"]: "sandbox.local/rclone:1.76.0",
}
BACKEND = "s3://states"
_STATES = s3.BUCKETS / "states"
_FOLDERS = (nfs.EXPORT / "registry", nfs.EXPORT / "backup", Path(MOVE["registry:move"]["from"]["path"]))


def configure(reader: Reader, *settings: dict[str, Any]) -> None:
    """Edits the stack's file: it says what ships, and these settings."""
    file = reader.folder / FILE
    present = yaml.safe_load(file.read_text())
    present["config"] = dict(SHIPPED)
    for each in settings:
        present["config"] |= each
    file.write_text(yaml.safe_dump(present))


def remove(reader: Reader) -> None:
    """Removes everything that the stack made, and what it keeps."""
    for command in ("cancel", "state unprotect --all", "destroy --skip-preview"):
        reader.start(f"pulumi {command} --stack lab --yes").communicate()
    kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait")
    delete_volumes(NAMESPACE)


@pytest.fixture(scope="module")
def reader(kubeconfig: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:  # noqa: ARG001 - the cluster
    """Somebody with a checkout, the cluster's files and Pulumi; nothing of the stack is left afterwards."""
    home = tmp_path_factory.mktemp("reader")
    folder = home / "checkout"
    folder.mkdir()
    for entry in ROOT.iterdir():
        if entry.name not in {".git", ".venv", "clusters", "docs", FILE}:
            (folder / entry.name).symlink_to(entry)
    shutil.copytree(ROOT / "docs", folder / "docs")
    shutil.copy(ROOT / FILE, folder)
    write_what_the_readme_asks_for(folder, SHIPPED)
    for path in _FOLDERS[:2]:
        sandbox("exec", "--", "install", "-d", "-o", "1001", "-g", "1001", "-m", "0750", path)
    sandbox("exec", "--", "mkdir", "-p", _STATES)
    programs = home / "bin"
    programs.mkdir()
    for name in ("pulumi", "pulumi-language-python", "kubectl"):
        (programs / name).symlink_to(layout.BIN / name)
    (programs / "ssh").write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {home / "ssh_config"} "$@"\n')
    (programs / "ssh").chmod(0o755)
    (home / "ssh_config").write_text(
        f"IdentityFile {layout.SSH / 'id_ed25519'}\nUserKnownHostsFile {folder / 'clusters' / 'lab' / 'known_hosts'}\n"
    )
    for package in ("kubernetes", "tls", "command"):
        plugin = program(package)
        installed = home / "pulumi" / "plugins" / f"resource-{package}-v{version(f'pulumi-{package}')}"
        installed.mkdir(parents=True)
        (installed / plugin.name).symlink_to(plugin.resolve())
    with ExitStack() as stack:
        stack.callback(sandbox, "exec", "--", "rm", "-rf", _STATES, *_FOLDERS)
        agent = stack.enter_context(ssh_agent(home / "agent"))
        stack.enter_context(pulled(IMAGES))
        environment = {
            "HOME": str(home),
            "PATH": os.pathsep.join(map(str, (folder / ".venv" / "bin", programs, os.environ["PATH"]))),
            "SSH_AUTH_SOCK": str(agent),
            "KUBECONFIG": str(folder / "clusters" / "lab" / "kubeconfig"),
            "PULUMI_HOME": str(home / "pulumi"),
            "PULUMI_CONFIG_PASSPHRASE": "a reader's",
            # The reader says yes.
            "PULUMI_SKIP_CONFIRMATIONS": "true",
            "AWS_SHARED_CREDENTIALS_FILE": str(s3.credentials()),
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": f"https://{CONTROL_PLANE.address}:{s3.PORT}",
            "AWS_CA_BUNDLE": str(layout.PKI / "ca.crt"),
        }
        reader = Reader(folder, environment, {"root@client": f"root@{SHIPPED['registry:nodes'][0]['host']}"})
        configure(reader, BEFORE)
        try:
            yield reader
        finally:
            remove(reader)


@runs("new stack")
def test_a_new_stack(reader: Reader, command: str) -> None:
    printed = reader.run(command)
    if command.startswith("ssh-keyscan"):
        assert "node1.lab.example.com ssh-ed25519 " in printed


@pytest.fixture(scope="module")
def killed(reader: Reader) -> None:
    """The first run was killed when it made the Deployment."""
    process = reader.start("exec pulumi up --stack lab --skip-preview")

    def begun() -> bool:
        return bool(kubectl("get", "deployments", f"--namespace={NAMESPACE}", "--output=name"))

    try:
        until(begun, "the Deployment", 120, "")
    finally:
        process.kill()
        process.communicate()


@pytest.mark.usefixtures("killed")
@runs("run that was killed")
def test_a_run_that_was_killed(reader: Reader, command: str) -> None:
    printed = reader.run(command)
    if "expect-no-changes" in command:
        assert "interrupted" not in printed


@runs("without Pulumi on the PATH")
def test_without_pulumi_on_the_path(reader: Reader, command: str) -> None:
    # What is found there, or in Pulumi's home, would take the place of the sandbox's own.
    environment = {**reader.environment, "PATH": os.environ["PATH"], "PULUMI_BACKEND_URL": BACKEND}
    del environment["PULUMI_HOME"]
    Reader(reader.folder, environment).run(command)


@runs("day 2")
def test_day_2(reader: Reader, command: str) -> None:
    reader.run(command)


@runs("secret")
def test_a_secret(reader: Reader, command: str) -> None:
    file = reader.folder / FILE
    before = file.read_text()
    reader.run(command, stdin="hidden-4711")
    assert "secure: v1:" in file.read_text()
    assert "hidden-4711" not in file.read_text()
    file.write_text(before)


@runs("node that is gone")
def test_a_node_that_is_gone(reader: Reader, command: str) -> None:
    reader.run(command)


def test_after_a_node_that_is_gone(reader: Reader) -> None:
    configure(reader, BEFORE, {"registry:nodes": SHIPPED["registry:nodes"][:1]})
    assert "deleted" not in reader.run("pulumi up --skip-preview")
    configure(reader, BEFORE)
    assert "1 created" in reader.run("pulumi up --skip-preview")


@pytest.fixture(scope="module")
def garbage(reader: Reader) -> None:
    """A stack whose garbage is collected, and an image that nobody refers to any more."""
    configure(reader, BEFORE, COLLECTION)
    reader.run("pulumi up --skip-preview")
    by_ip = json.loads(reader.run("pulumi stack output endpoints"))[0]
    registry = Registry(by_ip.removesuffix(":5000"))
    for _ in range(2):
        registry.push("garbage", "1")


@pytest.mark.usefixtures("garbage")
@runs("garbage collection")
def test_garbage_collection(reader: Reader, command: str) -> None:
    printed = reader.run(command)
    if "logs" in command:
        assert f"garbage collection: {'would free' if 'look' in command else 'freed'} " in printed


@pytest.fixture(scope="module")
def backed_up(reader: Reader) -> None:
    configure(reader, BEFORE, BACKUP)
    reader.run("pulumi up --skip-preview")


@pytest.mark.usefixtures("backed_up")
@runs("backup")
def test_a_backup(reader: Reader, command: str) -> None:
    printed = reader.run(command)
    if "logs" in command:
        assert "restore: done" in printed


@pytest.fixture(scope="module")
def moved(reader: Reader) -> None:
    # The backup's storage is protected, and stays.
    configure(reader, {"registry:replicas": 1}, BACKUP, MOVE)
    reader.run("pulumi up --skip-preview")


@pytest.mark.usefixtures("moved")
@runs("move")
def test_a_move(reader: Reader, command: str) -> None:
    printed = reader.run(command)
    if "logs" in command:
        assert "move: done" in printed


@pytest.fixture(scope="module")
def over(reader: Reader) -> None:
    configure(reader, {"registry:replicas": 1}, BACKUP)


@pytest.mark.usefixtures("over")
@runs("end of a move")
def test_the_end_of_a_move(reader: Reader, command: str) -> None:
    reader.run(command)


def test_after_the_end_of_a_move(reader: Reader) -> None:
    assert "deleted" in reader.run("pulumi up --skip-preview")


@runs("end")
def test_the_end(reader: Reader, command: str) -> None:
    reader.run(command)
