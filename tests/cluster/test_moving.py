"""Images move from one storage to another, and come back from a backup, and none is lost."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sandbox import nfs, s3
from sandbox.topology import CONTROL_PLANE
from sandbox.wait import until
from tests.cluster.api import Registry, pushing
from tests.cluster.conftest import OtherStack, kubectl, sandbox
from tests.cluster.storages import bucket_storage, class_with_volume, nfs_storage

MakeStack = Callable[..., OtherStack]
TOOLS = {"kubectl": "sandbox.local/kubectl:1.34.2", "rclone": "sandbox.local/rclone:1.76.0"}
FOLDER = "/srv/moving"
HOST_PATH = {"kind": "hostPath", "node": CONTROL_PLANE.name, "path": FOLDER, "size": "1Gi"}
EXPORT = f"{nfs.EXPORT}/moving"
NFS = nfs_storage(EXPORT)
CLASS = "moving"
CLAIM = {"kind": "claim", "className": CLASS, "size": "1Gi"}
V2 = "docker/registry/v2"


def in_node(*command: str) -> str:
    return sandbox("exec", "--", *command).stdout


@pytest.fixture(autouse=True)
def folders() -> Iterator[None]:
    """Nothing is left of a test."""
    yield
    in_node("rm", "-rf", FOLDER, EXPORT, f"{FOLDER}-claim", f"{s3.BUCKETS}/{s3.BUCKET}/moving")


@pytest.fixture
def bucket() -> dict[str, str]:
    """A prefix of the sandbox's bucket, as a storage."""
    return bucket_storage("/moving")


@pytest.fixture
def storage_class() -> Iterator[None]:
    """A class with one volume."""
    in_node("install", "-d", "-o", "1001", "-g", "1001", f"{FOLDER}-claim")
    with class_with_volume(CLASS, f"{FOLDER}-claim"):
        yield


@pytest.fixture
def export() -> None:
    in_node("install", "-d", "-o", "1001", "-g", "1001", "-m", "0750", EXPORT)


def let_go(stack: OtherStack, left: dict[str, Any], now: dict[str, Any]) -> None:
    """Lets the stack forget the storage that the images have left, as the runbook says."""
    component = f"storage-{left['kind'].lower()}-"
    for resource in json.loads(stack.pulumi("stack", "export"))["deployment"]["resources"]:
        if resource.get("protect") and resource["urn"].rpartition("::")[2].startswith(component):
            stack.pulumi("state", "unprotect", resource["urn"], "--yes")
    stack.configure(storage=now)
    stack.up()


def move(stack: OtherStack, source: dict[str, Any], target: dict[str, Any], pushed: dict[str, str]) -> None:
    """Moves while a client pushes; then everything that it pushed is there, and nothing else is to do."""
    registry = Registry(stack.cluster_ip)
    stack.configure(storage=target, move={"from": source}, tools=TOOLS)
    with pushing(registry) as accepted:
        stack.up()
        before = len(accepted)
        until(lambda: len(accepted) > before, "a push after the move", 60, "see the registry's log")
    pushed |= accepted
    for name, digest in pushed.items():
        assert registry.pull(name, "1") == digest
    # Pulumi saw the Deployment while it was read-only, and has to look again.
    stack.pulumi("preview", "--refresh", "--expect-no-changes")


@pytest.mark.usefixtures("export", "storage_class")
def test_images_move_between_kinds_of_storage_while_a_client_pushes(
    other_stack: MakeStack, bucket: dict[str, str]
) -> None:
    stack = other_stack("moving", storage=HOST_PATH)
    stack.up()
    registry = Registry(stack.cluster_ip)
    pushed = {f"before/{number}": registry.push(f"before/{number}", "1") for number in range(10)}
    pushed["platforms"] = registry.push_index("platforms", "1")

    move(stack, HOST_PATH, NFS, pushed)
    let_go(stack, HOST_PATH, NFS)
    move(stack, NFS, CLAIM, pushed)
    let_go(stack, NFS, CLAIM)
    move(stack, CLAIM, bucket, pushed)
    move(stack, bucket, CLAIM, pushed)

    for left in (FOLDER, EXPORT):
        assert in_node("ls", f"{left}/{V2}/repositories").split() == ["before", "platforms", "pushed"]


