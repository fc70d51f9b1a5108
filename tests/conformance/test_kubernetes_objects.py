"""The kubernetes plugin makes, changes, reads and deletes objects as the official one (4.34.2) was seen to."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import yaml

from sandbox import layout
from sandbox.plugins.values import UNKNOWN, secret
from tests.cluster.conftest import kubectl
from tests.conformance import plugin
from tests.conformance.objects import deployment, pods, resource, thing
from tests.conformance.plugin import Answer, Plugin, RefusedError, Values


def config_map(namespace: str, **data: Any) -> Values:
    return thing("v1", "ConfigMap", {"name": "a", "namespace": namespace}, data=data)


def live(kind: str, name: str, namespace: str) -> Values:
    found: Values = json.loads(
        kubectl("get", kind, name, "--namespace", namespace, "--output=json", "--show-managed-fields")
    )
    return found


def managers(live: Values) -> list[tuple[str, str]]:
    return [(entry["manager"], entry["operation"]) for entry in live["metadata"]["managedFields"]]


def test_what_is_made_is_told_with_its_inputs(kubernetes: Plugin, namespace: str) -> None:
    inputs = config_map(namespace, a="1")
    made = resource(kubernetes, inputs).create(inputs)
    state = made["properties"]
    assert made["id"] == f"{namespace}/a"
    assert state.keys() == {
        "__fieldManager",
        "__initialApiVersion",
        "__inputs",
        "apiVersion",
        "kind",
        "metadata",
        "data",
    }
    assert (state["__inputs"], state["__initialApiVersion"]) == (inputs, "v1")
    assert re.fullmatch("pulumi-kubernetes-[0-9a-f]{8}", state["__fieldManager"])
    assert state["metadata"].keys() == {
        "creationTimestamp", "managedFields", "name", "namespace", "resourceVersion", "uid"
    }  # fmt: skip
    assert managers(state) == [("pulumi-kubernetes", "Update")]


def test_an_object_in_no_namespace_has_its_name_as_id(kubernetes: Plugin, namespace: str) -> None:
    inputs = thing("storage.k8s.io/v1", "StorageClass", {"name": namespace}, provisioner="example.com/none")
    storage_class = resource(kubernetes, inputs)
    made = storage_class.create(inputs)
    storage_class.delete(made)
    assert made["id"] == namespace
    assert made["properties"]["reclaimPolicy"] == "Delete"


def test_a_generated_name_is_the_object_s(kubernetes: Plugin, namespace: str) -> None:
    config_map = resource(kubernetes, thing("v1", "ConfigMap", {}), "cm")
    inputs = config_map.inputs(thing("v1", "ConfigMap", {"namespace": namespace}, data={"a": "1"}))
    assert config_map.create(inputs)["id"] == f"{namespace}/{inputs['metadata']['name']}"


def test_a_preview_of_a_new_object_is_what_the_api_server_would_make(kubernetes: Plugin, namespace: str) -> None:
    inputs = config_map(namespace, a="1")
    preview = resource(kubernetes, inputs).create(inputs, preview=True)
    assert "id" not in preview
    metadata = preview["properties"]["metadata"]
    assert metadata.keys() == {"creationTimestamp", "managedFields", "name", "namespace", "uid"}
    assert preview["properties"]["__inputs"] == inputs
    assert kubectl("get", "configmap", "a", "--namespace", namespace, "--ignore-not-found") == ""


def test_a_preview_has_defaults_but_no_status(kubernetes: Plugin) -> None:
    inputs = thing("v1", "Namespace", {"name": "conformance-preview"})
    state = resource(kubernetes, inputs).create(inputs, preview=True)["properties"]
    assert state["metadata"]["labels"] == {"kubernetes.io/metadata.name": "conformance-preview"}
    assert state["spec"] == {"finalizers": ["kubernetes"]}
    assert "status" not in state


@pytest.mark.parametrize(
    "inputs",
    [
        pytest.param(config_map("conformance-to-come", a="1"), id="in a namespace to come"),
        pytest.param(config_map("default", a=UNKNOWN), id="with an unknown value"),
        pytest.param(thing("v1", "Secret", {"name": "a", "namespace": "default"}, data=secret(UNKNOWN)), id="unknown"),
        pytest.param(thing("to.come/v1", "Custom", {"name": "a", "namespace": "default"}), id="of a kind to come"),
        pytest.param(
            thing("v1", "ConfigMap", {"name": "kube-root-ca.crt", "namespace": "default"}), id="in the place of another"
        ),
    ],
)
def test_a_preview_that_the_api_server_cannot_give_has_the_inputs(kubernetes: Plugin, inputs: Values) -> None:
    assert resource(kubernetes, inputs).create(inputs, preview=True) == {"properties": inputs}


def test_what_the_api_server_refuses_is_not_made(kubernetes: Plugin, namespace: str) -> None:
    inputs = thing("v1", "Service", {"name": "a", "namespace": namespace}, spec={"ports": [{"port": 99999}]})
    service = resource(kubernetes, inputs)
    with pytest.raises(RefusedError) as refused:
        service.create(inputs)
    assert refused.value.message == (
        f'resource "{service.urn}" was not successfully created by the Kubernetes API server: '
        'Service "a" is invalid: [spec.ports[0].port: Invalid value: 99999: must be between 1 and 65535, inclusive, '
        "spec.ports[0].targetPort: Invalid value: 99999: must be between 1 and 65535, inclusive]"
    )
    assert refused.value.left == {}


def test_a_preview_says_what_the_api_server_will_refuse(kubernetes: Plugin, namespace: str) -> None:
    inputs = thing("v1", "Service", {"name": "a", "namespace": namespace}, spec={"ports": [{"port": 99999}]})
    with pytest.raises(RefusedError, match="must be between 1 and 65535"):
        resource(kubernetes, inputs).create(inputs, preview=True)


def test_an_object_that_exists_is_not_taken_over(kubernetes: Plugin, namespace: str) -> None:
    kubectl("create", "configmap", "a", "--namespace", namespace, "--from-literal=a=kubectl")
    inputs = config_map(namespace, a="pulumi")
    taken = resource(kubernetes, inputs)
    with pytest.raises(RefusedError) as refused:
        taken.create(inputs)
    assert refused.value.message.startswith(
        f'resource "{taken.urn}" was not successfully created by the Kubernetes API server: '
        'configmaps "a" already exists\n\nThe resource already exists in the cluster.'
    )
    assert refused.value.left == {}
    assert live("configmap", "a", namespace)["data"] == {"a": "kubectl"}


def test_a_namespace_may_come_later(kubernetes: Plugin, namespace: str) -> None:
    later = f"{namespace}-later"
    inputs = config_map(later, a="1")
    early = resource(kubernetes, inputs, "early")
    with ThreadPoolExecutor() as pool:
        creating = pool.submit(early.create, inputs)
        while not early.log():
            assert not creating.done()
        assert f'namespaces "{later}" not found' in early.log()[0]
        kubectl("create", "namespace", later)
        assert creating.result()["id"] == f"{later}/a"
    kubectl("delete", "namespace", later, "--wait=false")


def test_a_kind_that_never_comes_is_named(kubernetes: Plugin) -> None:
    inputs = thing("never.example.com/v1", "Custom", {"name": "a", "namespace": "default"})
    with pytest.raises(RefusedError, match=r"Custom.*Verify that any required CRDs have been created"):
        resource(kubernetes, inputs).create(inputs)


def make(kubernetes: Plugin, inputs: Values) -> Answer:
    return resource(kubernetes, inputs).create(inputs)


def test_an_update_is_applied_under_a_field_manager_of_the_object(kubernetes: Plugin, namespace: str) -> None:
    old, new = config_map(namespace, a="1", gone="1"), config_map(namespace, a="2", more="3")
    made = make(kubernetes, old)
    changed = resource(kubernetes, new).update(made, old, new)["properties"]
    manager = made["properties"]["__fieldManager"]
    assert (changed["data"], changed["__inputs"], changed["__fieldManager"]) == (new["data"], new, manager)
    assert managers(changed) == [(manager, "Apply")]
    assert live("configmap", "a", namespace)["data"] == new["data"]


def test_a_preview_of_an_update_is_what_the_api_server_would_make(kubernetes: Plugin, namespace: str) -> None:
    old, new = config_map(namespace, a="1"), config_map(namespace, a="2")
    made = make(kubernetes, old)
    preview = resource(kubernetes, new).update(made, old, new, preview=True)["properties"]
    assert preview["data"] == {"a": "2"}
    assert preview["metadata"]["uid"] == made["properties"]["metadata"]["uid"]
    assert live("configmap", "a", namespace)["data"] == {"a": "1"}


def test_a_preview_of_an_update_keeps_the_unknown(kubernetes: Plugin, namespace: str) -> None:
    old, new = config_map(namespace, a="1"), config_map(namespace, a=UNKNOWN)
    made = make(kubernetes, old)
    assert resource(kubernetes, new).update(made, old, new, preview=True) == {"properties": new}


def test_what_others_set_stays(kubernetes: Plugin, namespace: str) -> None:
    old, new = config_map(namespace, a="1"), config_map(namespace, a="2")
    made = make(kubernetes, old)
    kubectl("label", "configmap", "a", "--namespace", namespace, "--field-manager=controller", "mine=yes")
    changed = resource(kubernetes, new).update(made, old, new)["properties"]
    assert changed["metadata"]["labels"] == {"mine": "yes"}
    assert ("controller", "Update") in managers(changed)


def patch(namespace: str, value: str, manager: str) -> None:
    change = json.dumps({"data": {"a": value}})
    kubectl("patch", "configmap", "a", "--namespace", namespace, f"--field-manager={manager}", f"--patch={change}")


def test_what_was_set_with_kubectl_is_set_back(kubernetes: Plugin, namespace: str) -> None:
    inputs = config_map(namespace, a="1")
    made = make(kubernetes, inputs)
    patch(namespace, "2", "kubectl-edit")
    assert resource(kubernetes, inputs).update(made, inputs, inputs)["properties"]["data"] == {"a": "1"}


@pytest.mark.parametrize("preview", [True, False], ids=["preview", "update"])
def test_what_another_manager_holds_is_a_conflict(kubernetes: Plugin, namespace: str, preview: bool) -> None:
    old, new = config_map(namespace, a="1"), config_map(namespace, a="3")
    made = make(kubernetes, old)
    made["properties"] = resource(kubernetes, old).update(made, old, old)["properties"]
    patch(namespace, "2", "controller")
    with pytest.raises(RefusedError, match='conflict with "controller"') as refused:
        resource(kubernetes, new).update(made, old, new, preview=preview)
    assert refused.value.message.startswith(
        f'the Kubernetes API server reported that "{namespace}/a" failed to fully initialize or become live: '
    )
    assert live("configmap", "a", namespace)["data"] == {"a": "2"}


def test_a_conflict_is_won_by_force(kubernetes: Plugin, namespace: str) -> None:
    old = config_map(namespace, a="1")
    new = {**config_map(namespace, a="3")}
    new["metadata"] = {**new["metadata"], "annotations": {"pulumi.com/patchForce": "true"}}
    made = make(kubernetes, old)
    patch(namespace, "2", "controller")
    assert resource(kubernetes, new).update(made, old, new)["properties"]["data"] == {"a": "3"}


def test_an_update_that_is_refused_leaves_the_object(kubernetes: Plugin, namespace: str) -> None:
    old = thing(
        "v1", "Service", {"name": "a", "namespace": namespace}, spec={"clusterIP": "None", "ports": [{"port": 80}]}
    )
    new = {**old, "spec": {"clusterIP": "None", "ports": [{"port": 99999}]}}
    made = make(kubernetes, old)
    with pytest.raises(RefusedError, match="must be between 1 and 65535") as refused:
        resource(kubernetes, new).update(made, old, new)
    assert refused.value.left["id"] == f"{namespace}/a"
    assert refused.value.left["properties"]["spec"]["ports"][0]["port"] == 80


def test_reading_finds_what_is_as_it_was(kubernetes: Plugin, namespace: str) -> None:
    inputs = config_map(namespace, a="1")
    made = make(kubernetes, inputs)
    assert resource(kubernetes, inputs).read(made["id"], made["properties"], inputs) == {**made, "inputs": inputs}


def test_reading_finds_nothing(kubernetes: Plugin, namespace: str) -> None:
    inputs = config_map(namespace, a="1")
    made = make(kubernetes, inputs)
    kubectl("delete", "configmap", "a", "--namespace", namespace)
    assert resource(kubernetes, inputs).read(made["id"], made["properties"], inputs) == {}


def test_reading_finds_drift_in_what_the_program_sets(kubernetes: Plugin, namespace: str) -> None:
    inputs = deployment("a", namespace, replicas=1)
    inputs["metadata"]["annotations"] = {"pulumi.com/skipAwait": "true"}
    made = make(kubernetes, inputs)
    kubectl("scale", "deployment", "a", "--namespace", namespace, "--replicas=0")
    kubectl("label", "deployment", "a", "--namespace", namespace, "others=yes")
    read = resource(kubernetes, inputs).read(made["id"], made["properties"], inputs)
    drifted = {**inputs, "spec": {**inputs["spec"], "replicas": 0}}
    assert (read["inputs"], read["properties"]["__inputs"]) == (drifted, drifted)
    assert read["properties"]["__fieldManager"] == made["properties"]["__fieldManager"]


def test_what_others_append_is_no_drift(kubernetes: Plugin, namespace: str) -> None:
    inputs = deployment("a", namespace, replicas=0)
    inputs["metadata"]["annotations"] = {"pulumi.com/skipAwait": "true"}
    made = make(kubernetes, inputs)
    sidecar = {"op": "add", "path": "/spec/template/spec/containers/-", "value": {"name": "sidecar", "image": "s"}}
    kubectl("patch", "deployment", "a", "--namespace", namespace, "--type=json", f"--patch={json.dumps([sidecar])}")
    assert resource(kubernetes, inputs).read(made["id"], made["properties"], inputs)["inputs"] == inputs


def test_a_quantity_is_no_drift_in_another_spelling(kubernetes: Plugin, namespace: str) -> None:
    given = deployment("a", namespace, replicas=0)
    given["metadata"]["annotations"] = {"pulumi.com/skipAwait": "true"}
    limits = {"cpu": "1000m", "memory": "1024Mi", "ephemeral-storage": "1.5Gi"}
    given["spec"]["template"]["spec"]["containers"][0]["resources"] = {"limits": limits}
    inputs = resource(kubernetes, given).inputs(given)
    made = make(kubernetes, inputs)
    assert resource(kubernetes, inputs).read(made["id"], made["properties"], inputs)["inputs"] == inputs


def test_an_import_reads_the_identity_as_inputs(kubernetes: Plugin, namespace: str) -> None:
    kubectl("create", "configmap", "a", "--namespace", namespace, "--from-literal=a=kubectl")
    config = resource(kubernetes, config_map(namespace))
    read = config.read(f"{namespace}/a")
    inputs = thing("v1", "ConfigMap", {"name": "a", "namespace": namespace})
    assert (read["id"], read["inputs"], read["properties"]["__inputs"]) == (f"{namespace}/a", inputs, inputs)
    assert read["properties"]["data"] == {"a": "kubectl"}
    assert managers(read["properties"]) == [("kubectl-create", "Update")]


def test_an_import_of_nothing_finds_nothing(kubernetes: Plugin, namespace: str) -> None:
    assert resource(kubernetes, config_map(namespace)).read(f"{namespace}/a") == {}


def test_deleting_what_is_gone_is_no_error(kubernetes: Plugin, namespace: str) -> None:
    inputs = config_map(namespace, a="1")
    made = make(kubernetes, inputs)
    assert resource(kubernetes, inputs).delete(made) == {}
    assert resource(kubernetes, inputs).delete(made) == {}


def with_finalizer(namespace: str) -> Values:
    inputs = config_map(namespace, a="1")
    inputs["metadata"]["finalizers"] = ["example.com/held"]
    return inputs


def release(namespace: str) -> None:
    kubectl(
        "patch", "configmap", "a", "--namespace", namespace, "--type=merge", '--patch={"metadata":{"finalizers":null}}'
    )


def test_deleting_waits_until_the_object_is_gone(kubernetes: Plugin, namespace: str) -> None:
    inputs = with_finalizer(namespace)
    made = make(kubernetes, inputs)
    held = resource(kubernetes, inputs, "held")
    with ThreadPoolExecutor() as pool:
        deleting = pool.submit(held.delete, made)
        while "deletionTimestamp" not in live("configmap", "a", namespace)["metadata"]:
            assert not deleting.done()
        assert not deleting.done()
        release(namespace)
        assert deleting.result() == {}


def test_deleting_in_vain_names_the_finalizers_and_keeps_the_object(kubernetes: Plugin, namespace: str) -> None:
    inputs = with_finalizer(namespace)
    made = make(kubernetes, inputs)
    stuck = resource(kubernetes, inputs, "stuck")
    try:
        with pytest.raises(RefusedError) as refused:
            stuck.delete(made, timeout=1)
    finally:
        release(namespace)
    assert refused.value.message == "timed out waiting for the condition"
    assert refused.value.left["id"] == f"{namespace}/a"
    assert "finalizers might be preventing deletion (example.com/held)" in stuck.log()[-1]


def test_the_contents_of_a_secret_stay_secret(kubernetes: Plugin, namespace: str) -> None:
    inputs = thing("v1", "Secret", {"name": "a", "namespace": namespace}, data=secret({"a": "YQ=="}))
    made = make(kubernetes, inputs)
    assert made["properties"]["data"] == inputs["data"]
    assert made["properties"]["__inputs"] == inputs
    read = resource(kubernetes, inputs).read(made["id"], made["properties"], inputs)
    assert (read["properties"]["data"], read["inputs"]) == (inputs["data"], inputs)


def test_secrets_elsewhere_stay_secret_and_nothing_else_becomes_so(kubernetes: Plugin, namespace: str) -> None:
    inputs = deployment("a", namespace, replicas=0)
    inputs["metadata"]["annotations"] = {"pulumi.com/skipAwait": "true", "token": secret("t")}
    env = [{"name": "A", "value": secret("s")}]
    inputs["spec"]["template"] = pods(name="a")
    inputs["spec"]["template"]["spec"]["containers"][0]["env"] = env
    state = make(kubernetes, resource(kubernetes, inputs).inputs(inputs))["properties"]
    assert state["metadata"]["annotations"]["token"] == secret("t")
    assert state["metadata"]["name"] == "a"
    assert state["spec"]["replicas"] == 0
    containers = state["spec"]["template"]["spec"]["containers"]
    assert containers == secret(containers["value"])
    assert containers["value"][0]["env"] == [{"name": "A", "value": "s"}]


@pytest.fixture
def unreachable() -> Values:
    """A kubeconfig with the address of an API server that is not there."""
    kubeconfig: Values = yaml.safe_load(layout.KUBECONFIG.read_text())
    kubeconfig["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    return kubeconfig


def test_a_cluster_that_is_gone(unreachable: Values, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = config_map("default", a="1")
    state: Answer = {"id": "default/a", "properties": {**inputs, "__inputs": inputs}}
    monkeypatch.delenv("PULUMI_K8S_DELETE_UNREACHABLE", raising=False)
    with plugin.start("kubernetes") as kubernetes:
        kubernetes.configure(kubeconfig=json.dumps(unreachable))
        config = resource(kubernetes, inputs)
        assert config.check(thing("v1", "ConfigMap", {"name": "a"}, data={"a": "1"})) == {"inputs": inputs}
        assert config.create(inputs, preview=True) == {"properties": inputs}
        with pytest.raises(RefusedError, match="configured Kubernetes cluster is unreachable: "):
            config.create(inputs)
        with pytest.raises(RefusedError, match="PULUMI_K8S_DELETE_UNREACHABLE"):
            config.read("default/a", state["properties"], inputs)
        with pytest.raises(RefusedError, match="PULUMI_K8S_DELETE_UNREACHABLE"):
            config.delete(state)
        assert "warning: configured Kubernetes cluster is unreachable: " in config.log()[0]


def test_what_was_in_a_cluster_that_is_gone_can_be_forgotten(
    unreachable: Values, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = config_map("default", a="1")
    state: Answer = {"id": "default/a", "properties": {**inputs, "__inputs": inputs}}
    monkeypatch.setenv("PULUMI_K8S_DELETE_UNREACHABLE", "true")
    with plugin.start("kubernetes") as kubernetes:
        kubernetes.configure(kubeconfig=json.dumps(unreachable))
        assert resource(kubernetes, inputs).read("default/a", state["properties"], inputs) == {}
        assert resource(kubernetes, inputs).delete(state) == {}
