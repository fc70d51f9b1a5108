"""The kubernetes plugin waits for objects as the official one (4.34.2) was seen to."""

import contextlib
import json
import socket
import socketserver
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from tests.cluster.conftest import kubectl
from tests.conformance import plugin
from tests.conformance.conftest import new_namespace
from tests.conformance.objects import deployment, pods, resource, thing, workload
from tests.conformance.plugin import Answer, Plugin, RefusedError, Resource, Values

ADMITTED = 'jsonpath={.status.ingress[0].conditions[?(@.type=="Admitted")].status}=True'
APPROVED = 'jsonpath={.status.conditions[?(@.type=="Approved")].status}=True'
NO_IMAGE = "sandbox.local/nothing:1"
NOT_PRESENT = f'[ErrImageNeverPull] Container image "{NO_IMAGE}" is not present with pull policy of Never'

Start = Callable[..., Future[Answer]]
Failures = dict[str, tuple[Resource, Values, RefusedError]]
"""By kind: a resource, its inputs, and why it was not made."""


def annotated(inputs: Values, **annotations: str) -> Values:
    """Returns a copy with annotations of `pulumi.com`."""
    annotations = {f"pulumi.com/{name}": value for name, value in annotations.items()}
    return {**inputs, "metadata": {**inputs["metadata"], "annotations": annotations}}


def job(namespace: str, *command: str, image: str = "sandbox.local/busybox:1") -> Values:
    template = pods(image, *command, restartPolicy="Never")
    return thing(
        "batch/v1", "Job", {"name": "a", "namespace": namespace}, spec={"template": template, "backoffLimit": 0}
    )


def service(namespace: str, name: str = "a", **spec: Any) -> Values:
    return thing("v1", "Service", {"name": name, "namespace": namespace}, spec={"ports": [{"port": 80}], **spec})


def claim(namespace: str, storage_class: str, **spec: Any) -> Values:
    spec = {"accessModes": ["ReadWriteOnce"], "storageClassName": storage_class, **spec}
    spec["resources"] = {"requests": {"storage": "1Mi"}}
    return thing("v1", "PersistentVolumeClaim", {"name": "a", "namespace": namespace}, spec=spec)


def route(namespace: str, **spec: Any) -> Values:
    """Returns a Route that no router admits: the sandbox's wants one that says `tls={"termination": "passthrough"}`."""
    spec = {"host": f"{namespace}.example.com", "to": {"kind": "Service", "name": "x"}, **spec}
    return thing("route.openshift.io/v1", "Route", {"name": "a", "namespace": namespace}, spec=spec)


def gate(namespace: str) -> Values:
    """Returns an object that waits until it is approved, of a kind whose conditions no controller touches."""
    return annotated(service(namespace), waitFor=APPROVED, timeoutSeconds="60")


def approve(namespace: str) -> None:
    """Opens the gate."""
    condition = {"type": "Approved", "status": "True", "reason": "Test", "message": ""}
    set_status("service", namespace, {"conditions": [{**condition, "lastTransitionTime": "2026-01-01T00:00:00Z"}]})


def created(of: Resource, why: str) -> str:
    return (
        f'resource "{of.urn}" was successfully created, but the Kubernetes API server '
        f"reported that it failed to fully initialize or become live: {why}"
    )


def refused(of: Resource, inputs: Values) -> RefusedError:
    with pytest.raises(RefusedError) as caught:
        of.create(inputs)
    return caught.value


def set_status(kind: str, namespace: str, status: Values) -> None:
    change = json.dumps({"status": status})
    kubectl("patch", kind, "a", "--namespace", namespace, "--subresource=status", "--type=merge", f"--patch={change}")


