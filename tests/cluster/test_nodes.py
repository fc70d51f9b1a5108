"""Two nodes are one cluster: their pods and names reach each other, and what dies comes back."""

import asyncio
import json
import time
from collections.abc import Iterator

import asyncssh
import pytest

from sandbox import cluster, layout, node
from sandbox.topology import CONTROL_PLANE, NODES, Node, node_named
from sandbox.wait import until
from tests.cluster.conftest import Stack, kubectl, run, run_pod, sandbox

HEALED_SECONDS = 20

on_each_node = pytest.mark.parametrize("each", NODES, ids=[each.name for each in NODES])


@pytest.fixture(scope="module")
def urls(stack: Stack) -> Iterator[dict[str, list[str]]]:  # noqa: ARG001
    """Pod and Service `on-<node>` of each node, which serve its name; by node, the URLs without the Service's name."""
    objects = [
        thing
        for each in NODES
        for name in [f"on-{each.name}"]
        for thing in (
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": name, "labels": {"app": name}},
                "spec": {
                    "nodeName": each.name,
                    "terminationGracePeriodSeconds": 1,
                    "containers": [
                        {
                            "name": "it",
                            "image": "sandbox.local/busybox:1",
                            "command": ["httpd", "-f", "-p", "8080", "-h", "/etc"],
                        }
                    ],
                },
            },
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": name},
                "spec": {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": 8080}]},
            },
        )
    ]
    manifest = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    names = [f"on-{each.name}" for each in NODES]
    kubectl("apply", "--filename=-", stdin=manifest)
    try:
        kubectl("wait", *(f"pod/{name}" for name in names), "--for=condition=Ready", "--timeout=60s")
        yield {
            each.name: [
                f"http://{kubectl('get', 'pod', name, '--output=jsonpath={.status.podIP}')}:8080/hostname",
                f"http://{kubectl('get', 'service', name, '--output=jsonpath={.spec.clusterIP}')}/hostname",
            ]
            for each, name in zip(NODES, names, strict=True)
        }
    finally:
        kubectl("delete", "--filename=-", "--wait", stdin=manifest)


@pytest.mark.parametrize(("source", "target"), [("node1", "node2"), ("node2", "node1")])
def test_a_pod_reaches_one_of_the_other_node(urls: dict[str, list[str]], source: str, target: str) -> None:
    for url in [
        *urls[target],
        f"http://on-{target}/hostname",
        f"http://on-{target}.default.svc.cluster.local/hostname",
    ]:
        answer = kubectl("exec", f"on-{source}", "--", "wget", "-q", "-O", "-", url)
        assert (url, answer.strip()) == (url, f"on-{target}")


@on_each_node
def test_the_machine_reaches_pods_and_services(urls: dict[str, list[str]], each: Node) -> None:
    for url in urls[each.name]:
        assert run("curl", "--silent", "--max-time", "5", url).stdout.strip() == f"on-{each.name}"


@on_each_node
def test_a_route_is_known_to_nodes_and_pods(stack: Stack, urls: dict[str, list[str]], each: Node) -> None:  # noqa: ARG001
    wanted = f"{CONTROL_PLANE.address} {stack.route_host}"
    assert wanted in sandbox("exec", "--node", each.name, "--", "cat", "/etc/hosts").stdout.splitlines()
    answer = kubectl("exec", f"on-{each.name}", "--", "nslookup", "-type=a", stack.route_host)
    assert f"Address: {CONTROL_PLANE.address}" in answer.splitlines()


@on_each_node
def test_each_node_answers_to_ssh_with_its_own_pinned_key(stack: Stack, each: Node) -> None:  # noqa: ARG001
    async def hostname() -> object:
        pinned, key = str(layout.SSH / "known_hosts"), str(layout.SSH / "id_ed25519")
        async with asyncssh.connect(
            each.host, each.ssh_port, username=each.ssh_user, known_hosts=pinned, client_keys=[key], config=[]
        ) as login:
            # On one it is root already, on the other a user who may become it.
            return (await login.run("sudo -n id -u && hostname", check=True)).stdout

    assert asyncio.run(hostname()) == f"0\n{each.name}\n"
    assert len({line.split()[-1] for line in (layout.SSH / "known_hosts").read_text().splitlines()}) == len(NODES)


@pytest.mark.alone
@pytest.mark.parametrize(
    ("node_name", "program"), [("node2", "kubelet"), ("node2", "containerd"), ("node1", "kube-apiserver")]
)
def test_what_is_killed_comes_back(stack: Stack, node_name: str, program: str) -> None:  # noqa: ARG001
    each = node_named(node_name)

    def pid() -> int:
        info = node.supervisor(each).supervisor.getProcessInfo(program)
        assert isinstance(info, dict)
        return int(info["pid"])

    killed = pid()
    started = time.monotonic()
    sandbox("exec", "--node", node_name, "--", "sh", "-c", f"kill -9 {killed}")
    until(lambda: pid() not in (0, killed) and cluster.is_ready(each), f"{program} again", HEALED_SECONDS, "")
    run_pod("healed", "sandbox.local/busybox:1", node_name)
    assert time.monotonic() - started < HEALED_SECONDS
