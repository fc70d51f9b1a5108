"""The kubernetes plugin understands objects as the official one (4.34.2) was seen to."""

import asyncio
import re
from typing import Any

import pytest

from sandbox.plugins.kubernetes import awaits, conditions, objects
from sandbox.plugins.kubernetes.cluster import Cluster, Kind, load_kubeconfig, server_of
from sandbox.plugins.kubernetes.jsonpath import JsonPathError, select
from sandbox.plugins.kubernetes.provider import KubernetesProvider
from sandbox.plugins.server import Change, Difference, ProviderError
from sandbox.plugins.values import UNKNOWN, Properties, is_secret, reveal, secret

ADMITTED = 'jsonpath={.status.ingress[*].conditions[?(@.type=="Admitted")].status}=True'


def thing(api_version: str, kind: str, metadata: Properties, **rest: Any) -> Properties:
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **rest}


def test_an_object_without_a_name_gets_one_and_keeps_it() -> None:
    inputs = thing("v1", "Secret", {"namespace": "registry"})
    first = objects.complete("tls", {}, inputs, "default")
    assert re.fullmatch(r"tls-[0-9a-f]{8}", first["metadata"]["name"])
    assert first["metadata"]["annotations"] == {"pulumi.com/autonamed": "true"}
    assert first["metadata"]["namespace"] == "registry"
    assert objects.complete("tls", first, inputs, "default") == first


def test_an_object_lands_in_the_provider_s_namespace_unless_its_kind_has_none() -> None:
    inputs = thing("v1", "ServiceAccount", {"name": "a"})
    assert objects.complete("a", {}, inputs, "apps")["metadata"] == {"name": "a", "namespace": "apps"}
    assert objects.complete("a", {}, inputs, None)["metadata"] == {"name": "a"}


def test_the_text_of_a_secret_becomes_data_and_stays_secret() -> None:
    inputs = thing("v1", "Secret", {"name": "a", "namespace": "b"}, stringData=secret({"secret": "a"}))
    completed = objects.complete("a", {}, inputs, "default")
    assert "stringData" not in completed
    assert is_secret(completed["data"])
    assert reveal(completed["data"]) == {"secret": "YQ=="}


def test_the_text_of_a_secret_waits_until_it_is_known() -> None:
    inputs = thing("v1", "Secret", {"name": "a", "namespace": "b"}, stringData=secret({"a": UNKNOWN}))
    assert reveal(objects.complete("a", {}, inputs, "default")["stringData"]) == {"a": UNKNOWN}


def test_a_volume_without_a_class_is_written_as_the_api_server_keeps_it() -> None:
    inputs = thing("v1", "PersistentVolume", {"name": "a"}, spec={"storageClassName": "", "nfs": {"path": "/x"}})
    assert objects.complete("a", {}, inputs, None)["spec"] == {"nfs": {"path": "/x"}}
    claim = thing("v1", "PersistentVolumeClaim", {"name": "a", "namespace": "b"}, spec={"storageClassName": ""})
    assert objects.complete("a", {}, claim, "default") == claim


