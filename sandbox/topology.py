"""The sandbox's nodes and networks."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path

from sandbox import layout
from sandbox.errors import SandboxError

BRIDGE = "sandbox0"
GATEWAY = IPv4Interface("10.213.0.1/24")
PODS = IPv4Network("10.214.0.0/16")
SERVICES = IPv4Network("172.30.0.0/16")
API_SERVICE = SERVICES[1]
API_PORT = 6443
DNS_SERVICE = SERVICES[10]
DOMAINS = ("sandbox.internal", "lab.example.com", "prod.example.com")
"""Domains whose machines are the sandbox's: its own, and those of the stacks that the repository ships as examples."""


@dataclass(frozen=True)
class Node:
    """A machine of the cluster: a set of Linux namespaces with a root folder of its own.

    Attributes:
        name: Its name in the cluster.
        address: Its address on the bridge.
        pods: The addresses of its pods.
        containerd: Version of its containerd: 1.6, Debian's, or 2.4; both are set to read certs.d.
        ssh_user: Who may log in: root, or a user who may run sudo.
        ssh_port: TCP port of its SSH server.
        control_plane: Whether it runs etcd, the API server, the controllers, the name server and the router.
        labels: Labels it registers with.
        taints: Taints it registers with.
        services: First labels of the names of what it serves, besides the node itself.
    """

    name: str
    address: IPv4Address
    pods: IPv4Network
    containerd: str
    ssh_user: str
    ssh_port: int
    control_plane: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[str, ...] = ()
    services: tuple[str, ...] = ()

    @property
    def host(self) -> str:
        """Its host name."""
        return f"{self.name}.{DOMAINS[0]}"

    @property
    def host_names(self) -> list[str]:
        """All names that lead to it, in every domain."""
        return [f"{label}.{domain}" for domain in DOMAINS for label in (self.name, *self.services)]

    @property
    def home(self) -> Path:
        """What the sandbox keeps about the node."""
        return layout.NODES / self.name

    @property
    def root(self) -> Path:
        """The node's root folder; what is written there outlives `down`."""
        return self.home / "root"

    @property
    def logs(self) -> Path:
        """The logs of the node's programs, one file each."""
        return layout.LOGS / self.name

    @property
    def link(self) -> str:
        """The machine's end of the node's network link."""
        return f"sb-{self.name}"

    @property
    def cgroup(self) -> str:
        """The control group, below the caller's, that holds the node's pods."""
        return f"sandbox-{self.name}"


NODES = (
    Node(
        "node1",
        IPv4Address("10.213.0.11"),
        IPv4Network("10.214.1.0/24"),
        containerd="1.6",
        ssh_user="root",
        ssh_port=22,
        control_plane=True,
        labels={"region": "infra"},
        # As nodes are that run the cluster's own services, and nothing of its users.
        taints=("node-role.kubernetes.io/infra=reserved:NoSchedule",),
        services=("api", "nfs"),
    ),
    Node(
        "node2",
        IPv4Address("10.213.0.12"),
        IPv4Network("10.214.2.0/24"),
        containerd="2.4",
        ssh_user="admin",
        ssh_port=2222,
    ),
)
CONTROL_PLANE = next(node for node in NODES if node.control_plane)


def node_named(name: str) -> Node:
    """Finds a node.

    Raises:
        SandboxError: There is no such node.
    """
    for node in NODES:
        if node.name == name:
            return node
    raise SandboxError(f"there is no node {name!r}: the nodes are {', '.join(node.name for node in NODES)}")
