"""The stack files that the repository ships run as they ship: the names in them lead to the sandbox's machines.

Nothing in them is changed but the two fingerprints that `Pulumi.prod.yaml` itself calls examples.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from sandbox import layout, nfs, toolchain
from sandbox.topology import NODES, Node
from tests.cluster.conftest import kubectl, run_pod, sandbox
from tests.cluster.shipped import pulled, ssh_agent, write_what_the_readme_asks_for
from tests.conftest import ROOT

SHARED = f"{nfs.EXPORT}/registry"
"""The folder of the NFS server that the lab names; production's volume is in it, too."""
IMAGE = "sandbox.local/registry:3.1.2"
_EXAMPLE = "0123456789abcdef" * 4


@dataclass(frozen=True)
class Shipped:
    """A stack of the repository, in a folder that has what the README asks for."""

    name: str
    folder: Path
    environment: dict[str, str]

    @property
    def settings(self) -> dict[str, Any]:
        loaded: dict[str, Any] = yaml.safe_load((self.folder / f"Pulumi.{self.name}.yaml").read_text())["config"]
        return loaded

    def run(self, *command: str | Path) -> str:
        done = subprocess.run(
            [str(part) for part in command],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        printed = done.stdout + done.stderr
        assert done.returncode == 0, printed
        return printed

    def pulumi(self, *arguments: str) -> str:
        return self.run("pulumi", *arguments, "--stack", self.name, "--non-interactive")


def node_of(host: str) -> Node:
    return next(each for each in NODES if host in each.host_names)


def registry_image(node: Node) -> str:
    """Digest of the registry's image on a node."""
    listed = sandbox("exec", f"--node={node.name}", "--", "ctr", "--namespace=k8s.io", "images", "ls",
                     f"name=={IMAGE}").stdout  # fmt: skip
    found = re.search(r"sha256:[0-9a-f]{64}", listed)
    assert found, listed
    return found[0]


@contextmanager
def storage_class(name: str) -> Iterator[None]:
    """A StorageClass with one volume that nodes share, as an administrator of a small cluster offers it."""
    documents: list[dict[str, Any]] = [
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {"name": name},
            "provisioner": "kubernetes.io/no-provisioner",
        },
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": name},
            "spec": {
                "capacity": {"storage": "500Gi"},
                "accessModes": ["ReadWriteMany"],
                "storageClassName": name,
                "nfs": {"server": "nfs.prod.example.com", "path": SHARED},
            },
        },
    ]
    kubectl("create", "--filename=-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": documents}))
    yield
    kubectl("delete", "persistentvolume,storageclass", name, "--ignore-not-found", "--wait=false")


@pytest.fixture(params=["lab", "prod"])
def shipped(request: pytest.FixtureRequest, kubeconfig: Path, tmp_path: Path) -> Iterator[Shipped]:  # noqa: ARG001
    """A stack as the repository has it, on the sandbox; nothing of it is left afterwards."""
    name = str(request.param)
    folder = tmp_path / "checkout"
    folder.mkdir()
    for entry in ROOT.iterdir():
        if entry.name not in {".git", "clusters", f"Pulumi.{name}.yaml"}:
            (folder / entry.name).symlink_to(entry)
    authority = x509.load_pem_x509_certificate((layout.PKI / "ca.crt").read_bytes())
    text = (ROOT / f"Pulumi.{name}.yaml").read_text()
    text = text.replace(f"caSha256: {_EXAMPLE}", f"caSha256: {authority.fingerprint(SHA256()).hex()}")
    text = text.replace(f"@sha256:{_EXAMPLE}", f"@{registry_image(NODES[0])}")
    (folder / f"Pulumi.{name}.yaml").write_text(text)
    (tmp_path / "state").mkdir()
    sandbox("exec", "--", "install", "-d", "-o", "1001", "-g", "1001", "-m", "0750", SHARED)
    settings = yaml.safe_load(text)["config"]
    with ExitStack() as stack:
        stack.callback(sandbox, "exec", "--", "rm", "-rf", SHARED)
        socket = stack.enter_context(ssh_agent(tmp_path / "agent"))
        stack.enter_context(pulled({settings["registry:image"]: IMAGE}))
        if "className" in settings["registry:storage"]:
            stack.enter_context(storage_class(settings["registry:storage"]["className"]))
        own = {"PULUMI_BACKEND_URL": (tmp_path / "state").as_uri(), "PULUMI_CONFIG_PASSPHRASE": "a test's"}
        with pytest.MonkeyPatch.context() as patch:
            for variable, value in own.items():
                patch.setenv(variable, value)
            environment = {**os.environ, **toolchain.environment(name), "SSH_AUTH_SOCK": str(socket)}
        # A user's KUBECONFIG leads elsewhere, or nowhere.
        environment.pop("KUBECONFIG", None)
        made = Shipped(name, folder, environment)
        write_what_the_readme_asks_for(folder, settings)
        made.run("pulumi", "stack", "init", name, "--secrets-provider=passphrase")
        stack.callback(shutil.rmtree, folder / "clusters")
        try:
            yield made
        finally:
            made.pulumi("state", "unprotect", "--all", "--yes")
            made.pulumi("destroy", "--yes", "--skip-preview")
            namespace = settings["registry:namespace"]
            kubectl("delete", "namespace", namespace, "--ignore-not-found", "--wait")
            kubectl("delete", "persistentvolume", f"{namespace}-registry-nfs", "--ignore-not-found")


def test_a_stack_runs_as_it_ships(shipped: Shipped) -> None:
    settings = shipped.settings
    assert [node_of(each["host"]).name for each in settings["registry:nodes"]] == [node.name for node in NODES]

    shipped.pulumi("up", "--yes", "--skip-preview", "--continue-on-error")

    outputs = json.loads(shipped.pulumi("stack", "output", "--json"))
    by_ip, _, by_route = outputs["endpoints"]
    assert by_route == settings["registry:route"]["host"]
    sandbox("exec", "--", "skopeo", "--insecure-policy", "copy",
            "oci-archive:/opt/sandbox/images/busybox.tar", f"docker://{by_route}/first/light:1")  # fmt: skip
    for node in NODES:
        for endpoint in (by_ip, by_route):
            run_pod(f"shipped-{shipped.name}", f"{endpoint}/first/light:1", node.name)
    pods = kubectl("get", "pods", f"--namespace={settings['registry:namespace']}", "--selector=docker-registry",
                   "--output=jsonpath={.items[*].spec.nodeName}").split()  # fmt: skip
    assert pods == ["node1"] * int(settings["registry:replicas"])

    shipped.pulumi("up", "--yes", "--skip-preview", "--expect-no-changes")
    report = json.loads(shipped.run(sys.executable, "-m", "verify", "--stack", shipped.name, "--json"))
    # Of NFS, kubelet may not have measured what is free yet.
    assert {each["check"] for each in report["checks"] if each["outcome"] != "passed"} <= {"space"}

    shipped.pulumi("destroy", "--yes", "--skip-preview", "--exclude-protected")
    ours = f"grep -lsx registry/{shipped.name} /etc/docker/certs.d/*/.owner || true"
    assert [sandbox("exec", f"--node={node.name}", "--", "sh", "-c", ours).stdout for node in NODES] == ["", ""]
