"""The cluster's life: up, down, reset."""

import fcntl
import json
import shutil
import socket
import ssl
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from functools import cache, partial
from http import HTTPStatus
from ipaddress import IPv4Address
from pathlib import Path
from typing import TYPE_CHECKING, cast

from sandbox import debian, gobuild, images, layout, network, nfs, node, pki, preflight, s3, toolchain
from sandbox.errors import SandboxError
from sandbox.process import run
from sandbox.programs import programs
from sandbox.report import Report
from sandbox.routes import HTTPS_PORT, hosts_file
from sandbox.topology import BRIDGE, CONTROL_PLANE, NODES, Node
from sandbox.wait import until

if TYPE_CHECKING:
    from kubernetes import client

_LOGS = "see `python -m sandbox status` and `python -m sandbox logs <program>`"
_DNS_PORT = 53
_ROUTE_MODULE = "github.com/openshift/api"
_ROUTE_FILE = "route/v1/zz_generated.crd-manifests/routes.crd.yaml"


def up(report: Report, *, for_tests: bool) -> None:
    """Brings the toolchain and the cluster up, or does what is left to do for it.

    Args:
        report: Where its stages are printed.
        for_tests: Whether to add what only the tests need.

    Raises:
        SandboxError: The machine lacks something, or a part did not start.
    """
    with _only_one():
        with report.stage("machine"):
            preflight.check()
        _make_programs(report, for_tests=for_tests)
        with report.stage("nodes") as stage:
            started = _start_nodes()
            stage.detail = f"started {', '.join(started)}" if started else "running"
        with report.stage("API server") as stage:
            until(_api_is_ready, "the API server's /readyz", 60, _LOGS)
            _define_objects()
            for each in NODES:
                if not each.control_plane:
                    _check_that_it_reaches_the_api(each)
                _start_programs(each, for_tests=for_tests)
            stage.detail = f"{node.API_SERVER}, Routes and cluster DNS defined"
        with report.stage("cluster") as stage:
            for each in NODES:
                until(partial(is_ready, each), f"node {each.name} Ready", 90, _LOGS)
                until(partial(_answers, each.address, each.ssh_port), f"sshd on {each.host}", 10, _LOGS)
            until(_has_service_account, "service account default", 30, _LOGS)
            for what, port in (("the router", HTTPS_PORT), ("CoreDNS", _DNS_PORT)):
                until(partial(_answers, CONTROL_PLANE.address, port), what, 30, _LOGS)
            stage.detail = f"{', '.join(each.name for each in NODES)} Ready, kubeconfig {layout.KUBECONFIG}"
        if for_tests:
            _await_what_tests_need(report)
        if started:
            with report.stage("pods") as stage:
                stage.detail = _await_pods()


def _await_what_tests_need(report: Report) -> None:
    with report.stage("NFS volumes") as stage:
        until(partial(_answers, CONTROL_PLANE.address, nfs.PORT), "the NFS server", 30, _LOGS)
        mounter = "the kernel" if nfs.kernel_has_client() else "FUSE, for this kernel has no NFS client"
        stage.detail = f"{CONTROL_PLANE.address}:{nfs.EXPORT}, mounted by {mounter}"
    with report.stage("S3 buckets") as stage:
        until(partial(_answers, CONTROL_PLANE.address, s3.PORT), "the S3 server", 30, _LOGS)
        stage.detail = f"https://{CONTROL_PLANE.address}:{s3.PORT}/{s3.BUCKET}, credentials {s3.credentials()}"


def down() -> None:
    """Stops the cluster and leaves nothing of it on the machine but `.sandbox`."""
    with _only_one():
        with ThreadPoolExecutor() as pool:
            list(pool.map(node.stop, NODES))
        network.remove()


def reset() -> None:
    """Stops the cluster and forgets it, with the Pulumi state kept beside it; what was built stays."""
    down()
    for folder in (layout.NODES, layout.PKI, layout.SSH, layout.S3, layout.LOGS, layout.PULUMI_STATE):
        shutil.rmtree(folder, ignore_errors=True)
    layout.KUBECONFIG.unlink(missing_ok=True)


