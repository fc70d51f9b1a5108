"""What the how-to promises, on a real cluster, with clients that nobody here wrote."""

import json
import re
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from sandbox import layout
from sandbox.topology import CONTROL_PLANE, NODES
from tests.cluster.conftest import Stack, digest, kubectl, pulumi, run, run_pod, sandbox

CA = layout.PKI / "ca.crt"
NAMESPACE = "docker-registry"

on_each_node = pytest.mark.parametrize("node_name", [each.name for each in NODES])


def test_a_second_up_changes_nothing_and_ends_with_the_endpoints(stack: Stack) -> None:
    printed = run("make", "up").stdout
    for endpoint in stack.outputs["endpoints"]:
        assert endpoint in printed
    assert stack.outputs["caCertificate"] == CA.read_text()
    (change,) = [
        line for line in printed.partition("Resources:")[2].partition("Duration:")[0].splitlines() if line.strip()
    ]
    assert change.endswith(" unchanged")
    pulumi("preview", "--stack", "dev", "--expect-no-changes")


def curl(url: str, *arguments: str | Path) -> tuple[int, str]:
    """Exit code, and status code of the answer."""
    done = run("curl", "--silent", "--max-time", "10", "--output", "/dev/null", "--write-out", "%{http_code}",
               *arguments, url, check=False)  # fmt: skip
    return done.returncode, done.stdout


NOT_TRUSTED = 60


def test_it_answers_by_cluster_ip_to_those_who_trust_the_cluster_ca(stack: Stack) -> None:
    url = f"https://{stack.cluster_ip}:5000/v2/"
    assert curl(url, "--cacert", CA) in [(0, "200"), (0, "401")]
    assert curl(url) == (NOT_TRUSTED, "000")


def test_it_answers_by_route_host_on_443_to_those_who_trust_the_cluster_ca(stack: Stack) -> None:
    url = f"https://{stack.route_host}/v2/"
    resolve = ("--resolve", f"{stack.route_host}:443:{CONTROL_PLANE.address}")
    assert curl(url, *resolve, "--cacert", CA) in [(0, "200"), (0, "401")]
    assert curl(url, *resolve) == (NOT_TRUSTED, "000")


def curl_in_a_pod(url: str, *arguments: str) -> int:
    """Exit code of the node's curl, run in the network and with the name server of a pod."""
    folders = {"/usr": "/usr", "/usr/lib": "/lib", "/usr/lib64": "/lib64", "/etc/docker": "/etc/docker"}
    names = {folder: folder.strip("/").replace("/", "-") for folder in folders}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "curl"},
        "spec": {
            "restartPolicy": "Never",
            "volumes": [{"name": names[folder], "hostPath": {"path": folder}} for folder in folders],
            "containers": [
                {
                    "name": "it",
                    "image": "sandbox.local/busybox:1",
                    "command": ["/usr/bin/curl", "--silent", "--max-time", "10", *arguments, url],
                    "volumeMounts": [
                        {"name": names[folder], "mountPath": place, "readOnly": True}
                        for folder, place in folders.items()
                    ],
                }
            ],
        },
    }
    ended = ".status.containerStatuses[0].state.terminated"
    kubectl("apply", "--filename=-", stdin=json.dumps(pod))
    try:
        kubectl("wait", "pod/curl", f"--for=jsonpath={{{ended}}}", "--timeout=60s")
        return int(kubectl("get", "pod", "curl", f"--output=jsonpath={{{ended}.exitCode}}"))
    finally:
        kubectl("delete", "pod", "curl", "--wait")


def test_it_answers_by_service_name_to_pods_that_trust_the_cluster_ca(stack: Stack) -> None:
    service = stack.outputs["endpoints"][1]
    url = f"https://{service}/v2/"
    assert curl_in_a_pod(url, "--cacert", f"/etc/docker/certs.d/{service}/ca.crt") == 0
    assert curl_in_a_pod(url) != 0


def test_it_does_not_answer_without_tls(stack: Stack) -> None:
    assert curl(f"http://{stack.cluster_ip}:5000/v2/") == (0, "400")


def test_its_log_says_that_it_listens_with_tls(stack: Stack) -> None:  # noqa: ARG001
    assert ":5000, tls" in kubectl("logs", "--namespace", NAMESPACE, "deployment/docker-registry")


