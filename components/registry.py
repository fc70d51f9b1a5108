"""The registry itself: its Service, its certificate and its pod."""

from dataclasses import dataclass
from hashlib import sha256

import pulumi
import pulumi_kubernetes as k8s
import pulumi_tls as tls

from components.certificate import Certificate, CertificateArgs, CertificateAuthority
from components.endpoints import PORT, PORT_NAME, Endpoints
from components.limits import Limits
from components.pod import Pods
from components.storage.backend import DATA, Backend

LABELS = {"docker-registry": "default"}
"""Labels of the pods and of everything that belongs to them, as `oadm registry` set them."""
_SECRETS = "/registry-secrets"
_LEAVE_SECONDS = 10
"""How long a pod that is stopped still takes connections, until every node and router knows that it is gone."""
_DRAIN_SECONDS = 30
"""How long it then has for the requests it has taken."""
_STRATEGIES: dict[str, k8s.apps.v1.DeploymentStrategyArgsDict] = {
    "Recreate": {"type": "Recreate"},
    # Said, not left to the API server: what nobody said stays where a move makes it Recreate, and is refused there.
    "RollingUpdate": {"type": "RollingUpdate", "rolling_update": {"max_surge": 1, "max_unavailable": 0}},
}
_WRITE = f"""\
# What another registry left there can belong to another user.
for folder in {DATA} {DATA}/docker/registry/v2/*; do
    if [ -d $folder ] && ! (: >$folder/.writable && rm $folder/.writable); then
        echo 'The registry, user and group {{}}, cannot write to its storage: let it, then run again.' >&2
        exit 1
    fi
done
"""
_HOW_CHECKED = (
    *("containers[0].image", "containers[0].resources", "nodeSelector", "tolerations"),
    *("imagePullSecrets", "priorityClassName"),
)
"""What changes nothing about whether the storage can be written to, as it stands in a pod's spec."""


@dataclass(frozen=True, kw_only=True)
class RegistryArgs:
    """Arguments of `Registry`."""

    service: str
    """Name of the Service and of the Deployment. A change replaces both."""
    namespace: pulumi.Input[str]
    """Namespace of everything. A change replaces everything."""
    image: pulumi.Input[str]
    """Image of the registry, with a tag or a digest; storage in a folder is checked by its `/bin/sh`."""
    pods: Pods
    """What its pods share with those of its Jobs."""
    replicas: int
    """Number of pods, within the limits of the storage."""
    storage: Backend
    """The pod's part of the storage that holds the images."""
    limits: Limits
    """How pods may share that storage."""
    route_host: str
    """Host name of the Route, one of the certificate's names."""
    authority: CertificateAuthority
    """The CA that signs the certificate."""
    validity_hours: int
    """Hours from its creation until the certificate ends."""
    early_renewal_hours: int
    """Hours before its end from which on the next `pulumi up` replaces the certificate."""
    deletable: bool
    """Whether clients may delete manifests; their blobs stay until garbage is collected."""
    filled_by: pulumi.Resource | None
    """What must have succeeded before pods use the storage, if anything."""


