"""A folder that an NFS server exports."""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi

from components.storage.backend import Backend
from components.storage.component import StorageArgs, kept
from components.storage.static_volume import StaticVolume


@dataclass(frozen=True, kw_only=True)
class Nfs:
    """An NFS volume that any number of pods share. The export must let the registry's user write: it stays as it is."""

    server: pulumi.Input[str]
    """Host name or IP address of the server. A change replaces the volume."""
    path: pulumi.Input[str]
    """Absolute path of the exported folder. A change replaces the volume."""
    size: pulumi.Input[str]
    """Capacity as a Kubernetes quantity, such as `100Gi`; the server does not enforce it."""
    mount_options: Sequence[str] | None
    """Options of the mount, such as `nfsvers=4.1`; the node's own if None."""

    def make(self, name: str, args: StorageArgs, parent: pulumi.Resource) -> Backend:
        """Makes volume and claim."""
        return StaticVolume(
            size=self.size,
            access_mode="ReadWriteMany",
            source={
                "nfs": {"server": self.server, "path": self.path},
                "mount_options": self.mount_options,
            },
        ).make(name, args, kept(parent))
