"""A private container image registry for a Kubernetes or OpenShift cluster."""

from functools import partial

import pulumi
import pulumi_kubernetes as k8s

import lookups
import settings
import storages
from components import client
from components.backup import Backup, BackupArgs
from components.certificate import CertificateAuthority
from components.copying import Copy, Images
from components.garbage_collection import GarbageCollection, GarbageCollectionArgs
from components.move import Move, MoveArgs, Reopening, ReopeningArgs
from components.namespace import ExistingNamespace, Namespace, NamespaceArgs
from components.node_trust import NodeTrust, NodeTrustArgs
from components.pod import Pods
from components.registry import LABELS, Registry, RegistryArgs
from components.route import Route, RouteArgs
from components.ssh import Ssh
from components.storage import Backend, Storage, StorageArgs
from settings.storage import StorageSettings

NAME = "docker-registry"

stack = settings.load()
nodes = {
    node.name: Ssh(
        host=node.host,
        port=node.port,
        user=stack.ssh.user_on(node),
        host_key=stack.ssh.host_key(node),
        private_key=stack.ssh.private_key,
    )
    for node in stack.nodes
}
cluster = k8s.Provider(
    "cluster", kubeconfig=str(stack.kubeconfig), context=stack.context, enable_server_side_apply=False
)
on_cluster = pulumi.ResourceOptions(provider=cluster)

namespace = (Namespace if stack.create_namespace else ExistingNamespace)(
    "namespace", NamespaceArgs(name=stack.namespace), on_cluster
)
pods = Pods(
    user=namespace.user,
    fs_group=namespace.fs_group,
    node_selector=stack.node_selector,
    tolerations=[
        {
            "key": each.key,
            "operator": each.operator,
            "value": each.value,
            "effect": each.effect,
            "toleration_seconds": each.toleration_seconds,
        }
        for each in stack.tolerations
    ],
    requests=stack.resources.requests.amounts,
    limits=stack.resources.limits.amounts,
    image_pull_secrets=stack.image_pull_secrets,
    priority_class=stack.priority_class_name,
)


def make_storage(chosen: StorageSettings, name: str = "storage", claim: str = "registry") -> Backend:
    """Makes the storage that settings choose; the names of component and claim end with its kind."""
    kind = chosen.kind.lower()
    args = StorageArgs(
        namespace=namespace.name,
        claim=f"{claim}-{kind}",
        user=namespace.user,
        kind=storages.kind(chosen, nodes, partial(lookups.hostname, stack.kubeconfig, stack.context)),
    )
    return Storage(f"{name}-{kind}", args, on_cluster).backend


def copy(source: Backend, target: Backend) -> Copy:
    """Returns how images get from one storage to another."""
    images = Images(kubectl=stack.tools.kubectl, rclone=stack.tools.rclone)
    return Copy(source=source, target=target, images=images, pods=pods, labels=LABELS)


images = make_storage(stack.storage)
move = None
if stack.move:
    move = Move(
        "move",
        MoveArgs(namespace=namespace.name, deployment=NAME, copy=copy(make_storage(stack.move.source), images)),
        on_cluster,
    )
registry = Registry(
    "registry",
    RegistryArgs(
        service=NAME,
        namespace=namespace.name,
        image=stack.image,
        pods=pods,
        replicas=stack.replicas,
        storage=images,
        limits=stack.storage.limits,
        route_host=stack.route.host,
        authority=CertificateAuthority(cert_pem=stack.ca.cert_pem, key_pem=stack.ca.key_pem),
        validity_hours=stack.certificate.validity_hours,
        early_renewal_hours=stack.certificate.early_renewal_hours,
        deletable=stack.garbage_collection is not None,
        filled_by=move,
    ),
    on_cluster,
)
if move:
    Reopening(
        "move-end",
        ReopeningArgs(
            namespace=namespace.name, move=move, registry=registry, kubectl_image=stack.tools.kubectl, pods=pods
        ),
        on_cluster,
    )
route = Route(
    "route",
    RouteArgs(namespace=namespace.name, service_name=registry.service_name, host=stack.route.host),
    on_cluster,
)
if stack.garbage_collection:
    GarbageCollection(
        "garbage-collection",
        GarbageCollectionArgs(
            namespace=namespace.name,
            deployment=registry.deployment_name,
            labels=LABELS,
            storage=images,
            kubectl_image=stack.tools.kubectl,
            pods=pods,
            schedule=stack.garbage_collection.schedule,
            time_zone=stack.garbage_collection.time_zone,
            dry_run=stack.garbage_collection.dry_run,
            delete_untagged=stack.garbage_collection.delete_untagged,
        ),
        on_cluster,
    )
if stack.backup:
    Backup(
        "backup",
        BackupArgs(
            namespace=namespace.name,
            deployment=registry.deployment_name,
            copy=copy(images, make_storage(stack.backup.storage, "backup-storage", "registry-backup")),
            schedule=stack.backup.schedule,
            time_zone=stack.backup.time_zone,
        ),
        on_cluster,
    )
trust = NodeTrust(
    "trust",
    NodeTrustArgs(
        owner=f"{pulumi.get_project()}/{pulumi.get_stack()}",
        endpoints=registry.endpoints,
        ca_pem=stack.ca.cert_pem,
        nodes=nodes,
    ),
)

pulumi.export("endpoints", registry.endpoints.addresses)
pulumi.export("route", pulumi.Output.concat("https://", route.host))
pulumi.export("caCertificate", stack.ca.cert_pem)
pulumi.export("certificateEnds", registry.certificate.validity_end_time)
pulumi.export("trustedBy", trust.files)
pulumi.export("login", pulumi.Output.concat("docker login ", route.host))
pulumi.export("clientTrustScript", client.trust_script(stack.route.host, stack.ca.cert_pem))
