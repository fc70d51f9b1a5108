"""The machine's end of the sandbox's network: a bridge, a link for each node, routes to pods and Services."""

import json
from contextlib import suppress
from ipaddress import IPv4Network
from pathlib import Path

from sandbox import layout, names
from sandbox.errors import SandboxError
from sandbox.process import run
from sandbox.topology import BRIDGE, CONTROL_PLANE, GATEWAY, PODS, SERVICES, Node
from sandbox.wait import until

_LINKS = Path("/sys/class/net")


def check() -> None:
    """Refuses a machine whose network the sandbox would disturb.

    Raises:
        SandboxError: Another checkout's sandbox runs, or a route of the machine overlaps with the sandbox's networks.
    """
    if (_LINKS / BRIDGE).exists():
        owner = _owner()
        # A bridge whose nodes have died is a leftover, whoever made it.
        if owner != str(layout.HOME) and list((_LINKS / BRIDGE / "brif").iterdir()):
            raise SandboxError(
                f"the sandbox of {owner or 'another program'} uses the link {BRIDGE}, and a machine has room for one: "
                "run `python -m sandbox down` there first"
            )
        return
    for route in json.loads(run("ip", "-json", "-4", "route", "show")):
        if route["dst"] == "default":
            continue
        existing = IPv4Network(route["dst"])
        for wanted in (GATEWAY.network, PODS, SERVICES):
            if existing.overlaps(wanted):
                raise SandboxError(
                    f"the machine's route {existing} on {route.get('dev')} overlaps with the sandbox's {wanted}: "
                    "remove the route or use a machine without it"
                )


def create() -> None:
    """Makes the bridge, the route to Services and the nodes' names unless they are there."""
    if not (_LINKS / BRIDGE).exists():
        run("ip", "link", "add", BRIDGE, "type", "bridge")
    run("ip", "link", "set", BRIDGE, "alias", str(layout.HOME))
    run("ip", "address", "replace", str(GATEWAY), "dev", BRIDGE)
    run("ip", "link", "set", BRIDGE, "up")
    run("ip", "route", "replace", str(SERVICES), "via", str(CONTROL_PLANE.address), "dev", BRIDGE)
    names.write()


def attach(node: Node, pid: int) -> None:
    """Links a node to the bridge and routes its pods to it.

    Args:
        node: The node.
        pid: A process in the node's network namespace.
    """
    run("ip", "link", "add", node.link, "type", "veth", "peer", "name", "eth0", "netns", str(pid))
    run("ip", "link", "set", node.link, "master", BRIDGE, "up")
    run("ip", "route", "replace", str(node.pods), "via", str(node.address), "dev", BRIDGE)


def detach(node: Node) -> None:
    """Removes a stopped node's link, which the kernel keeps until the node's last connection has timed out."""
    link = _LINKS / node.link
    if _is_ours() and link.exists():
        # The kernel may just have removed it.
        with suppress(SandboxError):
            run("ip", "link", "delete", node.link)
        until(lambda: not link.exists(), f"the end of the link {node.link}", 10, "try `down` again")


def remove() -> None:
    """Removes the bridge of stopped nodes, with it addresses and routes, and the nodes' names."""
    if _is_ours():
        names.remove()
        run("ip", "link", "delete", BRIDGE)


def _is_ours() -> bool:
    """Whether there is a bridge, and it is not that of another checkout."""
    return (_LINKS / BRIDGE).exists() and _owner() == str(layout.HOME)


def _owner() -> str:
    """The folder of the sandbox that uses the bridge."""
    return (_LINKS / BRIDGE / "ifalias").read_text().strip()
