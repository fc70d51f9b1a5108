"""A private container image registry for a Kubernetes or OpenShift cluster."""

import pulumi
import pulumi_kubernetes as k8s

import settings
from components import client
from components.certificate import CertificateAuthority
from components.node_trust import NodeTrust, NodeTrustArgs
from components.registry import Registry, RegistryArgs
from components.route import Route, RouteArgs
from components.ssh import Ssh
from components.storage import Storage, StorageArgs

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

cluster = k8s.Provider("cluster", kubeconfig=str(stack.kubeconfig), context=stack.context)
on_cluster = pulumi.ResourceOptions(provider=cluster)

namespace = k8s.core.v1.Namespace(
    "namespace",
    metadata={"name": stack.namespace, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
    # It holds the claim of the images.
    opts=pulumi.ResourceOptions(provider=cluster, protect=True, retain_on_delete=True),
)
storage = Storage(
    "storage",
    StorageArgs(
        namespace=namespace.metadata.name,
        claim="registry-storage",
        size=stack.storage.size,
        path=stack.storage.path,
        node=stack.storage.node,
        ssh=nodes[stack.storage.node],
    ),
    on_cluster,
)
registry = Registry(
    "registry",
    RegistryArgs(
        service="docker-registry",
        namespace=namespace.metadata.name,
        image=stack.image,
        node_selector=stack.node_selector,
        claim_name=storage.claim_name,
        strategy=storage.strategy,
        route_host=stack.route.host,
        authority=CertificateAuthority(cert_pem=stack.ca.cert_pem, key_pem=stack.ca.key_pem),
        validity_hours=stack.certificate.validity_hours,
        early_renewal_hours=stack.certificate.early_renewal_hours,
    ),
    on_cluster,
)
route = Route(
    "route",
    RouteArgs(namespace=namespace.metadata.name, service_name=registry.service_name, host=stack.route.host),
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
