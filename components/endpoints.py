"""The names of a registry, computed in one place for everything that must agree on them."""

from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

PORT = 5000
"""TCP port of the registry's Service and of its container, as the how-to and every certs.d folder have it."""
PORT_NAME = "5000-tcp"
"""Name of the Service's port, as `oadm registry` set it: connections fail for a second when it changes."""

DOMAIN = "cluster.local"
"""DNS domain of clusters, unless their administrators chose another one."""
ROUTE_PORT = 443
"""TCP port on which routers take passthrough connections."""


def route_names(host: str) -> list[str]:
    """The Route as it may stand in image references: bare, with its port, and with the registry's as in the how-to."""
    return [host, f"{host}:{ROUTE_PORT}", f"{host}:{PORT}"]


@dataclass(frozen=True, kw_only=True)
class Endpoints:
    """Every name under which clients reach one registry.

    Container runtimes look for a CA in a folder called exactly as the registry's address in the image
    reference, and TLS clients compare that same address with the certificate, so both come from here.
    """

    cluster_ip: str
    """ClusterIP of the Service, IPv4 or IPv6 without brackets."""
    service: str
    """Name of the Service."""
    namespace: str
    """Namespace of the Service."""
    route_host: str
    """Host name of the passthrough Route."""

    @property
    def service_host(self) -> str:
        """DNS name of the Service inside the cluster, without the cluster's domain."""
        return f"{self.service}.{self.namespace}.svc"

    @property
    def dns_names(self) -> list[str]:
        """DNS names the certificate carries."""
        return [self.route_host, self.service_host, f"{self.service_host}.{DOMAIN}"]

    @property
    def ip_addresses(self) -> list[str]:
        """IP addresses the certificate carries."""
        return [self.cluster_ip]

    @property
    def addresses(self) -> list[str]:
        """Registry addresses as they stand in image references: cluster IP, Service name and Route host."""
        host = f"[{self.cluster_ip}]" if isinstance(ip_address(self.cluster_ip), IPv6Address) else self.cluster_ip
        return [f"{host}:{PORT}", f"{self.service_host}:{PORT}", self.route_host]

    @property
    def trust_folders(self) -> list[str]:
        """Names of the folders below /etc/docker/certs.d that hold the CA on nodes."""
        by_ip, by_name, by_route = self.addresses
        return [by_ip, by_name, *route_names(by_route)]
