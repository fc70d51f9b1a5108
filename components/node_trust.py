"""The cluster CA on every node, where its container runtime looks for it."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pulumi
import pulumi_command as command

from components.endpoints import Endpoints
from components.ssh import Ssh

_FILES = Path(__file__).with_suffix(".sh").read_text()
TRUST = f"{Path(__file__).with_name('node_runtime.sh').read_text()}verb=trust\n{_FILES}"
"""Shell script that makes a node trust a registry; stdin is a `trust_request`."""
FORGET = f"verb=forget\n{_FILES}"
"""Shell script that takes that back, whatever the node's container runtime reads by now."""


@dataclass(frozen=True, kw_only=True)
class NodeTrustArgs:
    """Arguments of `NodeTrust`."""

    owner: str
    """Who the files belong to, unique among all that write to these nodes, such as `project/stack`."""
    endpoints: pulumi.Input[Endpoints]
    """Names of the registry to trust."""
    ca_pem: str
    """The CA's certificate (PEM)."""
    nodes: Mapping[str, Ssh]
    """Login to each node, by the node's name."""


class NodeTrust(pulumi.ComponentResource):
    """The CA certificate as `ca.crt` in /etc/docker/certs.d, one folder for each address of the registry.

    One SSH connection a node, all nodes side by side. Each file is written beside its place, flushed, moved
    there at once and read back by its SHA-256. Folders carry a mark of their owner: those that a change of
    names leaves behind are removed, as are all when the node leaves the settings or the stack is destroyed.
    What others put there is never touched; another certificate in a place of ours is an error, and so is a
    containerd that does not read these folders: nothing is written then.
    """

    files: pulumi.Output[dict[str, list[str]]]
    """Paths of the files that hold the CA, by node."""

    def __init__(self, name: str, args: NodeTrustArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("registry:index:NodeTrust", name, None, opts)
        stdin = pulumi.Output.from_input(args.endpoints).apply(
            lambda endpoints: trust_request(args.owner, endpoints.trust_folders, args.ca_pem)
        )
        self.files = pulumi.Output.all(
            **{
                node: command.remote.Command(
                    f"{name}-{node}",
                    connection=ssh.connection,
                    create=ssh.as_root(TRUST),
                    delete=ssh.as_root(FORGET),
                    stdin=stdin,
                    add_previous_output_in_env=False,
                    logging=command.remote.Logging.NONE,
                    opts=pulumi.ResourceOptions(parent=self),
                ).stdout.apply(str.splitlines)
                for node, ssh in args.nodes.items()
            }
        )
        self.register_outputs({"files": self.files})


def trust_request(owner: str, folders: list[str], ca_pem: str) -> str:
    """What the scripts read on stdin: owner, SHA-256 of the file, a line a folder, an empty line, the file."""
    return "\n".join([owner, sha256(ca_pem.encode()).hexdigest(), *folders, "", ca_pem])