AUTONAMED = {"name": "cm-1", "namespace": "a", "annotations": {"pulumi.com/autonamed": "true"}}
FIXED = {"name": "cm", "namespace": "a"}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            thing("v1", "ConfigMap", AUTONAMED, data={"config.yml": "1"}),
            thing("v1", "ConfigMap", AUTONAMED, data={"config.yml": "2"}),
            Difference(
                changed=True,
                replaces=['data["config.yml"]'],
                detailed={'data["config.yml"]': Change.UPDATE_REPLACE},
            ),
        ),
        (
            thing("v1", "Secret", FIXED, data=secret({"secret": "a"})),
            thing("v1", "Secret", FIXED, data=secret({"secret": "b"})),
            Difference(
                changed=True,
                replaces=["data.secret"],
                detailed={"data.secret": Change.UPDATE_REPLACE},
                delete_first=True,
            ),
        ),
        (
            thing("v1", "Secret", AUTONAMED, data=secret({"tls.crt": "a"})),
            thing("v1", "Secret", AUTONAMED, data=secret(UNKNOWN)),
            Difference(
                changed=True,
                replaces=['data["tls.crt"]'],
                detailed={'data["tls.crt"]': Change.DELETE_REPLACE},
                input_paths=frozenset({'data["tls.crt"]'}),
            ),
        ),
        (
            thing("v1", "Service", FIXED, spec={"sessionAffinity": "None"}),
            thing("v1", "Service", FIXED, spec={"sessionAffinity": "ClientIP"}),
            Difference(changed=True, detailed={"spec.sessionAffinity": Change.UPDATE}),
        ),
        (
            thing("apps/v1", "Deployment", FIXED, spec={"selector": {"matchLabels": {"app": "a"}}}),
            thing("apps/v1", "Deployment", FIXED, spec={"selector": {"matchLabels": {"app": "a", "v": "2"}}}),
            Difference(
                changed=True,
                replaces=["spec.selector.matchLabels.v"],
                detailed={"spec.selector.matchLabels.v": Change.ADD_REPLACE},
                delete_first=True,
            ),
        ),
        (
            thing("apps/v1", "Deployment", FIXED),
            thing("apps/v1", "Deployment", {**FIXED, "annotations": {"pulumi.com/timeoutSeconds": "45"}}),
            Difference(changed=True, detailed={"metadata.annotations": Change.ADD}),
        ),
        (
            thing("v1", "Namespace", {"name": "a"}),
            thing("v1", "Namespace", {"name": "b"}),
            Difference(changed=True, replaces=["metadata.name"], detailed={"metadata.name": Change.UPDATE_REPLACE}),
        ),
        (
            thing("v1", "Namespace", {"name": "a"}),
            thing("v1", "Namespace", {"name": "a"}),
            Difference(changed=False, detailed={}),
        ),
    ],
)
def test_compare(old: Properties, new: Properties, expected: Difference) -> None:
    assert objects.compare(old, new) == expected


def test_drift_is_seen_in_the_properties_that_the_program_sets_and_in_no_others() -> None:
    inputs = {"spec": {"replicas": 1, "strategy": {}, "ports": [{"port": 1}], "args": []}}
    live = {"spec": {"replicas": 0, "paused": True, "ports": [{"port": 1, "protocol": "TCP"}]}, "status": {}}
    assert objects.project(live, inputs) == {
        "spec": {"replicas": 0, "strategy": {}, "ports": [{"port": 1}], "args": []}
    }


def test_the_state_of_a_secret_keeps_its_contents_secret() -> None:
    inputs = thing("v1", "Secret", FIXED, data=secret({"a": "YQ=="}))
    state = objects.state({**reveal(inputs), "type": "Opaque"}, inputs, "pulumi-kubernetes-1")
    assert is_secret(state["data"])
    assert is_secret(state["__inputs"]["data"])
    assert (state["__fieldManager"], state["__initialApiVersion"]) == ("pulumi-kubernetes-1", "v1")


def test_the_fields_of_the_creation_go_to_the_manager_of_the_updates() -> None:
    entry = {"apiVersion": "v1", "fieldsType": "FieldsV1"}
    created = {**entry, "manager": "pulumi-kubernetes", "operation": "Update", "fieldsV1": {"f:spec": {"f:a": {}}}}
    status = {**entry, "manager": "controller", "operation": "Update", "subresource": "status", "fieldsV1": {}}
    applied = {**entry, "manager": "mine", "operation": "Apply", "fieldsV1": {"f:spec": {"f:b": {}}}}
    both = {**applied, "fieldsV1": {"f:spec": {"f:a": {}, "f:b": {}}}}
    assert objects.migrated_managers([created, status, applied], "mine") == [both, status]
    assert objects.migrated_managers([applied, status], "mine") is None


