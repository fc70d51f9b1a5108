"""The registry's images, backed up on a schedule, and restored when somebody says so."""

from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s

from components.copying import Copy, job
from components.maintenance import Maintainer, MaintainerArgs

_NEVER = "0 0 31 2 *"


@dataclass(frozen=True, kw_only=True)
class BackupArgs:
    """Arguments of `Backup`."""

    namespace: pulumi.Input[str]
    """Namespace of the registry. A change replaces everything."""
    deployment: pulumi.Input[str]
    """Name of the registry's Deployment, whose first container is `registry`."""
    copy: Copy
    """What is copied: the source is the registry's storage, the target that of the backup."""
    schedule: str
    """When to back up, in the syntax of cron."""
    time_zone: str | None
    """Time zone of the schedule, such as `Europe/Paris`; the cluster's if None."""


class Backup(pulumi.ComponentResource):
    """Two CronJobs: `registry-backup` runs on its schedule, `registry-restore` when somebody makes a Job of it.

    A backup copies what it does not have yet, while the registry takes pushes, and removes nothing. A restore brings
    everything in it back, tags included, while the registry is read-only, and compares every blob with its digest.
    """

    def __init__(self, name: str, args: BackupArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("registry:index:Backup", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        k8s.batch.v1.CronJob(
            f"{name}-backup",
            metadata={"namespace": args.namespace, "name": "registry-backup", "labels": args.copy.labels},
            spec={
                "schedule": args.schedule,
                "time_zone": args.time_zone,
                "concurrency_policy": "Forbid",
                # Without it a controller that was away too long starts no run ever again.
                "starting_deadline_seconds": 60 * 60,
                "job_template": {"spec": job(args.copy, "backup")},
            },
            opts=child,
        )
        maintainer = Maintainer(
            f"{name}-maintainer",
            MaintainerArgs(
                namespace=args.namespace, name="registry-restore", deployment=args.deployment, labels=args.copy.labels
            ),
            child,
        )
        k8s.batch.v1.CronJob(
            f"{name}-restore",
            metadata={"namespace": args.namespace, "name": "registry-restore", "labels": args.copy.labels},
            spec={
                "schedule": _NEVER,
                "suspend": True,
                "concurrency_policy": "Forbid",
                "job_template": {"spec": job(args.copy.reversed, "restore", maintainer)},
            },
            # A run that is deleted with it makes the registry writable, and for that it needs its rights.
            opts=pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=[maintainer])),
        )
        self.register_outputs({})
