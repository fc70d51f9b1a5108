"""Waits until an object is as it should be, in the way that fits its kind."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from sandbox.plugins.kubernetes import conditions
from sandbox.plugins.kubernetes.cluster import ApiError, Cluster
from sandbox.plugins.kubernetes.conditions import status_condition
from sandbox.plugins.server import ProviderError
from sandbox.plugins.values import UNKNOWN, Properties

SKIP = "pulumi.com/skipAwait"
TIMEOUT = "pulumi.com/timeoutSeconds"
WAIT_FOR = "pulumi.com/waitFor"

_POLL_SECONDS = 0.3
_NO_PODS_SECONDS = 10
"""After this time a Service that selects no pod is taken to be meant so."""
_DELETING = "foregroundDeletion"
"""The finalizer of the deletion itself."""

Show = Callable[[str], Awaitable[None]]
"""Shows the user a line about what is being waited for."""


class NotReadyError(Exception):
    """An object exists but did not become what it should be.

    Attributes:
        details: what stands in the way, as far as the cluster knows.
    """

    def __init__(self, message: str, details: list[str]) -> None:
        super().__init__(message)
        self.details = details


@dataclass
class Verdict:
    """How far an object is: ready, or what it waits for, with the reasons that the cluster gives."""

    ready: bool
    waiting_for: str = ""
    details: list[str] = field(default_factory=list)


Judge = Callable[[Cluster, Properties, float], Awaitable[Verdict]]
"""Looks at an object, `seconds` after the waiting began."""


def problems(annotations: Properties) -> list[str]:
    """Returns what is wrong with the annotations that say how an object is waited for."""
    found = []
    parsers: dict[str, Callable[[str], object]] = {WAIT_FOR: conditions.parse, TIMEOUT: float}
    for name, parse in parsers.items():
        if annotations.get(name, UNKNOWN) != UNKNOWN:
            try:
                parse(annotations[name])
            except ValueError as error:
                found.append(f"annotation {name}: {error}")
    return found


async def wait_until_ready(cluster: Cluster, url: str, written: Properties, timeout: float, show: Show) -> Properties:
    """Waits until an object is ready and returns it as it is then.

    Args:
        cluster: where the object is.
        url: its path there.
        written: the object as the API server answered when it was created or updated.
        timeout: seconds; 0 means what the object's annotation says, or else what is usual for its kind.
        show: shows progress.

    Raises:
        NotReadyError: it did not become ready in time, or the user cancelled the waiting.
    """
    metadata = written["metadata"]
    annotations = metadata.get("annotations") or {}
    judge, usual = _judge_for(written, annotations)
    if judge is None or annotations.get(SKIP) == "true":
        return written
    latest = Verdict(ready=False)
    started = asyncio.get_running_loop().time()
    try:
        async with asyncio.timeout(timeout or float(annotations.get(TIMEOUT, usual))):
            live = written
            while True:
                verdict = await judge(cluster, live, asyncio.get_running_loop().time() - started)
                if verdict.ready:
                    await show("")
                    return live
                if verdict != latest:
                    await show("; ".join([verdict.waiting_for, *verdict.details]))
                    latest = verdict
                await asyncio.sleep(_POLL_SECONDS)
                live = await cluster.request("GET", url)
    except TimeoutError:
        raise NotReadyError(_timeout_message(written, annotations), latest.details) from None
    except asyncio.CancelledError:
        raise NotReadyError(f"Resource operation was cancelled for '{metadata['name']}'", latest.details) from None
    except ProviderError as error:
        raise NotReadyError(f"'{metadata['name']}' cannot be read any more: {error}", latest.details) from None


async def wait_until_gone(cluster: Cluster, url: str, name: str, timeout: float, show: Show) -> None:
    """Waits until an object does not exist any more; raises `NotReadyError` where it still does in the end."""
    shown: list[str] = []
    try:
        async with asyncio.timeout(timeout or 600):
            while True:
                live = await cluster.request("GET", url)
                finalizers = [name for name in live["metadata"].get("finalizers") or [] if name != _DELETING]
                if finalizers != shown:
                    await show(f"Waiting for finalizers: {', '.join(finalizers)}")
                    shown = finalizers
                await asyncio.sleep(_POLL_SECONDS)
    except TimeoutError:
        raise NotReadyError(f"'{name}' timed out waiting to be deleted; finalizers: {', '.join(shown)}", []) from None
    except ApiError as error:
        if error.reason != "NotFound":
            raise


def _judge_for(written: Properties, annotations: Properties) -> tuple[Judge | None, float]:
    """Returns who judges an object, and how many seconds to wait at most."""
    if WAIT_FOR in annotations:
        return _condition_judge(annotations[WAIT_FOR]), 600
    return _JUDGES.get((written["apiVersion"], written["kind"]), (None, 0))


def _timeout_message(written: Properties, annotations: Properties) -> str:
    if WAIT_FOR in annotations:
        return "timed out waiting for the condition"
    return f"'{written['metadata']['name']}' timed out waiting to be Ready"


def _condition_judge(annotation: str) -> Judge:
    waited_for = conditions.parse(annotation)

    async def judge(_cluster: Cluster, live: Properties, _seconds: float) -> Verdict:
        open_ones = [condition for condition in waited_for if not conditions.holds(condition, live)]
        return Verdict(not open_ones, f"Waiting for {', '.join(open_ones)}")

    return judge


async def _deployment(cluster: Cluster, live: Properties, _seconds: float) -> Verdict:
    status = live.get("status") or {}
    wanted = live["spec"].get("replicas", 1)
    updated, available = status.get("updatedReplicas", 0), status.get("availableReplicas", 0)
    if (
        status.get("observedGeneration", 0) >= live["metadata"]["generation"]
        and updated == status.get("replicas", 0) == wanted
        and available >= wanted
        and status_condition(live, "Available").get("status") == "True"
    ):
        return Verdict(ready=True)
    waiting_for = f"Waiting for app ReplicaSet be available ({min(available, updated)}/{wanted} Pods available)"
    details = [
        f"[{condition['reason']}] {condition['message']}"
        for condition in (status_condition(live, "Progressing"), status_condition(live, "Available"))
        if condition.get("status") == "False"
    ]
    return Verdict(ready=False, waiting_for=waiting_for, details=details + await _pod_details(cluster, live))


async def _pod_details(cluster: Cluster, live: Properties) -> list[str]:
    """Returns what keeps the containers of a workload's pods from running."""
    labels = live["spec"]["selector"].get("matchLabels") or {}
    selector = ",".join(f"{key}={value}" for key, value in labels.items())
    namespace = live["metadata"]["namespace"]
    pods = await cluster.request("GET", f"/api/v1/namespaces/{namespace}/pods", labelSelector=selector)
    return [detail for pod in pods["items"] for detail in _container_details(pod)]


