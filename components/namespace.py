"""The namespace of the registry, and whom its pods run as."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s

from components.pod import USER

_USERS = "openshift.io/sa.scc.uid-range"
_GROUPS = "openshift.io/sa.scc.supplemental-groups"


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Whom the pods of a namespace run as."""

    user: int
    """Their user."""
    fs_group: int
    """Group that owns their volumes."""


def identity(annotations: Mapping[str, str]) -> Identity:
    """Returns whom OpenShift lets pods run as, by the annotations of their namespace; `USER` where it has none.

    Raises:
        ValueError: a range cannot be read, or begins with root.
    """
    users = annotations.get(_USERS) or f"{USER}/1"
    # As OpenShift does where a namespace has a range of users alone.
    groups = annotations.get(_GROUPS) or users
    return Identity(user=_first(_USERS, users), fs_group=_first(_GROUPS, groups))


def _first(annotation: str, ranges: str) -> int:
    """Returns the first id of `first/size` or `first-last`; of several ranges OpenShift takes the first."""
    parts = re.fullmatch(r"([1-9][0-9]*)[/-][0-9]+(,.*)?", ranges)
    if not parts:
        raise ValueError(f"its annotation {annotation} is '{ranges}': it must be a range such as '1000650000/10000'")
    return int(parts[1])


@dataclass(frozen=True, kw_only=True)
class NamespaceArgs:
    """Arguments of `Namespace` and `ExistingNamespace`."""

    name: str
    """Name in the cluster. A change replaces a namespace that the stack made, and everything in it."""


class Namespace(pulumi.ComponentResource):
    """A namespace that admits only restricted pods. It holds the claim of the images, so it is protected and retained.

    On OpenShift its pods get the registry's user and group by the namespace's own range, so that no
    SecurityContextConstraints have to be granted; elsewhere these annotations mean nothing.
    """

    name: pulumi.Output[str]
    """Its name, known once it exists."""
    user: pulumi.Output[int]
    """User that its pods run as."""
    fs_group: pulumi.Output[int]
    """Group that owns their volumes."""

    def __init__(self, name: str, args: NamespaceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("registry:index:Namespace", name, None, opts)
        namespace = k8s.core.v1.Namespace(
            f"{name}-namespace",
            metadata={
                "name": args.name,
                "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
                "annotations": {
                    _USERS: f"{USER}/1",
                    _GROUPS: f"{USER}/1",
                    "openshift.io/sa.scc.mcs": "s0:c1023,c1001",
                },
            },
            opts=pulumi.ResourceOptions(parent=self, protect=True, retain_on_delete=True),
        )
        self.name = namespace.metadata.name
        self.user = self.fs_group = pulumi.Output.from_input(USER)
        self.register_outputs({"name": self.name, "user": self.user, "fs_group": self.fs_group})


class ExistingNamespace(pulumi.ComponentResource):
    """A namespace that somebody else made and keeps; only the range of its users and groups is read."""

    name: pulumi.Output[str]
    """Its name."""
    user: pulumi.Output[int]
    """User that its pods run as: the first of its range, which OpenShift enforces, or `USER` where it has none."""
    fs_group: pulumi.Output[int]
    """Group that owns their volumes."""

    def __init__(self, name: str, args: NamespaceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("registry:index:ExistingNamespace", name, None, opts)
        namespace = k8s.core.v1.Namespace.get(f"{name}-namespace", args.name, opts=pulumi.ResourceOptions(parent=self))

        def known(metadata: k8s.meta.v1.outputs.ObjectMeta) -> Identity:
            try:
                return identity(metadata.annotations or {})
            except ValueError as error:
                raise pulumi.RunError(f"registry:namespace '{args.name}' cannot be used: {error}") from error

        found = namespace.metadata.apply(known)
        self.name = pulumi.Output.from_input(args.name)
        self.user = found.user
        self.fs_group = found.fs_group
        self.register_outputs({"name": self.name, "user": self.user, "fs_group": self.fs_group})
