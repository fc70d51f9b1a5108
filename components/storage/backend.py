"""What a storage gives to the registry's pod."""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi_kubernetes as k8s

DATA = "/registry"
"""Folder of the images in the pod, as the how-to has it."""
REGISTRY_UID = 1001
"""User and group that the registry runs as, and that its folder must let write."""


@dataclass(frozen=True, kw_only=True)
class Backend:
    """The pod's part of a storage."""

    environment: Sequence[k8s.core.v1.EnvVarArgsDict]
    """Variables that make the registry use it."""
    volumes: Sequence[k8s.core.v1.VolumeArgsDict] = ()
    """Volumes of the pod."""
    mounts: Sequence[k8s.core.v1.VolumeMountArgsDict] = ()
    """Where the container has them."""
    egress: Sequence[k8s.networking.v1.NetworkPolicyEgressRuleArgsDict] | None = None
    """What the pod must reach; nothing if None."""

    @property
    def folder(self) -> bool:
        """Whether the images are files in a folder of the pod."""
        return any(mount["mount_path"] == DATA for mount in self.mounts)


def folder(volume: k8s.core.v1.VolumeArgsDict) -> Backend:
    """Returns the backend that keeps images as files on one volume."""
    return Backend(
        environment=[{"name": "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY", "value": DATA}],
        volumes=[volume],
        mounts=[{"name": volume["name"], "mount_path": DATA}],
    )
