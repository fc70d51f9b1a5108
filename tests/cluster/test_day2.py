"""What happens to nodes and images over time."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from sandbox import layout
from tests.cluster.conftest import Stack, digest, pulumi, sandbox
from tests.conftest import ROOT, make_ca, write_pair

CERTS = "/etc/docker/certs.d"
DEV = yaml.safe_load((ROOT / "Pulumi.dev.yaml").read_text())["config"]
NODES = DEV["registry:nodes"]
# A registry of others, and what others need to reach ours.
THEIRS = {f"{CERTS}/theirs.example.com/ca.crt", f"{CERTS}/{DEV['registry:route']['host']}/hosts.md"}


def up(settings: Path | None = None, *, check: bool = True) -> str:
    """What a run of `up` with other settings printed."""
    file = ("--config-file", settings) if settings else ()
    done = pulumi("up", "--stack", "dev", "--yes", "--skip-preview", "--continue-on-error", *file, check=check)
    return done.stdout + done.stderr


@pytest.fixture
def restored(stack: Stack) -> Iterator[None]:  # noqa: ARG001
    """The stack is as it was afterwards."""
    yield
    up()


def on_node(node: str, script: str) -> str:
    return sandbox("exec", f"--node={node}", "--", "sh", "-c", script).stdout


@pytest.fixture(autouse=True)
def _others_keep_their_files(restored: None) -> Iterator[None]:  # noqa: ARG001 - afterwards
    """Whatever happens to the stack, what others have in certs.d stays as they put it there."""
    files = " ".join(THEIRS)
    for node in NODES:
        on_node(node["name"], f"for file in {files}; do mkdir -p $(dirname $file); echo theirs >$file; done")
    yield
    for node in NODES:
        assert on_node(node["name"], f"cat {files}; rm {files}; rmdir {CERTS}/theirs.example.com") == "theirs\n" * 2


def certs(node: str) -> set[str]:
    """The files that clients on a node trust, and whatever else is beside them, but for those of other stacks."""
    script = """
        for folder in */; do
            [ -e $folder/.owner ] && ! grep -qx registry/dev $folder/.owner || find "$PWD/${folder%/}" -type f
        done
    """
    return set(on_node(node, f"cd {CERTS}; {script}").splitlines())


def test_a_node_that_leaves_the_settings_loses_our_files_and_no_others(
    stack: Stack, settings_with: Callable[..., Path]
) -> None:
    before = certs("node1")
    assert set(stack.outputs["trustedBy"]["node2"]) < certs("node2")

    printed = up(settings_with([NODES[0]], "registry:nodes"))

    assert "1 deleted" in printed
    assert certs("node2") == THEIRS
    assert certs("node1") == before


def test_another_ca_and_another_route_reach_every_node(
    stack: Stack, pushed: str, settings_with: Callable[..., Path], tmp_path: Path
) -> None:
    write_pair(tmp_path, *make_ca("another-ca"))
    settings = yaml.safe_load(
        settings_with({"certFile": f"{tmp_path}/ca.crt", "keyFile": f"{tmp_path}/ca.key"}, "registry:ca").read_text()
    )
    settings["config"]["registry:route"]["host"] = "another.cloudapps.example.com"
    file = tmp_path / "Pulumi.dev.yaml"
    file.write_text(yaml.safe_dump(settings))

    up(file)

    trusted = stack.outputs["trustedBy"]
    assert f"{CERTS}/another.cloudapps.example.com/ca.crt" in trusted["node2"]
    for node, files in trusted.items():
        assert {each for each in certs(node) if each.endswith("/ca.crt")} - THEIRS == set(files)
        assert on_node(node, f"cat {' '.join(files)}") == (tmp_path / "ca.crt").read_text() * len(files)
    assert digest(f"another.cloudapps.example.com/{pushed}")


@pytest.mark.alone
def test_a_node_that_is_down_fails_alone_by_name_and_soon(settings_with: Callable[..., Path], tmp_path: Path) -> None:
    host_key = (layout.SSH / "known_hosts").read_text().split(maxsplit=1)[1].splitlines()[0]
    known_hosts = tmp_path / "known_hosts"
    known_hosts.write_text((layout.SSH / "known_hosts").read_text() + f"10.213.0.99 {host_key}\n")
    settings = yaml.safe_load(
        settings_with([*NODES, {"name": "gone", "host": "10.213.0.99"}], "registry:nodes").read_text()
    )
    settings["config"]["registry:ssh"]["knownHostsFile"] = str(known_hosts)
    settings["config"]["registry:route"]["host"] = "another.cloudapps.example.com"
    file = tmp_path / "Pulumi.dev.yaml"
    file.write_text(yaml.safe_dump(settings))
    started = time.monotonic()

    printed = up(file, check=False)

    assert time.monotonic() - started < 30
    assert "trust-gone" in printed
    assert "10.213.0.99" in printed
    for node in NODES:
        assert f"{CERTS}/another.cloudapps.example.com/ca.crt" in certs(node["name"])


def test_destroy_keeps_the_images_and_up_finds_them(stack: Stack, pushed: str) -> None:
    before = digest(f"{stack.route_host}/{pushed}")

    pulumi("destroy", "--stack", "dev", "--yes", "--skip-preview", "--exclude-protected")

    assert [certs(node["name"]) for node in NODES] == [THEIRS, THEIRS]
    up()
    assert digest(f"{stack.route_host}/{pushed}") == before