@pytest.fixture
def cancellable(kubeconfig: Path) -> Iterator[Plugin]:
    """A plugin of the test's own: one that was cancelled need not do anything any more."""
    with plugin.start("kubernetes") as kubernetes:
        kubernetes.configure(kubeconfig=str(kubeconfig))
        yield kubernetes


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a call beside the test, which waits for its end."""
    with ThreadPoolExecutor() as pool:
        yield pool.submit


def wait_for_line(of: Resource, line: str, running: Future[Answer]) -> None:
    while not any(line in logged for logged in of.log()):
        assert not running.done(), f"ended before {line!r}: {of.log()}"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def failures(kubernetes: Plugin) -> Iterator[Failures]:
    """Objects whose image does not exist: they wait side by side, long enough for the cluster to say why."""
    with new_namespace() as namespace, ThreadPoolExecutor() as pool:
        workloads = [
            workload(kind, kind.lower(), namespace, image=NO_IMAGE)
            for kind in ("Deployment", "DaemonSet", "StatefulSet")
        ]
        pod = thing("v1", "Pod", {"name": "pod", "namespace": namespace}, spec=pods(NO_IMAGE)["spec"])
        never = [annotated(inputs, timeoutSeconds="6") for inputs in (*workloads, pod)]
        resources = [resource(kubernetes, inputs, "never") for inputs in never]
        errors = pool.map(refused, resources, never)
        yield {inputs["kind"]: (of, inputs, error) for of, inputs, error in zip(resources, never, errors, strict=True)}


def test_a_deployment_is_waited_for(kubernetes: Plugin, namespace: str) -> None:
    inputs = deployment("a", namespace)
    waited = resource(kubernetes, inputs, "ready-deployment")
    made = waited.create(inputs)
    assert made["properties"]["status"]["availableReplicas"] == 1
    assert "status: Waiting for app ReplicaSet to be available (0/1 Pods available)" in waited.log()
    assert waited.log()[-2:] == ["status: Deployment initialization complete", "status: "]
    assert waited.read(made["id"], made["properties"], inputs)["inputs"] == inputs


def test_a_deployment_that_never_gets_ready_stays_with_the_reasons(failures: Failures) -> None:
    never, inputs, error = failures["Deployment"]
    namespace = inputs["metadata"]["namespace"]
    assert error.message == created(never, "'deployment' timed out waiting to be Ready")
    assert error.left["id"] == f"{namespace}/deployment"
    assert error.left["properties"]["__inputs"] == inputs
    assert error.left["properties"]["status"]["unavailableReplicas"] == 1
    first, *reasons, pod = error.left["reasons"]
    assert first == error.message
    assert reasons == [
        "[MinimumReplicasUnavailable] Deployment does not have minimum availability.",
        "Minimum number of live Pods was not attained",
    ]
    assert pod.startswith(f"[Pod {namespace}/deployment-")
    assert pod.endswith(f"containers with unready status: [c]{NOT_PRESENT}")


def test_a_refresh_sees_that_a_deployment_is_not_ready(kubernetes: Plugin, namespace: str) -> None:
    inputs = annotated(deployment("a", namespace, image=NO_IMAGE), timeoutSeconds="1")
    never = resource(kubernetes, inputs)
    left = refused(never, inputs).left
    with pytest.raises(RefusedError) as caught:
        never.read(left["id"], left["properties"], inputs)
    assert caught.value.message == "Resource 'a' was created but failed to initialize"
    assert (caught.value.left["id"], caught.value.left["inputs"]) == (f"{namespace}/a", inputs)
    assert "Minimum number of live Pods was not attained" in caught.value.left["reasons"]


def test_an_update_waits_for_the_new_pods(kubernetes: Plugin, namespace: str) -> None:
    old = deployment("a", namespace)
    new = annotated(deployment("a", namespace, image=NO_IMAGE), timeoutSeconds="2")
    updated = resource(kubernetes, old, "rolling")
    made = updated.create(old)
    with pytest.raises(RefusedError) as caught:
        updated.update(made, old, new)
    assert caught.value.message == (
        f'the Kubernetes API server reported that "{namespace}/a" failed to fully initialize '
        "or become live: 'a' timed out waiting to be Ready"
    )
    assert caught.value.left["properties"]["__inputs"] == new


def test_the_timeout_of_the_resource_s_options_comes_first(kubernetes: Plugin, namespace: str) -> None:
    inputs = annotated(deployment("a", namespace, image=NO_IMAGE), timeoutSeconds="600")
    with pytest.raises(RefusedError, match="'a' timed out waiting to be Ready"):
        resource(kubernetes, inputs).create(inputs, timeout=1)


@pytest.mark.parametrize("kind", ["Deployment", "DaemonSet", "StatefulSet"])
def test_nothing_is_waited_for_where_the_program_says_so(kubernetes: Plugin, namespace: str, kind: str) -> None:
    inputs = annotated(workload(kind, "a", namespace, image=NO_IMAGE), skipAwait="true")
    skipped = resource(kubernetes, inputs)
    made = skipped.create(inputs)
    assert skipped.read(made["id"], made["properties"], inputs)["id"] == f"{namespace}/a"


def test_a_daemon_set_is_waited_for(kubernetes: Plugin, namespace: str) -> None:
    inputs = workload("DaemonSet", "a", namespace)
    status = resource(kubernetes, inputs).create(inputs)["properties"]["status"]
    assert status["numberReady"] == status["numberAvailable"] == status["desiredNumberScheduled"] > 0


def test_a_daemon_set_that_never_gets_ready(failures: Failures) -> None:
    never, _, error = failures["DaemonSet"]
    assert error.message == created(never, "timed out waiting for the condition")
    assert any(reason.endswith(NOT_PRESENT) for reason in error.left["reasons"])
    assert any(line.startswith("status: Available: 0/") for line in never.log())


def test_a_stateful_set_is_waited_for(kubernetes: Plugin, namespace: str) -> None:
    inputs = workload("StatefulSet", "a", namespace, replicas=2, serviceName="a")
    waited = resource(kubernetes, inputs, "stateful")
    assert waited.create(inputs)["properties"]["status"]["readyReplicas"] == 2
    assert "status: [1/2] Waiting for StatefulSet to create Pods (0/2 Pods ready)" in waited.log()
    assert waited.log()[-2:] == ["status: StatefulSet initialization complete", "status: "]


def test_a_stateful_set_that_never_gets_ready(failures: Failures) -> None:
    never, _, error = failures["StatefulSet"]
    assert error.message == created(never, "'statefulset' timed out waiting to be Ready")
    assert error.left["reasons"][1] == "0 out of 1 replicas succeeded readiness checks"
    assert error.left["reasons"][-1].endswith(NOT_PRESENT)


def test_a_job_is_waited_for_until_it_has_completed(kubernetes: Plugin, namespace: str) -> None:
    inputs = annotated(job(namespace, "true"), replaceUnready="true")
    waited = resource(kubernetes, inputs, "job")
    assert waited.create(inputs)["properties"]["status"]["succeeded"] == 1
    assert f'status: Waiting for Job "{namespace}/a" to start' in waited.log()
    assert f'status: Waiting for Job "{namespace}/a" to succeed (Active: 1 | Succeeded: 0 | Failed: 0)' in waited.log()
    assert waited.diff(inputs, inputs)["changes"] == "DIFF_NONE"


def test_a_job_that_failed_is_not_waited_for_and_replaced_if_its_annotation_says_so(
    kubernetes: Plugin, namespace: str
) -> None:
    plain = job(namespace, "false")
    inputs = annotated(plain, replaceUnready="true")
    failing = resource(kubernetes, inputs, "failing")
    error = refused(failing, inputs)
    assert error.message == created(failing, "Resource 'a' was created but failed to initialize")
    assert error.left["reasons"][1] == "[BackoffLimitExceeded] Job has reached the specified backoff limit"
    assert failing.diff(inputs, inputs)["replaces"] == ['.metadata.annotations["pulumi.com/replaceUnready"]']
    assert failing.diff(plain, plain)["changes"] == "DIFF_NONE"


def test_a_job_that_is_cancelled_stays(cancellable: Plugin, namespace: str, start: Start) -> None:
    inputs = job(namespace, "true", image=NO_IMAGE)
    cancelled = resource(cancellable, inputs, "cancelled")
    creating = start(cancelled.create, inputs)
    wait_for_line(cancelled, "to succeed", creating)
    cancellable.cancel()
    error = creating.exception()
    assert isinstance(error, RefusedError)
    assert error.message == created(cancelled, 'Resource operation was cancelled for "a"')
    assert error.left["id"] == f"{namespace}/a"


def test_a_pod_is_waited_for(kubernetes: Plugin, namespace: str) -> None:
    inputs = thing("v1", "Pod", {"name": "a", "namespace": namespace}, spec=pods()["spec"])
    waited = resource(kubernetes, inputs, "pod")
    assert waited.create(inputs)["properties"]["status"]["phase"] == "Running"
    assert f'status: Waiting for Pod "{namespace}/a" to be scheduled' in waited.log()
    assert waited.log()[-1] == "status: "


def test_a_pod_that_never_gets_ready(failures: Failures) -> None:
    never, inputs, error = failures["Pod"]
    name = f"{inputs['metadata']['namespace']}/pod"
    assert error.message == created(never, "'pod' timed out waiting to be Ready")
    assert error.left["reasons"][1] == f"[Pod {name}]: containers with unready status: [c]{NOT_PRESENT}"


def test_a_service_waits_until_its_endpoints_have_settled_and_it_has_an_address(
    kubernetes: Plugin, namespace: str, start: Start
) -> None:
    resource(kubernetes, deployment("x", namespace)).create(deployment("x", namespace))
    inputs = service(namespace, "inside", selector={"app": "x"})
    balanced_inputs = service(namespace, selector={"app": "x"}, type="LoadBalancer")
    waited, balanced = resource(kubernetes, inputs, "service"), resource(kubernetes, balanced_inputs, "balanced")
    began = time.monotonic()
    balancing = start(balanced.create, balanced_inputs)
    made = waited.create(inputs)
    assert time.monotonic() - began >= 10
    assert waited.log() == [
        "status: [1/3] Finding Pods to direct traffic to", "status: Service initialization complete", "status: "
    ]  # fmt: skip
    assert waited.read(made["id"], made["properties"], inputs)["inputs"] == inputs
    wait_for_line(balanced, "[2/3] Attempting to allocate IP address to Service", balancing)
    set_status("service", namespace, {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}})
    assert balancing.result()["properties"]["status"]["loadBalancer"]["ingress"][0]["ip"] == "192.0.2.1"


def test_a_service_without_pods_is_not_ready(kubernetes: Plugin, namespace: str) -> None:
    inputs = annotated(service(namespace, selector={"app": "nothing"}), timeoutSeconds="1")
    never = resource(kubernetes, inputs)
    error = refused(never, inputs)
    assert error.message == created(never, "'a' timed out waiting to be Ready")
    assert error.left["reasons"][1].startswith("Service does not target any Pods.")
    with pytest.raises(RefusedError, match="Resource 'a' was created but failed to initialize"):
        never.read(error.left["id"], error.left["properties"], inputs)


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({"clusterIP": "None", "selector": {"app": "nothing"}}, id="headless"),
        pytest.param({"type": "ExternalName", "externalName": "a.example.com", "ports": []}, id="an external name"),
    ],
)
def test_a_service_that_needs_no_pods_is_ready(kubernetes: Plugin, namespace: str, spec: Values) -> None:
    inputs = annotated(service(namespace, **spec), timeoutSeconds="1")
    assert resource(kubernetes, inputs).create(inputs)["id"] == f"{namespace}/a"


def ingress(namespace: str) -> Values:
    path = {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "a", "port": {"number": 80}}}}
    rules = [{"host": "a.example.com", "http": {"paths": [path]}}]
    return thing("networking.k8s.io/v1", "Ingress", {"name": "a", "namespace": namespace}, spec={"rules": rules})


def test_an_ingress_waits_for_its_services_and_its_address(kubernetes: Plugin, namespace: str, start: Start) -> None:
    inputs = ingress(namespace)
    waited = resource(kubernetes, inputs, "ingress")
    creating = start(waited.create, inputs)
    wait_for_line(waited, "[1/3] Finding a matching service for each Ingress path", creating)
    kubectl("create", "service", "clusterip", "a", "--namespace", namespace, "--tcp=80")
    wait_for_line(waited, "[2/3] Waiting for update of .status.loadBalancer with hostname/IP", creating)
    set_status("ingress", namespace, {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}})
    creating.result()
    assert waited.log()[-2:] == ["status: Ingress initialization complete", "status: "]


def test_an_ingress_that_never_gets_ready(kubernetes: Plugin, namespace: str) -> None:
    inputs = annotated(ingress(namespace), timeoutSeconds="1")
    never = resource(kubernetes, inputs)
    error = refused(never, inputs)
    assert error.message == created(never, "'a' timed out waiting to be Ready")
    assert error.left["reasons"][1] == "Ingress has at least one rule with an unavailable target endpoint."
    assert error.left["reasons"][2].startswith("Ingress .status.loadBalancer field was not updated")


@pytest.fixture
def storage_class(kubernetes: Plugin, namespace: str) -> Iterator[str]:
    """A class whose claims wait for a pod."""
    late = {"provisioner": "kubernetes.io/no-provisioner", "volumeBindingMode": "WaitForFirstConsumer"}
    inputs = thing("storage.k8s.io/v1", "StorageClass", {"name": namespace}, **late)
    made = resource(kubernetes, inputs).create(inputs)
    yield namespace
    resource(kubernetes, inputs).delete(made)


def test_a_claim_that_waits_for_a_pod_is_not_waited_for(kubernetes: Plugin, namespace: str, storage_class: str) -> None:
    inputs = claim(namespace, storage_class)
    assert resource(kubernetes, inputs).create(inputs)["properties"]["status"] == {"phase": "Pending"}


def test_a_volume_and_its_claim_are_waited_for(kubernetes: Plugin, namespace: str) -> None:
    spec = {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Mi"}, "hostPath": {"path": "/nothing"}}
    volume = thing("v1", "PersistentVolume", {"name": namespace}, spec=spec)
    bound = claim(namespace, "", volumeName=namespace)
    of_volume, of_claim = resource(kubernetes, volume), resource(kubernetes, bound)
    made = of_volume.create(volume)
    assert made["properties"]["status"]["phase"] == "Available"
    made_claim = of_claim.create(bound)
    assert made_claim["properties"]["status"]["phase"] == "Bound"
    of_claim.delete(made_claim)
    of_volume.delete(made)


def test_a_claim_is_waited_for_whatever_its_annotation_says(cancellable: Plugin, namespace: str, start: Start) -> None:
    inputs = annotated(claim(namespace, "none"), timeoutSeconds="1")
    unbound = resource(cancellable, inputs, "unbound")
    creating = start(unbound.create, inputs)
    wait_for_line(unbound, 'storageclasses.storage.k8s.io "none" not found', creating)
    time.sleep(2)
    assert not creating.done()
    cancellable.cancel()
    error = creating.exception()
    assert isinstance(error, RefusedError)
    assert error.message == created(unbound, "Resource operation was cancelled for 'a'")
    assert error.left["properties"]["status"] == {"phase": "Pending"}


def test_a_route_is_not_waited_for(kubernetes: Plugin, namespace: str) -> None:
    assert resource(kubernetes, route(namespace)).create(route(namespace))["id"] == f"{namespace}/a"


def test_a_route_is_waited_for_as_its_annotation_says(kubernetes: Plugin, namespace: str) -> None:
    inputs = annotated(route(namespace, tls={"termination": "passthrough"}), waitFor=ADMITTED, timeoutSeconds="60")
    admitted = resource(kubernetes, inputs).create(inputs)["properties"]["status"]["ingress"][0]["conditions"][0]
    assert (admitted["type"], admitted["status"]) == ("Admitted", "True")


def test_what_an_annotation_asks_for_is_waited_for(kubernetes: Plugin, namespace: str, start: Start) -> None:
    inputs = gate(namespace)
    waited = resource(kubernetes, inputs, "gate")
    creating = start(waited.create, inputs)
    wait_for_line(waited, "Approved", creating)
    approve(namespace)
    assert creating.result()["properties"]["status"]["conditions"][0]["type"] == "Approved"


def test_a_route_that_is_never_admitted(kubernetes: Plugin, namespace: str) -> None:
    inputs = annotated(route(namespace), waitFor=ADMITTED, timeoutSeconds="1")
    never = resource(kubernetes, inputs)
    error = refused(never, inputs)
    assert error.message == created(never, "timed out waiting for the condition")
    assert error.left["properties"]["spec"]["host"] == f"{namespace}.example.com"


def test_a_kind_can_be_used_once_its_definition_is_made(kubernetes: Plugin, namespace: str) -> None:
    group = f"{namespace}.example.com"
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
    }
    definition = thing(
        "apiextensions.k8s.io/v1",
        "CustomResourceDefinition",
        {"name": f"things.{group}"},
        spec={
            "group": group,
            "names": {"kind": "Thing", "plural": "things"},
            "scope": "Namespaced",
            "versions": [version],
        },
    )
    custom = thing(f"{group}/v1", "Thing", {"name": "a", "namespace": namespace}, spec={"any": "thing"})
    assert resource(kubernetes, custom).create(custom, preview=True) == {"properties": custom}
    defined = resource(kubernetes, definition)
    made = defined.create(definition)
    try:
        assert resource(kubernetes, custom).create(custom)["properties"]["spec"] == {"any": "thing"}
    finally:
        defined.delete(made)


class Door:
    """A way to the API server that can be shut."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._ways: list[socket.socket] = []
        self.open(0)

    def open(self, port: int) -> None:
        target, ways = self._target, self._ways

        class Way(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with socket.create_connection(target) as inside:
                    ways.extend((self.request, inside))
                    back = Thread(target=pass_on, args=(inside, self.request), daemon=True)
                    back.start()
                    pass_on(self.request, inside)
                    back.join()

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True

        self._server = Server(("127.0.0.1", port), Way)
        self.port = self._server.server_address[1]
        Thread(target=self._server.serve_forever, daemon=True).start()

    def shut(self) -> None:
        self._server.shutdown()
        self._server.socket.close()
        for way in self._ways:
            hang_up(way)
        self._ways.clear()


def pass_on(source: socket.socket, target: socket.socket) -> None:
    try:
        while received := source.recv(65536):
            target.sendall(received)
    except OSError:
        hang_up(source)
    hang_up(target)


def hang_up(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def test_an_api_server_may_go_away_and_come_back(kubeconfig: Path, namespace: str, start: Start) -> None:
    settings = yaml.safe_load(kubeconfig.read_text())
    cluster = settings["clusters"][0]["cluster"]
    address = urlsplit(cluster["server"])
    assert address.hostname
    assert address.port
    door = Door(address.hostname, address.port)
    cluster |= {"server": f"https://127.0.0.1:{door.port}", "tls-server-name": address.hostname}
    inputs = gate(namespace)
    with plugin.start("kubernetes") as kubernetes:
        kubernetes.configure(kubeconfig=json.dumps(settings))
        waited = resource(kubernetes, inputs)
        creating = start(waited.create, inputs)
        wait_for_line(waited, "Approved", creating)
        door.shut()
        wait_for_line(waited, "unable to reach the API server", creating)
        approve(namespace)
        door.open(door.port)
        assert creating.result()["properties"]["status"]["conditions"][0]["type"] == "Approved"
    door.shut()


def test_deleting_a_deployment_waits_for_its_pods(kubernetes: Plugin, namespace: str) -> None:
    inputs = deployment("a", namespace)
    deleted = resource(kubernetes, inputs, "deleted-deployment")
    deleted.delete(deleted.create(inputs))
    assert "status: Resource scheduled for deletion" in deleted.log()
    assert kubectl("get", "replicasets,pods", "--namespace", namespace, "--output=name") == ""
