"""A registry of 23 resources lives as it did with the official plugins: the same plans, line by line."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from sandbox import layout
from tests.cluster.conftest import kubectl
from tests.conformance import plugin
from tests.conftest import make_ca
from tests.engine.conftest import Project
from tests.machine import running

PROGRAM = Path(__file__).parent / "scenario" / "__main__.py"
GOOD_IMAGE = "sandbox.local/registry:3.1.2"

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


class Scenario:
    """The project, and what its settings are now."""

    def __init__(self, project: Project, settings: dict[str, Any]) -> None:
        self.project = project
        self.settings = settings
        self.name = str(settings["name"])
        shutil.copy(PROGRAM, project.folder)
        self.change()

    def change(self, **settings: Any) -> None:
        self.settings |= settings
        (self.project.folder / "settings.json").write_text(json.dumps(self.settings))

    def preview(self) -> set[str]:
        self.project.environment["PULUMI_ENABLE_STREAMING_JSON_PREVIEW"] = "true"
        return plan(self.project.pulumi("preview", "--json"))

    def up(self, *, fails: bool = False) -> set[str]:
        return plan(self.project.pulumi("up", "--yes", "--skip-preview", "--json", fails=fails))

    def refresh(self) -> str:
        return self.project.pulumi("refresh", "--yes", "--skip-preview", "--json")

    def destroy(self) -> set[str]:
        return plan(self.project.pulumi("destroy", "--yes", "--skip-preview", "--json"))

    def kubectl(self, *arguments: str) -> str:
        return kubectl("--namespace", self.name, *arguments)


def events(output: str, kind: str) -> Iterator[dict[str, Any]]:
    """Returns the engine's events of a kind."""
    for line in output.splitlines():
        event = json.loads(line) if line.startswith("{") else {}
        if kind in event:
            yield event[kind]


def plan(output: str) -> set[str]:
    """Returns a line for each step that is not `same`: what is done to which resource because of what."""
    lines = set()
    for event in events(output, "resourcePreEvent"):
        step = event["metadata"]
        if step["op"] == "same":
            continue
        changed = ", ".join(sorted(step.get("detailedDiff") or step.get("diffs") or []))
        replaces = ", ".join(sorted(step.get("keys") or []))
        line = f"{step['op']} {resource(step['urn'])}"
        lines.add(line + (f": {changed}" if changed else "") + (f" replaces {replaces}" if replaces else ""))
    return lines


def resource(urn: str) -> str:
    return " ".join(urn.split("::")[2:])


@pytest.fixture(scope="module")
def scenario(kubeconfig: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scenario]:
    engine = layout.BIN / "pulumi"
    assert engine.exists()
    ca, key = make_ca("lab-ca")
    folder = tmp_path_factory.mktemp("scenario")
    with running(tmp_path_factory.mktemp("machine")) as machine:
        project = Project(folder, str(engine), plugin.program)
        scenario = Scenario(
            project,
            {
                "name": f"scenario-{uuid4().hex[:8]}",
                "kubeconfig": str(kubeconfig),
                "image": "sandbox.local/nothing:1",
                "mountPath": "/registry",
                "timeout": "4s",
                "annotations": None,
                "selector": {},
                "secret": "a",
                "config": "step: 1",
                "affinity": "None",
                "names": ["docker-registry.cloudapps.example.com", "docker-registry.registry.svc"],
                "caCertificate": ca.public_bytes(Encoding.PEM).decode(),
                "caKey": key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
                "connection": machine.connection,
                "folder": str(tmp_path_factory.getbasetemp() / "trust"),
                "commandEnd": "",
                "text": "hello",
                "trigger": 1,
            },
        )
        try:
            yield scenario
        finally:
            scenario.destroy()


def test_create(scenario: Scenario) -> None:
    everything = {f"create {resource}" for resource in RESOURCES}
    # The image does not exist: everything is made, and the Deployment does not get ready.
    planned, done = scenario.preview(), scenario.up(fails=True)
    assert planned == done == everything


def test_fix(scenario: Scenario) -> None:
    scenario.change(
        image=GOOD_IMAGE, mountPath="/var/lib/registry", annotations={"pulumi.com/timeoutSeconds": "45"}, timeout="60s"
    )
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
    scenario.kubectl("scale", "deployment", "docker-registry", "--replicas=0")
    scenario.kubectl("delete", "service", "docker-registry")
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
