"""A folder on one node."""

from dataclasses import dataclass

import pulumi
import pulumi_command as command
import pulumi_kubernetes as k8s

from components.ssh import Ssh
from components.storage.backend import Backend
from components.storage.component import StorageArgs, kept
from components.storage.static_volume import StaticVolume

# Folder and user come on stdin, so that no path is ever read as shell text.
_PREPARE = """\
IFS= read -r folder && read -r user || exit
owner=$(stat -c %u -- "$folder" 2>/dev/null || echo 0)
case $owner in
    0 | "$user") ;;
    *) echo "$folder belongs to user $owner: if nobody else needs it, give it to root first" >&2; exit 1 ;;
esac
install -d -m 0750 -o "$user" -g "$user" -- "$folder" || exit
# Images that a registry of root left there.
find "$folder" -xdev ! -user "$user" -exec chown -h "$user:$user" -- {} + || exit
if command -v selinuxenabled >/dev/null && selinuxenabled; then chcon -t container_file_t -l s0 -- "$folder"; fi
"""


@dataclass(frozen=True, kw_only=True)
class HostPath:
    """A hostPath volume pinned to the one node that has the folder: on any other, the pod would not start.

    The folder is made over SSH, owned by the registry's user, and labelled for containers where SELinux is on.
    """

    path: pulumi.Input[str]
    """Absolute path of the folder. A change replaces the volume."""
    hostname: pulumi.Input[str]
    """Label `kubernetes.io/hostname` of the node that has the folder, often its name. A change replaces the volume."""
    size: pulumi.Input[str]
    """Capacity as a Kubernetes quantity, such as `10Gi`."""
    ssh: Ssh
    """Login to that node, to make the folder."""

    def make(self, name: str, args: StorageArgs, parent: pulumi.Resource) -> Backend:
        """Makes folder, volume and claim."""
        folder = command.remote.Command(
            f"{name}-folder",
            connection=self.ssh.connection,
            create=self.ssh.as_root(_PREPARE),
            stdin=pulumi.Output.format("{}\n{}\n", self.path, args.user),
            add_previous_output_in_env=False,
            logging=command.remote.Logging.NONE,
            opts=pulumi.ResourceOptions(parent=parent),
        )
        on_node: k8s.core.v1.NodeSelectorTermArgsDict = {
            "match_expressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [self.hostname]}]
        }
        return StaticVolume(
            size=self.size,
            access_mode="ReadWriteOnce",
            source={
                "host_path": {"path": self.path, "type": "Directory"},
                "node_affinity": {"required": {"node_selector_terms": [on_node]}},
            },
        ).make(name, args, kept(parent, folder))
