"""The router: keeps HAProxy, the /etc/hosts of all nodes and the status of Routes in step with the cluster.

It runs on the node beside HAProxy. It ends when the API server cannot be reached, and supervisor starts it again.
"""

import datetime
import threading
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from typing import Any
from xmlrpc.client import ServerProxy

from kubernetes import client, config, watch
from supervisor.xmlrpc import SupervisorTransport

from sandbox.programs import SUPERVISOR_SOCKET
from sandbox.routes import haproxy_configuration, hosts_file, ingress_status, judge

_RESOURCE = ("route.openshift.io", "v1")
_HAPROXY_FILE = Path("/etc/haproxy/haproxy.cfg")
_HOSTS_FILE = Path("/etc/hosts")


def main() -> None:
    """Reconciles at every change of a Route or a Service, until the API server fails."""
    config.load_kube_config("/etc/kubernetes/router.kubeconfig")  # type: ignore[no-untyped-call]
    custom, core = client.CustomObjectsApi(), client.CoreV1Api()

    def routes(**options: Any) -> Any:  # noqa: ANN401 - the client's own types
        return custom.list_cluster_custom_object(*_RESOURCE, "routes", **options)

    changes: SimpleQueue[Exception | None] = SimpleQueue()
    for lister in (routes, core.list_service_for_all_namespaces):
        threading.Thread(target=_watch, args=(lister, changes), daemon=True).start()
    while True:
        if error := changes.get():
            raise error
        services = core.api_client.sanitize_for_serialization(core.list_service_for_all_namespaces().items)
        _reconcile(custom, routes()["items"], services)


def _watch(lister: Callable[..., Any], changes: "SimpleQueue[Exception | None]") -> None:
    """Reports every change, and the error that ends the watch."""
    try:
        # The API server ends a watch after half an hour or more; the next one starts with what is there then.
        while True:
            for _ in watch.Watch().stream(lister):  # type: ignore[no-untyped-call]
                changes.put(None)
            changes.put(None)
    except Exception as error:  # raised again where it ends the process
        changes.put(error)


def _reconcile(custom: client.CustomObjectsApi, routes: list[dict[str, Any]], services: list[dict[str, Any]]) -> None:
    verdicts = judge(routes, services)
    hosts = hosts_file(verdicts)
    if hosts != _HOSTS_FILE.read_text():
        _HOSTS_FILE.write_text(hosts)
    configuration = haproxy_configuration(verdicts)
    if configuration != _HAPROXY_FILE.read_text():
        _HAPROXY_FILE.write_text(configuration)
        supervisor = ServerProxy("http://node", transport=SupervisorTransport(serverurl=f"unix://{SUPERVISOR_SOCKET}"))
        # HAProxy's master takes this as: read the configuration again, let open connections end.
        supervisor.supervisor.signalProcess("haproxy", "USR2")
    by_name = {(route["metadata"]["namespace"], route["metadata"]["name"]): route for route in routes}
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    for verdict in verdicts:
        route = by_name[verdict.namespace, verdict.name]
        status = {"ingress": ingress_status(verdict, route, now)}
        if status != route.get("status"):
            custom.patch_namespaced_custom_object_status(
                *_RESOURCE, verdict.namespace, "routes", verdict.name, {"status": status}
            )
            print(f"{verdict.namespace}/{verdict.name} {verdict.host}: {verdict.message or 'admitted'}", flush=True)


if __name__ == "__main__":
    main()
