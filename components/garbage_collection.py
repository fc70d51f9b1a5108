"""The registry's garbage, collected on a schedule."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pulumi
import pulumi_kubernetes as k8s

from components import maintenance
from components.maintenance import Maintainer, MaintainerArgs
from components.pod import Pods
from components.storage.backend import DATA, Backend

_SCRIPT = maintenance.SCRIPT + Path(__file__).with_suffix(".sh").read_text()
_COLLECT = """\
(set -o pipefail) 2>/dev/null || {
    echo "the shell of this image has no option pipefail: give registry:image one with bash or busybox as /bin/sh" >&2
    exit 1
}
set -o pipefail
# Where version 3 of the image has it, and where version 2.
for configuration in /etc/distribution/config.yml /etc/docker/registry/config.yml; do
    if [ -e "$configuration" ]; then
        registry garbage-collect $FLAGS "$configuration" | while IFS= read -r line; do
            # A line for each blob that stays would be more than a log holds.
            case $line in *": marking "*) ;; *) echo "$line" ;; esac
        done
        exit
    fi
done
echo "the image has no configuration of the registry" >&2
exit 1
"""
_LONGEST_SECONDS = 6 * 60 * 60
_NAME = "registry-garbage-collection"
_LOCK = "registry-garbage"


@dataclass(frozen=True, kw_only=True)
class GarbageCollectionArgs:
    """Arguments of `GarbageCollection`."""

    namespace: pulumi.Input[str]
    """Namespace of the registry. A change replaces everything."""
    deployment: pulumi.Input[str]
    """Name of the registry's Deployment, whose container is `registry`."""
    labels: Mapping[str, str]
    """Labels of its pods."""
    storage: Backend
    """The pod's part of the storage that holds the images."""
    kubectl_image: str
    """Image with a shell, the core utilities, awk and kubectl, with a tag or a digest."""
    pods: Pods
    """What the pod shares with the registry's."""
    schedule: str
    """When to run, in the syntax of cron."""
    time_zone: str | None
    """Time zone of the schedule, such as `Europe/Paris`; the cluster's if None."""
    dry_run: bool
    """Whether to report what would be deleted, and delete nothing."""
    delete_untagged: bool
    """Whether to delete the manifests, too, that no tag and no other manifest refers to."""


class GarbageCollection(pulumi.ComponentResource):
    """A CronJob that deletes the blobs that no manifest refers to, and says how many bytes that freed.

    A dry run comes first, and if it finds nothing the registry is left alone. Otherwise the registry is read-only
    while blobs are deleted: pulls go on, pushes are refused. It becomes writable again whatever happens: a run that
    is told to stop sees to it, and one that is killed is tried again. There are never two.
    """

    def __init__(self, name: str, args: GarbageCollectionArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("registry:index:GarbageCollection", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        maintainer = Maintainer(
            f"{name}-maintainer",
            MaintainerArgs(
                namespace=args.namespace,
                name=_NAME,
                deployment=args.deployment,
                labels=args.labels,
                rules=[
                    {
                        "api_groups": ["batch"],
                        "resources": ["jobs"],
                        "verbs": ["create", "get", "list", "watch", "patch", "delete"],
                    },
                    # OpenShift asks for it of those who make a Job keep its CronJob.
                    {"api_groups": ["batch"], "resources": ["cronjobs/finalizers"], "verbs": ["update"]},
                    {"api_groups": [""], "resources": ["pods/log"], "verbs": ["get"]},
                ],
            ),
            child,
        )
        k8s.batch.v1.CronJob(
            f"{name}-schedule",
            metadata={"namespace": args.namespace, "name": _NAME, "labels": args.labels},
            spec={
                "schedule": args.schedule,
                "time_zone": args.time_zone,
                "concurrency_policy": "Forbid",
                # Without it a controller that was away too long starts no run ever again.
                "starting_deadline_seconds": 60 * 60,
                "job_template": {
                    "spec": {
                        "active_deadline_seconds": _LONGEST_SECONDS,
                        # A run that failed has made the registry writable; one that was killed is tried again.
                        "pod_failure_policy": {
                            "rules": [
                                {
                                    "action": "FailJob",
                                    "on_exit_codes": {"container_name": "run", "operator": "In", "values": [1]},
                                }
                            ]
                        },
                        "template": {"spec": self._pod(args, maintainer)},
                    }
                },
            },
            # A run that is deleted with it makes the registry writable, and for that it needs its rights.
            opts=pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=[maintainer])),
        )
        self.register_outputs({})

    def _pod(self, args: GarbageCollectionArgs, maintainer: Maintainer) -> k8s.core.v1.PodSpecArgsDict:
        variables = {
            "LOCK": _LOCK,
            "JOB": json.dumps(_job(args.labels)),
            "FLAGS": "--delete-untagged" if args.delete_untagged else "",
            "DRY_RUN": str(args.dry_run).lower(),
            "FOLDER": DATA if args.storage.folder else "",
        }
        environment: list[k8s.core.v1.EnvVarArgsDict] = [{"name": key, "value": variables[key]} for key in variables]
        run: k8s.core.v1.EnvVarArgsDict = {
            "name": "RUN",
            "value_from": {"field_ref": {"field_path": "metadata.labels['job-name']"}},
        }
        mounts: list[k8s.core.v1.VolumeMountArgsDict] = [{**mount, "read_only": True} for mount in args.storage.mounts]
        container = args.pods.container(
            {
                "name": "run",
                "image": args.kubectl_image,
                "command": ["/bin/sh", "-c", _SCRIPT],
                "env": [run, *maintainer.environment("garbage-collection"), *environment],
                "volume_mounts": [{"name": "tmp", "mount_path": "/tmp"}, *mounts],  # noqa: S108 (a volume)
            },
            requests={"cpu": "50m", "memory": "64Mi"},
        )
        return args.pods.spec(
            {
                "restart_policy": "Never",
                "service_account_name": maintainer.account,
                "automount_service_account_token": True,
                # To make the registry writable again.
                "termination_grace_period_seconds": 120,
                "affinity": _beside(args.labels) if args.storage.folder else None,
                "containers": [container],
                "volumes": [{"name": "tmp", "empty_dir": {}}, *args.storage.volumes],
            }
        )


def _beside(labels: Mapping[str, str]) -> Any:  # noqa: ANN401 (for Pulumi, and for kubectl)
    """The affinity to the registry's node, which may be the only one that can use the volume."""
    return {
        "podAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": [
                {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": dict(labels)}}
            ]
        }
    }


def _job(labels: Mapping[str, str]) -> dict[str, Any]:
    """What makes a Job with the pod of the registry one that collects its garbage; `FLAGS` are those of the command."""
    container = {
        "name": "registry",
        "command": ["/bin/sh", "-c", _COLLECT],
        "args": None,
        "readinessProbe": None,
        "livenessProbe": None,
        "lifecycle": None,
        "volumeMounts": [{"mountPath": "/registry-secrets", "$patch": "delete"}],
    }
    pod = {
        "restartPolicy": "Never",
        # It has nothing to finish.
        "terminationGracePeriodSeconds": 5,
        "topologySpreadConstraints": None,
        "affinity": _beside(labels),
        "containers": [container],
        # Once the certificate is renewed, its Secret of now is gone, and a pod would wait for it for ever.
        "volumes": [{"name": "registry-secrets", "$patch": "delete"}],
    }
    return {
        "metadata": {"name": _LOCK},
        "spec": {"suspend": True, "backoffLimit": 0, "template": {"spec": pod}},
    }
