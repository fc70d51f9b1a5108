"""What the README says is needed, and what Pulumi's Kubernetes plugin and the sandbox say themselves."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from pulumi.runtime import proto

from sandbox import toolchain
from sandbox.gobuild import KUBERNETES
from sandbox.topology import NODES
from tests.conformance import plugin
from tests.conformance.plugin import RefusedError
from tests.conftest import ROOT

README = (ROOT / "README.md").read_text()


def said(pattern: str) -> str:
    """Returns what the README says in a place of a sentence."""
    (found,) = re.findall(pattern, README)
    return str(found)


@contextmanager
def api_server(minor: int) -> Iterator[str]:
    """An API server that knows nothing but its version; yields a kubeconfig for it."""

    class Server(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            version = {"major": "1", "minor": str(minor), "gitVersion": f"v1.{minor}.0"}
            body = json.dumps(version if self.path.startswith("/version") else {"kind": "Status", "status": "Failure"})
            self.send_response(200 if self.path.startswith("/version") else 404)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    cluster = {"name": "it", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}
    context = {"name": "it", "context": {"cluster": "it", "user": "it"}}
    try:
        yield json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [cluster],
                "users": [{"name": "it", "user": {}}],
                "contexts": [context],
                "current-context": "it",
            }
        )
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def configure() -> Iterator[Callable[[str], None]]:
    """Hands a kubeconfig to the plugin."""
    with plugin.start("kubernetes") as kubernetes:

        def configure(kubeconfig: str) -> None:
            variables = {"kubernetes:config:kubeconfig": kubeconfig}
            kubernetes.call("Configure", proto.ConfigureRequest, variables=variables)

        yield configure


def test_the_plugin_refuses_clusters_older_than_the_readme_says(configure: Callable[[str], None]) -> None:
    oldest = int(said(r"plugin refuses clusters older than 1\.(\d+)"))
    with (
        api_server(oldest - 1) as kubeconfig,
        pytest.raises(
            RefusedError, match=rf"minimum supported cluster version is v1\.{oldest}\. found v1\.{oldest - 1}"
        ),
    ):
        configure(kubeconfig)
    with api_server(oldest) as kubeconfig:
        configure(kubeconfig)


def test_the_readme_names_what_was_tested_with() -> None:
    (version,) = {value.rpartition("=v")[2] for value in KUBERNETES.variables if ".gitVersion=" in value}
    assert said(r"with the Route API; tested with (1\.\d+)") == version.rpartition(".")[0]
    assert said(r"Tested with containerd ([\d. and]+) \|").split(" and ") == [node.containerd for node in NODES]


def test_the_readme_names_the_oldest_engine() -> None:
    assert said(r"\| Pulumi \| ([\d.]+) or later") == f"{toolchain.OLDEST_ENGINE.major}.{toolchain.OLDEST_ENGINE.minor}"
    assert f'requiredPulumiVersion: ">={toolchain.OLDEST_ENGINE}"' in (ROOT / "Pulumi.yaml").read_text()
