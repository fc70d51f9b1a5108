"""The start of a node's first process: gives the namespaces their mounts and network, then becomes supervisor."""

import os
import sys
from pathlib import Path

from sandbox.errors import SandboxError
from sandbox.node import GO, supervisor_identifier
from sandbox.process import run
from sandbox.programs import PATH
from sandbox.topology import GATEWAY, NODES, Node, node_named

_OLD_ROOT = "old-root"


def main() -> None:
    """Makes a node of the namespaces it was started in."""
    node = node_named(sys.argv[1])
    # /proc still is the machine's, and shows the number that the machine knows this process by.
    print(Path("/proc/self").readlink(), flush=True)
    if sys.stdin.readline() != GO:
        sys.exit("the command that started this node has ended")
    _mount(node)
    _join_network(node)
    _enter_root(node)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    python = "/opt/sandbox/venv/bin/python"
    os.execve(  # noqa: S606
        python,
        [python, "-m", "supervisor.supervisord", "-c", "/etc/supervisord.conf", supervisor_identifier(node)],
        {"PATH": PATH, "HOME": "/root", "PYTHONPATH": "/opt/sandbox/lib", "PYTHONDONTWRITEBYTECODE": "1"},
    )


def _mount(node: Node) -> None:
    run("mount", "--make-rprivate", "/")
    run("mount", "--bind", node.root, node.root)
    run("mount", "--all", "--fstab", node.home / "fstab", "--target-prefix", node.root)
    for hierarchy in (node.root / "sys" / "fs" / "cgroup").iterdir():
        group = hierarchy / node.cgroup
        group.mkdir(exist_ok=True)
        for setting in ("cpuset.cpus", "cpuset.mems"):
            # A group of this controller takes no process before it has its parent's values.
            if (hierarchy / setting).exists():
                (group / setting).write_text((hierarchy / setting).read_text())


def _join_network(node: Node) -> None:
    run("ip", "link", "set", "lo", "up")
    run("ip", "address", "add", f"{node.address}/{GATEWAY.network.prefixlen}", "dev", "eth0")
    run("ip", "link", "set", "eth0", "up")
    # Addresses of Services need a route before kube-proxy gives them another destination.
    run("ip", "route", "add", "default", "via", str(GATEWAY.ip))
    for other in NODES:
        if other != node:
            run("ip", "route", "add", str(other.pods), "via", str(other.address))
    for setting in ("ipv4/ip_forward", "bridge/bridge-nf-call-iptables"):
        Path("/proc/sys/net", setting).write_text("1\n")
    run("hostname", node.name)


def _enter_root(node: Node) -> None:
    old_root = node.root / _OLD_ROOT
    old_root.mkdir(exist_ok=True)
    run("pivot_root", node.root, old_root)
    os.chdir("/")
    run("umount", "--lazy", f"/{_OLD_ROOT}")
    Path("/", _OLD_ROOT).rmdir()
    # kubelet passes mounts on to containers.
    run("mount", "--make-rshared", "/")
    Path("/run/sshd").mkdir()


if __name__ == "__main__":
    try:
        main()
    except SandboxError as error:
        sys.exit(str(error))
