"""A namespace as administrators of a shared cluster give it: with users of its own, a quota, and tainted nodes."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox import nfs, s3
from sandbox.topology import CONTROL_PLANE
from tests.cluster.api import Registry
from tests.cluster.conftest import OtherStack, kubectl, sandbox
from tests.cluster.storages import bucket_storage, nfs_storage
from tests.cluster.test_moving import TOOLS, run
from tests.cluster.test_verify import verify

NAME = "given"
USER, GROUP = 1000650000, 1000660000
FOLDER = "/srv/given"
HOST_PATH = {"kind": "hostPath", "node": CONTROL_PLANE.name, "path": FOLDER, "size": "1Gi"}
EXPORT = f"{nfs.EXPORT}/given"
SETTINGS: dict[str, Any] = {
    "createNamespace": False,
    "tolerations": [{"key": "node-role.kubernetes.io/infra", "value": "reserved", "effect": "NoSchedule"}],
    "resources": {
        "requests": {"cpu": "20m", "memory": "64Mi"},
        "limits": {"cpu": 1, "memory": "256Mi", "ephemeral-storage": "1Gi"},
    },
    "imagePullSecrets": ["pull"],
    "priorityClassName": NAME,
    "garbageCollection": {"schedule": "0 3 1 1 *", "deleteUntagged": True},
    "tools": TOOLS,
}
NAMESPACE = {
    "apiVersion": "v1",
    "kind": "Namespace",
    "metadata": {
        "name": NAME,
        "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
        "annotations": {
            "openshift.io/sa.scc.uid-range": f"{USER}/10000",
            "openshift.io/sa.scc.supplemental-groups": f"{GROUP}/10000",
        },
    },
}
QUOTA = {
    "apiVersion": "v1",
    "kind": "ResourceQuota",
    "metadata": {"name": NAME, "namespace": NAME},
    "spec": {
        "hard": {
            **{f"requests.{name}": amount for name, amount in {"cpu": "1", "memory": "1Gi"}.items()},
            **{f"limits.{name}": amount for name, amount in {"cpu": "8", "memory": "2Gi"}.items()},
            "limits.ephemeral-storage": "8Gi",
        }
    },
}
BOUNDS = {
    "apiVersion": "v1",
    "kind": "LimitRange",
    "metadata": {"name": NAME, "namespace": NAME},
    "spec": {"limits": [{"type": "Container", "min": {"cpu": "10m", "memory": "16Mi"}}]},
}
PULL_SECRET = {
    "apiVersion": "v1",
    "kind": "Secret",
    "type": "kubernetes.io/dockerconfigjson",
    "metadata": {"name": "pull", "namespace": NAME},
    "stringData": {".dockerconfigjson": '{"auths": {}}'},
}
PRIORITY = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": NAME}, "value": 1000}
ADMISSION = "admissionregistration.k8s.io/v1"
POLICY = {
    "apiVersion": ADMISSION,
    "kind": "ValidatingAdmissionPolicy",
    "metadata": {"name": NAME},
    "spec": {
        "matchConstraints": {
            "resourceRules": [
                {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
            ]
        },
        "validations": [
            {
                "expression": "has(object.spec.securityContext) && has(object.spec.securityContext.runAsUser) && "
                f"object.spec.securityContext.runAsUser >= {USER} && "
                f"object.spec.securityContext.runAsUser < {USER + 10000}",
                "message": "runAsUser is outside the range of the namespace",
            },
            {
                "expression": "!has(object.spec.securityContext.fsGroup) || "
                f"object.spec.securityContext.fsGroup == {GROUP}",
                "message": "fsGroup is not the first group of the namespace",
            },
        ],
    },
}
BINDING = {
    "apiVersion": ADMISSION,
    "kind": "ValidatingAdmissionPolicyBinding",
    "metadata": {"name": NAME},
    "spec": {
        "policyName": NAME,
        "validationActions": ["Deny"],
        "matchResources": {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": NAME}}},
    },
}


@pytest.fixture(scope="module")
def namespace(kubeconfig: Path) -> Iterator[None]:  # noqa: ARG001 - needs the cluster
    """The namespace, before the stack comes."""
    objects = [NAMESPACE, QUOTA, BOUNDS, PULL_SECRET, PRIORITY, POLICY, BINDING]
    manifest = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    kubectl("apply", "--filename=-", stdin=manifest)
    yield
    kubectl("delete", "--filename=-", "--ignore-not-found", stdin=manifest)


@pytest.fixture(scope="module")
def stack(namespace: None, checkout: Path) -> Iterator[OtherStack]:  # noqa: ARG001 - needs the namespace
    other = OtherStack(NAME, checkout)
    other.configure(**SETTINGS, storage=HOST_PATH)
    other.pulumi("stack", "init")
    try:
        other.up()
        yield other
    finally:
        other.remove()
        sandbox("exec", "--", "rm", "-rf", FOLDER, EXPORT, f"{s3.BUCKETS}/{s3.BUCKET}/given")


@pytest.fixture(scope="module")
def registry(stack: OtherStack) -> Registry:
    return Registry(stack.cluster_ip)


def succeeds(stack: OtherStack, cron_job: str) -> str:
    """Runs a Job of a CronJob; returns its log."""
    how, log = run(stack, cron_job)
    assert how == "Complete", log
    return log


def test_a_registry_runs_as_the_first_user_of_the_namespace(stack: OtherStack, registry: Registry) -> None:
    pushed = registry.push("first", "1")
    assert registry.pull("first", "1") == pushed
    owners = sandbox("exec", "--", "find", FOLDER, "-printf", "%U:%G\n").stdout
    assert set(owners.split()) == {f"{USER}:{USER}"}
    stack.pulumi("preview", "--refresh", "--expect-no-changes")


def test_its_registry_passes_verify(stack: OtherStack) -> None:
    report = verify(name=stack.name, folder=stack.folder)
    assert report.failures() == {}


def test_its_garbage_is_collected(stack: OtherStack, registry: Registry) -> None:
    registry.push("garbage", "1")
    registry.push("garbage", "1")
    assert re.search("garbage collection: freed [1-9]", succeeds(stack, "registry-garbage-collection"))
    registry.push("writable", "1")


def test_it_is_backed_up_and_restored(stack: OtherStack, registry: Registry) -> None:
    kept = registry.push("kept", "1")
    backup = {"schedule": "0 3 1 1 *", "storage": bucket_storage("/given")}
    stack.configure(**SETTINGS, storage=HOST_PATH, backup=backup)
    stack.up()
    succeeds(stack, "registry-backup")
    sandbox("exec", "--", "rm", "-rf", f"{FOLDER}/docker")
    succeeds(stack, "registry-restore")
    assert registry.pull("kept", "1") == kept


def test_its_images_move(stack: OtherStack, registry: Registry) -> None:
    moved = registry.push("moved", "1")
    sandbox("exec", "--", "install", "-d", "-o", str(USER), "-g", str(USER), "-m", "0750", EXPORT)
    stack.configure(**SETTINGS, storage=nfs_storage(EXPORT), move={"from": HOST_PATH})
    stack.up()
    assert registry.pull("moved", "1") == moved
    registry.push("writable", "2")
