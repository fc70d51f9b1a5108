"""Whether the storage has space left."""

import json
from typing import Any

from kubernetes import client
from rich.filesize import decimal

from settings.storage import HostPathSettings
from verify.cluster import Cluster, storage_volume
from verify.proof import ACT_SECONDS, Fault, NotTried, Proved
from verify.vantage import OnNode

_LEAST_FREE = 0.05


async def on_node(settings: HostPathSettings, node: OnNode) -> Proved[None]:
    """Measures a hostPath volume, of which kubelet says nothing.

    Raises:
        Fault: The folder is not there, or less than a twentieth is free.
    """
    printed = await node.run("df", "-P", "-k", "--", settings.path)
    if not printed:
        raise Fault(f"{node.name} has no folder {settings.path}", "see whether its disk is mounted")
    total, _, free = printed.decode().splitlines()[-1].split()[-5:-2]
    return _judged(int(free) * 1024, int(total) * 1024)


def of_pod(cluster: Cluster) -> Proved[None]:
    """Reads what kubelet measures of the first pod's volume, once a minute.

    Raises:
        Fault: Less than a twentieth is free.
        NotTried: Kubelet has not measured it yet, or does not for this kind of volume.
    """
    assert cluster.deployment  # noqa: S101 - proved before
    volume, pod = storage_volume(cluster.deployment), cluster.pods[0]
    # As it is: the client would turn JSON into Python's notation.
    answer: Any = client.CoreV1Api(cluster.api).connect_get_node_proxy_with_path(
        pod["spec"]["nodeName"], "stats/summary", _request_timeout=ACT_SECONDS, _preload_content=False
    )
    for each in json.loads(answer.data)["pods"]:
        if each["podRef"]["uid"] == pod["metadata"]["uid"]:
            for measured in each.get("volume", []):
                if volume and measured["name"] == volume["name"]:
                    return _judged(measured["availableBytes"], measured["capacityBytes"])
    raise NotTried("kubelet has not measured the volume, which it does once a minute, and not for every kind")


def _judged(free: int, total: int) -> Proved[None]:
    """Judges the bytes that are left of a file system."""
    words = f"{decimal(free)} of {decimal(total)} free"
    if free < total * _LEAST_FREE:
        raise Fault(f"only {words}", "free space or enlarge the storage, before pushes fail")
    return Proved(words, None)
