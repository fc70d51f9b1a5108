"""The pod that copies images from one storage to another."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import pulumi_kubernetes as k8s

from components import maintenance
from components.maintenance import Maintainer
from components.pod import Pods
from components.storage.backend import DATA, Backend

LONGEST_SECONDS = 48 * 60 * 60
"""After this time a copy is given up."""
_FOLDER = Path(__file__).parent
_COPY = (_FOLDER / "copy.sh").read_text()
_HOLD = maintenance.SCRIPT + (_FOLDER / "hold.sh").read_text()
Mode = Literal["backup", "restore", "move"]
"""What images are copied for; see copy.sh."""
Side = Literal["from", "to"]

_WORK: k8s.core.v1.VolumeMountArgsDict = {"name": "work", "mount_path": "/work"}


@dataclass(frozen=True, kw_only=True)
class Images:
    """Images of the tools, each with a tag or a digest."""

    kubectl: str
    """Image with a shell, the core utilities, awk and kubectl."""
    rclone: str
    """Image with a shell, the core utilities and rclone."""


@dataclass(frozen=True, kw_only=True)
class Copy:
    """What is copied, and how."""

    source: Backend
    """The storage that has the images."""
    target: Backend
    """The storage that gets them."""
    images: Images
    """Images of the tools."""
    pods: Pods
    """What the pod shares with the registry's; its nodes reach both."""
    labels: Mapping[str, str]
    """Labels of the registry's pods."""

    @property
    def reversed(self) -> "Copy":
        """The same the other way round."""
        return replace(self, source=self.target, target=self.source)


def job(copy: Copy, mode: Mode, maintainer: Maintainer | None = None) -> k8s.batch.v1.JobSpecArgsDict:
    """Returns a Job that copies: what failed has said why, and what was killed is tried again.

    Args:
        copy: What is copied.
        mode: What for.
        maintainer: Who makes the registry read-only while it must be; nobody for a backup.
    """
    containers = [_copier(copy, mode), *([_holder(copy, mode, maintainer)] if maintainer else [])]
    failures: list[k8s.batch.v1.PodFailurePolicyRuleArgsDict] = [
        {"action": "FailJob", "on_exit_codes": {"container_name": str(each["name"]), "operator": "In", "values": [1]}}
        for each in containers
    ]
    return {
        "active_deadline_seconds": LONGEST_SECONDS,
        # A move is tried again by the next `up`: Pulumi waits on for a Job that failed for another reason than this.
        "backoff_limit": 0 if mode == "move" else None,
        "pod_failure_policy": None if mode == "move" else {"rules": failures},
        "template": {
            "spec": copy.pods.spec(
                {
                    "restart_policy": "Never",
                    "service_account_name": maintainer.account if maintainer else None,
                    "automount_service_account_token": maintainer is not None,
                    # To make the registry writable again.
                    "termination_grace_period_seconds": 120,
                    "affinity": _beside(copy.labels),
                    "containers": containers,
                    "volumes": [
                        {"name": "work", "empty_dir": {}},
                        *_volumes("from", copy.source),
                        *_volumes("to", copy.target),
                    ],
                }
            )
        },
    }


def _copier(copy: Copy, mode: Mode) -> k8s.core.v1.ContainerArgsDict:
    return copy.pods.container(
        {
            "name": "copy",
            "image": copy.images.rclone,
            "command": ["/bin/sh", "-c", _COPY],
            "env": [
                {"name": "MODE", "value": mode},
                {"name": "HELD", "value": "" if mode == "backup" else "true"},
                *_access("from", copy.source),
                *_access("to", copy.target),
                {"name": "SSL_CERT_DIR", "value": ":".join(_authorities(copy))},
                # Everything is in these variables.
                {"name": "RCLONE_CONFIG", "value": ""},
            ],
            "volume_mounts": [_WORK, *_mounts("from", copy.source), *_mounts("to", copy.target)],
        },
        requests={"cpu": "100m", "memory": "256Mi"},
    )


def _holder(copy: Copy, mode: Mode, maintainer: Maintainer) -> k8s.core.v1.ContainerArgsDict:
    return copy.pods.container(
        {
            "name": "hold",
            "image": copy.images.kubectl,
            "command": ["/bin/sh", "-c", _HOLD],
            "env": [
                *maintainer.environment(mode),
                {"name": "POD", "value_from": {"field_ref": {"field_path": "metadata.name"}}},
                {"name": "CLAIM", "value": copy.target.claim or ""},
            ],
            "volume_mounts": [_WORK],
        },
        requests={"cpu": "50m", "memory": "64Mi"},
    )


def _beside(labels: Mapping[str, str]) -> k8s.core.v1.AffinityArgsDict:
    """The wish for the registry's node, which may be the only one that can use its volume; there may be no pod yet."""
    return {
        "pod_affinity": {
            "preferred_during_scheduling_ignored_during_execution": [
                {
                    "weight": 100,
                    "pod_affinity_term": {
                        "topology_key": "kubernetes.io/hostname",
                        "label_selector": {"match_labels": labels},
                    },
                }
            ]
        }
    }


def _volumes(side: Side, backend: Backend) -> list[k8s.core.v1.VolumeArgsDict]:
    return [{**volume, "name": f"{side}-{volume['name']}"} for volume in backend.volumes]


def _mounts(side: Side, backend: Backend) -> list[k8s.core.v1.VolumeMountArgsDict]:
    return [
        {**mount, "name": f"{side}-{mount['name']}", "mount_path": f"/{side}{mount['mount_path']}"}
        for mount in backend.mounts
    ]


def _access(side: Side, backend: Backend) -> list[k8s.core.v1.EnvVarArgsDict]:
    """Variables that say where a storage is, and how rclone gets there."""
    if backend.bucket is None:
        return [{"name": side.upper(), "value": f"/{side}{DATA}"}]
    options: list[k8s.core.v1.EnvVarArgsDict] = [
        {**option, "name": f"RCLONE_CONFIG_{side.upper()}_{option['name']}"} for option in backend.bucket.access
    ]
    return [{"name": side.upper(), "value": f"{side}:{backend.bucket.path}"}, *options]


def _authorities(copy: Copy) -> list[str]:
    """Folders of the CAs that signed the certificates of object stores."""
    mounts = [
        *(_mounts("from", copy.source) if copy.source.bucket else []),
        *(_mounts("to", copy.target) if copy.target.bucket else []),
    ]
    return [str(mount["mount_path"]) for mount in mounts]
