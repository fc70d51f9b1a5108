import json
from types import SimpleNamespace
from typing import Any

import pytest
from kubernetes import client

from tests.unit.test_verify_objects import DEPLOYMENT
from verify.checks import storage
from verify.cluster import Cluster
from verify.proof import Fault, NotTried

PODS = [{"metadata": {"uid": "1"}, "spec": {"nodeName": "node1"}}]


def measured(monkeypatch: pytest.MonkeyPatch, *volumes: dict[str, Any]) -> Cluster:
    """A registry on whose node kubelet has measured these volumes."""
    pods = [{"podRef": {"uid": "0"}}, {"podRef": {"uid": "1"}, "volume": list(volumes)}]
    answer = SimpleNamespace(data=json.dumps({"pods": pods}).encode())
    monkeypatch.setattr(client.CoreV1Api, "connect_get_node_proxy_with_path", lambda *_, **__: answer)
    return Cluster(api=client.ApiClient(), deployment=DEPLOYMENT, pods=PODS)


SECRETS = {"name": "registry-secrets", "availableBytes": 0, "capacityBytes": 100}


def test_space_is_that_of_the_volume_with_the_images(monkeypatch: pytest.MonkeyPatch) -> None:
    images = {"name": "storage", "availableBytes": 50_000_000_000, "capacityBytes": 200_000_000_000}
    assert storage.of_pod(measured(monkeypatch, SECRETS, images)).detail == "50.0 GB of 200.0 GB free"


def test_less_than_a_twentieth_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    images = {"name": "storage", "availableBytes": 4_000_000_000, "capacityBytes": 100_000_000_000}
    with pytest.raises(Fault, match=r"only 4\.0 GB of 100\.0 GB free"):
        storage.of_pod(measured(monkeypatch, images))


def test_a_volume_that_is_not_measured_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotTried, match="kubelet has not measured the volume"):
        storage.of_pod(measured(monkeypatch, SECRETS))