@contextmanager
def _only_one() -> Iterator[None]:
    """Lets one command of root's at a time change the cluster.

    Raises:
        SandboxError: Another one does, or this is another user's.
    """
    preflight.check_user()
    layout.HOME.mkdir(exist_ok=True)
    with layout.LOCK.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise SandboxError(f"another `python -m sandbox` works on {layout.HOME}: wait for its end") from error
        yield


def _make_programs(report: Report, *, for_tests: bool) -> None:
    """Makes the toolchain, the programs of the cluster and their images."""
    extra = gobuild.FOR_TESTS if for_tests else ()

    def unpack() -> None:
        with report.stage("Debian packages") as stage:
            debian.unpack(stage)

    def build(*programs: gobuild.Program) -> None:
        for program in programs:
            with report.stage(f"program {program.name}") as stage:
                gobuild.build(program, stage)

    def side_by_side(*work: Callable[[], None]) -> None:
        with ThreadPoolExecutor() as pool:
            for part in [pool.submit(each) for each in work]:
                part.result()

    # Builds side by side each compile what they share: what others are built on comes first.
    build(gobuild.REGISTRY)
    side_by_side(partial(toolchain.ensure_engine, report), partial(build, gobuild.KUBERNETES), unpack)
    side_by_side(
        partial(toolchain.ensure_plugins, report),
        partial(build, gobuild.PAUSE, gobuild.CONTAINERD, gobuild.CONTAINERD_SHIM, *extra),
    )
    with report.stage("images"):
        images.write([*images.sandbox_images(), *(images.for_tests() if for_tests else [])])


def _start_nodes() -> list[str]:
    """Starts the nodes that do not run, and gives all of them the images, side by side; returns who was started."""
    authority = pki.authority(layout.PKI)
    pki.write_kubeconfig(layout.KUBECONFIG, authority, node.API_SERVER, "admin", "system:masters")
    login_key = pki.ssh_key(layout.SSH / "id_ed25519")
    network.create()
    layout.NODES.mkdir(mode=0o700, exist_ok=True)
    if not layout.HOSTS.exists():
        layout.HOSTS.write_text(hosts_file([]))

    def start(each: Node) -> bool:
        runs = node.pid(each) is not None
        if not runs:
            # What a killed run left.
            node.stop(each)
            node.prepare(each, authority, login_key)
            node.start(each)
        _import_images(each)
        return not runs

    with ThreadPoolExecutor() as pool:
        started = list(pool.map(start, NODES))
    _write_known_hosts()
    return [each.name for each, was_started in zip(NODES, started, strict=True) if was_started]


def _write_known_hosts() -> None:
    """Writes the host keys of all nodes, with hashed names, as OpenSSH in Debian keeps them."""
    file = layout.SSH / "known_hosts"
    file.write_text("".join(map(node.known_hosts, NODES)))
    run(layout.DEBIAN / "usr" / "bin" / "ssh-keygen", "-q", "-H", "-f", file)
    file.with_suffix(".old").unlink()


def _import_images(each: Node) -> None:
    """Gives a node the image archives that are newer than its last import."""
    record = each.home / "imported"
    last = record.stat().st_mtime if record.exists() else 0
    for archive in sorted(layout.IMAGES.glob("*.tar")):
        if archive.stat().st_mtime > last:
            path = f"/opt/sandbox/images/{archive.name}"
            run(*node.entering(each, "ctr", "--namespace=k8s.io", "images", "import", path))
    record.touch()


def _check_that_it_reaches_the_api(each: Node) -> None:
    """Names what is in the way of a node, for kubelet would only be not ready.

    Raises:
        SandboxError: The node does not reach the API server, which this machine does.
    """
    question = ("kubectl", "--kubeconfig=/etc/kubernetes/kubelet.kubeconfig", "get", "--raw=/readyz")
    try:
        run(*node.entering(each, *question, "--request-timeout=5s"))
    except SandboxError as error:
        raise SandboxError(
            f"{each.name} does not reach {node.API_SERVER}, but this machine does: its firewall may drop what passes a "
            f"bridge, as Docker's does; `iptables -I FORWARD -i {BRIDGE} -o {BRIDGE} -j ACCEPT` allows it\n{error}"
        ) from error


