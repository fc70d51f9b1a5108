"""A volume that an administrator names, and the claim that is bound to it."""

from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s

from components.storage.backend import Backend
from components.storage.claim import claim_backend
from components.storage.component import StorageArgs


@dataclass(frozen=True, kw_only=True)
class StaticVolume:
    """A PersistentVolume and its claim, with what the two agree on."""

    size: pulumi.Input[str]
    """Capacity of the volume as a Kubernetes quantity; the claim asks for what the first one was."""
    access_mode: str
    """Access mode of both."""
    source: k8s.core.v1.PersistentVolumeSpecArgsDict
    """The source and what it needs, as they stand in the volume's spec."""

    def make(self, name: str, args: StorageArgs, options: pulumi.ResourceOptions) -> Backend:
        """Makes both, named after the component; the volume's name is that of the claim after the namespace's."""
        volume = k8s.core.v1.PersistentVolume(
            f"{name}-volume",
            metadata={"name": pulumi.Output.concat(args.namespace, "-", args.claim)},
            spec={
                "capacity": {"storage": self.size},
                "access_modes": [self.access_mode],
                "persistent_volume_reclaim_policy": "Retain",
                # No class: neither a default class nor a provisioner may take part.
                "storage_class_name": "",
                "claim_ref": {"namespace": args.namespace, "name": args.claim},
                **self.source,
            },
            opts=options,
        )
        claim = k8s.core.v1.PersistentVolumeClaim(
            f"{name}-claim",
            metadata={"namespace": args.namespace, "name": args.claim},
            spec={
                "access_modes": [self.access_mode],
                "storage_class_name": "",
                "volume_name": volume.metadata.name,
                "resources": {"requests": {"storage": self.size}},
            },
            # The API server lets nobody change the size of such a claim; the volume has it.
            opts=pulumi.ResourceOptions.merge(
                options, pulumi.ResourceOptions(ignore_changes=["spec.resources.requests.storage"])
            ),
        )
        return claim_backend(claim.metadata.name)
