"""The sandbox itself: it stops without a trace, and starts with what it had."""

from pathlib import Path

from conftest import ROOT

from sandbox.topology import BRIDGE, NODES
from tests.cluster.conftest import Stack, run
from tests.cluster.test_registry import CA, curl


def processes() -> list[str]:
    """Command lines that name the sandbox's folder, which every program of it does."""
    lines = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_text().replace("\0", " ")
            if (entry / "root").readlink() != Path("/") or "supervisord" in command:
                lines.append(command)
        except OSError:
            continue
    return lines


def test_down_leaves_nothing_and_up_keeps_the_images(stack: Stack) -> None:
    run("make", "down")
    assert processes() == []
    assert str(ROOT / ".sandbox/nodes") not in Path("/proc/mounts").read_text()
    assert BRIDGE not in run("ip", "link").stdout
    assert "172.30.0.0/16" not in run("ip", "route").stdout
    cgroups = [folder for each in NODES for folder in Path("/sys/fs/cgroup").glob(f"**/{each.cgroup}*")]
    assert cgroups == []

    printed = run("make", "up").stdout

    assert "unchanged" in printed
    assert stack.cluster_ip in printed
    assert curl(f"https://{stack.cluster_ip}:5000/v2/", "--cacert", CA) in [(0, "200"), (0, "401")]
