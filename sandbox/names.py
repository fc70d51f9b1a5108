"""The host names of the nodes, in the machine's /etc/hosts as long as the cluster runs."""

from pathlib import Path

from sandbox.errors import SandboxError
from sandbox.topology import NODES

HOSTS = Path("/etc/hosts")
_MARK = "# sandbox"


def write() -> None:
    """Makes the names lead to the nodes.

    Raises:
        SandboxError: The file cannot be written.
    """
    _replace([f"{node.address} {' '.join(node.host_names)} {_MARK}" for node in NODES])


def remove() -> None:
    """Removes the names, and nothing else.

    Raises:
        SandboxError: The file cannot be written.
    """
    _replace([])


def _replace(lines: list[str]) -> None:
    present = HOSTS.read_text().splitlines()
    wanted = [*(line for line in present if not line.endswith(_MARK)), *lines]
    if wanted != present:
        try:
            # In place: in a container the file is a mount, which nothing can be moved over.
            HOSTS.write_text("".join(f"{line}\n" for line in wanted))
        except OSError as error:
            raise SandboxError(
                f"{HOSTS} cannot be written ({error.strerror}), and nodes are reached by host name: make it writable"
            ) from error
