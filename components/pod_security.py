"""What Pod Security's `restricted` asks of the registry's pods, and who they run as."""

import pulumi_kubernetes as k8s

from components.storage.backend import REGISTRY_UID

POD: k8s.core.v1.PodSecurityContextArgsDict = {
    "run_as_non_root": True,
    "run_as_user": REGISTRY_UID,
    "run_as_group": REGISTRY_UID,
    "fs_group": REGISTRY_UID,
    # Changing the owner of every file at each start takes minutes on a full volume.
    "fs_group_change_policy": "OnRootMismatch",
    "seccomp_profile": {"type": "RuntimeDefault"},
}
CONTAINER: k8s.core.v1.SecurityContextArgsDict = {
    "allow_privilege_escalation": False,
    "read_only_root_filesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
