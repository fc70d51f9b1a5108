"""The programs of a node, and the configuration that makes supervisor run them."""

import configparser
import io
import shlex
from dataclasses import dataclass

from sandbox import nfs, s3
from sandbox.topology import API_PORT, PODS, SERVICES, Node

SUPERVISOR_SOCKET = "/run/supervisor.sock"
PATH = "/opt/sandbox/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_PKI = "/etc/kubernetes/pki"
# Restart a program that dies for as long as the node lives.
_RETRIES = 1_000_000


@dataclass(frozen=True)
class Program:
    """A program that supervisor keeps running.

    Attributes:
        name: Its name, and its log's.
        command: The program and its arguments.
        needs_api: It is started once the API server is ready, for it ends or waits long without it.
        for_tests: Only the tests need it; it is started when they do.
    """

    name: str
    command: tuple[str, ...]
    needs_api: bool = False
    for_tests: bool = False


def programs(node: Node) -> list[Program]:
    """The programs of a node, in the order in which they start."""
    return [*(_control_plane(node) if node.control_plane else []), *_worker(node)]


def supervisor_configuration(node: Node) -> str:
    """The configuration file of the node's supervisor, which is its first process."""
    # supervisor expands %(...)s itself, so a percent sign is doubled.
    parser = configparser.RawConfigParser()
    parser["supervisord"] = {
        "nodaemon": "true",
        "silent": "true",
        "user": "root",
        "logfile": "/var/log/sandbox/supervisord.log",
        "pidfile": "/run/supervisord.pid",
    }
    parser["unix_http_server"] = {"file": SUPERVISOR_SOCKET, "chmod": "0700"}
    parser["rpcinterface:supervisor"] = {
        "supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"
    }
    for order, program in enumerate(programs(node)):
        parser[f"program:{program.name}"] = {
            "command": shlex.join(program.command).replace("%", "%%"),
            "priority": str(order),
            "autostart": str(not (program.needs_api or program.for_tests)).lower(),
            "autorestart": "true",
            "startretries": str(_RETRIES),
            "redirect_stderr": "true",
            "stdout_logfile": f"/var/log/sandbox/{program.name}.log",
        }
    buffer = io.StringIO()
    parser.write(buffer)
    return buffer.getvalue()