@pytest.mark.parametrize(
    ("resource_id", "expected"), [("registry", (None, "registry")), ("apps/registry", ("apps", "registry"))]
)
def test_ids(resource_id: str, expected: tuple[str | None, str]) -> None:
    assert objects.split_identity(resource_id) == expected


def test_urls() -> None:
    assert Kind("/api/v1", "services", namespaced=True).url("a", "b") == "/api/v1/namespaces/a/services/b"
    assert Kind("/api/v1", "namespaces", namespaced=False).url(None) == "/api/v1/namespaces"


ROUTE = {
    "status": {
        "ingress": [
            {"conditions": [{"type": "Other", "status": "False"}, {"type": "Admitted", "status": "True"}]},
            {"conditions": [{"type": "Admitted", "status": "False"}]},
        ]
    },
    "metadata": {"annotations": {"a.b/c": "d"}},
}


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ('{.status.ingress[0].conditions[?(@.type=="Admitted")].status}', ["True"]),
        ('{.status.ingress[*].conditions[?(@.type=="Admitted")].status}', ["True", "False"]),
        ("{.metadata.annotations['a.b/c']}", ["d"]),
        ("{.status.ingress[-1].conditions[0].type}", ["Admitted"]),
        ("{.status.ingress[7]}", []),
        ("{.nothing.here}", []),
    ],
)
def test_jsonpath(expression: str, expected: list[str]) -> None:
    assert select(expression, ROUTE) == expected


def test_jsonpath_says_from_where_on_it_does_not_understand() -> None:
    with pytest.raises(JsonPathError, match=r"\(@\.a > 1\)"):
        select("{.items[?(@.a > 1)]}", {})


class OneObject(Cluster):
    """A cluster with one object that changes a little with every look at it."""

    def __init__(self, *states: Properties) -> None:
        self.states = list(states)

    async def request(self, method: str, path: str, body: Any = None, *, content_type: str = "", **query: str) -> Any:  # noqa: ARG002
        return self.states.pop(0) if len(self.states) > 1 else self.states[0]


def wait(cluster: OneObject, written: Properties, timeout: float = 5) -> tuple[Properties, list[str]]:
    shown = []

    async def show(line: str) -> None:
        shown.append(line)

    return asyncio.run(awaits.wait_until_ready(cluster, "/x", written, timeout, show)), shown


def deployment(available: int) -> Properties:
    status = "True" if available else "False"
    condition = {"type": "Available", "status": status, "reason": "MinimumReplicasUnavailable", "message": "none"}
    counts = {"replicas": 1, "updatedReplicas": 1, "availableReplicas": available, "observedGeneration": 1}
    return thing(
        "apps/v1",
        "Deployment",
        {"name": "a", "namespace": "b", "generation": 1},
        spec={"replicas": 1, "selector": {"matchLabels": {"app": "a"}}},
        status={**counts, "conditions": [condition]},
        items=[],
    )


def test_a_deployment_is_waited_for() -> None:
    live, shown = wait(OneObject(deployment(0), deployment(1)), deployment(0))
    assert live["status"]["availableReplicas"] == 1
    waiting = "Waiting for app ReplicaSet be available (0/1 Pods available); [MinimumReplicasUnavailable] none"
    assert shown == [waiting, ""]


def test_a_deployment_that_never_gets_ready_says_why() -> None:
    with pytest.raises(awaits.NotReadyError) as error:
        wait(OneObject(deployment(0)), deployment(0), timeout=0.1)
    assert str(error.value) == "'a' timed out waiting to be Ready"
    assert error.value.details == ["[MinimumReplicasUnavailable] none"]


