"""A node: its files, its start and its end, and what runs in it."""

import os
import re
import shutil
import signal
import string
import subprocess
import sys
from pathlib import Path
from xmlrpc.client import ServerProxy

from supervisor.xmlrpc import SupervisorTransport

from sandbox import gobuild, layout, network, nfs, pki, s3
from sandbox.errors import SandboxError
from sandbox.process import failure
from sandbox.programs import PATH, SUPERVISOR_SOCKET, supervisor_configuration
from sandbox.routes import haproxy_configuration
from sandbox.topology import API_PORT, API_SERVICE, CONTROL_PLANE, DNS_SERVICE, PODS, Node
from sandbox.wait import until

DNS_OBJECTS = CONTROL_PLANE.home / "dns.yaml"
API_SERVER = f"https://{CONTROL_PLANE.address}:{API_PORT}"
GO = "go\n"

_USERS = """\
root:x:0:0:root:/root:/bin/sh
sshd:x:100:65534::/run/sshd:/usr/sbin/nologin
admin:x:1000:1000:who may run sudo:/home/admin:/bin/sh
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
"""
_GROUPS = """\
root:x:0:
tty:x:5:
admin:x:1000:
nogroup:x:65534:
"""
_SUDOERS = "root ALL=(ALL:ALL) ALL\nadmin ALL=(ALL) NOPASSWD: ALL\n"
# Nobody has a password here that could be asked for.
_PAM = """\
auth required pam_deny.so
account required pam_permit.so
session required pam_permit.so
"""
_LINKS = {
    "bin": "usr/bin",
    "sbin": "usr/sbin",
    "lib": "usr/lib",
    "lib64": "usr/lib64",
    "var/run": "/run",
    "var/tmp": "/tmp",  # noqa: S108 - the node's own
}
# How the kernel says of a process that it is the first in its namespace.
_FIRST = re.compile(r"^NSpid:.*\t1$", re.MULTILINE)
_CGROUPS = Path("/sys/fs/cgroup")
_SSH_PORT = 22


def prepare(node: Node, authority: pki.Authority, login_key: str) -> None:
    """Writes the files of a node that does not run; its keys, and what was stored in it, are kept.

    Args:
        node: The node.
        authority: The cluster's certificate authority.
        login_key: The public SSH key that may log in as root.
    """
    etc = node.root / "etc"
    node.logs.mkdir(parents=True, exist_ok=True)
    shutil.copytree(layout.DEBIAN / "etc", etc, symlinks=True, dirs_exist_ok=True)
    # The names of libraries outside the standard folders.
    shutil.copyfile("/etc/ld.so.cache", etc / "ld.so.cache")
    for folder in ("etc/docker/certs.d", "home/admin", "root", "var/lib", "var/log"):
        (node.root / folder).mkdir(parents=True, exist_ok=True)
    # Without the file sshd complains at every login.
    (node.root / "var" / "log" / "lastlog").touch()
    for link, target in _LINKS.items():
        if not (node.root / link).is_symlink():
            (node.root / link).symlink_to(target)
    for file, content in {**_machine_files(node), **_etc_files(node, login_key)}.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    _choose_programs(node)
    if node.control_plane:
        export = node.root / nfs.EXPORT.relative_to("/")
        export.mkdir(parents=True, exist_ok=True)
        # Pods run as any user.
        export.chmod(0o777)
        for store in (s3.BUCKETS / s3.BUCKET, s3.METADATA):
            (node.root / store.relative_to("/")).mkdir(parents=True, exist_ok=True)
    pki.ssh_key(etc / "ssh" / "ssh_host_ed25519_key")
    _write_credentials(node, authority)


def known_hosts(node: Node) -> str:
    """The line of an SSH known_hosts file that pins the node's host key."""
    place = node.host if node.ssh_port == _SSH_PORT else f"[{node.host}]:{node.ssh_port}"
    return f"{place} {pki.ssh_key(node.root / 'etc' / 'ssh' / 'ssh_host_ed25519_key')}\n"


