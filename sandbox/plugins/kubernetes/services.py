"""When the objects that lead traffic to pods are ready."""

from sandbox.plugins.kubernetes.cluster import Cluster
from sandbox.plugins.kubernetes.verdict import Judge, Line, Verdict
from sandbox.plugins.values import Properties

_SETTLE_SECONDS = 10
"""How long endpoints have to stay the same before they are taken to be complete."""
_PATIENCE_SECONDS = 60
"""How long an Ingress waits for the endpoints of a Service that may not exist."""


class ServiceJudge(Judge):
    """A Service is ready when it has had the same endpoints for a while, and an address where it needs one."""

    def __init__(self) -> None:
        self._endpoints: set[str] = set()
        self._changed = 0.0

    async def look(self, cluster: Cluster, live: Properties, seconds: float) -> Verdict:
        """Looks at a Service and its endpoints."""
        spec = live["spec"]
        balanced = spec.get("type") == "LoadBalancer"
        addressed = not balanced or bool(_load_balancer(live))
        if spec.get("type") == "ExternalName" or spec.get("clusterIP") == "None" or not spec.get("selector"):
            return Verdict(ready=True)
        endpoints = {
            address
            for item in await _endpoint_slices(cluster, live)
            for endpoint in item.get("endpoints") or []
            for address in endpoint["addresses"]
        }
        if endpoints != self._endpoints and seconds != float("inf"):
            self._changed = seconds
        self._endpoints = endpoints
        settled = bool(endpoints) and seconds - self._changed >= _SETTLE_SECONDS
        lines = [Line("[1/3] Finding Pods to direct traffic to")]
        if settled and addressed:
            return Verdict(ready=True, lines=[*lines, Line("Service initialization complete")])
        problems = []
        if settled:
            lines.append(Line("[2/3] Attempting to allocate IP address to Service"))
        if not endpoints:
            problems.append(
                "Service does not target any Pods. Selected Pods may not be ready, or "
                "field '.spec.selector' may not match labels on any Pods"
            )
        if not addressed:
            problems.append("Service was not allocated an IP address; does your cloud provider support this?")
        return Verdict(ready=False, lines=lines, problems=problems)


class IngressJudge(Judge):
    """An Ingress is ready when its Services exist and it has an address."""

    async def look(self, cluster: Cluster, live: Properties, seconds: float) -> Verdict:
        """Looks at an Ingress and the Services that it leads to."""
        missing = [] if seconds >= _PATIENCE_SECONDS else await self._missing_services(cluster, live)
        addressed = bool(_load_balancer(live))
        lines = [Line("[1/3] Finding a matching service for each Ingress path")]
        if addressed and not missing:
            return Verdict(ready=True, lines=[*lines, Line("Ingress initialization complete")])
        problems = []
        if missing:
            problems.append("Ingress has at least one rule with an unavailable target endpoint.")
        else:
            lines.append(Line("[2/3] Waiting for update of .status.loadBalancer with hostname/IP"))
        if not addressed:
            problems.append("Ingress .status.loadBalancer field was not updated with a hostname/IP address.")
        return Verdict(ready=False, lines=lines, problems=problems)

    async def _missing_services(self, cluster: Cluster, live: Properties) -> set[str]:
        folder = f"/api/v1/namespaces/{live['metadata']['namespace']}/services"
        known = {service["metadata"]["name"] for service in (await cluster.request("GET", folder))["items"]}
        backends = [
            path["backend"]
            for rule in live["spec"].get("rules") or []
            for path in (rule.get("http") or {}).get("paths") or []
        ]
        return {backend["service"]["name"] for backend in backends if "service" in backend} - known


async def _endpoint_slices(cluster: Cluster, service: Properties) -> list[Properties]:
    namespace, name = service["metadata"]["namespace"], service["metadata"]["name"]
    url = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
    slices = await cluster.request("GET", url, labelSelector=f"kubernetes.io/service-name={name}")
    items: list[Properties] = slices["items"]
    return items


def _load_balancer(live: Properties) -> list[Properties]:
    """Returns the addresses under which an object is reached from outside."""
    return ((live.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