def test_a_route_is_waited_for_as_its_annotation_says() -> None:
    metadata = {"name": "r", "namespace": "b", "annotations": {awaits.WAIT_FOR: ADMITTED, awaits.TIMEOUT: "0.1"}}
    written = thing("route.openshift.io/v1", "Route", metadata)
    admitted = {**written, "status": ROUTE["status"]}
    assert wait(OneObject(admitted), written)[0] == admitted
    with pytest.raises(awaits.NotReadyError, match="timed out waiting for the condition"):
        wait(OneObject(written), written, timeout=0)


def test_nothing_is_waited_for_where_the_program_says_so_or_the_kind_has_no_readiness() -> None:
    service = thing("v1", "Service", {"name": "a", "annotations": {awaits.SKIP: "true"}})
    assert wait(OneObject({}), service) == (service, [])
    policy = thing("networking.k8s.io/v1", "NetworkPolicy", {"name": "a"})
    assert wait(OneObject({}), policy) == (policy, [])


KUBECONFIG = """
apiVersion: v1
kind: Config
clusters: [{name: lab, cluster: {server: "https://10.0.0.1:6443", certificate-authority: ca.crt}}]
users: [{name: u, user: {token: t}}]
contexts: [{name: lab, context: {cluster: lab, user: u, namespace: apps}}]
current-context: lab
"""


def test_a_kubeconfig_is_a_path_or_contents(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    contents = load_kubeconfig({"kubeconfig": KUBECONFIG})
    assert contents is not None
    assert server_of(contents, None) == "https://10.0.0.1:6443"
    (tmp_path / "kc").write_text(KUBECONFIG)
    monkeypatch.chdir(tmp_path)
    from_file = load_kubeconfig({"kubeconfig": "kc"})
    assert from_file is not None
    assert from_file["clusters"][0]["cluster"]["certificate-authority"] == str(tmp_path / "ca.crt")
    with pytest.raises(ProviderError, match="kubeconfig nowhere: no such file"):
        load_kubeconfig({"kubeconfig": "nowhere"})


@pytest.mark.parametrize(
    ("new", "replaces"),
    [
        ({"kubeconfig": KUBECONFIG.replace("token: t", "token: other")}, []),
        ({"kubeconfig": KUBECONFIG.replace("10.0.0.1", "10.0.0.2")}, ["kubeconfig"]),
    ],
)
def test_only_another_cluster_replaces_the_provider(new: Properties, replaces: list[str]) -> None:
    difference = asyncio.run(KubernetesProvider().diff_config({"kubeconfig": KUBECONFIG}, new))
    assert (difference.changed, difference.replaces) == (True, replaces)


@pytest.mark.parametrize("token", ["kubernetes:helm.sh/v3:Release", "kubernetes:yaml:ConfigFile"])
def test_what_is_not_one_object_is_refused(token: str) -> None:
    with pytest.raises(ProviderError, match="pulumi plugin install resource kubernetes "):
        KubernetesProvider().resource_type(token)


@pytest.mark.parametrize(
    ("condition", "live", "expected"),
    [
        (ADMITTED, ROUTE, True),
        (ADMITTED, {}, False),
        ("jsonpath={.status.ready}", {"status": {"ready": False}}, True),
        ("jsonpath={.status.ready}=true", {"status": {"ready": True}}, True),
        ("condition=Ready", {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}, True),
        ("condition=Ready=False", {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}, False),
    ],
)
def test_conditions(condition: str, live: Properties, expected: bool) -> None:
    assert conditions.holds(condition, live) is expected


def test_annotations_that_cannot_be_obeyed_are_found_before_anything_is_made() -> None:
    assert awaits.problems({awaits.WAIT_FOR: '["condition=Ready"]', awaits.TIMEOUT: "8"}) == []
    assert awaits.problems({awaits.WAIT_FOR: UNKNOWN}) == []
    found = awaits.problems({awaits.WAIT_FOR: "ready", awaits.TIMEOUT: "soon"})
    assert [problem.split(":")[0] for problem in found] == [
        "annotation pulumi.com/waitFor",
        "annotation pulumi.com/timeoutSeconds",
    ]
