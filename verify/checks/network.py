"""Whether the names of an endpoint lead somewhere, and whether anyone listens there."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

import dns.asyncquery
import dns.exception
import dns.message
import dns.rdatatype

from components.endpoints import ROUTE_PORT
from verify.proof import ACT_SECONDS, Fault, Proved, reason
from verify.vantage import Here, Vantage

_DNS_PORT = 53


@dataclass(frozen=True)
class Way:
    """How an endpoint is reached.

    Attributes:
        host: Its name, as clients ask for it and as the certificate must carry it.
        port: Its TCP port.
        address: IP address that the name leads to.
        vantage: Where connections start.
    """

    host: str
    port: int
    address: str
    vantage: Vantage

    def named(self, host: str) -> "Way":
        """The same place under another name."""
        return replace(self, host=host)

    @property
    def registry(self) -> str:
        """The endpoint as it stands in image references."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == ROUTE_PORT else f"{host}:{self.port}"


async def resolve_route(host: str, here: Here, any_node: Callable[[], Awaitable[Vantage | None]]) -> Proved[Way]:
    """Finds the router by the Route's host name: here, or on a node if this machine does not know the name.

    Raises:
        Fault: Neither knows it.
    """
    if address := await here.resolve(host):
        detail = f"{address}, as --resolve says" if host in here.forced else address
        return Proved(detail, Way(host, ROUTE_PORT, address, here))
    node = await any_node()
    if node and (address := await node.resolve(host)):
        return Proved(f"{address} on {node.name}, unknown on {here.name}", Way(host, ROUTE_PORT, address, node))
    places = f"neither on {here.name} nor on {node.name}" if node else f"not on {here.name}"
    raise Fault(
        f"the name resolves {places}",
        f"add a DNS record that leads to the router; to verify without one: --resolve {host}=ADDRESS",
    )


async def resolve_service(name: str, way: Way, server: str) -> Proved[None]:
    """Asks the name server of pods, whom nobody else asks, for the Service.

    Args:
        name: The Service's whole name.
        way: How its cluster IP is reached.
        server: IP address of the name server, which is asked from the same place.

    Raises:
        Fault: It does not answer, or names another address.
    """
    kind = dns.rdatatype.AAAA if ":" in way.address else dns.rdatatype.A
    try:
        async with way.vantage.way(server, _DNS_PORT) as (address, port):
            answer = await dns.asyncquery.tcp(dns.message.make_query(name, kind), address, ACT_SECONDS, port)
    except (OSError, EOFError, dns.exception.DNSException) as error:
        raise Fault(
            f"the cluster's name server {server} does not answer to {way.vantage.name}: {reason(error)}",
            "see whether the pods of the cluster's DNS run",
        ) from error
    found = [str(each) for records in answer.answer if records.rdtype == kind for each in records]
    if found != [way.address]:
        raise Fault(
            f"{name} is {', '.join(found) or 'unknown'} to the cluster's name server {server}, not {way.address}",
            "see the log of the cluster's DNS, and whether its domain is cluster.local",
        )
    return Proved(f"{way.address}, as the cluster's name server {server} says", None)


async def connect(way: Way) -> Proved[Way]:
    """Opens a TCP connection.

    Raises:
        Fault: Nobody answers.
    """
    try:
        await way.vantage.connect(way.address, way.port)
    except OSError as error:
        raise Fault(
            f"nobody listens at {way.address}:{way.port}, asked from {way.vantage.name}: {reason(error)}",
            "look at the router, and at firewalls on the way"
            if way.port == ROUTE_PORT
            else f"look at kube-proxy (or the network plugin) on {way.vantage.name}",
        ) from error
    return Proved(f"{way.address}:{way.port} from {way.vantage.name}", way)
