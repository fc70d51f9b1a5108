"""What others change past Pulumi is reported, and the next `up --refresh` puts it right."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox import nfs
from tests.cluster.conftest import OtherStack, kubectl, sandbox
from tests.cluster.storages import nfs_storage

NAME = "drift"
FOLDER = f"{nfs.EXPORT}/{NAME}"
DEPLOYMENT, SERVICE, ROUTE, POLICY = (f"{kind}/docker-registry" for kind in
                                      ("deployment", "service", "route", "networkpolicy"))  # fmt: skip
CRON_JOB = "cronjob/registry-garbage-collection"
OBJECTS = (DEPLOYMENT, SERVICE, ROUTE, POLICY, CRON_JOB)
Object = dict[str, Any]


def read(kind: str) -> Object:
    found: Object = json.loads(kubectl("get", kind, f"--namespace={NAME}", "--output=json"))
    return found


def edit(kind: str, manager: str, change: Callable[[Object], object]) -> None:
    """Changes an object's spec as a client does that reads it, edits it, and writes it back."""
    found = read(kind)
    change(found["spec"])
    found["metadata"].pop("managedFields", None)
    kubectl("replace", "--filename=-", f"--field-manager={manager}", stdin=json.dumps(found))


def container(spec: Object) -> Any:
    return spec["template"]["spec"]["containers"][0]


def variable(spec: Object, name: str) -> Any:
    return next(each for each in container(spec)["env"] if each["name"] == name)


def by_oc() -> None:
    def deployment(spec: Object) -> None:
        spec["replicas"] = 2
        variable(spec, "REGISTRY_HTTP_ADDR")["value"] = ":5001"
        container(spec)["readinessProbe"]["periodSeconds"] = 60

    edit(DEPLOYMENT, "oc", deployment)
    edit(SERVICE, "oc", lambda spec: spec.update(sessionAffinity="None", type="NodePort"))
    edit(ROUTE, "oc", lambda spec: spec.update(host="other.cloudapps.example.com"))
    edit(POLICY, "oc", lambda spec: spec.update(ingress=[]))
    edit(CRON_JOB, "oc", lambda spec: spec.update(schedule="1 1 1 1 *"))


def in_a_web_console() -> None:
    def deployment(spec: Object) -> None:
        present = container(spec)
        present["image"] = "sandbox.local/registry:3.1.3"
        present["env"] = [each for each in present["env"] if each["name"] != "REGISTRY_STORAGE_DELETE_ENABLED"]
        variable(spec, "REGISTRY_HTTP_DRAINTIMEOUT")["name"] = "REGISTRY_RENAMED"
        present["env"].insert(0, {"name": "REGISTRY_FIRST", "value": "1"})
        present["ports"][0]["containerPort"] = 5001
        spec["strategy"] = {"type": "Recreate"}
        storage = next(each for each in spec["template"]["spec"]["volumes"] if each["name"] == "storage")
        del storage["persistentVolumeClaim"]
        storage["emptyDir"] = {}

    edit(DEPLOYMENT, "Mozilla", deployment)
    edit(SERVICE, "Mozilla", lambda spec: spec["ports"][0].update(port=5001, targetPort=5001))
    edit(SERVICE, "Mozilla", lambda spec: spec["selector"].update({"docker-registry": "other"}))
    edit(ROUTE, "Mozilla", lambda spec: spec["tls"].update(termination="edge"))
    edit(CRON_JOB, "Mozilla", lambda spec: spec.update(concurrencyPolicy="Allow"))


def by_kubectl() -> None:
    kubectl("scale", DEPLOYMENT, "--replicas=0", f"--namespace={NAME}")
    kubectl("set", "env", DEPLOYMENT, "REGISTRY_LOG_LEVEL=debug", f"--namespace={NAME}")
    # As a tool does that applies a manifest of its own, and takes what it says.
    manifest = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "docker-registry", "namespace": NAME},
        "spec": {"sessionAffinity": "None"},
    }
    kubectl("apply", "--server-side", "--force-conflicts", "--field-manager=argocd", "--filename=-",
            stdin=json.dumps(manifest))  # fmt: skip


@pytest.fixture(scope="module")
def stack(kubeconfig: Path, checkout: Path) -> Iterator[OtherStack]:  # noqa: ARG001 - needs the cluster
    sandbox("exec", "--", "install", "-d", "-o", "1001", "-g", "1001", "-m", "0750", FOLDER)
    stack = OtherStack(NAME, checkout)
    stack.configure(
        storage=nfs_storage(FOLDER),
        garbageCollection={"schedule": "0 3 * * 6", "timeZone": "UTC"},
        tools={"kubectl": "sandbox.local/kubectl:1.34.2"},
    )
    stack.pulumi("stack", "init")
    try:
        stack.up()
        yield stack
    finally:
        stack.remove()
        sandbox("exec", "--", "rm", "-rf", FOLDER)


@pytest.mark.parametrize("change", [by_oc, in_a_web_console, by_kubectl])
def test_what_others_change_is_reported_and_put_right(stack: OtherStack, change: Callable[[], None]) -> None:
    before = {kind: read(kind)["spec"] for kind in OBJECTS}
    change()

    assert "no changes were expected" in stack.pulumi("refresh", "--preview-only", "--expect-no-changes", check=False)
    assert "to update" in stack.pulumi("preview", "--refresh")
    stack.pulumi("up", "--refresh", "--yes", "--skip-preview")

    assert {kind: read(kind)["spec"] for kind in OBJECTS} == before
    stack.pulumi("preview", "--refresh", "--expect-no-changes")
