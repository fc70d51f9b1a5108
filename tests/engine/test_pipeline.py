"""The steps of the pipelines, with a real engine and the sandbox's cluster."""

import json
import shutil
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml

from sandbox import layout
from tests.cluster.conftest import kubectl
from tests.conftest import ROOT
from tests.engine.conftest import Project

DIGEST = f"sandbox.local/registry@sha256:{'1' * 64}"
STORAGE = {
    "dev": {"kind": "hostPath", "node": "node1", "path": "/registry", "size": "10Gi"},
    "lab": {"kind": "nfs", "server": "192.0.2.9", "path": "/exports/registry", "size": "20Gi"},
    "prod": {"kind": "claim", "className": "fast", "size": "30Gi"},
}
VOLUMES = """
import pulumi, pulumi_kubernetes as k8s
from components.storage.component import Storage, StorageArgs
from components.storage.nfs import Nfs

config = pulumi.Config()
cluster = k8s.Provider("cluster", kubeconfig=config.require("kubeconfig"))
kind = Nfs(server="192.0.2.9", path=config.require("path"), size="1Gi", mount_options=[])
args = StorageArgs(namespace=config.require("namespace"), kind=kind)
Storage("storage-nfs", args, pulumi.ResourceOptions(provider=cluster))
"""


