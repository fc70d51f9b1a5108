"""The machine's end of the sandbox's network: a bridge, a link for each node, routes to pods and Services."""

import json
from functools import partial
from ipaddress import IPv4Network
from pathlib import Path

from sandbox import layout
from sandbox.errors import SandboxError
from sandbox.process import run
from sandbox.topology import BRIDGE, CONTROL_PLANE, GATEWAY, NODES, PODS, SERVICES, Node
from sandbox.wait import until

_LINKS = Path("/sys/class/net")


def check() -> None:
    """Refuses a machine whose network the sandbox would disturb.

    Raises:
        SandboxError: Another checkout's sandbox runs, or a route of the machine overlaps with the sandbox's networks.
    """
    if (_LINKS / BRIDGE).exists():
        owner = (_LINKS / BRIDGE / "ifalias").read_text().strip()
        # A bridge whose nodes have died is a leftover, whoever made it.
        if owner != str(layout.REPOSITORY) and list((_LINKS / BRIDGE / "brif").iterdir()):
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
    """Makes the bridge and the route to Services unless they are there."""
    if not (_LINKS / BRIDGE).exists():
        run("ip", "link", "add", BRIDGE, "type", "bridge")
    run("ip", "link", "set", BRIDGE, "alias", str(layout.REPOSITORY))
    run("ip", "address", "replace", str(GATEWAY), "dev", BRIDGE)
    run("ip", "link", "set", BRIDGE, "up")
    run("ip", "route", "replace", str(SERVICES), "via", str(CONTROL_PLANE.address), "dev", BRIDGE)


def attach(node: Node, pid: int) -> None:
    """Links a node to the bridge and routes its pods to it.

    Args:
        node: The node.
        pid: A process in the node's network namespace.
    """
    run("ip", "link", "add", node.link, "type", "veth", "peer", "name", "eth0", "netns", str(pid))
    run("ip", "link", "set", node.link, "master", BRIDGE, "up")
    run("ip", "route", "replace", str(node.pods), "via", str(node.address), "dev", BRIDGE)


def remove() -> None:
    """Removes the bridge of stopped nodes; addresses and routes go with it."""
    for node in NODES:
        # The kernel removes a node's link some time after the node's last process.
        until(partial(_is_gone, node.link), f"the end of the link {node.link}", 10, "try `down` again")
    if (_LINKS / BRIDGE).exists():
        run("ip", "link", "delete", BRIDGE)


def _is_gone(link: str) -> bool:
    return not (_LINKS / link).exists()
