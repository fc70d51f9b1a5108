"""The registry's images, moved from one storage to another."""

from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s

from components import maintenance
from components.copying import LONGEST_SECONDS, Copy, job
from components.maintenance import Maintainer, MaintainerArgs
from components.pod import Pods

_REPLACE_UNREADY = {"pulumi.com/replaceUnready": "true"}
_REOPEN = maintenance.SCRIPT + "make_writable\n"


@dataclass(frozen=True, kw_only=True)
class MoveArgs:
    """Arguments of `Move`. Another source or target starts another move."""

    namespace: pulumi.Input[str]
    """Namespace of the registry. A change replaces everything."""
    deployment: str
    """Name of the registry's Deployment, whose first container is `registry`."""
    copy: Copy
    """What is copied: the source is the storage that the registry leaves."""


class Move(pulumi.ComponentResource):
    """A Job that copies the registry's images to the storage that it gets next, and leaves it read-only.

    Most of it is done while the registry takes pushes; then it is read-only, and what has changed since follows. Every
    blob is compared with its digest, every other file with its source. If anything fails the registry is made
    writable again and goes on as it was. The Job does nothing once the registry has its new storage.

    What has the new storage must depend on it, and a `Reopening` on that. `up` waits for the Job for up to
    two days.
    """

    maintainer: Maintainer
    """Who may make the registry writable again."""
    job_name: pulumi.Output[str]
    """Name of the Job, known when it has succeeded."""

    def __init__(self, name: str, args: MoveArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("registry:index:Move", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        self.maintainer = Maintainer(
            f"{name}-maintainer",
            MaintainerArgs(
                namespace=args.namespace, name="registry-move", deployment=args.deployment, labels=args.copy.labels
            ),
            child,
        )
        self.job_name = k8s.batch.v1.Job(
            f"{name}-copy",
            metadata={
                "namespace": args.namespace,
                # One that failed is run anew by the next `up`.
                "annotations": {**_REPLACE_UNREADY, "pulumi.com/timeoutSeconds": str(LONGEST_SECONDS)},
            },
            spec=job(args.copy, "move", self.maintainer),
            # A Job that is deleted makes the registry writable, and for that it needs its rights.
            opts=pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=[self.maintainer])),
        ).metadata.name
        self.register_outputs({"job_name": self.job_name})


@dataclass(frozen=True, kw_only=True)
class ReopeningArgs:
    """Arguments of `Reopening`."""

    namespace: pulumi.Input[str]
    """Namespace of the registry. A change replaces everything."""
    move: Move
    """The move that made the registry read-only; another one reopens it anew."""
    registry: pulumi.Resource
    """The registry with its new storage, which comes first."""
    kubectl_image: str
    """Image with a shell, the core utilities and kubectl, with a tag or a digest."""
    pods: Pods
    """What the pod shares with the registry's."""


class Reopening(pulumi.ComponentResource):
    """A Job that makes the registry writable after a move."""

    def __init__(self, name: str, args: ReopeningArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("registry:index:Reopening", name, None, opts)
        reopen = args.pods.container(
            {
                "name": "reopen",
                "image": args.kubectl_image,
                "command": ["/bin/sh", "-c", _REOPEN],
                "env": [
                    *args.move.maintainer.environment("move"),
                    {"name": "MOVE", "value": args.move.job_name},
                ],
            },
            requests={"cpu": "50m", "memory": "64Mi"},
        )
        k8s.batch.v1.Job(
            f"{name}-job",
            metadata={"namespace": args.namespace, "annotations": _REPLACE_UNREADY},
            spec={
                "template": {
                    "spec": args.pods.spec(
                        {
                            "restart_policy": "Never",
                            "service_account_name": args.move.maintainer.account,
                            "automount_service_account_token": True,
                            "containers": [reopen],
                        }
                    )
                }
            },
            opts=pulumi.ResourceOptions(parent=self, depends_on=[args.registry]),
        )
        self.register_outputs({})