class Repository:
    """A copy of what a pipeline checks out, with stacks for the sandbox's cluster."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.page = project.folder / "page.md"
        for name in ("Pulumi.yaml", "__main__.py"):
            shutil.copy(ROOT / name, project.folder / name)
        for name in ("components", "settings", "policy", "pipeline"):
            shutil.copytree(ROOT / name, project.folder / name, ignore=shutil.ignore_patterns("__pycache__"))

    def stack(self, stack: str, **settings: Any) -> None:
        """Makes a stack with the dev stack's settings, others on top of them, and a namespace of its own."""
        self.project.pulumi("stack", "init", stack)
        file = self.project.folder / f"Pulumi.{stack}.yaml"
        config = yaml.safe_load((ROOT / "Pulumi.dev.yaml").read_text().replace(".sandbox/", f"{ROOT}/.sandbox/"))
        settings = {"namespace": f"registry-{stack}", "image": DIGEST, "storage": STORAGE[stack], **settings}
        config["config"] |= {f"registry:{name}": value for name, value in settings.items()}
        config["config"]["registry:route"] = {"host": f"{stack}.apps.example.com"}
        config["encryptionsalt"] = yaml.safe_load(file.read_text())["encryptionsalt"]
        file.write_text(yaml.safe_dump(config))

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {**self.project.environment, "PATH": f"{layout.BIN}:{self.project.environment['PATH']}"}
        return subprocess.run(
            [sys.executable, "-m", "pipeline", *arguments],
            cwd=self.project.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    def preview(self, stacks: str, *arguments: str, code: int) -> str:
        """Previews stacks, and returns the page."""
        done = self.run("preview", "--stacks", stacks, "--out", str(self.page), *arguments)
        assert done.returncode == code, done.stdout + (self.page.read_text() if self.page.exists() else "")
        return self.page.read_text()


@pytest.fixture
def repository(project: Project, kubeconfig: Path) -> Repository:
    assert kubeconfig.exists()
    return Repository(project)


@pytest.fixture
def volumes(repository: Repository) -> Iterator[Repository]:
    """A deployed stack that has nothing but a volume and its claim."""
    namespace = f"pipeline-{uuid4().hex[:8]}"
    kubectl("create", "namespace", namespace)
    (repository.project.folder / "Pulumi.yaml").write_text("name: registry\nruntime: python\n")
    (repository.project.folder / "__main__.py").write_text(VOLUMES)
    repository.project.pulumi("stack", "init", "lab")
    settings = {"kubeconfig": f"{ROOT}/.sandbox/kubeconfig", "namespace": namespace, "path": "/exports/one"}
    for name, value in settings.items():
        repository.project.pulumi("config", "set", "--stack", "lab", f"registry:{name}", value)
    try:
        deployed = repository.run("deploy", "--stack", "lab")
        assert deployed.returncode == 0, deployed.stdout
        yield repository
    finally:
        kubectl("delete", "namespace", namespace, "--wait=false")
        kubectl("delete", "persistentvolume", f"{namespace}-registry-nfs", "--ignore-not-found", "--wait=false")


def test_the_diffs_of_three_stacks_are_one_page(repository: Repository) -> None:
    for stack in STORAGE:
        repository.stack(stack, **({"replicas": 2} if stack == "lab" else {}))
    page = repository.preview("dev,lab,prod", code=0)
    for stack in STORAGE:
        assert f"| {stack} | **changes** | " in page
        assert f"<summary>{stack}: diff</summary>" in page
    assert 'path: "/registry"' in page
    assert 'server: "192.0.2.9"' in page
    assert 'storageClassName: "fast"' in page
    assert 'namespace  : "registry-lab"' in page
    assert "[urn=urn:pulumi:prod::" in page


def test_a_page_shows_no_secret(repository: Repository) -> None:
    secrets = {"accessKey": "access-4711", "secretKey": "hidden-4711"}
    storage = {"kind": "s3", "bucket": "images", "region": "eu-1", "endpoint": "https://s3.example.com"}
    repository.stack("prod", storage=storage)
    for name, value in secrets.items():
        path = f"registry:storage.{name}"
        repository.project.pulumi("config", "set", "--stack", "prod", "--secret", "--path", path, value)
    page = repository.preview("prod", code=0)
    assert "[secret]" in page
    files = [layout.PKI / "ca.key", layout.SSH / "id_ed25519"]
    lines = [line for file in files for line in file.read_text().splitlines() if not line.startswith("-----")]
    assert len(lines) > 10
    for secret in (*secrets.values(), *(b64encode(each.encode()).decode() for each in secrets.values()), *lines):
        assert secret not in page


def test_a_policy_stops_the_stack_whose_level_it_is(repository: Repository) -> None:
    for stack in ("dev", "prod"):
        repository.stack(stack, storage={"kind": "emptyDir", "size": "1Gi"})
    page = repository.preview("dev,prod", code=3)
    assert "| dev | **changes** |" in page
    assert "| prod | **stopped by a policy** |" in page
    assert "**prod**: `durable-storage` **stops** at `registry-deployment`" in page
    assert "**dev**: `durable-storage` warns at `registry-deployment`" in page


def test_a_cluster_that_does_not_answer_fails_its_preview(repository: Repository) -> None:
    kubeconfig = yaml.safe_load(layout.KUBECONFIG.read_text())
    kubeconfig["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    gone = repository.project.folder / "gone"
    gone.write_text(yaml.safe_dump(kubeconfig))
    repository.stack("lab", kubeconfig=str(gone), cluster={"server": "https://127.0.0.1:1"})
    page = repository.preview("lab,prod", code=1)
    assert "| lab | **failed** |" in page
    assert "127.0.0.1" in page[page.index("## Failures") : page.index("<details>")]
    assert "no stack named 'prod' found" in page


def test_volumes_are_replaced_only_with_the_label(volumes: Repository) -> None:
    volumes.project.pulumi("config", "set", "--stack", "lab", "registry:path", "/exports/two")
    page = volumes.preview("lab", "--allow-replace", code=1)
    assert "protect" in page[page.index("## Failures") : page.index("<details>")]
    volumes.project.pulumi("state", "unprotect", "--stack", "lab", "--all", "--yes")
    page = volumes.preview("lab", code=4)
    assert "**lab**: replace `storage-nfs-volume` because of spec.nfs" in page
    assert "refused" in page
    assert "refused" not in volumes.preview("lab", "--allow-replace", code=0)


def test_drift_is_found_and_left_alone(volumes: Repository) -> None:
    assert volumes.run("drift", "--stack", "lab").returncode == 0
    before = volumes.project.pulumi("stack", "export", "--stack", "lab")
    name = next(
        each["outputs"]["metadata"]["name"]
        for each in json.loads(before)["deployment"]["resources"]
        if each["type"] == "kubernetes:core/v1:PersistentVolume"
    )
    kubectl("patch", "persistentvolume", name, "--patch", '{"spec": {"persistentVolumeReclaimPolicy": "Delete"}}')
    drift = volumes.run("drift", "--stack", "lab")
    assert drift.returncode != 0
    assert 'persistentVolumeReclaimPolicy: "Retain" => "Delete"' in drift.stdout
    assert "the cluster is not as stack 'lab' left it" in drift.stdout
    assert volumes.project.pulumi("stack", "export", "--stack", "lab") == before
    kubectl("patch", "persistentvolume", name, "--patch", '{"spec": {"persistentVolumeReclaimPolicy": "Retain"}}')
