"""The cluster CA on every node, where its container runtime looks for it."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pulumi
import pulumi_command as command

from components.endpoints import Endpoints
from components.ssh import Ssh

_FOLDER = Path(__file__).parent
_FUNCTIONS = "".join((_FOLDER / name).read_text() for name in ("node_runtime.sh", "node_trust.sh"))


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
            lambda endpoints: trust_script(args.owner, endpoints.trust_folders, args.ca_pem)
        )
        self.files = pulumi.Output.all(
            **{
                node: command.remote.Command(
                    f"{name}-{node}",
                    connection=ssh.connection,
                    # The engine prints a command that fails before the reason: the script is better no part of it.
                    create=ssh.as_root("sh -s trust"),
                    delete=ssh.as_root("sh -s forget"),
                    stdin=stdin,
                    add_previous_output_in_env=False,
                    logging=command.remote.Logging.NONE,
                    opts=pulumi.ResourceOptions(parent=self),
                ).stdout.apply(str.splitlines)
                for node, ssh in args.nodes.items()
            }
        )
        self.register_outputs({"files": self.files})


def trust_script(owner: str, folders: list[str], ca_pem: str) -> str:
    """Returns a shell script that makes a node trust the CA in these folders, or forgets all of the owner's.

    Its only argument is `trust` or `forget`. Each folder that has the CA is printed, as the path of the file.
    """
    request = "\n".join([owner, sha256(ca_pem.encode()).hexdigest(), *folders, "", ca_pem])
    # In braces, so that a script that was cut on its way runs no line.
    return f'{{\n{_FUNCTIONS}printf %s {shlex.quote(request)} | main "$1"\n}}\n'
