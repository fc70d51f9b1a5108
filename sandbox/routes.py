"""What a router makes of Routes: which are admitted, and the files that serve them. Nothing here does anything."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sandbox.topology import CONTROL_PLANE, NODES

HTTPS_PORT = 443

# The time limits of OpenShift's router.
_HAPROXY = f"""\
defaults
  mode tcp
  timeout connect 5s
  timeout client 30s
  timeout server 30s
  timeout tunnel 1h

frontend passthrough
  bind {CONTROL_PLANE.address}:{HTTPS_PORT}
  tcp-request inspect-delay 5s
  tcp-request content accept if {{ req.ssl_hello_type 1 }}
"""


@dataclass(frozen=True)
class Verdict:
    """What the router decided about a Route.

    Attributes:
        namespace: The Route's namespace.
        name: The Route's name.
        host: The name clients ask for.
        reason: Why it is not admitted, as one word; empty if it is.
        message: Why it is not admitted, as a sentence.
        backend: Address and port it leads to; empty as long as its Service or port is missing.
    """

    namespace: str
    name: str
    host: str
    reason: str = ""
    message: str = ""
    backend: str = ""

    @property
    def admitted(self) -> bool:
        """Whether the router serves the Route."""
        return not self.reason


def judge(routes: Iterable[Mapping[str, Any]], services: Iterable[Mapping[str, Any]]) -> list[Verdict]:
    """Decides about all Routes: of those that want the same host the oldest gets it.

    Args:
        routes: Route objects.
        services: Service objects.

    Returns:
        A verdict for each Route, the oldest first.
    """
    by_name = {(service["metadata"]["namespace"], service["metadata"]["name"]): service for service in services}
    owners: dict[str, str] = {}
    verdicts = []
    for route in sorted(routes, key=_age):
        namespace, name = route["metadata"]["namespace"], route["metadata"]["name"]
        spec = route["spec"]
        host = spec.get("host", "").lower()
        termination = spec.get("tls", {}).get("termination", "none")
        if not host:
            verdict = Verdict(namespace, name, host, "NoHostValue", "no host value was defined for the route")
        elif termination != "passthrough":
            verdict = Verdict(
                namespace,
                name,
                host,
                "UnsupportedTermination",
                f"the sandbox's router serves passthrough routes only, not tls.termination {termination}",
            )
        elif host in owners:
            verdict = Verdict(
                namespace, name, host, "HostAlreadyClaimed", f"route {owners[host]} already exposes {host} and is older"
            )
        else:
            owners[host] = f"{namespace}/{name}"
            verdict = Verdict(
                namespace, name, host, backend=_backend(spec, by_name.get((namespace, spec["to"]["name"])))
            )
        verdicts.append(verdict)
    return verdicts


def haproxy_configuration(verdicts: Sequence[Verdict]) -> str:
    """HAProxy's configuration: the name in the TLS greeting selects the Service, the bytes pass through."""
    served = [verdict for verdict in verdicts if verdict.admitted and verdict.backend]
    rules = [
        f"  use_backend {verdict.namespace}:{verdict.name} if {{ req.ssl_sni -i {verdict.host} }}\n"
        for verdict in served
    ]
    backends = [
        f"\nbackend {verdict.namespace}:{verdict.name}\n  server service {verdict.backend}\n" for verdict in served
    ]
    return "".join([_HAPROXY, *rules, *backends])


def hosts_file(verdicts: Sequence[Verdict]) -> str:
    """The /etc/hosts of every node: admitted names lead to the router, as a wildcard DNS record would make them."""
    lines = ["127.0.0.1 localhost", *(f"{node.address} {' '.join([node.name, *node.host_names])}" for node in NODES)]
    lines += [f"{CONTROL_PLANE.address} {verdict.host}" for verdict in verdicts if verdict.admitted]
    return "".join(f"{line}\n" for line in lines)


def ingress_status(verdict: Verdict, route: Mapping[str, Any], now: str) -> list[dict[str, Any]]:
    """The `status.ingress` of a Route: that of a second router, which admits none of them, and the verdict.

    Args:
        verdict: What was decided.
        route: The Route as it is.
        now: The time of a change, as Kubernetes writes it.

    Returns:
        The new value; equal to the present one if nothing changed.
    """
    present = {each.get("routerName"): each for each in route.get("status", {}).get("ingress", [])}
    elsewhere = Verdict(
        verdict.namespace, verdict.name, verdict.host, "RouteNotAdmitted", "this router serves other domains"
    )
    return [
        _ingress(router, each, present.get(router, {}), now)
        for router, each in (("elsewhere", elsewhere), ("sandbox", verdict))
    ]


def _ingress(router: str, verdict: Verdict, present: Mapping[str, Any], now: str) -> dict[str, Any]:
    """What one router says of a Route."""
    condition = {"type": "Admitted", "status": "True" if verdict.admitted else "False"}
    if verdict.reason:
        condition |= {"reason": verdict.reason, "message": verdict.message}
    was = (present.get("conditions") or [{}])[0]
    if was.get("status") == condition["status"]:
        now = was.get("lastTransitionTime", now)
    condition["lastTransitionTime"] = now
    return {"host": verdict.host, "routerName": router, "wildcardPolicy": "None", "conditions": [condition]}


def _age(route: Mapping[str, Any]) -> tuple[str, str, str]:
    metadata = route["metadata"]
    return metadata["creationTimestamp"], metadata["namespace"], metadata["name"]


def _backend(spec: Mapping[str, Any], service: Mapping[str, Any] | None) -> str:
    """The Service's address with the port the Route names, or with its first port."""
    if service is None or service["spec"].get("clusterIP", "None") == "None":
        return ""
    wanted = spec.get("port", {}).get("targetPort")
    for port in service["spec"]["ports"]:
        if wanted is None or wanted in (port.get("name"), port.get("targetPort"), port["port"]):
            return f"{service['spec']['clusterIP']}:{port['port']}"
    return ""
