"""What a storage gives to the registry's pod."""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s

DATA = "/registry"
"""Folder of the images in the pod, as the how-to has it."""


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """A bucket, for those who copy its objects with rclone."""

    path: str
    """Bucket and prefix of the images, `bucket/prefix`."""
    access: Sequence[k8s.core.v1.EnvVarArgsDict]
    """Options of rclone's S3 storage as variables, named without `RCLONE_CONFIG_` and the storage's name."""


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
    claim: pulumi.Input[str] | None = None
    """Name of the claim that holds the images; None if none does."""
    bucket: Bucket | None = None
    """The bucket of the images; None if they are files in a folder of the pod."""

    @property
    def folder(self) -> bool:
        """Whether the images are files in a folder of the pod."""
        return self.bucket is None


def folder(volume: k8s.core.v1.VolumeArgsDict, claim: pulumi.Input[str] | None = None) -> Backend:
    """Returns the backend that keeps images as files on one volume, behind a claim or not."""
    return Backend(
        environment=[{"name": "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY", "value": DATA}],
        volumes=[volume],
        mounts=[{"name": volume["name"], "mount_path": DATA}],
        claim=claim,
    )
