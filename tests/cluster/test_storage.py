"""Every kind of storage keeps the images, whatever happens to pods, nodes and servers."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from sandbox import nfs, node, s3
from sandbox.topology import CONTROL_PLANE, NODES
from tests.cluster.api import Puller, Registry
from tests.cluster.conftest import OtherStack, Stack, kubectl, sandbox
from tests.cluster.images import write_image
from tests.cluster.storages import bucket_storage, class_with_volume, nfs_storage
from tests.conftest import ROOT

MakeStack = Callable[..., OtherStack]


@pytest.fixture
def export() -> Iterator[str]:
    """A folder of the NFS server that the registry's user may write to."""
    folder = f"{nfs.EXPORT}/storage-test"
    sandbox("exec", "--", "install", "-d", "-o", "1001", "-g", "1001", "-m", "0750", folder)
    yield folder
    sandbox("exec", "--", "rm", "-rf", folder)


@pytest.fixture
def workspace() -> Iterator[Path]:
    """A folder of the first node, which tests and its programs see alike."""
    folder = CONTROL_PLANE.root / "srv" / "storage-test"
    sandbox("exec", "--", "mkdir", "-p", "/srv/storage-test")
    yield folder
    sandbox("exec", "--", "rm", "-rf", "/srv/storage-test")


def copying(workspace: Path, stack: Stack, name: str, size: int = 1 << 16) -> tuple[str, tuple[str, ...]]:
    """Makes a new image; returns its digest and the client's command that pushes it through the Route."""
    made = write_image(workspace / name, size)
    return made, ("exec", "--", "skopeo", "--insecure-policy", "copy", "--preserve-digests",
                  f"dir:{workspace_in_node(workspace)}/{name}", f"docker://{stack.route_host}/{name}:1")  # fmt: skip


def push(workspace: Path, stack: Stack, name: str, size: int = 1 << 16) -> str:
    """Pushes a new image through the Route and returns its digest."""
    made, command = copying(workspace, stack, name, size)
    sandbox(*command)
    return made


def pull(workspace: Path, stack: Stack, reference: str) -> None:
    """Pulls every byte of an image; the client compares them with its digest."""
    sandbox("exec", "--", "skopeo", "--insecure-policy", "copy", f"docker://{stack.route_host}/{reference}",
            f"dir:{workspace_in_node(workspace)}/pulled")  # fmt: skip
    shutil.rmtree(workspace / "pulled")


def workspace_in_node(workspace: Path) -> str:
    return f"/{workspace.relative_to(CONTROL_PLANE.root)}"


def objects(stack: OtherStack, kind: str) -> list[Any]:
    """The registry's objects of a kind."""
    selector = "--selector=docker-registry=default"
    items: list[Any] = json.loads(kubectl("get", kind, selector, f"--namespace={stack.name}", "--output=json"))["items"]
    return items


def restart_pods(stack: OtherStack) -> None:
    kubectl("delete", "pods", f"--namespace={stack.name}", "--selector=docker-registry=default", "--wait")
    kubectl("rollout", "status", "deployment/docker-registry", f"--namespace={stack.name}", "--timeout=60s")


def registries(stack: OtherStack) -> list[psutil.Process]:
    """The registry processes of a stack's pods."""
    pods = [pod["metadata"]["uid"] for pod in objects(stack, "pods")]
    found = [process for process in psutil.process_iter() if process.name() == "registry"]
    return [each for each in found if any(pod in Path(f"/proc/{each.pid}/cgroup").read_text() for pod in pods)]


def test_two_pods_share_an_nfs_folder_and_lose_nothing(export: str, workspace: Path, other_stack: MakeStack) -> None:
    stack = other_stack(
        "storage-nfs", storage=nfs_storage(export), replicas=2, nodeSelector={"kubernetes.io/os": "linux"}
    )
    stack.up()
    assert {pod["spec"]["nodeName"] for pod in objects(stack, "pods")} == {node.name for node in NODES}
    assert [service["spec"]["sessionAffinity"] for service in objects(stack, "services")] == ["ClientIP"]

    two_clients_push_200_images(stack)
    pulls_never_fail_while_pods_are_exchanged(stack)

    acknowledged = {}
    nfs_server = node.supervisor(CONTROL_PLANE).supervisor
    for number in range(6):
        name = f"kept-{number}"
        made, command = copying(workspace, stack, name, size=1 << 24)
        with subprocess.Popen([sys.executable, "-m", "sandbox", *command], cwd=ROOT) as client:
            time.sleep(0.5)
            match number:
                case 1:
                    nfs_server.stopProcess("nfsd")
                    time.sleep(3)
                    nfs_server.startProcess("nfsd")
                case 3:
                    for process in registries(stack):
                        process.kill()
        if client.returncode == 0:
            acknowledged[f"{name}@{made}"] = True
        kubectl("rollout", "status", "deployment/docker-registry", f"--namespace={stack.name}", "--timeout=60s")
    assert {f"kept-{number}" for number in (0, 1, 2, 4, 5)} <= {name.partition("@")[0] for name in acknowledged}

    restart_pods(stack)
    for reference in acknowledged:
        pull(workspace, stack, reference)
    stack.pulumi("preview", "--expect-no-changes")