def start(node: Node) -> None:
    """Starts the node's namespaces, and in them supervisor, which outlives the caller.

    Raises:
        SandboxError: It did not start; the message has the end of its log.
    """
    log = node.logs / "init.log"
    command = (
        *("unshare", "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--fork", "--kill-child=SIGKILL"),
        *(sys.executable, "-m", "sandbox.init", node.name),
    )
    with log.open("w") as output:
        namespaces = subprocess.Popen(  # noqa: S603
            command,
            cwd=layout.REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=output,
            text=True,
            start_new_session=True,
        )
    assert namespaces.stdin  # noqa: S101 - pipes
    assert namespaces.stdout  # noqa: S101
    first_process = namespaces.stdout.readline().strip()
    if first_process:
        network.attach(node, int(first_process))
        namespaces.stdin.write(GO)
        namespaces.stdin.close()

    def running() -> bool:
        if namespaces.poll() is not None:
            raise failure(command, namespaces.returncode, log.read_text())
        number = pid(node)
        return number is not None and _socket(number).exists()

    until(running, f"supervisor on {node.name}", 20, f"see {log}")


def stop(node: Node) -> None:
    """Ends the node's processes at once, with them its namespaces and mounts; removes its link and control groups."""
    first_process = pid(node)
    if first_process is not None:
        os.kill(first_process, signal.SIGKILL)
        process = Path(f"/proc/{first_process}")
        until(lambda: not process.exists(), f"the end of {node.name}", 20, "try `down` again")
    network.detach(node)
    for folder, children, _ in os.walk(_CGROUPS):
        if node.cgroup in children:
            children.remove(node.cgroup)
            _remove_cgroup(Path(folder) / node.cgroup)


def pid(node: Node) -> int | None:
    """The node's first process, if the node runs."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (process / "cmdline").read_text(errors="replace").split("\0")
            # A child of supervisor has its arguments too until it becomes the program it is to run.
            if supervisor_identifier(node) in arguments and _FIRST.search((process / "status").read_text()):
                return int(process.name)
        except (FileNotFoundError, ProcessLookupError):
            continue
    return None


def supervisor_identifier(node: Node) -> str:
    """The argument of supervisor that tells its process from all others of the machine."""
    return f"--identifier={node.home}"


def supervisor(node: Node) -> ServerProxy:
    """A connection to the supervisor of a running node.

    Raises:
        SandboxError: The node does not run.
    """
    url = f"unix://{_socket(_running(node))}"
    return ServerProxy("http://node", transport=SupervisorTransport(serverurl=url))


def entering(node: Node, *command: str) -> tuple[str, ...]:
    """The command that runs a command in the node.

    Raises:
        SandboxError: The node does not run.
    """
    return (
        *("nsenter", f"--target={_running(node)}"),
        *("--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--"),
        *("env", "--ignore-environment", f"PATH={PATH}", "HOME=/root", f"TERM={os.environ.get('TERM', 'dumb')}"),
        *command,
    )


def _running(node: Node) -> int:
    number = pid(node)
    if number is None:
        raise SandboxError(f"{node.name} does not run: start it with `python -m sandbox up`")
    if not _socket(number).exists():
        raise SandboxError(
            f"{node.name} runs, but its files below {node.home} are gone: run `python -m sandbox down`, then `up`"
        )
    return number


def _socket(first_process: int) -> Path:
    """The socket of a node's supervisor, as the machine reaches it."""
    return Path(f"/proc/{first_process}/root{SUPERVISOR_SOCKET}")


def _machine_files(node: Node) -> dict[Path, str]:
    """Files about the node that are read on the machine."""
    controllers = [line.split(":")[1] for line in Path("/proc/self/cgroup").read_text().splitlines()]
    values = {
        "home": node.home,
        "logs": node.logs,
        "debian": layout.DEBIAN,
        "bin": layout.BIN,
        "hosts": layout.HOSTS,
        "images": layout.IMAGES,
        "sources": layout.SOURCES,
        "venv": Path(sys.prefix).resolve(),
        "python": _python_mount(Path(sys.base_prefix)),
        "cgroups": "\n".join(_cgroup_mount(names) for names in controllers if names),
    }
    files = {
        node.home / "fstab": _config("fstab", values),
        node.home / "sysctl" / "1": "1\n",
        node.home / "sysctl" / "10": "10\n",
    }
    if node.control_plane:
        files[DNS_OBJECTS] = _config("dns.yaml", {"address": node.address, "dns": DNS_SERVICE})
    return files


def _cgroup_mount(controllers: str) -> str:
    """The fstab line of a hierarchy of control groups, such as `memory` or `name=systemd`."""
    options = f"none,{controllers}" if "=" in controllers else controllers
    return f"cgroup /sys/fs/cgroup/{controllers.removeprefix('name=')} cgroup {options},X-mount.mkdir 0 0"


