"""Whether the objects in the cluster are as the stack made them, and whether its pods run."""

import re
from typing import Any

from kubernetes import client

from components.endpoints import PORT, Endpoints
from settings import Settings
from settings.storage import (
    EmptyDirSettings,
    ExistingClaimSettings,
    HostPathSettings,
    NfsSettings,
    S3Settings,
    StorageSettings,
)
from verify.cluster import CONTAINER, Cluster, Object, claim_name, container, is_ready, storage_mount, storage_volume
from verify.proof import ACT_SECONDS, Fault, NotTried, Proved

_PUT_BACK = "someone changed it: `pulumi up --refresh` puts it back"
_MOVE = "the setting changed since the last `pulumi up`: move the images first, then run it"
_LISTENING = re.compile(r"listening on \S+:\d+(, tls)?")
_LOG_BYTES = 1 << 20


def deployment(cluster: Cluster, settings: Settings) -> Proved[Object]:
    """Compares what decides whether pods can serve and can be probed.

    Raises:
        Fault: It is missing, or someone changed that.
    """
    found = cluster.deployment
    if found is None:
        raise Fault("it does not exist", "run `pulumi up --refresh`")
    replicas = found["spec"]["replicas"]
    if replicas != settings.replicas:
        raise Fault(f"it wants {replicas} pods, but the stack's settings say {settings.replicas}", _PUT_BACK)
    if found["spec"].get("paused"):
        raise Fault("its rollout is paused: no change reaches its pods", "run `kubectl rollout resume`")
    registry = container(found)
    if registry["image"] != settings.image:
        raise Fault(f"it runs {registry['image']}, but the stack's settings say {settings.image}", _PUT_BACK)
    variables = {each["name"] for each in registry.get("env", [])}
    for name in ("REGISTRY_HTTP_TLS_CERTIFICATE", "REGISTRY_HTTP_TLS_KEY"):
        if name not in variables:
            raise Fault(f"{name} is not set: the registry serves plain HTTP", _PUT_BACK)
    for name in ("readinessProbe", "livenessProbe"):
        probe = registry.get(name, {}).get("httpGet", {})
        if probe.get("scheme") != "HTTPS" or probe.get("port") not in (PORT, CONTAINER):
            raise Fault(
                f"its {name} asks {probe.get('scheme', 'nothing')} on port {probe.get('port', 'none')}, but the "
                f"registry speaks HTTPS on {PORT}",
                _PUT_BACK,
            )
    return Proved(f"{settings.image}, {replicas} wanted, TLS on, probed over HTTPS", found)


def pods(cluster: Cluster, settings: Settings) -> Proved[list[Object]]:
    """Asks whether all pods are ready.

    Raises:
        Fault: One is not, or is missing; the message says why, as kubelet or the scheduler put it.
    """
    for pod in cluster.pods:
        if not is_ready(pod):
            name, node = pod["metadata"]["name"], pod["spec"].get("nodeName", "no node")
            raise Fault(
                f"{name} on {node} is not ready: {_reason(cluster, pod)}",
                f"see `kubectl --namespace {pod['metadata']['namespace']} describe pod {name}` and its log",
            )
    if len(cluster.pods) < settings.replicas:
        missing = settings.replicas - len(cluster.pods)
        raise Fault(f"{missing} of {settings.replicas} do not exist", "see `kubectl describe replicaset`: a quota?")
    restarts = sum(status["restartCount"] for pod in cluster.pods for status in pod["status"]["containerStatuses"])
    nodes = sorted({pod["spec"]["nodeName"] for pod in cluster.pods})
    return Proved(f"{len(cluster.pods)} ready on {', '.join(nodes)}, {restarts} restarts", cluster.pods)


