"""Garbage goes, and nothing else does, whatever happens to those who collect it."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from sandbox import layout, nfs
from sandbox.topology import CONTROL_PLANE
from sandbox.wait import until
from tests.cluster.api import Registry, pushing
from tests.cluster.conftest import OtherStack, kubectl, run, sandbox
from tests.cluster.storages import nfs_storage

CRON_JOB = "cronjob/registry-garbage-collection"
SETTINGS = {"schedule": "0 3 1 1 *", "deleteUntagged": True}
TOOLS = {"kubectl": "sandbox.local/kubectl:1.34.2"}
FOLDER = "/srv/garbage"
HOST_PATH = {"kind": "hostPath", "node": CONTROL_PLANE.name, "path": FOLDER, "size": "1Gi"}
NFS_FOLDER = f"{nfs.EXPORT}/garbage"
NFS = nfs_storage(NFS_FOLDER)
SEVERAL_PODS = {"replicas": 2, "nodeSelector": {"kubernetes.io/os": "linux"}}
LAYER = 1 << 20


class Collected:
    """A stack whose garbage is collected."""

    def __init__(self, stack: OtherStack) -> None:
        self.stack = stack
        self.registry = Registry(stack.cluster_ip)

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        return kubectl(*arguments, f"--namespace={self.stack.name}", stdin=stdin)

    def start(self, name: str) -> None:
        self.kubectl("create", "job", name, f"--from={CRON_JOB}")

    def start_dry_run(self, name: str) -> None:
        job = self.kubectl("create", "job", name, f"--from={CRON_JOB}", "--dry-run=client", "--output=json")
        job = kubectl("set", "env", "--local", "--filename=-", "DRY_RUN=true", "--output=json", stdin=job)
        self.kubectl("create", "--filename=-", stdin=job)

    def end(self, name: str) -> tuple[str, str]:
        """Waits for the end of a run; returns how it ended and what it logged."""

        def ended() -> str:
            conditions = json.loads(self.kubectl("get", "job", name, "--output=json"))["status"].get("conditions", [])
            return "".join(each["type"] for each in conditions if each["type"] in ("Complete", "Failed"))

        how = until(ended, f"the end of job {name}", 150, "see its log")
        return how, self.kubectl("logs", f"--selector=job-name={name}", "--tail=-1")

    def collect(self, name: str) -> str:
        """Runs once, and returns the log."""
        self.start(name)
        how, log = self.end(name)
        assert how == "Complete", log
        return log

    @property
    def pod_template(self) -> Any:
        return json.loads(self.kubectl("get", "deployment/docker-registry", "--output=json"))["spec"]["template"]

    @property
    def read_only(self) -> bool:
        return "REGISTRY_STORAGE_MAINTENANCE_READONLY" in json.dumps(self.pod_template)

    @property
    def pods(self) -> set[str]:
        return set(self.kubectl("get", "pods", "--selector=docker-registry=default", "--output=name").split())

    @property
    def lock(self) -> str:
        return self.kubectl("get", "job", "registry-garbage", "--ignore-not-found", "--output=name")

    @contextmanager
    def held_while_read_only(self, name: str) -> Iterator[None]:
        """A run that has made the registry read-only, and whose deleting does not get a pod until the block ends."""

        def let_go() -> bool:
            query = ("get", "job", "registry-garbage", "--ignore-not-found", "--output=jsonpath={.spec.suspend}")
            return self.read_only and self.kubectl(*query) == "false"

        with no_deleting(self.stack.name):
            self.start(name)
            until(let_go, "the deleting while the registry is read-only", 120, "see the job's log")
            yield

    def make_garbage(self) -> str:
        """Pushes two images under one name; returns the digest of the one that nobody refers to any more."""
        lost = self.registry.push("garbage", "1", LAYER)
        self.registry.push("garbage", "1")
        return lost

    def is_gone(self, digest: str) -> bool:
        try:
            self.registry.pull("garbage", digest)
        except httpx.HTTPStatusError as error:
            return error.response.status_code == httpx.codes.NOT_FOUND
        return False

    def check_that_it_works(self) -> None:
        """Nothing is left of a run, and pushes and pulls work."""
        self.kubectl("rollout", "status", "deployment/docker-registry", "--timeout=60s")
        assert not self.lock
        assert not self.read_only
        pushed = self.registry.push("after", "1")
        assert self.registry.pull("after", "1") == pushed


@contextmanager
def no_deleting(namespace: str) -> Iterator[None]:
    """No pod that deletes garbage is let into a namespace; those that only look are."""
    name, group = "no-deleting", {"apiVersion": "admissionregistration.k8s.io/v1"}
    deletes = {"name": "registry", "image": "none", "env": [{"name": "FLAGS", "value": "--delete-untagged"}]}
    looks_like_that = "c.name == 'registry' && has(c.env) && c.env.exists(e, e.name == 'FLAGS' && e.value == '{}')"
    condition = f"!object.spec.containers.exists(c, {looks_like_that.format('--delete-untagged')})"
    pods = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
    policy = {"matchConstraints": {"resourceRules": [pods]}, "validations": [{"expression": condition}]}
    # In the other namespace a pod of any kind may be tried out.
    within = {"key": "kubernetes.io/metadata.name", "operator": "In", "values": [namespace, "default"]}
    binding = {
        "policyName": name,
        "validationActions": ["Deny"],
        "matchResources": {"namespaceSelector": {"matchExpressions": [within]}},
    }
    objects = [
        {**group, "kind": "ValidatingAdmissionPolicy", "metadata": {"name": name}, "spec": policy},
        {**group, "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": name}, "spec": binding},
    ]
    manifest = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    tried = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": [deletes]}}
    kubectl("apply", "--filename=-", stdin=manifest)
    try:
        command = (layout.BIN / "kubectl", f"--kubeconfig={layout.KUBECONFIG}", "create", "--filename=-")
        until(
            lambda: name in run(*command, "--dry-run=server", stdin=json.dumps(tried), check=False).stderr.split("'"),
            "the policy",
            30,
            "see the API server's log",
        )
        yield
    finally:
        kubectl("delete", "--filename=-", stdin=manifest)


@pytest.fixture(scope="module")
def collected(kubeconfig: Path, checkout: Path) -> Iterator[Collected]:  # noqa: ARG001 - needs the cluster
    """A stack with one pod and a folder of one node."""
    other = OtherStack("garbage", checkout)
    other.configure(storage=HOST_PATH, garbageCollection=SETTINGS, tools=TOOLS)
    other.pulumi("stack", "init")
    try:
        other.up()
        yield Collected(other)
    finally:
        other.remove()
        sandbox("exec", "--", "rm", "-rf", FOLDER)


@pytest.fixture
def shared(other_stack: Callable[..., OtherStack]) -> Iterator[Collected]:
    """A stack with two pods and a folder that they share."""
    sandbox("exec", "--", "install", "-d", "-o", "1001", "-g", "1001", "-m", "0750", NFS_FOLDER)
    other = other_stack("garbage-nfs", storage=NFS, garbageCollection=SETTINGS, tools=TOOLS, **SEVERAL_PODS)
    other.up()
    yield Collected(other)
    sandbox("exec", "--", "rm", "-rf", NFS_FOLDER)


def freed(log: str, said: str = "freed") -> int:
    (size,) = re.findall(rf"^garbage collection: {said} \d+ blobs, (\d+) bytes$", log, re.MULTILINE)
    return int(size)


def test_a_registry_without_images_has_no_garbage(collected: Collected) -> None:
    assert "garbage collection: nothing to free" in collected.collect("empty")


def collect_while_a_client_pushes(collected: Collected) -> None:
    registry = collected.registry
    garbage, deleted = collected.make_garbage(), registry.push("deleted", "1", LAYER)
    registry.delete("deleted", deleted)
    index = registry.push_index("platforms", "1")

    with pushing(registry) as pushed:
        log = collected.collect("while-pushing")
        before = len(pushed)
        until(lambda: len(pushed) > before, "a push after the run", 60, "see the registry's log")

    assert freed(log) >= 2 * LAYER
    assert collected.is_gone(garbage)
    assert registry.pull("platforms", "1") == index
    for name, digest in pushed.items():
        assert registry.pull(name, "1") == digest
    collected.check_that_it_works()
    collected.stack.pulumi("preview", "--expect-no-changes")


def test_one_pod_is_collected_while_a_client_pushes(collected: Collected) -> None:
    collect_while_a_client_pushes(collected)
    used = sandbox("exec", "--", "find", FOLDER, "-name", "data", "-size", "+1000k").stdout
    assert used == ""


def test_several_pods_are_collected_while_a_client_pushes(shared: Collected) -> None:
    collect_while_a_client_pushes(shared)


def test_a_dry_run_says_what_would_be_freed_and_touches_nothing(collected: Collected) -> None:
    garbage, pods = collected.make_garbage(), collected.pods
    collected.start_dry_run("dry")
    how, log = collected.end("dry")
    assert how == "Complete"
    assert freed(log, "would free") >= LAYER
    assert collected.pods == pods
    assert collected.registry.pull("garbage", garbage) == garbage


def test_pods_run_on_where_there_is_no_garbage(collected: Collected) -> None:
    collected.collect("first")
    pods = collected.pods
    assert "garbage collection: nothing to free" in collected.collect("second")
    assert collected.pods == pods


def test_while_it_deletes_pulls_are_served_and_pushes_and_other_runs_refused(collected: Collected) -> None:
    kept = collected.registry.push("kept", "1")
    garbage = collected.make_garbage()
    with collected.held_while_read_only("one"):
        assert collected.registry.pull("kept", "1") == kept
        with pytest.raises(httpx.HTTPStatusError, match="405"):
            collected.registry.push("refused", "1")
        collected.start("other")
        how, log = collected.end("other")
        assert how == "Failed"
        assert "garbage collection: job one is at it: wait until it ends, or delete it" in log
        assert collected.read_only
    how, log = collected.end("one")
    assert how == "Complete", log
    assert collected.is_gone(garbage)
    collected.check_that_it_works()


def test_a_run_that_is_killed_is_tried_again(collected: Collected) -> None:
    garbage = collected.make_garbage()
    with collected.held_while_read_only("killed"):
        (pod,) = json.loads(collected.kubectl("get", "pods", "--selector=job-name=killed", "--output=json"))["items"]
        for process in psutil.process_iter():
            if pod["metadata"]["uid"] in Path(f"/proc/{process.pid}/cgroup").read_text():
                process.kill()
        until(lambda: len(pods_of(collected, "killed")) > 1, "another attempt", 60, "see the job")
    how, log = collected.end("killed")
    assert how == "Complete", log
    assert "garbage collection: job killed was killed: taking over" in log
    assert collected.is_gone(garbage)
    collected.check_that_it_works()


def pods_of(collected: Collected, job: str) -> list[str]:
    return collected.kubectl("get", "pods", f"--selector=job-name={job}", "--output=name").split()


def test_a_run_that_is_deleted_makes_the_registry_writable(collected: Collected) -> None:
    garbage = collected.make_garbage()
    with collected.held_while_read_only("deleted"):
        collected.kubectl("delete", "job", "deleted", "--cascade=foreground")
        collected.check_that_it_works()
    assert collected.registry.pull("garbage", garbage) == garbage


def test_up_in_the_middle_of_a_run_breaks_neither(collected: Collected) -> None:
    garbage = collected.make_garbage()
    with collected.held_while_read_only("disturbed"):
        collected.stack.configure(
            storage=HOST_PATH,
            garbageCollection=SETTINGS,
            tools=TOOLS,
            certificate={"validityHours": 8760, "earlyRenewalHours": 720},
        )
        collected.stack.up()
        assert collected.read_only
        collected.stack.pulumi("up", "--yes", "--skip-preview", "--refresh")
        assert collected.read_only
    how, log = collected.end("disturbed")
    assert how == "Complete", log
    assert collected.is_gone(garbage)
    collected.check_that_it_works()
    collected.stack.pulumi("preview", "--expect-no-changes")


def test_a_registry_that_somebody_else_made_read_only_is_left_to_them(collected: Collected) -> None:
    collected.make_garbage()
    variable = 'REGISTRY_STORAGE_MAINTENANCE_READONLY={"enabled":true}'
    collected.kubectl("set", "env", "deployment/docker-registry", variable)
    collected.start("refused")
    how, log = collected.end("refused")
    assert how == "Failed"
    assert "garbage collection: deployment docker-registry is read-only already" in log
    assert collected.read_only
    collected.kubectl("set", "env", "deployment/docker-registry", variable.partition("=")[0] + "-")
    collected.check_that_it_works()


def test_without_the_schedule_a_run_ends_and_the_registry_is_writable(collected: Collected) -> None:
    collected.make_garbage()
    with collected.held_while_read_only("orphan"):
        collected.stack.configure(storage=HOST_PATH)
        collected.stack.up()
        collected.check_that_it_works()
    with pytest.raises(httpx.HTTPStatusError, match="405"):
        collected.registry.delete("after", collected.registry.pull("after", "1"))
    collected.stack.pulumi("preview", "--expect-no-changes")
