"""What the program asks the cluster before it describes anything to the engine.

Objects could be read as resources, too. But then the stack's state has the whole object, and every change of it is
drift: a node changes with each report of its kubelet.
"""

from http import HTTPStatus
from pathlib import Path
from typing import Any

import pulumi
from kubernetes import client
from kubernetes.client import ApiException
from kubernetes.config import ConfigException, new_client_from_config
from urllib3.exceptions import HTTPError

HOSTNAME = "kubernetes.io/hostname"
"""Label that pins a volume to a node: the scheduler looks at nothing else of the node. It may differ from its name."""
_SECONDS = 10


def hostname(kubeconfig: Path, context: str | None, node: str) -> str:
    """Returns the label `kubernetes.io/hostname` of a node.

    Raises:
        pulumi.RunError: The cluster does not answer, or has no such node, or the node has no such label.
    """
    try:
        api = new_client_from_config(str(kubeconfig), context=context)  # type: ignore[no-untyped-call]
        found: Any = client.CoreV1Api(api).read_node(node, _request_timeout=_SECONDS)
    except ApiException as error:
        if error.status == HTTPStatus.NOT_FOUND:
            raise pulumi.RunError(
                f"the cluster has no node '{node}', which is to keep the images: give its name as `kubectl get nodes` "
                "prints it"
            ) from None
        raise pulumi.RunError(_unread(node, f"{error.status} {error.reason}")) from None
    except (ConfigException, HTTPError) as error:
        raise pulumi.RunError(_unread(node, str(error))) from None
    labels: dict[str, str] = found.metadata.labels or {}
    if HOSTNAME not in labels:
        raise pulumi.RunError(
            f"node '{node}' has no label {HOSTNAME}, which a volume is pinned to it by: run "
            f"`kubectl label node {node} {HOSTNAME}={node}`"
        )
    return labels[HOSTNAME]


def _unread(node: str, reason: str) -> str:
    return f"node '{node}' cannot be read ({reason}): see whether `kubectl get node {node}` works with this kubeconfig"
