"""NFS: what the control plane node serves, and what mounts it on the nodes."""

from pathlib import Path

PORT = 2049
EXPORT = Path("/srv/nfs")
"""On the node, where it outlives `down`. A volume is a folder below it."""

_FILE_SYSTEMS = Path("/proc/filesystems")


def kernel_has_client() -> bool:
    """Whether the kernel mounts NFS itself; the nodes' own `mount.nfs` does it by FUSE where it does not."""
    return any(line.split()[-1] == "nfs" for line in _FILE_SYSTEMS.read_text().splitlines())
