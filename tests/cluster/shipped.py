"""What a stack file of the repository needs besides itself, on the sandbox."""

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sandbox import layout
from sandbox.topology import NODES
from tests.cluster.conftest import run, sandbox


def write_what_the_readme_asks_for(folder: Path, settings: dict[str, Any]) -> None:
    """Writes kubeconfig, CA and host keys of the stack's cluster, each to the place that the stack names."""
    kubeconfig = json.loads(layout.KUBECONFIG.read_text())
    kubeconfig["clusters"][0]["cluster"]["server"] = settings["registry:cluster"]["server"]
    places = {
        settings["registry:kubeconfig"]: json.dumps(kubeconfig),
        settings["registry:ca"]["certFile"]: (layout.PKI / "ca.crt").read_text(),
        settings["registry:ca"]["keyFile"]: (layout.PKI / "ca.key").read_text(),
        settings["registry:ssh"]["knownHostsFile"]: "".join(map(host_keys, settings["registry:nodes"])),
    }
    for name, content in places.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o600)
        file.write_text(content)
    run("ssh-keygen", "-q", "-H", "-f", folder / settings["registry:ssh"]["knownHostsFile"])


def host_keys(node: dict[str, Any]) -> str:
    return run("ssh-keyscan", "-t", "ed25519", "-p", str(node.get("port", 22)), node["host"]).stdout


@contextmanager
def ssh_agent(socket: Path) -> Iterator[Path]:
    """An agent that has the login key, for the stacks name none."""
    with subprocess.Popen(["ssh-agent", "-D", "-a", socket], stdout=subprocess.PIPE) as agent:
        assert agent.stdout is not None
        agent.stdout.readline()
        try:
            key = layout.SSH / "id_ed25519"
            subprocess.run(["ssh-add", "-q", key], env={**os.environ, "SSH_AUTH_SOCK": str(socket)}, check=True)
            yield socket
        finally:
            agent.terminate()


@contextmanager
def pulled(images: Mapping[str, str]) -> Iterator[None]:
    """Images under the names of public ones, as nodes have them that pulled those: the sandbox's images by name."""
    ctr = [("exec", f"--node={node.name}", "--", "ctr", "--namespace=k8s.io", "images") for node in NODES]
    for image, own in images.items():
        for on_node in ctr:
            sandbox(*on_node, "tag", "--force", own, image)
    yield
    for on_node in ctr:
        sandbox(*on_node, "rm", *images)