def log(cluster: Cluster) -> Proved[None]:
    """Looks in each pod's log for the line by which the registry says that it listens with TLS.

    Raises:
        Fault: It says that it listens without TLS.
        NotTried: No pod has a log that begins with its start.
    """
    lines = {}
    for pod in cluster.pods:
        if any("running" in status["state"] for status in pod["status"].get("containerStatuses", [])):
            name = pod["metadata"]["name"]
            # As it is: the client would turn JSON into Python's notation.
            answer: Any = client.CoreV1Api(cluster.api).read_namespaced_pod_log(
                name,
                pod["metadata"]["namespace"],
                container=CONTAINER,
                limit_bytes=_LOG_BYTES,
                _request_timeout=ACT_SECONDS,
                _preload_content=False,
            )
            if line := _LISTENING.search(answer.data.decode(errors="replace")):
                lines[name] = line
    if not lines:
        raise NotTried("no pod runs, or its log has been rotated since it started")
    for name, line in lines.items():
        if not line[1]:
            raise Fault(f"{name} says '{line[0]}', without `, tls`", "run `pulumi up --refresh`, which turns TLS on")
    return Proved(", ".join(sorted({line[0] for line in lines.values()})), None)


def service(cluster: Cluster, endpoints: Endpoints) -> Proved[Object]:
    """Compares the Service's address with the one that certificate and nodes have, and looks for pods behind it.

    Raises:
        Fault: It is missing, has another address, or leads to no pod.
    """
    found = cluster.service
    if found is None:
        raise Fault("it does not exist", "run `pulumi up --refresh`")
    if found["spec"]["clusterIP"] != endpoints.cluster_ip:
        raise Fault(
            f"its cluster IP is {found['spec']['clusterIP']}, but certificate and nodes have {endpoints.cluster_ip}",
            "someone made it anew: `pulumi up --refresh` gives both the new address",
        )
    if PORT not in {port["port"] for port in found["spec"]["ports"]}:
        raise Fault(f"it does not listen on port {PORT}", _PUT_BACK)
    ready = [
        address
        for part in cluster.slices
        for endpoint in part.get("endpoints") or []
        if endpoint["conditions"].get("ready")
        for address in endpoint["addresses"]
    ]
    if not ready:
        selector = ",".join(f"{key}={value}" for key, value in (found["spec"].get("selector") or {}).items())
        raise Fault(f"no ready pod is behind it: it selects '{selector}'", _PUT_BACK)
    return Proved(f"{endpoints.cluster_ip}:{PORT}, in front of {', '.join(ready)}", found)


def affinity(cluster: Cluster, settings: Settings) -> Proved[None]:
    """Compares the Service's session affinity with what the storage needs.

    Raises:
        Fault: It is another one.
        NotTried: There is no Service.
    """
    if cluster.service is None:
        raise NotTried("there is no Service")
    needed, has = settings.storage.limits.session_affinity, cluster.service["spec"]["sessionAffinity"]
    if has != needed:
        raise Fault(
            f"session affinity is {has}, but storage.kind '{settings.storage.kind}' needs {needed}, for "
            f"{settings.storage.limits.reason}",
            _PUT_BACK,
        )
    return Proved(f"{has}, as storage.kind '{settings.storage.kind}' needs", None)


def volume(cluster: Cluster, settings: Settings) -> Proved[None]:
    """Compares what the pods write to with the settings.

    Raises:
        Fault: It is something else, cannot be written to, or is not there.
        NotTried: There is no Deployment.
    """
    if cluster.deployment is None:
        raise NotTried("there is no Deployment")
    mount = storage_mount(cluster.deployment)
    source = storage_volume(cluster.deployment) or {}
    if isinstance(settings.storage, S3Settings):
        if mount:
            raise Fault(f"images are in {mount['mountPath']}, but the stack's settings say s3", _PUT_BACK)
        return Proved(f"bucket {settings.storage.bucket}", None)
    if mount is None:
        raise Fault(f"images are in no volume, but the stack's settings say {settings.storage.kind}", _PUT_BACK)
    if mount.get("readOnly"):
        raise Fault(f"{mount['mountPath']} is mounted read-only: every push fails", _PUT_BACK)
    if isinstance(settings.storage, EmptyDirSettings):
        if "emptyDir" not in source:
            raise Fault("it is no emptyDir, as the stack's settings say", _PUT_BACK)
        return Proved("emptyDir: every image is lost with the pod", None)
    claim = cluster.claim
    if claim is None:
        raise Fault(f"claim {claim_name(cluster.deployment)} does not exist", "run `pulumi up --refresh`")
    name, phase = claim["metadata"]["name"], claim["status"]["phase"]
    if phase != "Bound" or cluster.volume is None:
        raise Fault(f"claim {name} is {phase}", f"see `kubectl describe pvc {name}`")
    spec = cluster.volume["spec"]
    has, wanted = _places(settings.storage, name, spec)
    if has != wanted:
        raise Fault(f"images are in {has}, but the stack's settings say {wanted}", _MOVE)
    return Proved(f"{has}, {spec['capacity']['storage']}, bound to claim {name}", None)


