"""The stack whose registry is verified: what it should be (settings) and what it is said to be (outputs)."""

import json
import subprocess
from dataclasses import dataclass
from datetime import datetime

import settings
from components.endpoints import Endpoints
from settings import Settings


class StackError(Exception):
    """The stack cannot be read."""


@dataclass(frozen=True)
class Stack:
    """A stack that is up.

    Attributes:
        name: Its name.
        settings: Its settings.
        endpoints: Every name of its registry.
        ca_pem: Certificate of the CA that clients and nodes trust (PEM).
        certificate_ends: End of the registry's certificate.
        trusted_by: Paths of the files that hold the CA, by node.
    """

    name: str
    settings: Settings
    endpoints: Endpoints
    ca_pem: str
    certificate_ends: datetime
    trusted_by: dict[str, list[str]]


def read(name: str | None) -> Stack:
    """Reads a stack with the Pulumi engine on the PATH.

    Args:
        name: Its name; the selected stack unless given.

    Raises:
        StackError: The engine cannot, its settings are wrong, or the stack is not up.
    """
    name = name or _pulumi("stack", "--show-name").strip()
    outputs = json.loads(_pulumi("stack", "output", "--json", "--stack", name))
    wanted = settings.of_stack(name)
    if "endpoints" not in outputs:
        raise StackError(f"stack '{name}' has no registry yet: run `pulumi up --stack {name}`, and verify then")
    cluster_ip, service, _ = outputs["endpoints"]
    endpoints = Endpoints(
        cluster_ip=cluster_ip.rpartition(":")[0].strip("[]"),
        service=service.partition(".")[0],
        namespace=wanted.namespace,
        route_host=wanted.route.host,
    )
    if endpoints.addresses != outputs["endpoints"]:
        raise StackError(
            f"stack '{name}' has the endpoints {', '.join(outputs['endpoints'])}, but its settings name "
            f"{wanted.route.host} in namespace {wanted.namespace}: run `pulumi up --stack {name}`, and verify then"
        )
    return Stack(
        name=name,
        settings=wanted,
        endpoints=endpoints,
        ca_pem=outputs["caCertificate"],
        certificate_ends=datetime.fromisoformat(outputs["certificateEnds"]),
        trusted_by=outputs["trustedBy"],
    )


def _pulumi(*arguments: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603
            ("pulumi", *arguments, "--non-interactive"),  # noqa: S607
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError as error:
        raise StackError("there is no `pulumi` on the PATH: install it, or run `make verify`") from error
    if done.returncode:
        raise StackError(f"`pulumi {' '.join(arguments)}` failed:\n{done.stderr.strip()}")
    return done.stdout
