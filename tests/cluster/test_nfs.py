"""NFS volumes: pods share them, and neither they nor their writers notice a restart of the server or of kubelet."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import psutil
import pytest

from sandbox import layout, nfs, node
from sandbox.topology import CONTROL_PLANE, NODES
from sandbox.wait import until
from tests.cluster.conftest import kubectl, run, sandbox
from tests.cluster.storages import NFS_OPTIONS

NAMESPACE = "nfs-test"
FOLDER = nfs.EXPORT / "nfs-test"
# The first and the last node are two if there are two.
PODS = {"writer": NODES[0].name, "reader": NODES[-1].name}
IN_WRITER = (
    layout.BIN / "kubectl",
    f"--kubeconfig={layout.KUBECONFIG}",
    *("exec", f"--namespace={NAMESPACE}", "writer", "--"),
)

VOLUME: list[dict[str, Any]] = [
    {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
    {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": NAMESPACE},
        "spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteMany"],
            "mountOptions": NFS_OPTIONS,
            "nfs": {"server": str(CONTROL_PLANE.address), "path": str(FOLDER)},
            "claimRef": {"namespace": NAMESPACE, "name": "shared"},
        },
    },
    {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "shared", "namespace": NAMESPACE},
        "spec": {
            "accessModes": ["ReadWriteMany"],
            "resources": {"requests": {"storage": "1Gi"}},
            "storageClassName": "",
            "volumeName": NAMESPACE,
        },
    },
]


def pod(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "nodeName": PODS[name],
            "terminationGracePeriodSeconds": 1,
            "securityContext": {"runAsUser": 1000, "runAsGroup": 1000},
            "containers": [
                {
                    "name": "main",
                    "image": "sandbox.local/busybox:1",
                    "imagePullPolicy": "Never",
                    "command": ["sleep", "1d"],
                    "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                }
            ],
            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "shared"}}],
        },
    }


def create(*documents: dict[str, Any]) -> None:
    kubectl("create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": documents}))


def start(*names: str) -> None:
    create(*map(pod, names))
    kubectl("wait", f"--namespace={NAMESPACE}", "--for=condition=Ready", "--timeout=60s", *(f"pod/{n}" for n in names))


def shell(name: str, script: str) -> str:
    return kubectl("exec", f"--namespace={NAMESPACE}", name, "--", "sh", "-ec", script)


def program_id(program: str) -> int:
    """The number, in the node, of a supervised program of the control plane node; 0 while it does not run."""
    return int(cast("dict[str, int]", node.supervisor(CONTROL_PLANE).supervisor.getProcessInfo(program))["pid"])


def kill(program: str) -> None:
    """Kills a program and waits until supervisor has started another."""
    killed = program_id(program)
    sandbox("exec", "--", "kill", "-KILL", str(killed))
    until(lambda: program_id(program) not in {0, killed}, f"{program} again", 20, "see its log")


def helpers() -> list[psutil.Process]:
    """The processes that serve the volume's mounts."""
    return [process for process in psutil.process_iter() if f"{CONTROL_PLANE.address}:{FOLDER}" in process.cmdline()]


def mounts() -> str:
    tables = [run("cat", f"/proc/{node.pid(each)}/mounts").stdout for each in NODES]
    return "\n".join(line for line in "".join(tables).splitlines() if str(FOLDER) in line)


@pytest.fixture(scope="module")
def pods(kubeconfig: Path) -> Iterator[None]:  # noqa: ARG001 - needs the cluster
    sandbox("exec", "--", "mkdir", "--mode=0777", str(FOLDER))
    try:
        create(*VOLUME)
        until(
            lambda: kubectl("get", "serviceaccounts", f"--namespace={NAMESPACE}", "-o=name"),
            "the service account",
            30,
            "see logs",
        )
        start(*PODS)
        yield
    finally:
        kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found")
        kubectl("delete", "persistentvolume", NAMESPACE, "--ignore-not-found")
        sandbox("exec", "--", "rm", "-r", str(FOLDER))


@pytest.mark.usefixtures("pods")
class TestVolume:
    def test_pods_share_it(self) -> None:
        shell("writer", "umask 027; mkdir /data/blobs; echo one >/data/blobs/a; mv /data/blobs/a /data/blobs/b")
        assert shell("reader", "cat /data/blobs/b; stat -c '%u %g %a' /data/blobs/b") == "one\n1000 1000 640\n"
        shell("reader", "echo two >>/data/blobs/b; touch -d '2020-01-02 03:04:05' /data/blobs/b")
        assert (
            shell("writer", "cat /data/blobs/b; stat -c %y /data/blobs/b")
            == "one\ntwo\n2020-01-02 03:04:05.000000000 +0000\n"
        )
        shell("reader", "echo new >/data/new; mv /data/new /data/blobs/b")
        assert shell("writer", "cat /data/blobs/b") == "new\n"
        shell("writer", "rm -r /data/blobs")
        assert shell("reader", "ls /data") == ""

    def test_a_large_file_is_the_same_for_both(self) -> None:
        written = shell("writer", "dd if=/dev/urandom of=/data/large bs=1M count=50 conv=fsync; sha256sum /data/large")
        assert shell("reader", "sha256sum /data/large") == written
        assert shell("reader", "stat -c %s /data/large").strip() == str(50 << 20)

    def test_a_folder_of_many_files_is_listed_whole(self) -> None:
        shell("writer", "mkdir /data/many; cd /data/many; seq 3000 | xargs touch")
        assert shell("reader", "ls /data/many | sort -n; rm -r /data/many") == shell("reader", "seq 3000")

    def test_a_file_outlives_its_pod(self) -> None:
        shell("writer", "echo kept >/data/kept")
        kubectl("delete", f"--namespace={NAMESPACE}", "pod", "writer")
        start("writer")
        assert shell("writer", "cat /data/kept") == "kept\n"

    def test_nothing_acknowledged_is_lost_when_the_server_is_killed(self) -> None:
        """One open file is written through two restarts: each line is durable before its number is printed."""
        script = "exec 3>>/data/log; seq 300 | while read i; do echo $i >&3; sync /data/log; echo $i; done"
        with subprocess.Popen((*IN_WRITER, "sh", "-ec", script), stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout
            acknowledged = []
            for line in writer.stdout:
                acknowledged.append(line)
                if len(acknowledged) in {50, 150}:
                    kill("nfsd")
        assert writer.returncode == 0
        assert "".join(acknowledged) == shell("reader", "cat /data/log") == shell("reader", "seq 300")

    @pytest.mark.alone
    def test_mounts_survive_kubelet(self) -> None:
        before = {process.pid for process in helpers()}
        kill("kubelet")
        until(lambda: run(*IN_WRITER, "true", check=False).returncode == 0, "kubelet at work", 20, "see its log")
        shell("writer", "echo still >/data/still")
        assert shell("reader", "cat /data/still") == "still\n"
        assert {process.pid for process in helpers()} == before

    def test_nothing_is_left_when_the_pods_end(self) -> None:
        assert mounts()
        assert nfs.kernel_has_client() or len(helpers()) == len(PODS)
        kubectl("delete", f"--namespace={NAMESPACE}", "pod", *PODS)
        until(lambda: not mounts() and not helpers(), "the end of mounts and helpers", 30, "see kubelet's log")
