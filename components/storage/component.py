"""The component that every kind of storage is made by."""

from dataclasses import dataclass
from typing import Protocol

import pulumi

from components.storage.backend import Backend


class Kind(Protocol):
    """A kind of storage and its arguments."""

    def make(self, name: str, namespace: pulumi.Input[str], parent: pulumi.Resource) -> Backend:
        """Makes what the kind needs in a namespace, as children named after the component."""


@dataclass(frozen=True, kw_only=True)
class StorageArgs:
    """Arguments of `Storage`."""

    namespace: pulumi.Input[str]
    """Namespace of the registry. A change replaces everything."""
    kind: Kind
    """The kind of storage, with its own arguments."""


class Storage(pulumi.ComponentResource):
    """A place for the registry's images.

    Volumes and claims are protected and retained, and a volume's reclaim policy is Retain: neither `destroy` nor
    a rename touches the images.
    """

    backend: Backend
    """The pod's part of it."""

    def __init__(self, name: str, args: StorageArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("registry:index:Storage", name, None, opts)
        self.backend = args.kind.make(name, args.namespace, self)
        self.register_outputs({})


def kept(parent: pulumi.Resource, *depends_on: pulumi.Resource) -> pulumi.ResourceOptions:
    """Returns the options of what holds images."""
    return pulumi.ResourceOptions(parent=parent, protect=True, retain_on_delete=True, depends_on=depends_on)
