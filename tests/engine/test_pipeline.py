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

STACKS = ("dev", "lab", "prod")
OF_THE_CLUSTER = ("kubeconfig", "cluster", "ca", "nodes", "ssh")
VOLUMES = """
import pulumi, pulumi_kubernetes as k8s
import settings
from components import storage

stack = settings.load()
cluster = k8s.Provider("cluster", kubeconfig=str(stack.kubeconfig))
kind = storage.Nfs(server=stack.storage.server, path=stack.storage.path, size="1Gi", mount_options=[])
args = storage.StorageArgs(namespace=stack.namespace, claim="registry-nfs", user=1001, kind=kind)
storage.Storage("storage-nfs", args, pulumi.ResourceOptions(provider=cluster))
"""

ONE_FAILS = """
import pulumi
from pulumi_command import local

local.Command("fails", create="exit 1")
slow = local.Command("slow", create="sleep 2")
local.Command("after", create="true", opts=pulumi.ResourceOptions(depends_on=[slow]))
"""


class Repository:
    """A copy of what a pipeline checks out, with stacks for the sandbox's cluster."""

    def __init__(self, project: Project) -> None:
        self.project = project
        for file in (ROOT / "Pulumi.yaml", *ROOT.glob("*.py")):
            shutil.copy(file, project.folder / file.name)
        for name in ("components", "settings", "policy", "pipeline"):
            shutil.copytree(ROOT / name, project.folder / name, ignore=shutil.ignore_patterns("__pycache__"))

    def stack(self, stack: str, **settings: Any) -> None:
        """Makes a stack of its file, but on the sandbox's cluster, in a namespace of its own, and with settings."""
        self.project.pulumi("stack", "init", stack)
        file = self.project.folder / f"Pulumi.{stack}.yaml"
        salt = yaml.safe_load(file.read_text())["encryptionsalt"]
        config = yaml.safe_load((ROOT / f"Pulumi.{stack}.yaml").read_text())["config"]
        sandbox = yaml.safe_load((ROOT / "Pulumi.dev.yaml").read_text().replace(".sandbox/", f"{ROOT}/.sandbox/"))
        config |= {f"registry:{name}": sandbox["config"][f"registry:{name}"] for name in OF_THE_CLUSTER}
        settings = {"namespace": f"pipeline-{stack}", **settings}
        config |= {f"registry:{name}": value for name, value in settings.items()}
        file.write_text(yaml.safe_dump({"config": config, "encryptionsalt": salt}))

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

    def own_backend(self, stack: str) -> str:
        """Returns the URL of a backend for one stack."""
        folder = self.project.folder / f"state-{stack}"
        folder.mkdir()
        return folder.as_uri()

    def preview_all(self, *stacks: str) -> str:
        """Does what `make preview-all` does, with the toolchain and cluster of the sandbox; returns the page."""
        home = self.project.folder / ".sandbox"
        home.mkdir()
        for part in (layout.VENV, layout.BIN, layout.PULUMI_HOME, layout.KUBECONFIG):
            (home / part.name).symlink_to(part)
        shutil.copytree(ROOT / "sandbox", self.project.folder / "sandbox", ignore=shutil.ignore_patterns("__pycache__"))
        done = subprocess.run(
            [self.project.folder / "pipeline" / "preview-all", *stacks],
            env=self.project.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        return (home / "preview.md").read_text()

    def preview(self, *stacks: str) -> list[Path]:
        """Previews stacks, and returns what that found."""
        files = [self.project.folder / f"{stack}.json" for stack in stacks]
        for stack, file in zip(stacks, files, strict=True):
            self.run("preview", "--stack", stack, "--out", str(file))
        return files

    def page(self, previews: list[Path], *arguments: str, code: int) -> str:
        """Returns the page of some previews."""
        file = self.project.folder / "page.md"
        done = self.run("page", *map(str, previews), "--out", str(file), *arguments)
        page = file.read_text()
        assert done.returncode == code, f"{done.stdout}\n{page}"
        return page


@pytest.fixture
def repository(project: Project, kubeconfig: Path) -> Repository:
    assert kubeconfig.exists()
    return Repository(project)


@pytest.fixture
def volumes(repository: Repository) -> Iterator[Repository]:
    """A deployed stack that has nothing but a volume and its claim."""
    namespace = f"pipeline-{uuid4().hex[:8]}"
    kubectl("create", "namespace", namespace)
    (repository.project.folder / "__main__.py").write_text(VOLUMES)
    repository.stack("lab", namespace=namespace, createNamespace=False)
    try:
        deployed = repository.run("deploy", "--stack", "lab")
        assert deployed.returncode == 0, deployed.stdout
        yield repository
    finally:
        kubectl("delete", "namespace", namespace, "--wait=false")
        kubectl("delete", "persistentvolume", f"{namespace}-registry-nfs", "--ignore-not-found", "--wait=false")


def test_the_diffs_of_three_stacks_are_one_page(repository: Repository) -> None:
    repository.stack("dev")
    repository.stack("lab")
    # Others may not even read the state of prod.
    own = {"PULUMI_BACKEND_URL": repository.own_backend("prod"), "PULUMI_CONFIG_PASSPHRASE": "of prod alone"}
    shared = dict(repository.project.environment)
    repository.project.environment.update(own)
    repository.stack("prod")
    repository.project.environment.update(shared)
    environment = repository.project.folder / "clusters" / "prod" / "environment"
    environment.parent.mkdir(parents=True)
    environment.write_text("".join(f"{name}='{value}'\n" for name, value in own.items()))

    page = repository.preview_all(*STACKS)
    for stack in STACKS:
        assert f"| {stack} | **changes** | " in page
        assert f"<summary>{stack}: diff</summary>" in page
        assert f"[urn=urn:pulumi:{stack}::registry::" in page
    assert 'path: "/registry"' in page
    assert 'server: "nfs.lab.example.com"' in page
    assert 'storageClassName: "shared-files"' in page
    assert "**lab**: `image-by-digest` warns at `registry-deployment`" in page


def test_what_fails_in_a_deployment_fails_alone(repository: Repository) -> None:
    repository.stack("lab")
    (repository.project.folder / "__main__.py").write_text(ONE_FAILS)
    assert repository.run("deploy", "--stack", "lab").returncode
    made = repository.project.pulumi("stack", "export", "--stack", "lab")
    assert "::after" in made
    assert "::fails" not in made


def test_a_stack_s_environment_reads_nothing_of_another(repository: Repository) -> None:
    project, shared = repository.project, dict(repository.project.environment)
    prods = {"PULUMI_BACKEND_URL": repository.own_backend("prod"), "PULUMI_CONFIG_PASSPHRASE": "of prod alone"}
    project.environment.update(prods)
    repository.stack("prod")
    secret = ("registry:storage.secretKey", "hidden-4711")
    project.pulumi("config", "set", "--stack", "prod", "--secret", "--path", *secret)
    read = ("config", "get", "--stack", "prod", "--path", secret[0])
    assert "hidden-4711" in project.pulumi(*read)

    project.environment.update(shared)
    assert "no stack named 'prod' found" in project.pulumi(*read, fails=True)
    # Not even with the backend of prod.
    project.environment["PULUMI_BACKEND_URL"] = prods["PULUMI_BACKEND_URL"]
    for command in (read, ("preview", "--stack", "prod")):
        refused = project.pulumi(*command, fails=True)
        assert "incorrect passphrase" in refused
        assert "hidden-4711" not in refused


def test_a_page_shows_no_secret(repository: Repository) -> None:
    secrets = {"accessKey": "access-4711", "secretKey": "hidden-4711"}
    storage = {"kind": "s3", "bucket": "images", "region": "eu-1", "endpoint": "https://s3.example.com"}
    repository.stack("prod", storage=storage)
    for name, value in secrets.items():
        path = f"registry:storage.{name}"
        repository.project.pulumi("config", "set", "--stack", "prod", "--secret", "--path", path, value)
    previews = repository.preview("prod")
    shown = repository.page(previews, code=0) + previews[0].read_text()
    assert "[secret]" in shown
    files = [layout.PKI / "ca.key", layout.SSH / "id_ed25519"]
    lines = [line for file in files for line in file.read_text().splitlines() if not line.startswith("-----")]
    assert len(lines) > 10
    for secret in (*secrets.values(), *(b64encode(each.encode()).decode() for each in secrets.values()), *lines):
        assert secret not in shown


def test_a_policy_stops_the_stack_whose_level_it_is(repository: Repository) -> None:
    for stack in ("dev", "prod"):
        repository.stack(stack, storage={"kind": "emptyDir", "size": "1Gi"}, replicas=1)
    page = repository.page(repository.preview("dev", "prod"), code=3)
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
    page = repository.page(repository.preview("lab", "prod"), code=1)
    assert "| lab | **failed** |" in page
    assert "the cluster at https://127.0.0.1:1 does not answer to kubeconfig" in page
    assert "Connection refused" in page
    assert "no stack named 'prod' found" in page


def test_volumes_are_replaced_only_with_the_label(volumes: Repository) -> None:
    # Under a name of its own: the plugin lets the API server judge a new object while the old one is there.
    (volumes.project.folder / "__main__.py").write_text(VOLUMES.replace("registry-nfs", "registry-new"))
    page = volumes.page(volumes.preview("lab"), "--allow-replace", code=1)
    assert "protect" in page[page.index("## Failures") : page.index("<details>")]
    volumes.project.pulumi("state", "unprotect", "--stack", "lab", "--all", "--yes")
    previews = volumes.preview("lab")
    page = volumes.page(previews, code=4)
    assert "**lab**: replace `storage-nfs-volume`" in page
    assert "refused" in page
    assert "refused" not in volumes.page(previews, "--allow-replace", code=0)


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