def route(cluster: Cluster, endpoints: Endpoints) -> Proved[Object]:
    """Asks whether a router passes TLS through to the Service for the right host.

    Raises:
        Fault: It leads elsewhere, or no router has admitted it.
    """
    found = cluster.route
    if found is None:
        raise Fault("it does not exist", "run `pulumi up --refresh`")
    spec = found["spec"]
    if spec["host"] != endpoints.route_host:
        raise Fault(f"it is for {spec['host']}, not for {endpoints.route_host}", _PUT_BACK)
    if spec["to"]["name"] != endpoints.service:
        raise Fault(f"it leads to Service {spec['to']['name']}, not to {endpoints.service}", _PUT_BACK)
    termination = spec.get("tls", {}).get("termination", "none")
    if termination != "passthrough":
        raise Fault(
            f"its TLS termination is {termination}, so clients do not see the registry's certificate", _PUT_BACK
        )
    verdicts = [
        (ingress.get("routerName", "a router"), condition)
        for ingress in found.get("status", {}).get("ingress", [])
        for condition in ingress.get("conditions", [])
        if condition["type"] == "Admitted"
    ]
    admitting = [router for router, condition in verdicts if condition["status"] == "True"]
    refusing = "; ".join(
        f"{router} refuses it ({condition.get('reason')}: {condition.get('message')})"
        for router, condition in verdicts
        if condition["status"] != "True"
    )
    if not admitting:
        raise Fault(
            f"no router has admitted it: {refusing or 'none has looked at it'}",
            "free the host name, or choose another one as route.host",
        )
    detail = f"admitted by {', '.join(admitting)}, passes TLS through to Service {endpoints.service}"
    return Proved(f"{detail}; {refusing}" if refusing else detail, found)


def _reason(cluster: Cluster, pod: Object) -> str:
    """Why a pod is not ready, by the one who knows best."""
    for status in pod["status"].get("containerStatuses", []):
        for state in ("waiting", "terminated"):
            if message := status["state"].get(state, {}).get("message"):
                return f"{status['state'][state]['reason']}: {message}"
    warned = [event for event in cluster.warnings if event["involvedObject"].get("uid") == pod["metadata"]["uid"]]
    if warned:
        return f"{warned[-1]['reason']}: {warned[-1]['message'].strip()}"
    unmet = [c for c in pod["status"].get("conditions", []) if c["status"] != "True" and c.get("message")]
    return str(unmet[0]["message"]) if unmet else "it has only just started"


def _places(wanted: StorageSettings, claim: str, spec: Object) -> tuple[str, str]:
    """Where the images of a claim are, and where the settings say they are, in words."""
    match wanted:
        case HostPathSettings():
            return spec.get("hostPath", {}).get("path", f"claim {claim}"), wanted.path
        case NfsSettings():
            nfs = spec.get("nfs")
            return f"{nfs['server']}:{nfs['path']}" if nfs else f"claim {claim}", f"{wanted.server}:{wanted.path}"
        case ExistingClaimSettings():
            return f"claim {claim}", f"claim {wanted.name}"
        case _:
            return f"claim {claim}", f"claim {claim}"