def _control_plane(node: Node) -> list[Program]:
    controller_kubeconfig = "/etc/kubernetes/kube-controller-manager.kubeconfig"
    scheduler_kubeconfig = "/etc/kubernetes/kube-scheduler.kubeconfig"
    return [
        Program(
            "etcd",
            (
                "etcd",
                f"--name={node.name}",
                "--data-dir=/var/lib/etcd",
                "--listen-client-urls=http://127.0.0.1:2379",
                "--advertise-client-urls=http://127.0.0.1:2379",
                "--listen-peer-urls=http://127.0.0.1:2380",
                "--initial-advertise-peer-urls=http://127.0.0.1:2380",
                f"--initial-cluster={node.name}=http://127.0.0.1:2380",
                # A single member elects itself: short times make it start sooner.
                "--heartbeat-interval=50",
                "--election-timeout=300",
                # The data has to outlive the processes, not a power cut.
                "--unsafe-no-fsync",
                "--log-level=warn",
            ),
        ),
        Program(
            "kube-apiserver",
            (
                "kube-apiserver",
                "--etcd-servers=http://127.0.0.1:2379",
                f"--bind-address={node.address}",
                f"--advertise-address={node.address}",
                f"--secure-port={API_PORT}",
                f"--service-cluster-ip-range={SERVICES}",
                f"--client-ca-file={_PKI}/ca.crt",
                f"--tls-cert-file={_PKI}/apiserver.crt",
                f"--tls-private-key-file={_PKI}/apiserver.key",
                f"--kubelet-client-certificate={_PKI}/kubelet-client.crt",
                f"--kubelet-client-key={_PKI}/kubelet-client.key",
                "--kubelet-preferred-address-types=InternalIP",
                f"--requestheader-client-ca-file={_PKI}/ca.crt",
                "--authorization-mode=Node,RBAC",
                "--enable-admission-plugins=NodeRestriction",
                "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
                f"--service-account-key-file={_PKI}/sa.pub",
                f"--service-account-signing-key-file={_PKI}/sa.key",
                "--allow-privileged=true",
                "--enable-priority-and-fairness=false",
            ),
        ),
        Program(
            "nfsd",
            ("nfsd", f"{node.address}:{nfs.PORT}", str(nfs.EXPORT), "/var/lib/nfsd.key"),
            for_tests=True,
        ),
        Program(
            "s3d",
            (
                "s3d",
                f"{node.address}:{s3.PORT}",
                *map(str, (s3.BUCKETS, s3.METADATA, s3.SETTINGS / "tls.crt", s3.SETTINGS / "tls.key")),
                str(s3.SETTINGS / "credentials"),
            ),
            for_tests=True,
        ),
        Program("haproxy", ("haproxy", "-W", "-db", "-f", "/etc/haproxy/haproxy.cfg")),
        Program(
            "kube-controller-manager",
            (
                "kube-controller-manager",
                f"--kubeconfig={controller_kubeconfig}",
                f"--authentication-kubeconfig={controller_kubeconfig}",
                f"--authorization-kubeconfig={controller_kubeconfig}",
                "--bind-address=127.0.0.1",
                "--leader-elect=false",
                # The default of 20 requests a second takes five seconds to start the controllers.
                "--kube-api-qps=1000",
                "--kube-api-burst=2000",
                # The default binds a claim after up to 15 seconds.
                "--pvclaimbinder-sync-period=1s",
                "--use-service-account-credentials=true",
                f"--service-account-private-key-file={_PKI}/sa.key",
                f"--root-ca-file={_PKI}/ca.crt",
                f"--cluster-signing-cert-file={_PKI}/ca.crt",
                f"--cluster-signing-key-file={_PKI}/ca.key",
                f"--service-cluster-ip-range={SERVICES}",
                f"--cluster-cidr={PODS}",
                "--allocate-node-cidrs=false",
                "--flex-volume-plugin-dir=/var/lib/kubelet/volumeplugins",
            ),
            needs_api=True,
        ),
        Program(
            "kube-scheduler",
            (
                "kube-scheduler",
                f"--kubeconfig={scheduler_kubeconfig}",
                f"--authentication-kubeconfig={scheduler_kubeconfig}",
                f"--authorization-kubeconfig={scheduler_kubeconfig}",
                "--bind-address=127.0.0.1",
                "--leader-elect=false",
            ),
            needs_api=True,
        ),
        Program("coredns", ("coredns", "-conf=/etc/coredns/Corefile"), needs_api=True),
        Program(
            "router",
            ("/opt/sandbox/venv/bin/python", "-m", "sandbox.router"),
            needs_api=True,
        ),
    ]


def _worker(node: Node) -> list[Program]:
    labels = ",".join(f"{name}={value}" for name, value in node.labels.items())
    return [
        Program("containerd", ("containerd", "--log-level=info")),
        Program("sshd", ("/usr/sbin/sshd", "-D", "-e")),
        Program(
            "kubelet",
            (
                "kubelet",
                "--config=/etc/kubernetes/kubelet.yaml",
                "--kubeconfig=/etc/kubernetes/kubelet.kubeconfig",
                f"--hostname-override={node.name}",
                f"--node-ip={node.address}",
                f"--node-labels={labels}",
                f"--register-with-taints={','.join(node.taints)}",
                "--v=2",
            ),
            needs_api=True,
        ),
        Program("kube-proxy", ("kube-proxy", "--config=/etc/kubernetes/kube-proxy.yaml"), needs_api=True),
        Program(
            "kube-router",
            (
                "kube-router",
                "--kubeconfig=/etc/kubernetes/kube-router.kubeconfig",
                f"--hostname-override={node.name}",
                f"--service-cluster-ip-range={SERVICES}",
                # Of what it can do, it does the one thing that nothing else here does: enforce network policies.
                "--run-firewall=true",
                "--run-router=false",
                "--run-service-proxy=false",
                # Every port is the node's: nobody asks for its health.
                "--health-port=0",
            ),
            needs_api=True,
            for_tests=True,
        ),
    ]
