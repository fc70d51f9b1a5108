"""`python -m verify` passes on a good registry, and finds what is wrong with a bad one, by name and place.

Each fault is planted as it happens in life: on a node, in an object, in the settings' files. What must fail is exactly
what is listed; all else passes or is not tried.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any, cast
from xml.etree import ElementTree

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from sandbox import layout, nfs, node, toolchain
from sandbox.topology import CONTROL_PLANE, DNS_SERVICE, node_named
from sandbox.wait import until
from tests.cluster.conftest import OtherStack, Stack, kubectl, pulumi, sandbox
from tests.cluster.storages import nfs_storage
from tests.conftest import ROOT, make_ca

NAMESPACE = "docker-registry"
OBJECT = f"{NAMESPACE}/docker-registry"
ROUTE = "docker-registry.cloudapps.example.com"
SERVICE = "docker-registry.docker-registry.svc:5000"
IMAGES = "verify/probe"
CERTS = "/etc/docker/certs.d"

Failures = dict[tuple[str, str], str]


@dataclass(frozen=True)
class Report:
    """What a run found."""

    code: int
    checks: list[dict[str, Any]]

    def failures(self) -> Failures:
        return {(c["check"], c["place"]): c["detail"] for c in self.checks if c["outcome"] == "failed"}


def verify(*options: str | Path, name: str = "dev", folder: Path = ROOT) -> Report:
    done = subprocess.run(
        [sys.executable, "-m", "verify", "--stack", name, "--json", *map(str, options)],
        cwd=folder,
        env={**os.environ, **toolchain.environment()},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout, done.stderr
    return Report(done.returncode, json.loads(done.stdout)["checks"])


def in_namespace(*arguments: str, stdin: str | None = None) -> str:
    return kubectl("--namespace", NAMESPACE, *arguments, stdin=stdin)


def pods() -> list[dict[str, Any]]:
    found = json.loads(in_namespace("get", "pods", "--selector=docker-registry=default", "--output=json"))["items"]
    return cast("list[dict[str, Any]]", found)


@pytest.fixture(scope="module", autouse=True)
def _left_as_it_was(stack: Stack) -> Iterator[None]:  # noqa: ARG001
    """Nothing that these tests do stays."""
    yield
    pulumi("preview", "--stack", "dev", "--refresh", "--expect-no-changes")
    assert not in_namespace("get", "pods", "--selector=app.kubernetes.io/name=verify", "--output=name")


def test_a_good_registry_passes_and_so_says_junit(tmp_path: Path) -> None:
    before = [pod["metadata"]["uid"] for pod in pods()]

    report = verify("--restart", "--junit", tmp_path / "report.xml")

    assert report.failures() == {}
    assert report.code == 0
    assert {check["outcome"] for check in report.checks} == {"passed"}
    assert set(before).isdisjoint(pod["metadata"]["uid"] for pod in pods())
    suite = ElementTree.parse(tmp_path / "report.xml").getroot()[0]
    assert (suite.get("tests"), suite.get("failures")) == (str(len(report.checks)), "0")


@pytest.fixture
def two_pods(other_stack: Callable[..., OtherStack]) -> Iterator[OtherStack]:
    """A stack whose two pods share a folder of the NFS server."""
    export = f"{nfs.EXPORT}/verify-test"
    sandbox("exec", "--", "install", "-d", "-o", "1001", "-g", "1001", "-m", "0750", export)
    stack = other_stack(
        "verify-test",
        storage=nfs_storage(export),
        replicas=2,
        nodeSelector={"kubernetes.io/os": "linux"},
    )
    stack.up()
    yield stack
    sandbox("exec", "--", "rm", "-rf", export)


def test_two_pods_on_nfs_pass_until_their_clients_change_pods(two_pods: OtherStack) -> None:
    report = verify(name=two_pods.name, folder=two_pods.folder)

    assert report.failures() == {}
    seen = {(check["check"], check["place"]): check["detail"] for check in report.checks}
    place = f"{two_pods.name}/docker-registry"
    assert seen["pods", place] == "2 ready on node1, node2, 0 restarts"
    assert seen["affinity", place] == "ClientIP, as storage.kind 'nfs' needs"
    assert seen["volume", place].startswith(f"{CONTROL_PLANE.address}:{nfs.EXPORT}/verify-test, 1Gi")

    patch = json.dumps({"spec": {"sessionAffinity": "None"}})
    kubectl("patch", "service", "docker-registry", f"--namespace={two_pods.name}", f"--patch={patch}")
    failures = verify(name=two_pods.name, folder=two_pods.folder).failures()
    assert failures["affinity", place] == (
        "session affinity is None, but storage.kind 'nfs' needs ClientIP, for pods share its files"
    )


# How faults are planted; each is mended at the end of its context.


@contextmanager
def replaced(kind: str, change: Callable[[dict[str, Any]], object]) -> Iterator[None]:
    """An object of the registry is changed by hand."""
    before = json.loads(in_namespace("get", kind, "docker-registry", "--output=json"))
    del before["metadata"]["resourceVersion"]
    after = deepcopy(before)
    change(after)
    replace(after)
    try:
        yield
    finally:
        replace(before)


def replace(thing: dict[str, Any]) -> None:
    in_namespace("replace", "--field-manager=pulumi-kubernetes", "--filename=-", stdin=json.dumps(thing))


@contextmanager
def on_node(name: str, plant: str, mend: str) -> Iterator[None]:
    """Somebody works on a node."""
    sandbox("exec", f"--node={name}", "--", "sh", "-c", plant)
    try:
        yield
    finally:
        sandbox("exec", f"--node={name}", "--", "sh", "-c", mend)


def file_on_node(name: str, path: str, content: str) -> AbstractContextManager[None]:
    """A file of a node has other content, or is gone if there is none."""
    plant = f"cat >{path} <<'END'\n{content}\nEND" if content else f"rm {path}"
    return on_node(name, f"cp {path} /root/before; {plant}", f"cp /root/before {path}")


@contextmanager
def stopped(node_name: str, program: str) -> Iterator[None]:
    """A program of a node does not run."""
    supervisor = node.supervisor(node_named(node_name)).supervisor
    supervisor.stopProcess(program)
    try:
        yield
    finally:
        supervisor.startProcess(program)


@contextmanager
def hung(node_name: str, program: str) -> Iterator[None]:
    """A program of a node runs and does nothing."""
    known = cast("dict[str, int]", node.supervisor(node_named(node_name)).supervisor.getProcessInfo(program))
    sandbox("exec", f"--node={node_name}", "--", "sh", "-c", f"kill -{signal.SIGSTOP.value} {known['pid']}")
    try:
        yield
    finally:
        sandbox("exec", f"--node={node_name}", "--", "sh", "-c", f"kill -{signal.SIGCONT.value} {known['pid']}")


@contextmanager
def local_file(file: Path, content: str) -> Iterator[None]:
    """A file of this machine has other content."""
    before = file.read_text()
    # In place: nodes may have it mounted.
    file.write_text(content)
    try:
        yield
    finally:
        file.write_text(before)


@contextmanager
def forgotten_hosts() -> Iterator[None]:
    """The nodes know no host of any Route; their router, which would write them anew, stands still."""
    with hung("node1", "router"), local_file(layout.HOSTS, "127.0.0.1 localhost\n"):
        yield


@contextmanager
def remade_service() -> Iterator[None]:
    """The Service was deleted and made again."""
    before = json.loads(in_namespace("get", "service", "docker-registry", "--output=json"))
    after = deepcopy(before)
    for key in ("clusterIP", "clusterIPs"):
        del after["spec"][key]
    remake(after)
    try:
        yield
    finally:
        remake(before)


def remake(service: dict[str, Any]) -> None:
    for key in ("resourceVersion", "uid"):
        service["metadata"].pop(key)
    in_namespace("delete", "service", "docker-registry")
    in_namespace("create", "--field-manager=pulumi-kubernetes", "--filename=-", stdin=json.dumps(service))
    until(
        lambda: "10." in in_namespace("get", "endpointslices", "--output=jsonpath={.items[*].endpoints[*].addresses}"),
        "the Service's endpoints",
        20,
        "",
    )


def a_ca() -> str:
    return make_ca("somebody-else")[0].public_bytes(Encoding.PEM).decode()


def other_host_keys() -> str:
    """The known host keys, with those of the two nodes exchanged."""
    lines = [line.split(maxsplit=1) for line in (layout.SSH / "known_hosts").read_text().splitlines()]
    return "".join(f"{host} {key}\n" for (host, _), (_, key) in zip(lines, reversed(lines), strict=True))


@dataclass(frozen=True)
class Fault:
    """A fault, and what verify must say of it: part of the message, by check and place."""

    plant: Callable[[str], AbstractContextManager[Any]]
    expected: Failures


# By group: faults that are planted at once, for they are not in each other's way. `{ip}` is the cluster IP.
GROUPS: dict[str, list[Fault]] = {
    "another-ca-on-a-node, a-ca-file-lost, affinity-changed": [
        Fault(
            lambda _: file_on_node("node2", f"{CERTS}/{ROUTE}/ca.crt", a_ca()),
            {("CA files", "node2"): f"{CERTS}/{ROUTE}/ca.crt holds the certificate of 'somebody-else'"},
        ),
        Fault(
            lambda ip: file_on_node("node1", f"{CERTS}/{ip}:5000/ca.crt", ""),
            {("CA files", "node1"): "{ip}:5000/ca.crt is missing"},
        ),
        Fault(
            lambda _: replaced("service", lambda s: s["spec"].update(sessionAffinity="ClientIP")),
            {("affinity", OBJECT): "session affinity is ClientIP, but storage.kind 'hostPath' needs None"},
        ),
    ],
    "another-host-key, route-to-another-service": [
        Fault(
            lambda _: local_file(layout.SSH / "known_hosts", other_host_keys()),
            {
                ("SSH", name): f"{node_named(name).host} shows another host key than '.sandbox/ssh/known_hosts'"
                for name in ("node1", "node2")
            },
        ),
        Fault(
            lambda _: replaced("route", lambda r: r["spec"]["to"].update(name="another")),
            {("Route", OBJECT): "it leads to Service another, not to docker-registry"},
        ),
    ],
    "a-node-without-sshd, route-not-passthrough": [
        Fault(
            lambda _: stopped("node2", "sshd"),
            {("SSH", "node2"): "admin@node2.sandbox.internal:2222 cannot be reached"},
        ),
        Fault(
            lambda _: replaced("route", lambda r: r["spec"]["tls"].update(termination="edge")),
            {("Route", OBJECT): "its TLS termination is edge"},
        ),
    ],
    "a-runtime-that-ignores-the-ca, router-stopped": [
        Fault(
            lambda ip: on_node(
                "node2",
                f"printf '[host.\"https://{ip}:5000\"]\\n' >{CERTS}/{ip}:5000/hosts.toml",
                f"rm {CERTS}/{ip}:5000/hosts.toml",
            ),
            {("pull", "node2"): "certificate signed by unknown authority"},
        ),
        Fault(
            lambda _: stopped("node1", "haproxy"),
            {("connection", ROUTE): f"nobody listens at {CONTROL_PLANE.address}:443, asked from node1"},
        ),
    ],
    "a-node-that-does-not-reach-the-service, unknown-host-name, silent-name-server": [
        Fault(
            lambda ip: on_node(
                "node2",
                f"iptables -t mangle -I OUTPUT -d {ip} -j DROP",
                f"iptables -t mangle -D OUTPUT -d {ip} -j DROP",
            ),
            {("trust", "node2"): "node2 does not reach {ip}:5000 ({ip}:5000): no answer within 10 s"},
        ),
        Fault(
            lambda _: forgotten_hosts(),
            {("name", ROUTE): "the name resolves neither on this machine nor on node1"},
        ),
        Fault(
            lambda _: on_node(
                "node1",
                f"iptables -t mangle -I OUTPUT -d {DNS_SERVICE} -p tcp -j DROP",
                f"iptables -t mangle -D OUTPUT -d {DNS_SERVICE} -p tcp -j DROP",
            ),
            {("name", SERVICE): f"the cluster's name server {DNS_SERVICE} does not answer to node1"},
        ),
    ],
    "service-without-pods": [
        Fault(
            lambda _: replaced("service", lambda s: s["spec"].update(selector={"docker-registry": "none"})),
            {("Service", OBJECT): "no ready pod is behind it: it selects 'docker-registry=none'"},
        )
    ],
    "service-made-anew": [
        Fault(lambda _: remade_service(), {("Service", OBJECT): "but certificate and nodes have {ip}"})
    ],
    "folder-that-cannot-be-written-to": [
        Fault(
            lambda _: on_node("node1", "chmod -R a-w /registry", "chmod -R u+w /registry"),
            {("push", IMAGES): "permission denied"},
        )
    ],
    "api-server-hung": [
        Fault(
            lambda _: hung("node1", "kube-apiserver"),
            {("API server", f"https://{CONTROL_PLANE.address}:6443"): "does not answer"},
        )
    ],
}


SHARED = ("sshd", "router", "host-key", "name-server", "api-server")
"""What other tests need as well."""


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.alone) if any(shared in name for shared in SHARED) else name
        for name in GROUPS
    ],
)
def test_each_fault_is_found_by_name_and_place(stack: Stack, name: str) -> None:
    ip = stack.cluster_ip
    with ExitStack() as planted:
        for fault in GROUPS[name]:
            planted.enter_context(fault.plant(ip))
        report = verify()
    expect(report, {key: part for fault in GROUPS[name] for key, part in fault.expected.items()}, ip)


def expect(report: Report, expected: Failures, ip: str) -> None:
    """Exactly these checks failed, and their messages have these parts."""
    failures = report.failures()
    wanted = {(check, place.format(ip=ip)): part.format(ip=ip) for (check, place), part in expected.items()}
    assert failures.keys() == wanted.keys(), failures
    for key, part in wanted.items():
        assert part in failures[key]
    assert report.code == 1
    assert all(check["mend"] for check in report.checks if check["outcome"] == "failed")


# Faults of the pods. One takes the place of another, which saves a start of the pod in between.


@pytest.fixture(scope="module")
def deployment(stack: Stack) -> Iterator[dict[str, Any]]:  # noqa: ARG001
    """The Deployment as the stack made it, and makes it again."""
    before = json.loads(in_namespace("get", "deployment", "docker-registry", "--output=json"))
    del before["metadata"]["resourceVersion"]
    yield before
    replace(before)
    in_namespace("rollout", "status", "deployment/docker-registry", "--timeout=90s")


def container(deployment: dict[str, Any]) -> dict[str, Any]:
    (registry,) = deployment["spec"]["template"]["spec"]["containers"]
    return cast("dict[str, Any]", registry)


def volume(deployment: dict[str, Any], name: str) -> dict[str, Any]:
    volumes = deployment["spec"]["template"]["spec"]["volumes"]
    return cast("dict[str, Any]", next(each for each in volumes if each["name"] == name))


def without(deployment: dict[str, Any], prefix: str) -> None:
    container(deployment)["env"] = [each for each in container(deployment)["env"] if prefix not in each["name"]]


def with_variables(deployment: dict[str, Any], **variables: str) -> None:
    container(deployment)["env"] += [{"name": name, "value": value} for name, value in variables.items()]


def ask_for_a_login(deployment: dict[str, Any]) -> None:
    with_variables(
        deployment,
        REGISTRY_AUTH="htpasswd",
        REGISTRY_AUTH_HTPASSWD_REALM="somewhere",
        REGISTRY_AUTH_HTPASSWD_PATH="/registry/.htpasswd",
    )


@dataclass(frozen=True)
class PodFault:
    change: Callable[[dict[str, Any]], object]
    expected: Failures
    runs: bool = True


PODS: dict[str, PodFault] = {
    "wrong-probe": PodFault(
        lambda d: container(d)["readinessProbe"]["httpGet"].update(scheme="HTTP"),
        {
            ("Deployment", OBJECT): "its readinessProbe asks HTTP on port 5000, but the registry speaks HTTPS",
            ("pods", OBJECT): "is not ready: Unhealthy: Readiness probe failed: HTTP probe failed with statuscode: 400",
        },
        runs=False,
    ),
    "plain-http": PodFault(
        lambda d: without(d, "HTTP_TLS"),
        {
            ("Deployment", OBJECT): "REGISTRY_HTTP_TLS_CERTIFICATE is not set",
            ("pods", OBJECT): "server gave HTTP response to HTTPS client",
            ("log", OBJECT): "says 'listening on [::]:5000', without `, tls`",
        },
        runs=False,
    ),
    "image-that-nobody-has": PodFault(
        lambda d: container(d).update(image="sandbox.local/registry:none"),
        {
            ("Deployment", OBJECT): "it runs sandbox.local/registry:none, but the stack's settings say",
            ("pods", OBJECT): "sandbox.local/registry:none",
        },
        runs=False,
    ),
    "no-pods": PodFault(
        lambda d: d["spec"].update(replicas=0),
        {
            ("Deployment", OBJECT): "it wants 0 pods, but the stack's settings say 1",
            ("pods", OBJECT): "1 of 1 do not exist",
        },
        runs=False,
    ),
    "read-only-mount": PodFault(
        lambda d: next(m for m in container(d)["volumeMounts"] if m["name"] == "storage").update(readOnly=True),
        {("volume", OBJECT): "/registry is mounted read-only"},
    ),
    "read-only-switch": PodFault(
        lambda d: with_variables(d, REGISTRY_STORAGE_MAINTENANCE_READONLY='{"enabled":true}'),
        {("push", IMAGES): "the registry is read-only"},
    ),
    "login-that-no-setting-knows": PodFault(
        ask_for_a_login, {("login", IMAGES): 'it asks for a login (Basic realm="somewhere")'}
    ),
}


@pytest.mark.parametrize("name", PODS)
def test_each_fault_of_the_pods_is_found(stack: Stack, deployment: dict[str, Any], name: str) -> None:
    fault = PODS[name]
    changed = deepcopy(deployment)
    fault.change(changed)
    roll_out(changed, runs=fault.runs)
    try:
        expect(verify(), fault.expected, stack.cluster_ip)
    finally:
        sandbox("exec", "--node=node1", "--", "rm", "-f", "/registry/.htpasswd")


def roll_out(deployment: dict[str, Any], *, runs: bool) -> None:
    """Waits until the pods are as the Deployment wants them, or until it shows that they cannot be."""
    old = {pod["metadata"]["uid"] for pod in pods()}
    replace(deployment)
    if runs:
        in_namespace("rollout", "status", "deployment/docker-registry", "--timeout=90s")
        return

    def shows() -> bool:
        new = pods()
        if any(pod["metadata"]["uid"] in old for pod in new):
            return False
        if deployment["spec"]["replicas"] == 0:
            return not new
        names = [pod["metadata"]["name"] for pod in new]
        return bool(names) and "Warning" in in_namespace(
            "get", "events", f"--field-selector=type=Warning,involvedObject.name={names[0]}"
        )

    until(shows, "pods that show the fault", 60, "")


def test_a_full_disk_is_found(stack: Stack, deployment: dict[str, Any]) -> None:
    replace(deployment)
    with on_node(
        "node1",
        "mount -t tmpfs -o size=64k,uid=1001,gid=1001 tmpfs /registry; head -c 1M /dev/zero >/registry/full || :",
        "umount --lazy /registry",
    ):
        restart_pods()
        report = verify()
    restart_pods()
    expect(
        report,
        {("space", OBJECT): "only 0 bytes of 65.5 kB free", ("push", IMAGES): "no space left on device"},
        stack.cluster_ip,
    )


def restart_pods() -> None:
    in_namespace("delete", "pods", "--selector=docker-registry=default")
    in_namespace("rollout", "status", "deployment/docker-registry", "--timeout=90s")


CERTIFICATES: dict[str, tuple[dict[str, Any], Failures]] = {
    "expired": (
        {"ends": datetime.now(UTC) - timedelta(hours=1)},
        {("certificate", place): "its certificate has expired on" for place in (ROUTE, "{ip}:5000", SERVICE)},
    ),
    "without-the-route": (
        {"without": ROUTE},
        {("certificate", ROUTE): f"its certificate is not for {ROUTE}, only for docker-registry.docker-registry.svc"},
    ),
    "of-another-ca": (
        {"by_another_ca": True},
        {
            ("certificate", place): "its certificate is signed by 'somebody-else', not by the stack's CA 'sandbox-ca'"
            for place in (ROUTE, "{ip}:5000", SERVICE)
        },
    ),
    "not-the-stacks": (
        {"ends": datetime.now(UTC) + timedelta(days=100)},
        {
            ("certificate", place): "it serves another certificate than the stack made"
            for place in (ROUTE, "{ip}:5000", SERVICE)
        },
    ),
}


@pytest.mark.parametrize("name", CERTIFICATES)
def test_each_fault_of_the_certificate_is_found(stack: Stack, deployment: dict[str, Any], name: str) -> None:
    options, expected = CERTIFICATES[name]
    like_the_stacks = {"ends": datetime.fromisoformat(stack.outputs["certificateEnds"])}
    secret = f"certificate-{name}"
    thing = certificate_secret(secret, stack.cluster_ip, **like_the_stacks | options)
    in_namespace("create", "--filename=-", stdin=json.dumps(thing))
    try:
        changed = deepcopy(deployment)
        volume(changed, "registry-secrets")["secret"]["secretName"] = secret
        roll_out(changed, runs=True)
        expect(verify(), expected, stack.cluster_ip)
    finally:
        in_namespace("delete", "secret", secret)


def certificate_secret(
    name: str,
    ip: str,
    *,
    ends: datetime,
    without: str = "",
    by_another_ca: bool = False,
) -> dict[str, Any]:
    """A Secret with a certificate like the stack's, but for one thing."""
    if by_another_ca:
        ca, ca_key = make_ca("somebody-else")
    else:
        ca = x509.load_pem_x509_certificate((layout.PKI / "ca.crt").read_bytes())
        ca_key = cast("Any", load_pem_private_key((layout.PKI / "ca.key").read_bytes(), None))
    names = [each for each in (ROUTE, SERVICE.removesuffix(":5000")) if each != without]
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(ca.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - timedelta(days=1))
        .not_valid_after(ends)
        .add_extension(
            x509.SubjectAlternativeName([*map(x509.DNSName, names), x509.IPAddress(ip_address(ip))]), critical=False
        )
        .sign(ca_key, hashes.SHA256())
    )
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name},
        "type": "kubernetes.io/tls",
        "stringData": {
            "tls.crt": certificate.public_bytes(Encoding.PEM).decode(),
            "tls.key": key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
        },
    }
