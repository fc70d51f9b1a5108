"""Where the registry keeps its images."""

from dataclasses import dataclass

import pulumi
import pulumi_command as command
import pulumi_kubernetes as k8s

from components.ssh import Ssh

REGISTRY_UID = 1001
"""User and group that the registry runs as, and that owns its storage."""

# The folder comes on stdin, so that no path is ever read as shell text.
_PREPARE_FOLDER = f'IFS= read -r folder && install -d -m 0750 -o {REGISTRY_UID} -g {REGISTRY_UID} -- "$folder"'


@dataclass(frozen=True, kw_only=True)
class StorageArgs:
    """Arguments of `Storage`."""

    namespace: pulumi.Input[str]
    """Namespace of the claim. A change replaces volume and claim."""
    claim: str
    """Name of the claim. A change replaces volume and claim."""
    size: pulumi.Input[str]
    """Capacity as a Kubernetes quantity, such as `10Gi`."""
    path: pulumi.Input[str]
    """Absolute path of the folder on the node. A change replaces the volume."""
    node: pulumi.Input[str]
    """Name of the Kubernetes node that has the folder. A change replaces the volume."""
    ssh: Ssh
    """Login to that node, to make the folder."""


class Storage(pulumi.ComponentResource):
    """A hostPath volume on one named node, and the claim that is bound to it.

    The folder is made over SSH and owned by the registry's user. The volume is pinned to its node: on any
    other the pod would start with an empty folder. Volume and claim are protected and retained, and the
    volume's reclaim policy is Retain: neither `destroy` nor a rename touches the images.
    """

    claim_name: pulumi.Output[str]
    """Name of the bound PersistentVolumeClaim."""
    strategy: str
    """Deployment strategy the volume allows: `Recreate`, as two pods must not write to it at once."""

    def __init__(self, name: str, args: StorageArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("registry:index:Storage", name, None, opts)
        kept = pulumi.ResourceOptions(parent=self, protect=True, retain_on_delete=True)

        folder = command.remote.Command(
            f"{name}-folder",
            connection=args.ssh.connection,
            create=_PREPARE_FOLDER,
            stdin=pulumi.Output.concat(args.path, "\n"),
            add_previous_output_in_env=False,
            logging=command.remote.Logging.NONE,
            opts=pulumi.ResourceOptions(parent=self),
        )
        volume = k8s.core.v1.PersistentVolume(
            f"{name}-volume",
            metadata={"name": pulumi.Output.concat(args.namespace, "-", args.claim)},
            spec={
                "capacity": {"storage": args.size},
                "access_modes": ["ReadWriteOnce"],
                "persistent_volume_reclaim_policy": "Retain",
                # No class: neither a default class nor a provisioner may take part.
                "storage_class_name": "",
                "claim_ref": {"namespace": args.namespace, "name": args.claim},
                "host_path": {"path": args.path, "type": "Directory"},
                "node_affinity": {
                    "required": {
                        "node_selector_terms": [
                            {
                                "match_expressions": [
                                    {"key": "kubernetes.io/hostname", "operator": "In", "values": [args.node]}
                                ]
                            }
                        ]
                    }
                },
            },
            opts=pulumi.ResourceOptions.merge(kept, pulumi.ResourceOptions(depends_on=[folder])),
        )
        claim = k8s.core.v1.PersistentVolumeClaim(
            f"{name}-claim",
            metadata={"namespace": args.namespace, "name": args.claim},
            spec={
                "access_modes": ["ReadWriteOnce"],
                "storage_class_name": "",
                "volume_name": volume.metadata.name,
                "resources": {"requests": {"storage": args.size}},
            },
            opts=kept,
        )
        self.claim_name = claim.metadata.name
        self.strategy = "Recreate"
        self.register_outputs({"claim_name": self.claim_name, "strategy": self.strategy})
