"""The pod that a node's kubelet pulls for."""

from typing import Any

import pytest
from kubernetes import client

from verify.checks import nodes
from verify.cluster import Cluster

READY = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}


class AskedError(Exception):
    """A pod was asked for."""


@pytest.mark.parametrize("context", [{"runAsUser": 1000650000}, {}])
def test_a_node_pulls_for_the_registry_s_own_user_since_the_namespace_may_admit_no_other(
    monkeypatch: pytest.MonkeyPatch, context: dict[str, Any]
) -> None:
    asked: list[Any] = []

    def create(_core: object, _namespace: str, pod: Any, **_: object) -> None:
        asked.append(pod)
        raise AskedError

    monkeypatch.setattr(client.CoreV1Api, "create_namespaced_pod", create)
    deployment = {"spec": {"template": {"spec": {"securityContext": context}}}}
    cluster = Cluster(api=client.ApiClient(), deployment=deployment, nodes={"node1": READY})
    with pytest.raises(AskedError):
        nodes.pull(cluster, "docker-registry", "node1", ["registry.example.com/it@sha256:1"])
    assert asked[0]["spec"]["securityContext"]["runAsUser"] == context.get("runAsUser")