class Registry(pulumi.ComponentResource):
    """A TLS-secured registry behind a Service.

    The Service comes first, since its cluster IP is one of the certificate's addresses; a new certificate
    is a new Secret, and with it a new pod. A pod that is stopped finishes the requests it has, for half a
    minute; where the storage lets its successor serve before, it takes new ones for ten seconds, so that no
    client notices. Nothing but the registry's port is reachable, and the pod reaches nothing. `up` ends when the
    Deployment is available.
    """

    service_name: pulumi.Output[str]
    """Name of the Service."""
    deployment_name: pulumi.Output[str]
    """Name of the Deployment."""
    endpoints: pulumi.Output[Endpoints]
    """Every name of this registry."""
    certificate: Certificate
    """The serving certificate."""

    def __init__(self, name: str, args: RegistryArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("registry:index:Registry", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)

        service = k8s.core.v1.Service(
            f"{name}-service",
            # The certificate needs the cluster IP, the pod the certificate, and the await the pod.
            metadata={
                "namespace": args.namespace,
                "name": args.service,
                "labels": LABELS,
                "annotations": {"pulumi.com/skipAwait": "true"},
            },
            # A field that is not said is never seen to differ: what a web console can change is said.
            spec={
                "type": "ClusterIP",
                "selector": LABELS,
                "session_affinity": args.limits.session_affinity,
                "ports": [{"name": PORT_NAME, "port": PORT, "target_port": PORT}],
            },
            opts=child,
        )
        self.service_name = service.metadata.name
        # A preview of a new Service has no cluster IP, or in a dry run one that no Service can have; what is stored
        # has a version.
        cluster_ip = pulumi.Output.all(service.metadata.resource_version, service.spec.cluster_ip).apply(
            lambda known: known[1] if known[0] else pulumi.UNKNOWN
        )
        self.endpoints = pulumi.Output.all(cluster_ip, args.namespace).apply(
            lambda known: Endpoints(
                cluster_ip=known[0], namespace=known[1], service=args.service, route_host=args.route_host
            )
        )
        self.certificate = Certificate(
            f"{name}-certificate",
            CertificateArgs(
                authority=args.authority,
                namespace=args.namespace,
                dns_names=self.endpoints.dns_names,
                ip_addresses=self.endpoints.ip_addresses,
                validity_hours=args.validity_hours,
                early_renewal_hours=args.early_renewal_hours,
            ),
            opts=child,
        )
        account = k8s.core.v1.ServiceAccount(
            f"{name}-account",
            metadata={"namespace": args.namespace, "name": "registry", "labels": LABELS},
            secrets=[{"name": self.certificate.secret_name}],
            automount_service_account_token=False,
            opts=child,
        )
        # A key of its own is made once and kept in the state, so its digest never changes either.
        seed = tls.PrivateKey(f"{name}-http-key", algorithm="ED25519", opts=child)
        http_secret = k8s.core.v1.Secret(
            f"{name}-http-secret",
            metadata={"namespace": args.namespace, "labels": LABELS},
            string_data={"secret": seed.private_key_pem.apply(lambda pem: sha256(pem.encode()).hexdigest())},
            opts=child,
        )
        # "/" answers 200 whether or not clients must log in; plain HTTP probes would restart the pod for ever.
        answers: k8s.core.v1.HTTPGetActionArgsDict = {"path": "/", "port": PORT, "scheme": "HTTPS"}
        container: k8s.core.v1.ContainerArgsDict = {
            "name": "registry",
            "image": args.image,
            "env": [
                *args.storage.environment,
                {"name": "REGISTRY_HTTP_ADDR", "value": f":{PORT}"},
                {
                    "name": "REGISTRY_HTTP_SECRET",
                    "value_from": {"secret_key_ref": {"name": http_secret.metadata.name, "key": "secret"}},
                },
                {"name": "REGISTRY_HTTP_DRAINTIMEOUT", "value": f"{_DRAIN_SECONDS}s"},
                {"name": "REGISTRY_STORAGE_DELETE_ENABLED", "value": str(args.deletable).lower()},
                {"name": "REGISTRY_HTTP_TLS_CERTIFICATE", "value": f"{_SECRETS}/tls.crt"},
                {"name": "REGISTRY_HTTP_TLS_KEY", "value": f"{_SECRETS}/tls.key"},
                # The official image serves profiles and metrics to everybody, in plain HTTP, and logs for developers.
                {"name": "REGISTRY_HTTP_DEBUG", "value": "{}"},
                {"name": "REGISTRY_LOG_LEVEL", "value": "info"},
                # Without a collector every request would log a failed export.
                {"name": "OTEL_TRACES_EXPORTER", "value": "none"},
            ],
            "ports": [{"name": "registry", "container_port": PORT}],
            "readiness_probe": {"http_get": answers, "period_seconds": 2},
            "liveness_probe": {"http_get": answers, "period_seconds": 10},
            "volume_mounts": [
                *args.storage.mounts,
                {"name": "registry-secrets", "mount_path": _SECRETS, "read_only": True},
            ],
        }
        if args.limits.strategy == "RollingUpdate":
            container["lifecycle"] = {"pre_stop": {"exec_": {"command": ["sleep", str(_LEAVE_SECONDS)]}}}
        pod: k8s.core.v1.PodSpecArgsDict = {
            "service_account_name": account.metadata.name,
            "termination_grace_period_seconds": _LEAVE_SECONDS + _DRAIN_SECONDS + 5,
            # Soft: a cluster with fewer nodes than pods still runs them all.
            "topology_spread_constraints": [
                {
                    "max_skew": 1,
                    "topology_key": "kubernetes.io/hostname",
                    "when_unsatisfiable": "ScheduleAnyway",
                    "label_selector": {"match_labels": LABELS},
                }
            ],
            "containers": [args.pods.container(container, requests={"cpu": "100m", "memory": "256Mi"})],
            "volumes": [
                *args.storage.volumes,
                {"name": "registry-secrets", "secret": {"secret_name": self.certificate.secret_name}},
            ],
        }
        before = [
            *([self._check_storage(name, args)] if args.storage.folder else []),
            *([args.filled_by] if args.filled_by else []),
        ]
        deployment = k8s.apps.v1.Deployment(
            f"{name}-deployment",
            metadata={"namespace": args.namespace, "name": args.service, "labels": LABELS},
            spec={
                "replicas": args.replicas,
                "strategy": _STRATEGIES[args.limits.strategy],
                "selector": {"match_labels": LABELS},
                "template": {"metadata": {"labels": LABELS}, "spec": args.pods.spec(pod)},
            },
            opts=pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=before)),
        )
        self.deployment_name = deployment.metadata.name
        k8s.policy.v1.PodDisruptionBudget(
            f"{name}-disruptions",
            metadata={"namespace": args.namespace, "name": args.service, "labels": LABELS},
            # One pod may go, so that a node with the only one can be drained.
            spec={"max_unavailable": 1, "selector": {"match_labels": LABELS}},
            opts=child,
        )
        k8s.networking.v1.NetworkPolicy(
            f"{name}-network",
            metadata={"namespace": args.namespace, "name": args.service, "labels": LABELS},
            spec={
                "pod_selector": {"match_labels": LABELS},
                "policy_types": ["Ingress", "Egress"],
                # From anywhere: kubelets pull from the network of their nodes.
                "ingress": [{"ports": [{"port": PORT, "protocol": "TCP"}]}],
                "egress": args.storage.egress,
            },
            opts=child,
        )
        self.register_outputs({"service_name": self.service_name})

    def _check_storage(self, name: str, args: RegistryArgs) -> k8s.batch.v1.Job:
        """Makes a Job that fails if the registry's user cannot write: a registry would start, and fail every push."""
        container = args.pods.container(
            {
                "name": "storage-check",
                "image": args.image,
                "command": ["/bin/sh", "-c", pulumi.Output.format(_WRITE, args.pods.user)],
                "volume_mounts": args.storage.mounts,
            },
            requests={"cpu": "50m", "memory": "64Mi"},
        )
        return k8s.batch.v1.Job(
            f"{name}-storage-check",
            # One that failed is run anew by the next `up`.
            metadata={"namespace": args.namespace, "annotations": {"pulumi.com/replaceUnready": "true"}},
            spec={
                "backoff_limit": 0,
                "template": {
                    "spec": args.pods.spec(
                        {"restart_policy": "Never", "containers": [container], "volumes": args.storage.volumes}
                    )
                },
            },
            # No reason to check the same storage again. A Job that failed, or never ran, is made anew with all of it.
            opts=pulumi.ResourceOptions(
                parent=self, ignore_changes=[f"spec.template.spec.{each}" for each in _HOW_CHECKED]
            ),
        )