def _python_mount(prefix: Path) -> str:
    """The fstab line that shows a node the Python that runs this, for which /usr is enough if it is the system's."""
    return "" if prefix.is_relative_to("/usr") else f"{prefix} {prefix} none bind,ro,X-mount.mkdir 0 0"


def _etc_files(node: Node, login_key: str) -> dict[Path, str]:
    values = {
        "name": node.name,
        "address": node.address,
        "cgroup": node.cgroup,
        "dns": DNS_SERVICE,
        "pods": node.pods,
        "all_pods": PODS,
        "ssh_user": node.ssh_user,
        "ssh_port": node.ssh_port,
    }
    files = {
        "cni/net.d/10-sandbox.conflist": _config("cni.conflist", values),
        "containerd/config.toml": _config(f"containerd-{node.containerd}.toml", values),
        "coredns/Corefile": _config("Corefile", values),
        "group": _GROUPS,
        "haproxy/haproxy.cfg": haproxy_configuration([]),
        # The place of the mount.
        "hosts": "",
        "kubernetes/kube-proxy.yaml": _config("kube-proxy.yaml", values),
        "kubernetes/kubelet.yaml": _config("kubelet.yaml", values),
        "pam.d/sudo": _PAM,
        "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
        "passwd": _USERS,
        "sudoers": _SUDOERS,
        # No name server: a name that is not in /etc/hosts fails at once instead of after a time limit.
        "resolv.conf": "",
        "ssh/authorized_keys": f"{login_key}\n",
        "ssh/sshd_config": _config("sshd_config", values),
        "supervisord.conf": supervisor_configuration(node),
    }
    return {node.root / "etc" / name: content for name, content in files.items()}


def _choose_programs(node: Node) -> None:
    """Puts programs that were built here before Debian's: a newer containerd, and an NFS client for any kernel."""
    links = {
        "sbin/mount.nfs": None if nfs.kernel_has_client() else gobuild.NFS_MOUNT,
        "bin/containerd": gobuild.CONTAINERD if node.containerd == "2.4" else None,
        "bin/containerd-shim-runc-v2": gobuild.CONTAINERD_SHIM if node.containerd == "2.4" else None,
    }
    for path, program in links.items():
        link = node.home / "usr" / path
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        if program:
            link.symlink_to(f"/opt/sandbox/bin/{program.name}")


def _config(name: str, values: dict[str, object]) -> str:
    return string.Template((layout.SOURCES / "config" / name).read_text()).substitute(values)


def _write_credentials(node: Node, authority: pki.Authority) -> None:
    """Writes the certificates and kubeconfigs of the node's programs."""
    kubernetes = node.root / "etc" / "kubernetes"
    keys = kubernetes / "pki"
    keys.mkdir(mode=0o700, exist_ok=True)
    (keys / "ca.crt").write_bytes(authority.pem)
    users = {
        "kubelet": (f"system:node:{node.name}", "system:nodes"),
        "kube-proxy": ("system:kube-proxy", ""),
        "kube-router": ("sandbox:kube-router", "system:masters"),
    }
    if node.control_plane:
        shutil.copy(layout.PKI / "ca.key", keys / "ca.key")
        service = "kubernetes.default.svc.cluster.local"
        pki.write_certificate(
            keys / "apiserver",
            authority,
            "kube-apiserver",
            names=[
                "localhost",
                *node.host_names,
                *(".".join(service.split(".")[:count]) for count in (1, 2, 3, 5)),
            ],
            addresses=[node.address, API_SERVICE],
        )
        pki.write_certificate(keys / "kubelet-client", authority, "kube-apiserver", "system:masters")
        pki.write_service_account_key(keys)
        store = node.root / s3.SETTINGS.relative_to("/")
        store.mkdir(mode=0o700, exist_ok=True)
        pki.write_certificate(store / "tls", authority, "s3", addresses=[node.address])
        shutil.copy(s3.credentials(), store / "credentials")
        users |= {
            "kube-controller-manager": ("system:kube-controller-manager", ""),
            "kube-scheduler": ("system:kube-scheduler", ""),
            "coredns": ("sandbox:coredns", ""),
            "router": ("sandbox:router", "system:masters"),
        }
    for name, (user, group) in users.items():
        pki.write_kubeconfig(kubernetes / f"{name}.kubeconfig", authority, API_SERVER, user, group)


def _remove_cgroup(folder: Path) -> None:
    for path, _, _ in os.walk(folder, topdown=False):
        Path(path).rmdir()
