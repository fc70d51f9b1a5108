"""The way into the cluster from outside."""

from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s

from components.endpoints import PORT_NAME

# Matches nothing but an admitting router's condition: where a path has several matches, the plugin looks at the first.
_ADMITTED = 'jsonpath={.status.ingress[*].conditions[?(@.type=="Admitted" && @.status=="True")]}'


@dataclass(frozen=True, kw_only=True)
class RouteArgs:
    """Arguments of `Route`."""

    namespace: pulumi.Input[str]
    """Namespace of the Service. A change replaces the Route."""
    service_name: pulumi.Input[str]
    """Name of the Service, and of the Route. A change replaces the Route."""
    host: pulumi.Input[str]
    """Host name under which clients outside the cluster reach the registry on port 443."""


class Route(pulumi.ComponentResource):
    """An OpenShift Route that passes TLS through to the registry: clients see the registry's own certificate.

    `up` ends when one of the routers has admitted the Route, and fails when none has within two minutes.
    """

    host: pulumi.Output[str]
    """The admitted host name."""

    def __init__(self, name: str, args: RouteArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("registry:index:Route", name, None, opts)
        route = k8s.apiextensions.CustomResource(
            f"{name}-route",
            api_version="route.openshift.io/v1",
            kind="Route",
            metadata={
                "namespace": args.namespace,
                "name": args.service_name,
                "labels": {"docker-registry": "default"},
                "annotations": {"pulumi.com/waitFor": _ADMITTED, "pulumi.com/timeoutSeconds": "120"},
            },
            spec={
                "host": args.host,
                "to": {"kind": "Service", "name": args.service_name},
                "port": {"targetPort": PORT_NAME},
                "tls": {"termination": "passthrough"},
            },
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.host = route.id.apply(lambda _: pulumi.Output.from_input(args.host))
        self.register_outputs({"host": self.host})
