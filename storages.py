"""The storages that a stack's settings choose, as components make them."""

from collections.abc import Callable, Mapping

from components import storage
from components.ssh import Ssh
from settings.storage import (
    ClaimSettings,
    EmptyDirSettings,
    ExistingClaimSettings,
    HostPathSettings,
    NfsSettings,
    S3Settings,
    StorageSettings,
)


def kind(chosen: StorageSettings, nodes: Mapping[str, Ssh], hostname: Callable[[str], str]) -> storage.Kind:
    """Returns the kind of storage that settings choose, with its arguments.

    Args:
        chosen: The settings.
        nodes: Login to each node, by the node's name.
        hostname: Returns the label `kubernetes.io/hostname` of a node, by the node's name.
    """
    match chosen:
        case HostPathSettings():
            return storage.HostPath(
                path=chosen.path, hostname=hostname(chosen.node), size=chosen.size, ssh=nodes[chosen.node]
            )
        case NfsSettings():
            return storage.Nfs(
                server=chosen.server, path=chosen.path, size=chosen.size, mount_options=chosen.mount_options
            )
        case ClaimSettings():
            return storage.NewClaim(class_name=chosen.class_name, size=chosen.size, access_mode=chosen.access_mode)
        case ExistingClaimSettings():
            return storage.ExistingClaim(name=chosen.name, access_mode=chosen.access_mode)
        case EmptyDirSettings():
            return storage.EmptyDir(size=chosen.size)
        case S3Settings():
            access_key, secret_key = chosen.credentials
            return storage.S3(
                bucket=chosen.bucket,
                region=chosen.region,
                endpoint=chosen.endpoint,
                ca_pem=chosen.ca_pem,
                root_directory=chosen.root_directory,
                access_key=access_key,
                secret_key=secret_key,
            )
