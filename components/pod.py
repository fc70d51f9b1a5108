"""Every pod of the house: what all of them share, and what Pod Security's `restricted` asks of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s

USER = 1001
"""User and group that pods run as where their namespace asks for no other."""


@dataclass(frozen=True, kw_only=True)
class Pods:
    """What all pods share. A namespace's quota, limits and taints of its nodes are for each of them alike."""

    user: pulumi.Input[int]
    """User and group that they run as, and that storage must let write."""
    fs_group: pulumi.Input[int]
    """Group that owns the volumes whose owner Kubernetes sets."""
    node_selector: Mapping[str, str]
    """Labels of the nodes that may run them."""
    tolerations: Sequence[k8s.core.v1.TolerationArgsDict]
    """Taints of these nodes that they tolerate."""
    requests: Mapping[str, str]
    """What each container requests, by the resource; what is not in it keeps the container's own default."""
    limits: Mapping[str, str]
    """What each container may use at most, by the resource."""
    image_pull_secrets: Sequence[str]
    """Names of the Secrets to pull their images with."""
    priority_class: str | None
    """Name of their PriorityClass; the cluster's default if None."""

    def spec(self, pod: k8s.core.v1.PodSpecArgsDict) -> k8s.core.v1.PodSpecArgsDict:
        """Returns the spec of a pod: its own part, and the shared one; its containers are made by `container`."""
        return {
            "automount_service_account_token": False,
            "enable_service_links": False,
            "node_selector": self.node_selector,
            "tolerations": self.tolerations or None,
            "image_pull_secrets": [{"name": name} for name in self.image_pull_secrets] or None,
            "priority_class_name": self.priority_class,
            "security_context": {
                "run_as_non_root": True,
                "run_as_user": self.user,
                "run_as_group": self.user,
                "fs_group": self.fs_group,
                # Changing the owner of every file at each start takes minutes on a full volume.
                "fs_group_change_policy": "OnRootMismatch",
                "seccomp_profile": {"type": "RuntimeDefault"},
            },
            **pod,
        }

    def container(
        self, container: k8s.core.v1.ContainerArgsDict, requests: Mapping[str, str]
    ) -> k8s.core.v1.ContainerArgsDict:
        """Returns a container: its own part, what it requests where all request nothing else, and the shared part."""
        wanted = {**requests, **self.requests}
        return {
            **container,
            "resources": {"requests": wanted, "limits": self.limits or None} if wanted or self.limits else None,
            "termination_message_policy": "FallbackToLogsOnError",
            "security_context": {
                "allow_privilege_escalation": False,
                "read_only_root_filesystem": True,
                "capabilities": {"drop": ["ALL"]},
            },
        }
