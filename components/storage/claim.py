"""A claim: one that exists, or one made from a storage class."""

from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s

from components.storage.backend import Backend, folder
from components.storage.component import StorageArgs, kept


@dataclass(frozen=True, kw_only=True)
class NewClaim:
    """A claim for whose volume the storage class's provisioner cares."""

    class_name: str | None
    """StorageClass; the cluster's default if None. A change replaces the claim."""
    size: pulumi.Input[str]
    """Size as a Kubernetes quantity, such as `100Gi`."""
    access_mode: str
    """`ReadWriteOnce` or `ReadWriteMany`. A change replaces the claim."""

    def make(self, name: str, args: StorageArgs, parent: pulumi.Resource) -> Backend:
        """Makes the claim."""
        claim = k8s.core.v1.PersistentVolumeClaim(
            f"{name}-claim",
            metadata={"namespace": args.namespace, "name": args.claim},
            spec={
                "access_modes": [self.access_mode],
                "storage_class_name": self.class_name,
                "resources": {"requests": {"storage": self.size}},
            },
            opts=kept(parent),
        )
        return claim_backend(claim.metadata.name)


@dataclass(frozen=True, kw_only=True)
class ExistingClaim:
    """A claim that somebody else made and keeps; only its access mode is looked at."""

    name: str
    """Name of the claim in the registry's namespace."""
    access_mode: str
    """Access mode that it must have."""

    def make(self, name: str, args: StorageArgs, parent: pulumi.Resource) -> Backend:
        """Reads the claim.

        Raises:
            pulumi.RunError: it does not have the access mode.
        """
        claim = k8s.core.v1.PersistentVolumeClaim.get(
            f"{name}-claim",
            pulumi.Output.concat(args.namespace, "/", self.name),
            opts=pulumi.ResourceOptions(parent=parent),
        )
        return claim_backend(claim.spec.access_modes.apply(self._checked))

    def _checked(self, modes: list[str]) -> str:
        if self.access_mode not in modes:
            raise pulumi.RunError(
                f"registry:storage.accessMode '{self.access_mode}' is not one of claim '{self.name}' "
                f"({', '.join(modes)}): set it to one of these"
            )
        return self.name


def claim_backend(claim_name: pulumi.Input[str]) -> Backend:
    """Returns the backend that keeps images on a claim."""
    return folder({"name": "storage", "persistent_volume_claim": {"claim_name": claim_name}}, claim_name)
