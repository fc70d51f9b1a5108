"""The sandbox itself: it stops without a trace, and starts with what it had."""

import time
from pathlib import Path

import psutil
import pytest

from sandbox import node
from sandbox.programs import programs
from sandbox.topology import BRIDGE, NODES, SERVICES
from tests.cluster.conftest import Stack, digest, run
from tests.conftest import ROOT

WARM_SECONDS = 60
"""From a machine where all is built and nothing runs to a registry that answers."""


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

    started = time.monotonic()
    printed = run("make", "up").stdout

    assert time.monotonic() - started < WARM_SECONDS
    assert "unchanged" in printed
    assert stack.cluster_ip in printed
    # At once: `up` waits for the pods that ran before.
    assert digest(f"{stack.route_host}/{pushed}") == image
