"""A namespace whose quota counts requests refuses pods that request nothing."""

import json
from collections.abc import Callable

from tests.cluster.conftest import OtherStack, kubectl

NAME = "quota"
NAMESPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAME}}
QUOTA = {
    "apiVersion": "v1",
    "kind": "ResourceQuota",
    "metadata": {"name": "requests", "namespace": NAME},
    "spec": {"hard": {"requests.cpu": "1", "requests.memory": "1Gi"}},
}


def test_default_settings_bring_a_registry_up_under_a_quota_on_requests(
    other_stack: Callable[..., OtherStack],
) -> None:
    for each in (NAMESPACE, QUOTA):
        kubectl("apply", "--filename=-", stdin=json.dumps(each))
    stack = other_stack(NAME, createNamespace=False, storage={"kind": "emptyDir", "size": "1Gi"})
    stack.up()
    stack.pulumi("preview", "--expect-no-changes")
