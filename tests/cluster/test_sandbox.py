"""The sandbox itself: it stops without a trace, and starts with what it had."""

import sys
from pathlib import Path

import psutil
import pytest

from sandbox import node
from sandbox.programs import programs
from sandbox.topology import BRIDGE, NODES, SERVICES
from tests.cluster.conftest import Stack, digest, run
from tests.conftest import ROOT


@pytest.mark.alone
def test_down_leaves_nothing_and_up_keeps_the_images(stack: Stack, pushed: str) -> None:
    image = digest(f"{stack.route_host}/{pushed}")
    ours = [psutil.Process(node.pid(each)) for each in NODES]
    ours += [child for process in ours for child in process.children(recursive=True)]
    assert len(ours) > sum(len(programs(each)) for each in NODES)

    run("make", "down")

    assert [process for process in ours if process.is_running()] == []
    assert str(ROOT / ".sandbox/nodes") not in Path("/proc/mounts").read_text()
    links, routes = run("ip", "link").stdout, run("ip", "route").stdout
    assert [link for link in (BRIDGE, *(each.link for each in NODES)) if link in links] == []
    assert [network for network in (SERVICES, *(each.pods for each in NODES)) if str(network) in routes] == []
    cgroups = [folder for each in NODES for folder in Path("/sys/fs/cgroup").glob(f"**/{each.cgroup}*")]
    assert cgroups == []

    assert "# sandbox" not in Path("/etc/hosts").read_text()

    printed = run("make", "up").stdout

    assert "unchanged" in printed
    assert stack.cluster_ip in printed
    # At once: `up` waits for the pods that ran before.
    assert digest(f"{stack.route_host}/{pushed}") == image
    # What the other tests need, `make up` does not start.
    run(sys.executable, "-m", "sandbox", "up", "--for-tests")