def pulls_never_fail_while_pods_are_exchanged(stack: OtherStack) -> None:
    digest = Registry(stack.cluster_ip).push("pulled", "1")
    with Puller(stack.cluster_ip, "pulled", digest) as puller:
        for _ in range(2):
            kubectl("rollout", "restart", "deployment/docker-registry", f"--namespace={stack.name}")
            kubectl("rollout", "status", "deployment/docker-registry", f"--namespace={stack.name}", "--timeout=60s")
    assert puller.failures == []
    assert puller.pulls > 20


def two_clients_push_200_images(stack: Stack) -> None:
    for client in NODES:
        folder = client.root / "srv" / "clients"
        sandbox("exec", f"--node={client.name}", "--", "mkdir", "-p", "/srv/clients")
        for number in range(100):
            write_image(folder / f"{client.name}-{number}")
    clients = [
        subprocess.Popen(
            [sys.executable, "-m", "sandbox", "exec", f"--node={client.name}", "--", "skopeo", "--insecure-policy",
             "sync", "--src=dir", "--dest=docker", "/srv/clients", f"{stack.route_host}/{client.name}"],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for client in NODES
    ]  # fmt: skip
    printed = [client.communicate()[0] for client in clients]
    assert [client.returncode for client in clients] == [0, 0], printed
    for client in NODES:
        sandbox("exec", f"--node={client.name}", "--", "rm", "-r", "/srv/clients")


def test_any_number_of_pods_share_a_bucket(workspace: Path, other_stack: MakeStack) -> None:
    storage = bucket_storage("/storage-test")
    stack = other_stack("storage-s3", storage=storage, replicas=3, nodeSelector={"kubernetes.io/os": "linux"})
    printed = stack.up()
    assert storage["secretKey"] not in printed
    assert len(objects(stack, "pods")) == 3
    pushed = push(workspace, stack, "kept", size=1 << 24)
    restart_pods(stack)
    pull(workspace, stack, f"kept@{pushed}")
    assert storage["secretKey"] not in stack.pulumi("preview", "--diff", "--expect-no-changes")
    sandbox("exec", "--", "rm", "-rf", f"{s3.BUCKETS}/{s3.BUCKET}/storage-test")


@pytest.fixture
def volume(workspace: Path) -> Iterator[str]:
    """A volume of an administrator, in a class of its own; returns the name of both."""
    sandbox("exec", "--", "install", "-d", "-o", "1001", "-g", "1001", f"{workspace_in_node(workspace)}/volume")
    name = "storage-test"
    with class_with_volume(name, f"{workspace_in_node(workspace)}/volume"):
        yield name


def test_a_claim_is_made_of_a_class_and_an_existing_one_is_used(
    volume: str, workspace: Path, other_stack: MakeStack
) -> None:
    stack = other_stack("storage-claim", storage={"kind": "claim", "className": volume, "size": "1Gi"})
    stack.up()
    pushed = push(workspace, stack, "kept")
    restart_pods(stack)
    pull(workspace, stack, f"kept@{pushed}")

    # The claim is somebody else's from now on, as one that this stack never made.
    stack.pulumi("state", "unprotect", "--all", "--yes")
    stack.configure(storage={"kind": "existingClaim", "name": "registry-claim", "accessMode": "ReadWriteMany"})
    refused = stack.up(check=False)
    assert "registry:storage.accessMode 'ReadWriteMany' is not one of claim 'registry-claim' (ReadWriteOnce)" in refused
    assert "Traceback" not in refused
    stack.configure(storage={"kind": "existingClaim", "name": "registry-claim"})
    stack.up()
    pull(workspace, stack, f"kept@{pushed}")


@contextmanager
def labelled(node_name: str, value: str) -> Iterator[None]:
    """Lets the label of a node's host name be another than the node's name, as clouds and administrators do."""
    set_label = ("label", "node", node_name, "--overwrite")
    kubectl(*set_label, f"kubernetes.io/hostname={value}")
    try:
        yield
    finally:
        kubectl(*set_label, f"kubernetes.io/hostname={node_name}")


@pytest.mark.alone
def test_a_folder_is_on_a_node_whose_host_name_is_not_its_name(other_stack: MakeStack) -> None:
    folder = "/srv/storage-label"
    storage = {"kind": "hostPath", "node": "node2", "path": folder, "size": "1Gi"}
    with labelled("node2", "worker-2.internal"):
        stack = other_stack("storage-label", storage=storage, nodeSelector={"kubernetes.io/os": "linux"})
        stack.pulumi("preview")
        stack.up()
        assert [pod["spec"]["nodeName"] for pod in objects(stack, "pods")] == ["node2"]
        # A node changes all the time: that is no drift.
        stack.pulumi("preview", "--refresh", "--expect-no-changes")
    sandbox("exec", "--node=node2", "--", "rm", "-rf", folder)


def test_an_empty_dir_warns_that_images_are_lost_with_the_pod(workspace: Path, other_stack: MakeStack) -> None:
    stack = other_stack("storage-emptydir", storage={"kind": "emptyDir", "size": "100Mi"})
    assert "storage.kind is emptyDir: every image is lost with the pod" in stack.up()
    pushed = push(workspace, stack, "lost")
    pull(workspace, stack, f"lost@{pushed}")
    restart_pods(stack)
    assert sandbox("exec", "--", "skopeo", "inspect", f"docker://{stack.route_host}/lost:1", check=False).returncode


def test_a_storage_that_the_registry_cannot_write_to_is_one_error_before_it_starts(
    export: str, other_stack: MakeStack
) -> None:
    sandbox("exec", "--", "chown", "0:0", export)
    settings = {"storage": nfs_storage(export), "nodeSelector": {"kubernetes.io/os": "linux"}}
    stack = other_stack("storage-readonly", **settings)
    printed = stack.up(check=False)
    assert "The registry, user and group 1001, cannot write to its storage: let it, then run again." in printed
    assert not objects(stack, "deployments")

    sandbox("exec", "--", "chown", "1001:1001", export)
    stack.configure(**settings, resources={"limits": {"cpu": 1}})
    stack.up()
    assert limits_of_check(stack) == {"cpu": "1"}
    # What was checked is not checked again because of how it was.
    stack.configure(**settings, resources={"limits": {"cpu": 2}})
    stack.up()
    assert limits_of_check(stack) == {"cpu": "1"}


def limits_of_check(stack: OtherStack) -> object:
    """The limits of the Job that checked the storage."""
    (job,) = json.loads(kubectl("get", "jobs", f"--namespace={stack.name}", "--output=json"))["items"]
    return job["spec"]["template"]["spec"]["containers"][0]["resources"].get("limits")


@pytest.fixture
def disk(workspace: Path) -> Iterator[str]:
    """A small disk of the first node."""
    folder = f"{workspace_in_node(workspace)}/disk"
    sandbox("exec", "--", "sh", "-c", f"mkdir {folder} && mount -t tmpfs -o size=24m tmpfs {folder}")
    yield folder
    sandbox("exec", "--", "umount", folder)


def test_a_full_disk_refuses_pushes_and_loses_nothing(disk: str, workspace: Path, other_stack: MakeStack) -> None:
    storage = {"kind": "hostPath", "node": CONTROL_PLANE.name, "path": f"{disk}/registry", "size": "24Mi"}
    stack = other_stack("storage-full", storage=storage)
    stack.up()
    sandbox("exec", "--", "fallocate", "-l", "12M", f"{disk}/filler")
    pushed = push(workspace, stack, "kept", size=1 << 22)
    _, command = copying(workspace, stack, "too-large", size=1 << 24)
    assert sandbox(*command, check=False).returncode
    pull(workspace, stack, f"kept@{pushed}")

    sandbox("exec", "--", "rm", f"{disk}/filler")
    again = push(workspace, stack, "after", size=1 << 20)
    for reference in (f"kept@{pushed}", f"after@{again}"):
        pull(workspace, stack, reference)
