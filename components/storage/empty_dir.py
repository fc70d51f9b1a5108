"""A folder that is lost with the pod."""

from dataclasses import dataclass

import pulumi

from components.storage.backend import Backend, folder
from components.storage.component import StorageArgs


@dataclass(frozen=True, kw_only=True)
class EmptyDir:
    """A folder of the pod, for trying things out; every run warns of it."""

    size: pulumi.Input[str]
    """Size at which the pod is evicted, as a Kubernetes quantity, such as `1Gi`."""

    def make(self, _name: str, _args: StorageArgs, parent: pulumi.Resource) -> Backend:
        """Makes nothing."""
        pulumi.log.warn("storage.kind is emptyDir: every image is lost with the pod", parent)
        return folder({"name": "storage", "empty_dir": {"size_limit": self.size}})