def test_its_pod_runs_under_the_restricted_pod_security_standard(stack: Stack) -> None:  # noqa: ARG001
    labels = json.loads(kubectl("get", "namespace", NAMESPACE, "--output=json"))["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


@on_each_node
def test_every_folder_on_a_node_holds_the_ca(stack: Stack, node_name: str) -> None:
    written = stack.outputs["trustedBy"][node_name]
    assert len(written) == len(stack.outputs["endpoints"]) + 2
    held = sandbox("exec", "--node", node_name, "--", "cat", *written).stdout
    assert held == CA.read_text() * len(written)


@on_each_node
def test_a_pod_runs_from_an_image_that_was_pushed_through_the_route(stack: Stack, pushed: str, node_name: str) -> None:
    run_pod("by-cluster-ip", f"{stack.cluster_ip}:5000/{pushed}", node_name)
    run_pod("by-route-host", f"{stack.route_host}/{pushed}", node_name)


def test_the_image_survives_the_registry_pod(stack: Stack, pushed: str) -> None:
    before = digest(f"{stack.route_host}/{pushed}")
    kubectl("delete", "pod", "--namespace", NAMESPACE, "--selector=docker-registry=default", "--wait")
    kubectl("rollout", "status", "--namespace", NAMESPACE, "deployment/docker-registry", "--timeout=90s")
    assert digest(f"{stack.route_host}/{pushed}") == before
    run_pod("after-restart", f"{stack.cluster_ip}:5000/{pushed}", CONTROL_PLANE.name)


@pytest.mark.parametrize("port", ["", ":443"])
def test_a_client_that_ran_the_script_pulls_and_before_does_not(stack: Stack, pushed: str, port: str) -> None:
    inspect = f"skopeo inspect --format='{{{{.Digest}}}}' docker://{stack.route_host}{port}/{pushed}"
    # A client is a machine that trusts nothing yet; skopeo on a node finds the router.
    client = (
        f"mount -t tmpfs tmpfs /etc/docker; {inspect} && exit 1; cat >/etc/docker/it && sh /etc/docker/it && {inspect}"
    )
    done = run(sys.executable, "-m", "sandbox", "exec", "--", "unshare", "--mount", "sh", "-c", client,
               stdin=stack.outputs["clientTrustScript"], check=False)  # fmt: skip
    assert (done.returncode, done.stdout.strip()) == (0, digest(f"{stack.route_host}/{pushed}")), done.stderr
    assert "certificate signed by unknown authority" in done.stderr


def test_a_preview_in_full_shows_what_changes_and_no_secret(
    stack: Stack,  # noqa: ARG001
    settings_with: Callable[..., Path],
) -> None:
    file = settings_with({"validityHours": 8760, "earlyRenewalHours": 720}, "registry:certificate")
    printed = pulumi("preview", "--stack", "dev", "--diff", "--config-file", file).stdout
    assert "validityPeriodHours: 17520 => 8760" in printed
    # The certificate and its Secret are new, the pods roll over to it, and no node is touched.
    changed = set(re.findall(r"\[urn=.*::([\w-]+)\]", printed)) - {"registry-dev"}
    certificate = {"registry-certificate-signed", "registry-certificate-secret"}
    assert changed == certificate | {"registry-account", "registry-deployment"}
    for secret in (layout.PKI / "ca.key", layout.SSH / "id_ed25519"):
        for line in secret.read_text().splitlines():
            assert line not in printed
    assert "PRIVATE KEY" not in printed


def test_a_broken_setting_leaves_a_stack_that_is_up_as_it_is(
    stack: Stack,  # noqa: ARG001
    settings_with: Callable[..., Path],
) -> None:
    file = settings_with("No Host", "registry:route", "host")
    before = pulumi("stack", "export", "--stack", "dev", "--show-secrets").stdout

    done = pulumi("up", "--stack", "dev", "--yes", "--skip-preview", "--config-file", file, check=False)

    assert done.returncode != 0
    assert (done.stdout + done.stderr).count("registry:route.host 'No Host' must be a host name") == 1
    assert resources(pulumi("stack", "export", "--stack", "dev", "--show-secrets").stdout) == resources(before)


def test_a_stack_pointed_at_another_cluster_stops_before_anything_is_asked(
    stack: Stack,  # noqa: ARG001
    settings_with: Callable[..., Path],
    tmp_path: Path,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        server = f"https://127.0.0.1:{other.getsockname()[1]}"
        kubeconfig = tmp_path / "kubeconfig"
        context = {"name": "it", "context": {"cluster": "it", "user": "it"}}
        clusters = [{"name": "it", "cluster": {"server": server}}]
        kubeconfig.write_text(yaml.safe_dump({"contexts": [context], "clusters": clusters, "current-context": "it"}))
        file = settings_with(str(kubeconfig), "registry:kubeconfig")

        for command in (("preview",), ("up", "--yes", "--skip-preview")):
            done = pulumi(*command, "--stack", "dev", "--config-file", file, check=False)
            assert done.returncode
            assert f"leads to {server}, but cluster.server is" in done.stdout + done.stderr

        other.settimeout(0.1)
        with pytest.raises(TimeoutError):
            other.accept()


def resources(export: str) -> object:
    return json.loads(export)["deployment"]["resources"]
