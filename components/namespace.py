"""The namespace of the registry."""

from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s

from components.storage.backend import REGISTRY_UID


@dataclass(frozen=True, kw_only=True)
class NamespaceArgs:
    """Arguments of `Namespace`."""

    name: str
    """Name in the cluster. A change replaces it and everything in it."""


class Namespace(pulumi.ComponentResource):
    """A namespace that admits only restricted pods. It holds the claim of the images, so it is protected and retained.

    On OpenShift its pods get the registry's user and group by the namespace's own range, so that no
    SecurityContextConstraints have to be granted; elsewhere these annotations mean nothing.
    """

    name: pulumi.Output[str]
    """Its name, known once it exists."""

    def __init__(self, name: str, args: NamespaceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("registry:index:Namespace", name, None, opts)
        namespace = k8s.core.v1.Namespace(
            f"{name}-namespace",
            metadata={
                "name": args.name,
                "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
                "annotations": {
                    "openshift.io/sa.scc.uid-range": f"{REGISTRY_UID}/1",
                    "openshift.io/sa.scc.supplemental-groups": f"{REGISTRY_UID}/1",
                    "openshift.io/sa.scc.mcs": "s0:c1023,c1001",
                },
            },
            opts=pulumi.ResourceOptions(parent=self, protect=True, retain_on_delete=True),
        )
        self.name = namespace.metadata.name
        self.register_outputs({"name": self.name})
