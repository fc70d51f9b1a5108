"""A private container image registry for a Kubernetes or OpenShift cluster."""

import pulumi
import pulumi_kubernetes as k8s

import settings
from components import client, storage
from components.certificate import CertificateAuthority
from components.garbage_collection import GarbageCollection, GarbageCollectionArgs
from components.namespace import Namespace, NamespaceArgs
from components.node_trust import NodeTrust, NodeTrustArgs
from components.registry import Registry, RegistryArgs
from components.route import Route, RouteArgs
from components.ssh import Ssh
from settings.storage import (
    ClaimSettings,
    EmptyDirSettings,
    ExistingClaimSettings,
    HostPathSettings,
    NfsSettings,
    S3Settings,
    StorageSettings,
)

stack = settings.load()
nodes = {
    node.name: Ssh(
        host=node.host,
        port=node.port,
        user=stack.ssh.user,
        host_key=stack.ssh.host_key(node),
        private_key=stack.ssh.private_key,
    )
    for node in stack.nodes
}


def storage_kind(chosen: StorageSettings) -> storage.Kind:
    """Returns the kind of storage that the settings choose, with its arguments."""
    match chosen:
        case HostPathSettings():
            return storage.HostPath(path=chosen.path, node=chosen.node, size=chosen.size, ssh=nodes[chosen.node])
        case NfsSettings():
            return storage.Nfs(
                server=chosen.server, path=chosen.path, size=chosen.size, mount_options=chosen.mount_options
            )
        case ClaimSettings():
            return storage.NewClaim(class_name=chosen.class_name, size=chosen.size, access_mode=chosen.access_mode)
        case ExistingClaimSettings():
            return storage.ExistingClaim(name=chosen.name, access_mode=chosen.access_mode)
        case EmptyDirSettings():
            return storage.EmptyDir(size=chosen.size)
        case S3Settings():
            access_key, secret_key = chosen.credentials
            return storage.S3(
                bucket=chosen.bucket,
                region=chosen.region,
                endpoint=chosen.endpoint,
                ca_pem=chosen.ca_pem,
                root_directory=chosen.root_directory,
                access_key=access_key,
                secret_key=secret_key,
            )


cluster = k8s.Provider("cluster", kubeconfig=str(stack.kubeconfig), context=stack.context)
on_cluster = pulumi.ResourceOptions(provider=cluster)

namespace: pulumi.Input[str] = stack.namespace
if stack.create_namespace:
    namespace = Namespace("namespace", NamespaceArgs(name=stack.namespace), on_cluster).name
images = storage.Storage(
    f"storage-{stack.storage.kind.lower()}",
    storage.StorageArgs(namespace=namespace, kind=storage_kind(stack.storage)),
    on_cluster,
)
registry = Registry(
    "registry",
    RegistryArgs(
        service="docker-registry",
        namespace=namespace,
        image=stack.image,
        node_selector=stack.node_selector,
        replicas=stack.replicas,
        storage=images.backend,
        limits=stack.storage.limits,
        route_host=stack.route.host,
        authority=CertificateAuthority(cert_pem=stack.ca.cert_pem, key_pem=stack.ca.key_pem),
        validity_hours=stack.certificate.validity_hours,
        early_renewal_hours=stack.certificate.early_renewal_hours,
        deletable=stack.garbage_collection is not None,
    ),
    on_cluster,
)
route = Route(
    "route",
    RouteArgs(namespace=namespace, service_name=registry.service_name, host=stack.route.host),
    on_cluster,
)
if stack.garbage_collection:
    GarbageCollection(
        "garbage-collection",
        GarbageCollectionArgs(
            namespace=namespace,
            deployment=registry.deployment_name,
            labels=registry.labels,
            storage=images.backend,
            image=stack.garbage_collection.image,
            schedule=stack.garbage_collection.schedule,
            time_zone=stack.garbage_collection.time_zone,
            dry_run=stack.garbage_collection.dry_run,
            delete_untagged=stack.garbage_collection.delete_untagged,
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
