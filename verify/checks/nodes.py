"""Whether each node trusts the registry and pulls from it."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha256
from typing import Any

import asyncssh
from cryptography import x509
from cryptography.x509.oid import NameOID
from kubernetes import client, watch
from kubernetes.client import ApiException

from settings import NodeSettings, SshSettings
from verify.checks.network import Way
from verify.checks.registry import answers
from verify.cluster import Cluster, Object, is_ready
from verify.proof import ACT_SECONDS, Fault, Proved, reason
from verify.vantage import OnNode

PULL_SECONDS = 60
"""How long a node may take to pull an image of a kilobyte."""
_STILL_PULLING = {None, "ContainerCreating", "PodInitializing"}
_NOT_PULLED = {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "RegistryUnavailable"}


async def log_in(node: NodeSettings, ssh: SshSettings) -> Proved[OnNode]:
    """Logs in to a node, whose host key has to be the known one.

    Raises:
        Fault: The node does not answer, is another one, or does not let the user in, or not as root.
    """
    user = ssh.user_on(node)
    place = f"{user}@{node.host}:{node.port}"
    options = {} if ssh.private_key_file is None else {"client_keys": [str(ssh.private_key_file)]}
    try:
        login = await asyncssh.connect(
            node.host,
            node.port,
            username=user,
            # The one that `up` knows it by.
            known_hosts=([asyncssh.import_public_key(ssh.host_key(node))], [], []),
            config=[],
            connect_timeout=ACT_SECONDS,
            login_timeout=ACT_SECONDS,
            **options,
        )
    except asyncssh.HostKeyNotVerifiable as error:
        raise Fault(
            f"{node.host} shows another host key than '{ssh.known_hosts_file}' has",
            f"if it was installed anew, run `ssh-keygen -R '{node.known_names[0]}' -f '{ssh.known_hosts_file}'`, then "
            f"check and add what `{ssh.scan(node)}` prints",
        ) from error
    except asyncssh.PermissionDenied as error:
        raise Fault(
            f"{place} is refused: {error.reason}", "check ssh.privateKeyFile, and ssh.user or the node's own user"
        ) from error
    except (OSError, asyncssh.Error) as error:
        raise Fault(
            f"{place} cannot be reached: {reason(error)}", "check the node, and its host and port in nodes"
        ) from error
    found = OnNode(node.name, login, user)
    if await found.run("true") is None:
        login.close()
        raise Fault(
            f"{user} may not run `sudo` without a password on {node.host}",
            "allow it in the node's sudoers (NOPASSWD), or set another user",
        )
    return Proved(f"{place}, host key as known", found)


async def ca_files(node: OnNode, files: Sequence[str] | None, ca_pem: str) -> Proved[dict[str, str]]:
    """Compares the files that a container runtime trusts with the CA; the value has them by the folder's name.

    Raises:
        Fault: The stack has put none there, or one is missing or holds something else.
    """
    if not files:
        raise Fault("the stack has not given this node the CA", "run `pulumi up`")
    wanted = sha256(ca_pem.encode()).hexdigest()
    mend = f"`pulumi destroy --target '**::trust-{node.name}'`, then `pulumi up`, writes all of them anew"
    held = dict(zip(files, await asyncio.gather(*(node.run("cat", "--", file) for file in files)), strict=True))
    for file, content in held.items():
        if content is None:
            raise Fault(f"{file} is missing or cannot be read", mend)
        if sha256(content).hexdigest() != wanted:
            raise Fault(f"{file} holds {_subject(content)} instead of the stack's CA", mend)
    return Proved(
        f"{len(held)} files, sha256 {wanted[:12]}…",
        {file.split("/")[-2]: content.decode() for file, content in held.items() if content},
    )


async def trust(node: OnNode, ways: Sequence[Way], held: dict[str, str]) -> Proved[Sequence[Way]]:
    """Asks the registry from the node, trusting exactly what its container runtime trusts; the value is `ways`.

    Args:
        node: The node.
        ways: Endpoints that nodes pull from.
        held: The CA, by the name of the folder that the runtime looks into.

    Raises:
        Fault: An endpoint does not answer, or not to this node.
    """
    for way in ways:
        address = way.address if _is_address(way) else await node.resolve(way.host)
        if address is None:
            raise Fault(f"{node.name} does not know the name {way.host}", "mend the node's resolver")
        from_node = Way(way.host, way.port, address, node)
        try:
            await node.connect(address, way.port)
        except OSError as error:
            raise Fault(
                f"{node.name} does not reach {address}:{way.port} ({way.registry}): {reason(error)}",
                "look at its network plugin, kube-proxy and firewall",
            ) from error
        await answers(from_node, held[way.registry])
    return Proved(f"{', '.join(way.registry for way in ways)} answer to its own CA files", ways)


def pull(cluster: Cluster, namespace: str, node: str, images: Sequence[str]) -> Proved[None]:
    """Lets the node's kubelet pull an image by each name, in a pod that never runs anything.

    Raises:
        Fault: The node is not there or not ready, or could not pull; the message has kubelet's reason.
    """
    found = cluster.nodes.get(node)
    if found is None:
        raise Fault(f"the cluster has no node {node}", "compare nodes in the settings with `kubectl get nodes`")
    if not is_ready(found):
        raise Fault(f"node {node} is not Ready", f"see `kubectl describe node {node}`")
    core = client.CoreV1Api(cluster.api)
    pod: Any = core.create_namespaced_pod(namespace, _pod(node, images, cluster.user), _request_timeout=ACT_SECONDS)
    name = pod.metadata.name
    try:
        changes = watch.Watch().stream(  # type: ignore[no-untyped-call]
            core.list_namespaced_pod,
            namespace,
            field_selector=f"metadata.name={name}",
            timeout_seconds=PULL_SECONDS,
            _request_timeout=PULL_SECONDS + ACT_SECONDS,
        )
        for change in changes:
            status = change["raw_object"]["status"]
            if status.get("reason"):
                raise Fault(f"{node} refuses a pod: {status.get('message')}", f"see `kubectl describe node {node}`")
            containers = status.get("containerStatuses")
            if containers and all(map(_is_pulled, containers)):
                return Proved(f"kubelet pulled by {', '.join(image.partition('/')[0] for image in images)}", None)
    finally:
        with suppress(ApiException):
            core.delete_namespaced_pod(name, namespace, grace_period_seconds=0, _request_timeout=ACT_SECONDS)
    raise Fault(f"kubelet of {node} has not pulled {images[0]} within {PULL_SECONDS} s", "see the kubelet's log")


def _is_pulled(container: Object) -> bool:
    """Whether a container's image has been pulled.

    Raises:
        Fault: It cannot be.
    """
    waiting = container["state"].get("waiting", {})
    if waiting.get("reason") in _NOT_PULLED:
        raise Fault(
            f"kubelet cannot pull {container['image']}: {waiting.get('message', waiting['reason'])}",
            "see the kubelet's log, and whether its container runtime reads /etc/docker/certs.d: containerd does if "
            "that is the `config_path` of its registries, and if it was restarted since",
        )
    # It fails to start, for there is nothing in the image that could.
    return bool(container["state"]) and waiting.get("reason", "") not in _STILL_PULLING


def _pod(node: str, images: Sequence[str], user: int | None) -> Any:  # noqa: ANN401 - the client takes JSON too
    return {
        "metadata": {"generateName": "verify-", "labels": {"app.kubernetes.io/name": "verify"}},
        "spec": {
            "nodeName": node,
            "tolerations": [{"operator": "Exists"}],
            "restartPolicy": "Never",
            # Its end, if whoever verifies is killed.
            "activeDeadlineSeconds": 2 * PULL_SECONDS,
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": user,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": f"image-{number}",
                    "image": image,
                    "imagePullPolicy": "Always",
                    "command": ["/nothing"],
                    "resources": {"limits": {"cpu": "10m", "memory": "16Mi"}},
                    "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                }
                for number, image in enumerate(images)
            ],
        },
    }


def _is_address(way: Way) -> bool:
    return way.host == way.address


def _subject(content: bytes) -> str:
    """What a file holds, in words."""
    try:
        common = x509.load_pem_x509_certificate(content).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    except ValueError:
        return "no certificate"
    return f"the certificate of '{common[0].value!s}'" if common else "another certificate"