def _container_details(pod: Properties) -> list[str]:
    name = f"[Pod {pod['metadata']['namespace']}/{pod['metadata']['name']}]"
    scheduled = status_condition(pod, "PodScheduled")
    details = [f"{name}: [{scheduled['reason']}] {scheduled['message']}"] if scheduled.get("status") == "False" else []
    status = pod.get("status") or {}
    for container in (status.get("initContainerStatuses") or []) + (status.get("containerStatuses") or []):
        for state in (container.get("state") or {}).values():
            if state.get("reason") not in (None, "Completed", "ContainerCreating", "PodInitializing"):
                message = f" {state['message']}" if state.get("message") else ""
                details.append(f"{name}: container {container['name']}: [{state['reason']}]{message}")
    return details


async def _pod(_cluster: Cluster, live: Properties, _seconds: float) -> Verdict:
    ready = (
        status_condition(live, "Ready").get("status") == "True"
        or (live.get("status") or {}).get("phase") == "Succeeded"
    )
    return Verdict(ready, "Waiting for Pod to be ready", _container_details(live))


async def _service(cluster: Cluster, live: Properties, seconds: float) -> Verdict:
    spec, metadata = live["spec"], live["metadata"]
    if spec.get("type") == "LoadBalancer" and not ((live.get("status") or {}).get("loadBalancer") or {}).get("ingress"):
        return Verdict(ready=False, waiting_for="Waiting for a load balancer to be assigned")
    if spec.get("type") == "ExternalName" or spec.get("clusterIP") == "None" or not spec.get("selector"):
        return Verdict(ready=True)
    url = f"/apis/discovery.k8s.io/v1/namespaces/{metadata['namespace']}/endpointslices"
    slices = await cluster.request("GET", url, labelSelector=f"kubernetes.io/service-name={metadata['name']}")
    endpoints = [endpoint for item in slices["items"] for endpoint in item.get("endpoints") or []]
    if not endpoints:
        ready = seconds >= _NO_PODS_SECONDS
    else:
        ready = any((endpoint.get("conditions") or {}).get("ready") for endpoint in endpoints)
    return Verdict(ready, "Waiting for Pods behind the Service to be ready")


async def _claim(cluster: Cluster, live: Properties, _seconds: float) -> Verdict:
    if live["status"].get("phase") == "Bound":
        return Verdict(ready=True)
    return Verdict(await _waits_for_consumer(cluster, live), "Waiting for the PersistentVolumeClaim to be bound")


async def _waits_for_consumer(cluster: Cluster, claim: Properties) -> bool:
    name = claim["spec"].get("storageClassName")
    if not name:
        return False
    try:
        storage_class = await cluster.request("GET", f"/apis/storage.k8s.io/v1/storageclasses/{name}")
    except ApiError:
        return False
    return bool(storage_class.get("volumeBindingMode") == "WaitForFirstConsumer")


def _phase_judge(*phases: str) -> Judge:
    async def judge(_cluster: Cluster, live: Properties, _seconds: float) -> Verdict:
        phase = (live.get("status") or {}).get("phase")
        return Verdict(phase in phases, f"Waiting for phase {' or '.join(phases)}, now {phase}")

    return judge


_JUDGES: dict[tuple[str, str], tuple[Judge, float]] = {
    ("apps/v1", "Deployment"): (_deployment, 600),
    ("v1", "Pod"): (_pod, 600),
    ("v1", "Service"): (_service, 600),
    ("v1", "PersistentVolumeClaim"): (_claim, 300),
    ("v1", "PersistentVolume"): (_phase_judge("Available", "Bound"), 300),
    ("v1", "Namespace"): (_phase_judge("Active"), 300),
}