def _start_programs(each: Node, *, for_tests: bool) -> None:
    """Starts what supervisor does not start by itself."""
    supervisor = node.supervisor(each).supervisor
    states = {info["name"]: info["statename"] for info in cast("list[dict[str, str]]", supervisor.getAllProcessInfo())}
    for program in programs(each):
        wanted = for_tests if program.for_tests else program.needs_api
        if wanted and states[program.name] == "STOPPED":
            supervisor.startProcess(program.name, False)


@cache
def _core() -> "client.CoreV1Api":
    # Its import takes longer than all that most commands do.
    from kubernetes import client, config  # noqa: PLC0415

    return client.CoreV1Api(config.new_client_from_config(str(layout.KUBECONFIG)))  # type: ignore[no-untyped-call]


def _define_objects() -> None:
    """Installs OpenShift's definition of Routes, from the pinned module, and the Service of the name server."""
    module = run("go", "mod", "download", "-json", _ROUTE_MODULE, cwd=gobuild.MODULES / "openshift")
    definition = Path(json.loads(module)["Dir"]) / _ROUTE_FILE
    run(
        layout.BIN / "kubectl",
        f"--kubeconfig={layout.KUBECONFIG}",
        "apply",
        "--server-side",
        "-f",
        definition,
        "-f",
        node.DNS_OBJECTS,
    )


def _api_is_ready() -> bool:
    """Whether the API server is ready for anyone, which includes the roles that its clients need."""
    context = ssl.create_default_context(cafile=str(layout.PKI / "ca.crt"))
    with urllib.request.urlopen(f"{node.API_SERVER}/readyz", timeout=2, context=context) as answer:  # noqa: S310
        return bool(answer.status == HTTPStatus.OK)


def _kubelet(each: Node) -> dict[str, int]:
    """What supervisor knows of a node's kubelet: `pid`, 0 while it does not run, and `start`, in seconds since 1970."""
    return cast("dict[str, int]", node.supervisor(each).supervisor.getProcessInfo("kubelet"))


def is_ready(each: Node) -> bool:
    """Whether the kubelet that runs now has said that its node is ready; an earlier one's word may still be there.

    Raises:
        OSError: The API server does not answer.
    """
    kubelet = _kubelet(each)
    if not kubelet["pid"] or not _api_is_ready():
        return False
    nodes = _core().api_client.sanitize_for_serialization(_core().list_node().items)
    return any(
        condition["type"] == "Ready"
        and condition["status"] == "True"
        and datetime.fromisoformat(condition["lastHeartbeatTime"]).timestamp() >= kubelet["start"]
        for known in nodes
        if known["metadata"]["name"] == each.name
        for condition in known["status"].get("conditions", [])
    )


def _await_pods() -> str:
    """Waits until what ran before the nodes stopped runs again; says how that went.

    A pod that cannot is its owner's affair, not a failure of the cluster.
    """
    try:
        until(lambda: all(map(_pods_run_again, NODES)), "all pods running again", 60, "see `kubectl get pods -A`")
    except SandboxError as error:
        return str(error)
    return "running as before"


def _pods_run_again(each: Node) -> bool:
    """Whether all containers are ready that ran before, and were started by the kubelet that runs now."""
    kubelet = _kubelet(each)
    selector = f"spec.nodeName={each.name},status.phase=Running"
    pods = _core().api_client.sanitize_for_serialization(
        _core().list_pod_for_all_namespaces(field_selector=selector).items
    )
    return all(
        container["ready"]
        and datetime.fromisoformat(container["state"]["running"]["startedAt"]).timestamp() >= kubelet["start"]
        for pod in pods
        for container in pod["status"].get("containerStatuses", [])
    )


def _has_service_account() -> bool:
    """Whether pods can be created: they are refused before their service account exists."""
    return bool(_core().list_namespaced_service_account("default", field_selector="metadata.name=default").items)


def _answers(address: IPv4Address, port: int) -> bool:
    with socket.create_connection((str(address), port), timeout=1):
        return True
