"""What the sandbox needs of a machine, asked before anything is changed."""

import os
import platform
import shutil
from pathlib import Path

from sandbox import layout, network
from sandbox.errors import SandboxError
from sandbox.process import run

_PROGRAMS = ("apt-get", "dpkg", "hostname", "ip", "mount", "nsenter", "pivot_root", "umount", "unshare")
# Each command is run in namespaces of its own, which end with it.
_PROBES = {
    "namespaces (mount, pid, net, uts, ipc, cgroup)": ("true",),
    "bridges": ("ip", "link", "add", "probe0", "type", "bridge"),
    "veth links": ("ip", "link", "add", "probe0", "type", "veth", "peer", "name", "probe1"),
    "overlay mounts": ("mount", "-t", "overlay", "overlay", "-o", "lowerdir=/usr/bin:/usr/sbin", "/mnt"),
}


def check_user() -> None:
    """Refuses everyone but root.

    Raises:
        SandboxError: This is another user.
    """
    if os.geteuid() != 0:
        raise SandboxError(
            f"the sandbox makes namespaces, mounts and links, but this is user {os.geteuid()}: run it as root"
        )


def check() -> None:
    """Refuses a machine on which the sandbox cannot run.

    Raises:
        SandboxError: Something is missing or in the way.
    """
    if platform.machine() != "x86_64":
        raise SandboxError(f"the sandbox is made for x86_64 machines, and this is {platform.machine()}")
    missing = [program for program in _PROGRAMS if not shutil.which(program)]
    if missing:
        raise SandboxError(
            f"not on PATH: {', '.join(missing)}: use a Debian machine with apt, dpkg, iproute2, hostname, util-linux"
        )
    if ":memory:" not in Path("/proc/self/cgroup").read_text():
        raise SandboxError(
            "this machine has control groups of version 2 only, and the sandbox knows version 1: "
            "boot it with systemd.unified_cgroup_hierarchy=0 or use a cluster of your own"
        )
    for feature, probe in _PROBES.items():
        try:
            run("unshare", "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--fork", *probe)
        except SandboxError as error:
            raise SandboxError(f"the kernel refuses {feature}, which the sandbox needs:\n{error}") from error
    if ":" in str(layout.HOME) or " " in str(layout.HOME):
        raise SandboxError(
            f"the path {layout.HOME} has a colon or a space, which mounts cannot have: move the repository"
        )
    layout.HOME.mkdir(exist_ok=True)
    if run("stat", "--file-system", "--format=%T", layout.HOME).strip() == "overlayfs":
        raise SandboxError(
            f"{layout.HOME} is on an overlay, on which containers cannot have theirs: move the repository to a disk"
        )
    network.check()
