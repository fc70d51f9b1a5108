"""The component that every kind of storage is made by."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import pulumi
from pydantic import ByteSize, TypeAdapter

from components.storage.backend import Backend


class Kind(Protocol):
    """A kind of storage and its arguments."""

    def make(self, name: str, args: "StorageArgs", parent: pulumi.Resource) -> Backend:
        """Makes what the kind needs, as children named after the component."""


@dataclass(frozen=True, kw_only=True)
class StorageArgs:
    """Arguments of `Storage`."""

    namespace: pulumi.Input[str]
    """Namespace of the registry. A change replaces everything."""
    claim: str
    """Name of the claim that it makes, if it makes one. A change replaces the claim, and the volume behind it."""
    user: pulumi.Input[int]
    """User and group that the pods run as, and that a folder made for them belongs to."""
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
        self.backend = args.kind.make(name, args, self)
        self.register_outputs({})


def kept(parent: pulumi.Resource, *depends_on: pulumi.Resource) -> pulumi.ResourceOptions:
    """Returns the options of what holds images: nothing deletes it or makes it smaller."""
    grows = pulumi.ResourceHook(
        f"{parent.pulumi_resource_name}-grows", _refuse_to_shrink, pulumi.ResourceHookOptions(on_dry_run=True)
    )
    return pulumi.ResourceOptions(
        parent=parent,
        protect=True,
        retain_on_delete=True,
        depends_on=depends_on,
        hooks=pulumi.ResourceHookBinding(before_update=[grows]),
    )


def _refuse_to_shrink(change: pulumi.ResourceHookArgs) -> None:
    old, new = _size(change.old_inputs), _size(change.new_inputs)
    if old and new and _bytes(new) < _bytes(old):
        raise ValueError(f"registry:storage.size '{new}' is less than the {old} that it has: no volume can shrink")


def _size(inputs: Mapping[str, Any] | None) -> str | None:
    """Returns the size of a volume or of a claim, a quantity; None while it is not known."""
    match inputs:
        case {"spec": {"capacity": {"storage": str(size)}}} | {
            "spec": {"resources": {"requests": {"storage": str(size)}}}
        }:
            return size
    return None


def _bytes(quantity: str) -> int:
    return TypeAdapter(ByteSize).validate_python(f"{quantity}B")
