"""Whether the images outlive the pods."""

from collections.abc import Sequence
from http import HTTPStatus

from kubernetes import client, watch
from kubernetes.client import ApiException

from verify.cluster import SELECTOR, Object, is_ready
from verify.proof import ACT_SECONDS, Fault

RESTART_SECONDS = 120
"""How long the end of the old pods and the start of new ones may take."""


def restart(api: client.ApiClient, old: Sequence[Object]) -> list[str]:
    """Deletes the registry's pods and waits until as many new ones are ready.

    Returns:
        The names of the new ones.

    Raises:
        Fault: They are not in time.
    """
    core = client.CoreV1Api(api)
    namespace = old[0]["metadata"]["namespace"]
    for pod in old:
        try:
            core.delete_namespaced_pod(pod["metadata"]["name"], namespace, _request_timeout=ACT_SECONDS)
        except ApiException as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
    gone = {pod["metadata"]["uid"] for pod in old}
    ready: dict[str, bool] = {}
    changes = watch.Watch().stream(  # type: ignore[no-untyped-call]
        core.list_namespaced_pod,
        namespace,
        label_selector=SELECTOR,
        timeout_seconds=RESTART_SECONDS,
        _request_timeout=RESTART_SECONDS + ACT_SECONDS,
    )
    for change in changes:
        pod = change["raw_object"]
        if pod["metadata"]["uid"] not in gone:
            ready[pod["metadata"]["name"]] = change["type"] != "DELETED" and is_ready(pod)
            if sum(ready.values()) == len(old):
                return sorted(name for name, is_so in ready.items() if is_so)
    raise Fault(f"no new pods are ready within {RESTART_SECONDS} s", f"see `kubectl --namespace {namespace} get pods`")
