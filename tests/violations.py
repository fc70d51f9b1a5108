"""One change for everything that a rule of the policy pack forbids, made to what the program registers."""

from dataclasses import dataclass, field
from typing import Any

REMOVED = object()
"""In the place of a value: the key goes."""

POD = ("spec", "template", "spec")
CONTAINER = (*POD, "containers", "registry")
SHARED = {"storage": {"kind": "nfs", "server": "192.0.2.9", "path": "/registry", "size": "1Gi"}, "replicas": 2}
S3 = {
    "storage": {
        "kind": "s3",
        "bucket": "images",
        "region": "eu-1",
        "endpoint": "https://s3.example.com",
        "accessKey": "access-1",
        "secretKey": "secret-1",
    }
}


@dataclass(frozen=True)
class Violation:
    """A change of one resource, and what its rule says then."""

    rule: str
    resource: str
    path: tuple[str | int, ...]
    value: Any
    message: str
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def case(self) -> str:
        return f"{self.rule}-{self.path[-1]}"

    def change(self, properties: Any) -> None:
        """Changes the properties of the resource."""
        *way, last = self.path
        for key in way:
            properties = _below(properties, key)
        if self.value is REMOVED:
            properties.remove(_below(properties, last)) if isinstance(properties, list) else properties.pop(last)
        else:
            properties[last] = self.value


def _below(properties: Any, key: str | int) -> Any:
    """What is below a key; parts of a list are known by their name."""
    if isinstance(properties, list) and isinstance(key, str):
        return next(each for each in properties if each["name"] == key)
    return properties[key]


DEPLOYMENT, ROUTE, TRUST = "registry-deployment", "route-route", "trust-node1"
VOLUME, CLAIM, NAMESPACE = "storage-hostpath-volume", "storage-hostpath-claim", "namespace-namespace"
PROTECT = ("protect",)
"""Path of a violation in the options of a resource, not in its properties."""

VIOLATIONS = [
    Violation("tls-only", DEPLOYMENT, (*CONTAINER, "env", "REGISTRY_HTTP_TLS_KEY"), REMOVED, "would serve plain HTTP"),
    Violation(
        "tls-only", DEPLOYMENT, (*CONTAINER, "env", "REGISTRY_HTTP_DEBUG"), REMOVED, "serves metrics and profiles over"
    ),
    Violation(
        "tls-only",
        DEPLOYMENT,
        (*CONTAINER, "livenessProbe", "httpGet", "scheme"),
        "HTTP",
        "livenessProbe uses HTTP, which a TLS port refuses",
    ),
    Violation(
        "tls-only",
        DEPLOYMENT,
        (*CONTAINER, "env", "REGISTRY_STORAGE_S3_REGIONENDPOINT", "value"),
        "http://s3.example.com",
        "the object store is reached without TLS",
        settings=S3,
    ),
    Violation("tls-only", ROUTE, ("spec", "tls"), {"termination": "edge"}, "TLS termination is 'edge'"),
    Violation(
        "tls-only",
        ROUTE,
        ("spec", "tls", "insecureEdgeTerminationPolicy"),
        "Allow",
        "insecureEdgeTerminationPolicy is Allow",
    ),
    Violation(
        "route-host-in-certificate",
        ROUTE,
        ("spec", "host"),
        "other.example.com",
        "'other.example.com' is no name of the certificate",
    ),
    Violation("no-latest-image", DEPLOYMENT, (*CONTAINER, "image"), "registry.example.com:5000/a", "name a version"),
    Violation("image-by-digest", DEPLOYMENT, (*CONTAINER, "image"), "registry.example.com/a:1", "append its digest"),
    Violation(
        "durable-storage",
        DEPLOYMENT,
        (*POD, "volumes", 0),
        {"name": "storage", "emptyDir": {}},
        "images are on an emptyDir and lost with the pod",
    ),
    Violation(
        "durable-storage", DEPLOYMENT, (*CONTAINER, "volumeMounts", "storage"), REMOVED, "images are on no claim"
    ),
    Violation("volumes-protected", VOLUME, PROTECT, False, "it holds images but is not protected"),
    Violation("volumes-protected", CLAIM, PROTECT, False, "it holds images but is not protected"),
    Violation("volumes-protected", NAMESPACE, PROTECT, False, "it holds images but is not protected"),
    Violation(
        "volumes-protected",
        VOLUME,
        ("spec", "persistentVolumeReclaimPolicy"),
        "Delete",
        "persistentVolumeReclaimPolicy is 'Delete'",
    ),
    Violation("replicas-fit-storage", DEPLOYMENT, ("spec", "replicas"), 2, "2 replicas cannot share this storage"),
    Violation(
        "replicas-fit-storage",
        DEPLOYMENT,
        ("spec", "strategy"),
        {"type": "RollingUpdate"},
        "strategy RollingUpdate starts a second pod",
    ),
    Violation(
        "replicas-fit-storage",
        "registry-service",
        ("spec", "sessionAffinity"),
        "None",
        "clients change between them during a push",
        settings=SHARED,
    ),
    Violation(
        "restricted-pods",
        NAMESPACE,
        ("metadata", "labels", "pod-security.kubernetes.io/enforce"),
        "baseline",
        "enforce is 'baseline'",
    ),
    Violation("restricted-pods", DEPLOYMENT, (*POD, "hostNetwork"), True, "hostNetwork is on"),
    Violation(
        "restricted-pods",
        DEPLOYMENT,
        (*POD, "volumes", 0),
        {"name": "storage", "hostPath": {"path": "/registry"}},
        "volume 'storage' is of kind hostPath",
    ),
    Violation(
        "restricted-pods", DEPLOYMENT, (*POD, "securityContext", "runAsNonRoot"), REMOVED, "'registry' may run as root"
    ),
    Violation(
        "restricted-pods", DEPLOYMENT, (*POD, "securityContext", "seccompProfile"), REMOVED, "has no seccompProfile"
    ),
    Violation(
        "restricted-pods",
        DEPLOYMENT,
        (*CONTAINER, "securityContext", "allowPrivilegeEscalation"),
        True,
        "'registry' may gain privileges",
    ),
    Violation(
        "restricted-pods", DEPLOYMENT, (*CONTAINER, "securityContext", "privileged"), True, "'registry' is privileged"
    ),
    Violation(
        "restricted-pods",
        DEPLOYMENT,
        (*CONTAINER, "securityContext", "capabilities", "add"),
        ["SYS_ADMIN"],
        "'registry' keeps capabilities",
    ),
    Violation("restricted-pods", DEPLOYMENT, (*CONTAINER, "ports", 0, "hostPort"), 5000, "takes port 5000 of its node"),
    Violation("host-keys", TRUST, ("connection", "hostKey"), REMOVED, "connection has no hostKey"),
    Violation("host-keys", TRUST, ("connection", "hostKey"), "ssh-rsa AAAA", "a hostKey of type ssh-rsa"),
    Violation(
        "host-keys",
        TRUST,
        ("connection", "proxy"),
        {"host": "192.0.2.3", "user": "root"},
        "connection.proxy has no hostKey",
    ),
    Violation(
        "no-default-passwords", TRUST, ("connection", "password"), "hidden", "connection logs in with a password"
    ),
    Violation(
        "no-default-passwords",
        "registry-http-secret",
        ("stringData",),
        {"secret": "changeme"},
        "'secret' is a password that everybody knows",
    ),
]
