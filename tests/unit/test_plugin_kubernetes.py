"""The kubernetes plugin understands objects as the official one (4.34.2) was seen to."""

import asyncio
from typing import Any

import pytest

from sandbox.plugins.kubernetes import awaits, conditions, objects
from sandbox.plugins.kubernetes.cluster import Kind, load_kubeconfig, server_of
from sandbox.plugins.kubernetes.jsonpath import JsonPathError, select
from sandbox.plugins.kubernetes.provider import KubernetesProvider
from sandbox.plugins.kubernetes.schema import canonical_quantity
from sandbox.plugins.server import ProviderError
from sandbox.plugins.values import UNKNOWN, Properties

ADMITTED = 'jsonpath={.status.ingress[*].conditions[?(@.type=="Admitted")].status}=True'


def test_drift_is_seen_in_the_properties_that_the_program_sets_and_in_no_others() -> None:
    inputs = {"spec": {"replicas": 1, "strategy": {}, "ports": [{"port": 1}], "args": []}}
    live = {"spec": {"replicas": 0, "paused": True, "ports": [{"port": 1, "protocol": "TCP"}]}, "status": {}}
    assert objects.project(live, inputs) == {
        "spec": {"replicas": 0, "strategy": {}, "ports": [{"port": 1}], "args": []}
    }


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
    assert awaits.problems({awaits.WAIT_FOR: '["condition=Ready"]'}) == []
    assert awaits.problems({awaits.WAIT_FOR: UNKNOWN}) == []
    found = awaits.problems({awaits.WAIT_FOR: "ready"})
    assert [problem.split(":")[0] for problem in found] == ["annotation pulumi.com/waitFor"]


@pytest.mark.parametrize(
    ("given", "canonical"),
    [
        ("1Gi", "1Gi"),
        ("1024Mi", "1Gi"),
        ("1.5Gi", "1536Mi"),
        ("0.5Ki", "512"),
        ("1000m", "1"),
        ("0.5", "500m"),
        (0.5, "500m"),
        (2, "2"),
        ("1500M", "1500M"),
        ("1000M", "1G"),
        ("0", "0"),
        ("1e3", "1e3"),
        ("much", "much"),
    ],
)
def test_quantities(given: Any, canonical: str) -> None:
    assert canonical_quantity(given) == canonical


def test_a_setting_that_would_be_ignored_is_refused() -> None:
    with pytest.raises(ProviderError, match=r"renderYamlToDirectory.*pulumi plugin install resource kubernetes "):
        asyncio.run(KubernetesProvider().configure({"kubeconfig": KUBECONFIG, "renderYamlToDirectory": "out"}))