@pytest.mark.usefixtures("export")
def test_a_move_that_fails_leaves_the_registry_where_and_as_it_was(other_stack: MakeStack) -> None:
    stack = other_stack("moving-fails", storage=HOST_PATH)
    stack.up()
    registry = Registry(stack.cluster_ip)
    first = registry.push("first", "1")

    in_node("sh", "-c", f"mkdir -p {EXPORT}/{V2}/blobs/sha256 && chown -R 1001:1001 {EXPORT}")
    stack.configure(storage=NFS, move={"from": HOST_PATH}, tools=TOOLS)
    assert "move: the new storage has images already: choose one that has none" in stack.up(check=False)
    second = registry.push("second", "1")

    in_node("rm", "-r", f"{EXPORT}/docker")
    (digest,) = in_node("find", f"{FOLDER}/{V2}/blobs", "-name", "data", "-size", "+60k").splitlines()[:1]
    in_node("sh", "-c", f"mv {digest} {FOLDER}/kept && head -c 65536 /dev/zero >{digest} && chown 1001:1001 {digest}")
    assert "is not what its digest says" in stack.up(check=False)
    third = registry.push("third", "1")

    in_node("mv", f"{FOLDER}/kept", digest)
    in_node("find", f"{EXPORT}/{V2}/blobs", "-name", "data", "-delete")
    stack.up()
    for name, pushed in {"first": first, "second": second, "third": third}.items():
        assert registry.pull(name, "1") == pushed
    assert in_node("ls", f"{EXPORT}/{V2}/repositories").split() == ["first", "second", "third"]


def run(stack: OtherStack, cron_job: str) -> tuple[str, str]:
    """Makes a Job of a CronJob; returns how it ended, and its log."""
    name = f"{cron_job}-now"
    in_namespace = f"--namespace={stack.name}"
    kubectl("delete", "job", name, "--ignore-not-found", in_namespace)
    kubectl("create", "job", name, f"--from=cronjob/{cron_job}", in_namespace)

    def ended() -> str:
        job = json.loads(kubectl("get", "job", name, "--output=json", in_namespace))
        conditions = job["status"].get("conditions", [])
        return "".join(each["type"] for each in conditions if each["type"] in ("Complete", "Failed"))

    how = until(ended, f"the end of job {name}", 150, "see its log")
    log = kubectl("logs", f"--selector=job-name={name}", "--all-containers", "--tail=-1", in_namespace)
    return how, log


def test_images_come_back_from_a_backup(other_stack: MakeStack, bucket: dict[str, str]) -> None:
    stack = other_stack("restored", storage=HOST_PATH, tools=TOOLS, backup={"schedule": "0 3 1 1 *", "storage": bucket})
    stack.up()
    registry = Registry(stack.cluster_ip)
    pushed = {f"kept/{number}": registry.push(f"kept/{number}", "1") for number in range(5)}
    pushed["platforms"] = registry.push_index("platforms", "1")
    with pushing(registry):
        how, log = run(stack, "registry-backup")
    assert how == "Complete", log

    in_node("rm", "-rf", f"{FOLDER}/docker")
    registry.push("kept/0", "1")
    after = registry.push("after", "1")
    how, log = run(stack, "registry-restore")
    assert how == "Complete", log
    for name, digest in pushed.items():
        assert registry.pull(name, "1") == digest
    assert registry.pull("after", "1") == after
    registry.push("writable", "1")
    stack.pulumi("preview", "--expect-no-changes")

    stored = f"{s3.BUCKETS}/{s3.BUCKET}/moving/{V2}/blobs"
    layer = registry.layer("kept/0", "1")
    blob = f"{stored}/sha256/{layer[7:9]}/{layer[7:]}/data"
    in_node("sh", "-c", f"head -c 65536 /dev/zero >{blob}")
    in_node("rm", "-rf", f"{FOLDER}/docker")
    how, log = run(stack, "registry-restore")
    assert how == "Failed"
    assert layer.removeprefix("sha256:") in log
    assert registry.pull("kept/1", "1") == pushed["kept/1"]
    registry.push("writable", "2")
