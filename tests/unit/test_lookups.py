"""What the program asks an API server, which is one on this machine."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pulumi
import pytest
import yaml

import lookups

NODES = {
    "node1": {"kubernetes.io/hostname": "node1"},
    "10.177.48.66": {"kubernetes.io/hostname": "worker-66.internal", "region": "infra"},
    "bare": {},
}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        node = self.path.removeprefix("/api/v1/nodes/")
        status = 403 if node == "secret" else 200 if node in NODES else 404
        found = {"kind": "Node", "metadata": {"name": node, "labels": NODES.get(node)}}
        body = json.dumps(found if status == 200 else {"kind": "Status", "code": status}).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Iterator[Path]:
    """A kubeconfig with two contexts, of which the current one leads nowhere."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    servers = {"good": f"http://127.0.0.1:{server.server_port}", "gone": "http://127.0.0.1:1"}
    file = tmp_path / "kubeconfig"
    file.write_text(
        yaml.safe_dump(
            {
                "clusters": [{"name": name, "cluster": {"server": url}} for name, url in servers.items()],
                "contexts": [{"name": name, "context": {"cluster": name, "user": "me"}} for name in servers],
                "users": [{"name": "me", "user": {"token": "hidden-4711"}}],
                "current-context": "gone",
            }
        )
    )
    try:
        yield file
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(("node", "label"), [("node1", "node1"), ("10.177.48.66", "worker-66.internal")])
def test_the_label_of_a_node_is_read_from_the_cluster_of_the_context(kubeconfig: Path, node: str, label: str) -> None:
    assert lookups.hostname(kubeconfig, "good", node) == label


@pytest.mark.parametrize(
    ("context", "node", "message"),
    [
        (
            "good",
            "node9",
            "the cluster has no node 'node9', which is to keep the images: give its name as `kubectl get",
        ),
        (
            "good",
            "secret",
            r"node 'secret' cannot be read \(403 Forbidden\): see whether `kubectl get node secret` works",
        ),
        (
            "good",
            "bare",
            "has no label kubernetes.io/hostname, .*: run `kubectl label node bare kubernetes.io/hostname=b",
        ),
        (None, "node1", r"node 'node1' cannot be read \(.*Connection refused"),
        ("other", "node1", r"node 'node1' cannot be read \(.*other"),
    ],
)
def test_a_node_that_cannot_be_read_is_one_clear_error(
    kubeconfig: Path, context: str | None, node: str, message: str
) -> None:
    with pytest.raises(pulumi.RunError, match=message) as caught:
        lookups.hostname(kubeconfig, context, node)
    assert "4711" not in str(caught.value)
    assert "\n" not in str(caught.value)
