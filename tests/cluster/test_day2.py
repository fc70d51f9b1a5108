"""What happens to nodes and images over time."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from sandbox import layout
from tests.cluster.conftest import Stack, digest, pulumi, sandbox
from tests.conftest import ROOT

CERTS = "/etc/docker/certs.d"
THEIRS = f"{CERTS}/theirs.example.com/ca.crt"
NODES = yaml.safe_load((ROOT / "Pulumi.dev.yaml").read_text())["config"]["registry:nodes"]


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


def certs(node: str) -> set[str]:
    """The files that clients on a node trust, and whatever else is beside them."""
    return set(sandbox("exec", f"--node={node}", "--", "find", CERTS, "-type", "f").stdout.splitlines())


@pytest.mark.usefixtures("restored")
def test_a_node_that_leaves_the_settings_loses_our_files_and_no_others(
    stack: Stack, settings_with: Callable[..., Path]
) -> None:
    sandbox("exec", "--node=node2", "--", "sh", "-c", f"mkdir -p $(dirname {THEIRS}); echo theirs > {THEIRS}")
    before = certs("node1")
    assert set(stack.outputs["trustedBy"]["node2"]) < certs("node2")

    printed = up(settings_with([NODES[0]], "registry:nodes"))

    assert "1 deleted" in printed
    assert certs("node2") == {THEIRS}
    assert certs("node1") == before
    up()
    assert set(stack.outputs["trustedBy"]["node2"]) < certs("node2")
    assert THEIRS in certs("node2")


@pytest.mark.usefixtures("restored")
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


@pytest.mark.usefixtures("restored")
def test_destroy_keeps_the_images_and_up_finds_them(stack: Stack, pushed: str) -> None:
    before = digest(f"{stack.route_host}/{pushed}")
    foreign = certs("node1") - set(stack.outputs["trustedBy"]["node1"])

    pulumi("destroy", "--stack", "dev", "--yes", "--skip-preview", "--exclude-protected")

    assert all(".owner" not in file for file in certs("node1"))
    assert {file for file in foreign if ".owner" not in file} == certs("node1")
    up()
    assert digest(f"{stack.route_host}/{pushed}") == before
