"""The dev stack on the sandbox, as a user gets it."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox import layout
from tests.conftest import ROOT


def run(*command: str | Path, stdin: str | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Runs a command in the repository; when it fails, its output is the test's message."""
    done = subprocess.run(
        [str(part) for part in command], cwd=ROOT, input=stdin or "", text=True, capture_output=True, check=False
    )
    if check and done.returncode:
        pytest.fail(f"{' '.join(map(str, command))} exited {done.returncode}:\n{done.stdout}{done.stderr}")
    return done


def sandbox(*arguments: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    return run(sys.executable, "-m", "sandbox", *arguments, check=check)


def pulumi(*arguments: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    return sandbox("pulumi", "--", *arguments, check=check)


def kubectl(*arguments: str, stdin: str | None = None) -> str:
    return run(layout.BIN / "kubectl", f"--kubeconfig={layout.KUBECONFIG}", *arguments, stdin=stdin).stdout


@dataclass(frozen=True)
class Stack:
    """A stack of the program in a folder."""

    name: str
    folder: Path

    def pulumi(self, *arguments: str | Path, check: bool = True) -> str:
        """Runs the engine on the stack; returns all that it printed."""
        done = pulumi("--cwd", self.folder, *arguments, "--stack", self.name, check=check)
        return done.stdout + done.stderr

    def up(self, *, check: bool = True) -> str:
        return self.pulumi("up", "--yes", "--skip-preview", "--continue-on-error", check=check)

    @property
    def outputs(self) -> dict[str, Any]:
        """The stack's outputs as they are now."""
        outputs: dict[str, Any] = json.loads(self.pulumi("stack", "output", "--json"))
        return outputs

    @property
    def cluster_ip(self) -> str:
        return str(self.outputs["endpoints"][0].removesuffix(":5000"))

    @property
    def route_host(self) -> str:
        return str(self.outputs["route"].removeprefix("https://"))


@pytest.fixture(scope="session")
def kubeconfig() -> Iterator[Path]:
    """The sandbox's cluster, running; it is stopped afterwards unless it ran before."""
    ran_before = _answers()
    try:
        if not ran_before:
            sandbox("up")
        yield layout.KUBECONFIG
    finally:
        if not ran_before:
            sandbox("down")


def _answers() -> bool:
    kubectl = (layout.BIN / "kubectl", f"--kubeconfig={layout.KUBECONFIG}", "--request-timeout=5s")
    ready = (*kubectl, "get", "--raw=/readyz")
    return layout.KUBECONFIG.exists() and subprocess.run(ready, check=False, capture_output=True).returncode == 0


@pytest.fixture(scope="session")
def stack(kubeconfig: Path) -> Stack:  # noqa: ARG001 - needs the cluster
    """The dev stack after `make up`."""
    run("make", "up")
    return Stack("dev", ROOT)


def delete_volumes(namespace: str) -> None:
    """Deletes the volumes of a namespace's claims."""
    for volume in json.loads(kubectl("get", "persistentvolumes", "--output=json"))["items"]:
        if volume["spec"].get("claimRef", {}).get("namespace") == namespace:
            kubectl("delete", "persistentvolume", volume["metadata"]["name"], "--wait=false")


class OtherStack(Stack):
    """A stack beside `dev`, in a namespace and with a Route host of its name."""

    def configure(self, **settings: object) -> None:
        """Sets settings, on top of those of `dev`."""
        config = yaml.safe_load((ROOT / "Pulumi.dev.yaml").read_text())
        config["config"] |= {
            "registry:namespace": self.name,
            "registry:route": {"host": f"{self.name}.cloudapps.example.com"},
            **{f"registry:{key}": value for key, value in settings.items()},
        }
        (self.folder / f"Pulumi.{self.name}.yaml").write_text(yaml.safe_dump(config))

    def remove(self) -> None:
        """Removes everything that the stack made, and what it keeps."""
        self.pulumi("cancel", "--yes", check=False)
        self.pulumi("state", "unprotect", "--all", "--yes", check=False)
        self.pulumi("destroy", "--yes", "--skip-preview")
        self.pulumi("stack", "rm", "--force", "--yes")
        kubectl("delete", "namespace", self.name, "--ignore-not-found", "--wait=false")
        delete_volumes(self.name)


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project in another folder, with room for other stack files."""
    folder = tmp_path_factory.mktemp("checkout")
    for entry in ROOT.iterdir():
        if not re.fullmatch(r"Pulumi\..+\.yaml|\.git", entry.name):
            (folder / entry.name).symlink_to(entry)
    return folder


@pytest.fixture
def other_stack(kubeconfig: Path, checkout: Path) -> Iterator[Callable[..., OtherStack]]:  # noqa: ARG001 - needs the cluster
    """Makes stacks beside `dev`; they are gone after the test."""
    made = []

    def other_stack(name: str, **settings: object) -> OtherStack:
        other = OtherStack(name, checkout)
        other.configure(**settings)
        made.append(other)
        other.pulumi("stack", "init")
        return other

    yield other_stack
    for other in made:
        other.remove()


@pytest.fixture
def settings_with(tmp_path: Path) -> Callable[..., Path]:
    """Makes a copy of the dev stack's settings with one of them changed."""

    def settings_with(value: object, *path: str | int) -> Path:
        settings = yaml.safe_load((ROOT / "Pulumi.dev.yaml").read_text())
        section = settings["config"]
        for key in path[:-1]:
            section = section[key]
        section[path[-1]] = value
        file = tmp_path / "Pulumi.dev.yaml"
        file.write_text(yaml.safe_dump(settings))
        return file

    return settings_with


@pytest.fixture(scope="session")
def pushed(stack: Stack) -> str:
    """Name of an image that was pushed through the Route, trusting what `up` put on the node."""
    name = "first/light:1"
    sandbox("exec", "--", "skopeo", "--insecure-policy", "copy",
            "oci-archive:/opt/sandbox/images/busybox.tar", f"docker://{stack.route_host}/{name}")  # fmt: skip
    return name


def run_pod(name: str, image: str, node_name: str) -> None:
    """Runs a pod on a node until it has succeeded; the kubelet has to pull its image unless it is the sandbox's."""
    kubectl("delete", "pod", name, "--ignore-not-found", "--wait")
    pull = "Never" if image.startswith("sandbox.local/") else "Always"
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "nodeSelector": {"kubernetes.io/hostname": node_name},
            "tolerations": [{"operator": "Exists"}],
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
            "containers": [{"name": "it", "image": image, "imagePullPolicy": pull, "command": ["true"]}],
        },
    }
    kubectl("apply", "--filename=-", stdin=json.dumps(pod))
    kubectl("wait", f"pod/{name}", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=60s")
    kubectl("delete", "pod", name, "--wait")


def digest(reference: str) -> str:
    return str(json.loads(sandbox("exec", "--", "skopeo", "inspect", f"docker://{reference}").stdout)["Digest"])
