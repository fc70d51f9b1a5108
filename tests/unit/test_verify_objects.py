"""What the API server says about a registry, judged."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
from kubernetes import client

from components.endpoints import Endpoints
from settings import Settings
from tests.conftest import Cluster as ClusterFiles
from verify.checks import objects
from verify.cluster import Cluster
from verify.proof import Fault, NotTried

NFS = {"kind": "nfs", "server": "192.0.2.7", "path": "/exports/registry", "size": "10Gi"}
S3 = {"kind": "s3", "bucket": "images", "region": "us-east-1", "accessKey": "key", "secretKey": "secret"}
ENDPOINTS = Endpoints(
    cluster_ip="172.30.0.5",
    service="docker-registry",
    namespace="docker-registry",
    route_host="registry.apps.example.com",
)

VARIABLES = ("REGISTRY_HTTP_TLS_CERTIFICATE", "REGISTRY_HTTP_TLS_KEY")
PROBE = {"httpGet": {"scheme": "HTTPS", "port": 5000}}
DEPLOYMENT: dict[str, Any] = {
    "spec": {
        "replicas": 1,
        "template": {
            "spec": {
                "containers": [
                    {
                        "name": "registry",
                        "image": "registry.example.com/registry:3.1.2",
                        "env": [
                            {"name": "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY", "value": "/registry"},
                            *({"name": name, "value": "x"} for name in VARIABLES),
                        ],
                        "readinessProbe": PROBE,
                        "livenessProbe": PROBE,
                        "volumeMounts": [{"name": "storage", "mountPath": "/registry"}],
                    }
                ],
                "volumes": [{"name": "storage", "persistentVolumeClaim": {"claimName": "registry-nfs"}}],
            }
        },
    }
}
CLAIM = {"metadata": {"name": "registry-nfs"}, "status": {"phase": "Bound"}}
VOLUME = {
    "metadata": {"name": "docker-registry-registry-nfs"},
    "spec": {"capacity": {"storage": "10Gi"}, "nfs": {"server": "192.0.2.7", "path": "/exports/registry"}},
}
ROUTE: dict[str, Any] = {
    "spec": {
        "host": "registry.apps.example.com",
        "to": {"name": "docker-registry"},
        "tls": {"termination": "passthrough"},
    },
    "status": {
        "ingress": [{"routerName": "default", "conditions": [{"type": "Admitted", "status": "True"}]}],
    },
}
REFUSED = {
    "routerName": "shard2",
    "conditions": [
        {"type": "Admitted", "status": "False", "reason": "RouteNotAdmitted", "message": "serves other domains"}
    ],
}


@pytest.fixture
def settings(cluster: ClusterFiles) -> Callable[..., Settings]:
    return lambda storage: Settings.model_validate(cluster.config | {"storage": storage})


MakeSettings = Callable[[dict[str, Any]], Settings]


def registry(**parts: Any) -> Cluster:
    return Cluster(
        api=client.ApiClient(), **{"deployment": DEPLOYMENT, "claim": CLAIM, "volume": VOLUME, "route": ROUTE} | parts
    )


def changed(thing: dict[str, Any], change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    copy = deepcopy(thing)
    change(copy)
    return copy


def pod_spec(deployment: dict[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = deployment["spec"]["template"]["spec"]
    return spec


def test_a_good_registry_passes(settings: MakeSettings) -> None:
    assert objects.deployment(registry(), settings(NFS)).detail.startswith("registry.example.com/registry:3.1.2")
    assert objects.volume(registry(), settings(NFS)).detail == (
        "192.0.2.7:/exports/registry, 10Gi, bound to claim registry-nfs"
    )
    assert objects.route(registry(), ENDPOINTS).detail == (
        "admitted by default, passes TLS through to Service docker-registry"
    )


@pytest.mark.parametrize("place", [0, 1])
def test_a_route_needs_one_router_and_the_others_are_reported(place: int) -> None:
    route = changed(ROUTE, lambda r: r["status"]["ingress"].insert(place, REFUSED))
    assert objects.route(registry(route=route), ENDPOINTS).detail == (
        "admitted by default, passes TLS through to Service docker-registry; "
        "shard2 refuses it (RouteNotAdmitted: serves other domains)"
    )


def test_shared_folders_need_client_affinity(settings: MakeSettings) -> None:
    without = registry(service={"spec": {"sessionAffinity": "None"}})
    with pytest.raises(Fault, match=r"session affinity is None, but storage.kind 'nfs' needs ClientIP, for pods share"):
        objects.affinity(without, settings(NFS))
    with pytest.raises(NotTried, match="there is no Service"):
        objects.affinity(registry(), settings(NFS))


@pytest.mark.parametrize(
    ("storage", "parts", "message"),
    [
        (NFS, {"claim": None}, "claim registry-nfs does not exist"),
        (NFS, {"claim": CLAIM | {"status": {"phase": "Lost"}}, "volume": None}, "claim registry-nfs is Lost"),
        (NFS | {"server": "192.0.2.8"}, {}, r"are in 192\.0\.2\.7:/exports/registry, but .* say 192\.0\.2\.8:/exports"),
        (
            {"kind": "hostPath", "node": "node1", "path": "/registry", "size": "1Gi"},
            {},
            "images are in claim registry-nfs, but the stack's settings say /registry",
        ),
        ({"kind": "existingClaim", "name": "theirs"}, {}, "images are in claim registry-nfs, but .* say claim theirs"),
        ({"kind": "emptyDir", "size": "1Gi"}, {}, "it is no emptyDir"),
        (S3, {}, "images are in /registry, but the stack's settings say s3"),
        (
            NFS,
            {"deployment": changed(DEPLOYMENT, lambda d: pod_spec(d)["containers"][0].update(env=[]))},
            "images are in no volume, but the stack's settings say nfs",
        ),
    ],
)
def test_images_that_are_elsewhere_are_a_fault(
    settings: MakeSettings, storage: dict[str, Any], parts: dict[str, Any], message: str
) -> None:
    with pytest.raises(Fault, match=message):
        objects.volume(registry(**parts), settings(storage))


def test_images_in_a_bucket_need_no_volume(settings: MakeSettings) -> None:
    bare = changed(DEPLOYMENT, lambda d: pod_spec(d)["containers"][0].update(env=[]))
    assert objects.volume(registry(deployment=bare), settings(S3)).detail == "bucket images"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d["spec"].update(paused=True), "its rollout is paused"),
        (lambda d: pod_spec(d)["containers"][0].pop("livenessProbe"), "its livenessProbe asks nothing on port none"),
        (lambda d: pod_spec(d)["containers"][0].update(name="other"), "has no container 'registry'"),
    ],
)
def test_a_changed_deployment_is_a_fault(
    settings: MakeSettings, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    with pytest.raises(Fault, match=message):
        objects.deployment(registry(deployment=changed(DEPLOYMENT, change)), settings(NFS))


@pytest.mark.parametrize(
    ("route", "message"),
    [
        (None, "it does not exist"),
        (changed(ROUTE, lambda r: r["spec"].update(host="other.example.com")), "it is for other.example.com"),
        (ROUTE | {"status": {}}, "no router has admitted it: none has looked at it"),
        (
            changed(
                ROUTE,
                lambda r: r["status"]["ingress"][0]["conditions"][0].update(
                    status="False", reason="HostAlreadyClaimed", message="route a/b is older"
                ),
            ),
            r"no router has admitted it: default refuses it \(HostAlreadyClaimed: route a/b is older\)$",
        ),
        (
            changed(ROUTE, lambda r: r["status"].update(ingress=[REFUSED, REFUSED | {"routerName": "shard3"}])),
            r"no router has admitted it: shard2 refuses it \(RouteNotAdmitted: .*\); shard3 refuses it \(Route",
        ),
        (
            changed(ROUTE, lambda r: r["status"].update(ingress=[{"routerName": "slow"}])),
            "no router has admitted it: none has looked at it",
        ),
    ],
)
def test_a_route_that_leads_nowhere_is_a_fault(route: dict[str, Any] | None, message: str) -> None:
    with pytest.raises(Fault, match=message):
        objects.route(registry(route=route), ENDPOINTS)


def pod(**status: Any) -> dict[str, Any]:
    return {"metadata": {"name": "docker-registry-1", "namespace": "docker-registry", "uid": "1"}, "spec": {},
            "status": status}  # fmt: skip


UNSCHEDULED = {"type": "PodScheduled", "status": "False", "message": "0/2 nodes are available: 2 Insufficient memory."}


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"pods": []}, "1 of 1 do not exist"),
        ({"pods": [pod(conditions=[UNSCHEDULED])]}, r"docker-registry-1 on no node is not ready: 0/2 nodes are"),
        (
            {
                "pods": [
                    pod(containerStatuses=[{"state": {"waiting": {"reason": "CrashLoopBackOff", "message": "wait"}}}])
                ]
            },
            "is not ready: CrashLoopBackOff: wait",
        ),
        (
            {
                "pods": [pod()],
                "warnings": [
                    {"involvedObject": {"uid": "1"}, "reason": "FailedMount", "message": "no such folder\n"},
                    {"involvedObject": {"uid": "2"}, "reason": "Other", "message": "of another pod"},
                ],
            },
            "is not ready: FailedMount: no such folder$",
        ),
        ({"pods": [pod()]}, "is not ready: it has only just started"),
    ],
)
def test_a_pod_that_is_not_ready_is_a_fault_with_its_reason(
    settings: MakeSettings, parts: dict[str, Any], message: str
) -> None:
    with pytest.raises(Fault, match=message):
        objects.pods(registry(**parts), settings(NFS))


def test_a_service_on_another_port_is_a_fault() -> None:
    service = {"spec": {"clusterIP": "172.30.0.5", "ports": [{"port": 80}]}}
    with pytest.raises(Fault, match="it does not listen on port 5000"):
        objects.service(registry(service=service), ENDPOINTS)
