"""A registry of 23 resources lives as it did with the official plugins: the same plans, line by line.

Each test goes on where the one before it ended.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.conftest import kubectl
from tests.conformance.registry import Scenario, events, prepared, resource

RESOURCES = {
    "pulumi:pulumi:Stack test-test", "pulumi:providers:kubernetes cluster",
    "command:local:Command local", "command:remote:Command node1", "command:remote:CopyToRemote copy",
    "kubernetes:apps/v1:Deployment registry", "kubernetes:batch/v1:CronJob gc", "kubernetes:core/v1:ConfigMap cm",
    "kubernetes:core/v1:Namespace ns", "kubernetes:core/v1:PersistentVolume pv",
    "kubernetes:core/v1:PersistentVolumeClaim pvc", "kubernetes:core/v1:Secret fixed", "kubernetes:core/v1:Secret tls",
    "kubernetes:core/v1:Service svc", "kubernetes:core/v1:ServiceAccount sa",
    "kubernetes:networking.k8s.io/v1:NetworkPolicy np", "kubernetes:policy/v1:PodDisruptionBudget pdb",
    "kubernetes:rbac.authorization.k8s.io/v1:ClusterRole role",
    "kubernetes:rbac.authorization.k8s.io/v1:ClusterRoleBinding rb", "kubernetes:route.openshift.io/v1:Route route",
    "tls:index/certRequest:CertRequest csr", "tls:index/locallySignedCert:LocallySignedCert crt",
    "tls:index/privateKey:PrivateKey key",
}  # fmt: skip
"""Type and name of each."""

FIX = {
    "update kubernetes:apps/v1:Deployment registry: metadata.annotations, "
    "spec.template.spec.containers[0].image, spec.template.spec.containers[0].volumeMounts[0].mountPath",
    "update kubernetes:batch/v1:CronJob gc: spec.jobTemplate.spec.template.spec.containers[0].image",
}
UPDATE = {
    "create-replacement command:local:Command local: triggers[0]",
    "replace command:local:Command local: triggers[0]",
    "delete-replaced command:local:Command local",
    "update command:remote:Command node1: create",
    "update command:remote:CopyToRemote copy: source",
    'create-replacement kubernetes:core/v1:ConfigMap cm: data["config.yml"] replaces data["config.yml"]',
    'replace kubernetes:core/v1:ConfigMap cm: data["config.yml"] replaces data["config.yml"]',
    "delete-replaced kubernetes:core/v1:ConfigMap cm",
    "delete-replaced kubernetes:core/v1:Secret fixed",
    "replace kubernetes:core/v1:Secret fixed: data.secret replaces data.secret",
    "create-replacement kubernetes:core/v1:Secret fixed: data.secret replaces data.secret",
    "update kubernetes:core/v1:Service svc: spec.sessionAffinity",
    "update kubernetes:apps/v1:Deployment registry: spec.template.spec.volumes[2].configMap.name",
}


def replaced_certificate(of_request: str, of_secret: str) -> set[str]:
    """Returns the lines for a new certificate, which needs a new Secret."""
    keys = {
        "tls:index/certRequest:CertRequest csr": of_request,
        "tls:index/locallySignedCert:LocallySignedCert crt": "certRequestPem replaces certRequestPem",
        "kubernetes:core/v1:Secret tls": of_secret,
    }
    operations = ("create-replacement", "replace")
    replaced = {f"{operation} {resource}: {changes}" for resource, changes in keys.items() for operation in operations}
    return replaced | {f"delete-replaced {resource}" for resource in keys}


NEW_NAME = "dnsNames replaces dnsNames"
NEW_ADDRESS = "ipAddresses replaces ipAddresses"
UNKNOWN_PAIR = 'data["tls.crt"], data["tls.key"] replaces data["tls.crt"], data["tls.key"]'
NEW_PAIR = 'data["tls.crt"] replaces data["tls.crt"]'
OTHER_SECRET = "update kubernetes:apps/v1:Deployment registry: {}spec.template.spec.volumes[1].secret.secretName"
SELECTOR = {
    "delete-replaced kubernetes:apps/v1:Deployment registry",
    "replace kubernetes:apps/v1:Deployment registry: spec.selector.matchLabels.v, "
    "spec.template.metadata.labels.v replaces spec.selector.matchLabels.v",
    "create-replacement kubernetes:apps/v1:Deployment registry: spec.selector.matchLabels.v, "
    "spec.template.metadata.labels.v replaces spec.selector.matchLabels.v",
}


@pytest.fixture(scope="module")
def scenario(kubeconfig: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scenario]:
    with prepared(kubeconfig, tmp_path_factory.mktemp("scenario")) as scenario:
        yield scenario


def test_create(scenario: Scenario) -> None:
    everything = {f"create {resource}" for resource in RESOURCES}
    # The image does not exist: everything is made, and the Deployment does not get ready.
    planned, done = scenario.preview(), scenario.up(fails=True)
    assert planned == done == everything


def test_fix(scenario: Scenario) -> None:
    scenario.fix()
    planned, done = scenario.preview(), scenario.up()
    assert planned == done == FIX


def test_no_op(scenario: Scenario) -> None:
    planned, done = scenario.preview(), scenario.up()
    assert planned == done == set()


def test_update(scenario: Scenario) -> None:
    scenario.change(secret="b", config="step: 2", affinity="ClientIP", commandEnd="; : v2", text="hello2", trigger=2)
    planned, done = scenario.preview(), scenario.up()
    assert planned == done == UPDATE


def test_certificate_change(scenario: Scenario) -> None:
    scenario.change(names=[*scenario.settings["names"], "extra.example.com"])
    planned, done = scenario.preview(), scenario.up()
    deployment = OTHER_SECRET.format("")
    assert planned == {*replaced_certificate(NEW_NAME, UNKNOWN_PAIR), deployment}
    assert done == {*replaced_certificate(NEW_NAME, NEW_PAIR), deployment}


def test_selector_change(scenario: Scenario) -> None:
    scenario.change(selector={"v": "2"})
    planned, done = scenario.preview(), scenario.up()
    assert planned == done == SELECTOR


def test_drift_is_seen(scenario: Scenario) -> None:
    inside = ("--namespace", scenario.name)
    kubectl(*inside, "scale", "deployment", "docker-registry", "--replicas=0")
    kubectl(*inside, "delete", "service", "docker-registry")
    refreshed = scenario.refresh()
    changed = {
        resource(event["metadata"]["urn"]): event["metadata"]["op"]
        for event in events(refreshed, "resOutputsEvent")
        if event["metadata"]["op"] not in ("refresh", "same")
    }
    assert changed == {"kubernetes:apps/v1:Deployment registry": "update", "kubernetes:core/v1:Service svc": "delete"}


def test_drift_is_repaired(scenario: Scenario) -> None:
    repaired = {
        "create kubernetes:core/v1:Service svc",
        *replaced_certificate(NEW_ADDRESS, NEW_PAIR),
        OTHER_SECRET.format("spec.replicas, "),
    }
    done, done_again = scenario.up(), scenario.up()
    assert done == repaired
    assert done_again == set()


def test_destroy(scenario: Scenario) -> None:
    assert scenario.destroy() == {f"delete {resource}" for resource in RESOURCES}
    assert kubectl("get", "namespace", scenario.name, "--ignore-not-found") == ""
