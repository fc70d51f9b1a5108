"""The kubernetes plugin checks and compares objects as the official one (4.34.2) was seen to."""

import copy
import re
from pathlib import Path
from typing import Any

import pytest

from sandbox.plugins.values import UNKNOWN, secret
from tests.conformance.objects import deployment, resource, thing
from tests.conformance.plugin import Answer, Plugin, RefusedError, Values

FIXED = {"name": "fixed", "namespace": "default"}
AUTONAMED = {"name": "auto-0a1b2c3d", "namespace": "default", "annotations": {"pulumi.com/autonamed": "true"}}

POD = {"containers": [{"image": "example.com/a:1", "name": "a", "args": ["--help"]}]}
CRON_JOB_SPEC = {
    "concurrencyPolicy": "Forbid",
    "jobTemplate": {"spec": {"template": {"spec": {**POD, "restartPolicy": "Never"}}}},
    "schedule": "0 3 * * *",
}
POLICY_SPEC = {"ingress": [{"ports": [{"port": 5000}]}], "podSelector": {}, "policyTypes": ["Ingress"]}
CLAIM_SPEC = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "storageClassName": ""}
VOLUME_SPEC = {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}, "hostPath": {"path": "/registry"}}
ROUTE_SPEC = {"host": "a.example.com", "tls": {"termination": "passthrough"}, "to": {"kind": "Service", "name": "a"}}
ROLE = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "a"}
WAIT_FOR = {"pulumi.com/waitFor": 'jsonpath={.status.ingress[0].conditions[?(@.type=="Admitted")].status}=True'}


def replaced(value: Values, path: tuple[str | int, ...], new: Any) -> Values:
    """Returns a copy with another value at a path; None removes it."""
    result = copy.deepcopy(value)
    inner: Any = result
    for key in path[:-1]:
        inner = inner[key]
    if new is None:
        del inner[path[-1]]
    else:
        inner[path[-1]] = new
    return result


@pytest.mark.parametrize(
    "news",
    [
        thing("v1", "Namespace", {"name": "a"}),
        thing("v1", "ConfigMap", FIXED, data={"config.yml": "step: 1"}),
        thing("v1", "ServiceAccount", FIXED, automountServiceAccountToken=False),
        thing("v1", "Service", FIXED, spec={"ports": [{"name": "a", "port": 5000, "targetPort": 5000}]}),
        thing("v1", "PersistentVolumeClaim", FIXED, spec=CLAIM_SPEC),
        thing("v1", "Secret", FIXED, data=secret({"tls.crt": UNKNOWN})),
        deployment("a", replicas=1, strategy={"type": "Recreate"}),
        thing("batch/v1", "CronJob", FIXED, spec=CRON_JOB_SPEC),
        thing("networking.k8s.io/v1", "NetworkPolicy", FIXED, spec=POLICY_SPEC),
        thing("policy/v1", "PodDisruptionBudget", FIXED, spec={"maxUnavailable": 1, "selector": {"matchLabels": {}}}),
        thing(
            "rbac.authorization.k8s.io/v1", "ClusterRole", {"name": "a"}, rules=[{"apiGroups": [""], "verbs": ["get"]}]
        ),
        thing("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", {"name": "a"}, roleRef=ROLE),
        thing("storage.k8s.io/v1", "StorageClass", {"name": "a"}, provisioner="kubernetes.io/no-provisioner"),
        thing("route.openshift.io/v1", "Route", {**FIXED, "annotations": WAIT_FOR}, spec=ROUTE_SPEC),
        thing("nowhere.example.com/v1", "Custom", FIXED, spec={"anything": {"goes": [1, 2]}}),
    ],
    ids=lambda news: news["kind"],
)
def test_check_keeps_inputs_that_are_whole(kubernetes: Plugin, news: Values) -> None:
    assert resource(kubernetes, news).check(news) == {"inputs": news}


@pytest.mark.parametrize(
    ("news", "inputs"),
    [
        pytest.param(
            thing("v1", "ConfigMap", {"name": "a"}), thing("v1", "ConfigMap", {"name": "a", "namespace": "default"}),
            id="a namespaced kind goes to the provider's namespace",
        ),
        pytest.param(
            thing("nowhere.example.com/v1", "Custom", {"name": "a"}),
            thing("nowhere.example.com/v1", "Custom", {"name": "a", "namespace": "default"}),
            id="a kind that is still to be defined is taken to be namespaced",
        ),
        pytest.param(
            thing("v1", "PersistentVolume", {"name": "a"}, spec={**VOLUME_SPEC, "storageClassName": ""}),
            thing("v1", "PersistentVolume", {"name": "a"}, spec=VOLUME_SPEC),
            id="an empty class of a volume is none",
        ),
        pytest.param(
            thing("v1", "Secret", FIXED, stringData=secret({"secret": "a"})),
            thing("v1", "Secret", FIXED, data=secret({"secret": "YQ=="})),
            id="the text of a Secret becomes data",
        ),
        pytest.param(
            thing("v1", "Secret", FIXED, data={"b": "Yg=="}, stringData={"secret": "a"}),
            thing("v1", "Secret", FIXED, data=secret({"b": "Yg==", "secret": "YQ=="})),
            id="the contents of a Secret are always secret",
        ),
        pytest.param(
            thing("v1", "Secret", FIXED, stringData=secret({"secret": UNKNOWN})),
            thing("v1", "Secret", FIXED, stringData=secret({"secret": UNKNOWN})),
            id="unknown text stays unknown text",
        ),
        pytest.param(
            replaced(deployment("a"), ("spec", "replica"), 1), deployment("a"),
            id="a field that a built-in kind does not have is dropped",
        ),
        pytest.param(
            replaced(deployment("a"), ("spec", "template", "spec", "containers", 0, "imagePulPolicy"), "Never"),
            deployment("a"),
            id="a field that a container does not have is dropped",
        ),
        pytest.param(
            replaced(deployment(UNKNOWN), ("spec", "replica"), 1),
            replaced(deployment(UNKNOWN), ("spec", "replica"), 1),
            id="nothing is dropped as long as something is unknown",
        ),
        pytest.param(
            thing("v1", "PersistentVolumeClaim", FIXED,
                  spec={**CLAIM_SPEC, "resources": {"requests": {"storage": "1024Mi"}}}),
            thing("v1", "PersistentVolumeClaim", FIXED, spec=CLAIM_SPEC),
            id="quantities are written as the API server does",
        ),
        pytest.param(
            thing("v1", "ConfigMap", {**FIXED, "uid": "1", "resourceVersion": "2", "generation": 3}, data={"a": None}),
            thing("v1", "ConfigMap", FIXED, data={}),
            id="metadata of the API server and nulls are dropped",
        ),
    ],
)  # fmt: skip
def test_check_completes_inputs(kubernetes: Plugin, news: Values, inputs: Values) -> None:
    assert resource(kubernetes, news).check(news) == {"inputs": inputs}


def test_check_names_an_object_without_a_name(kubernetes: Plugin) -> None:
    news = thing("v1", "ConfigMap", {"namespace": "default"}, data={"config.yml": "step: 1"})
    inputs = resource(kubernetes, news, "cm").inputs(news)
    assert re.fullmatch("cm-[0-9a-f]{8}", inputs["metadata"].pop("name"))
    autonamed = {"namespace": "default", "annotations": {"pulumi.com/autonamed": "true"}}
    assert inputs == thing("v1", "ConfigMap", autonamed, data={"config.yml": "step: 1"})


def test_check_keeps_the_generated_name(kubernetes: Plugin) -> None:
    old = thing("v1", "ConfigMap", AUTONAMED, data={"a": "1"})
    news = thing("v1", "ConfigMap", {"namespace": "default"}, data={"a": "2"})
    inputs = resource(kubernetes, news).inputs(news, old)
    assert inputs == thing("v1", "ConfigMap", AUTONAMED, data={"a": "2"})


def test_check_generates_a_name_where_the_old_one_was_given(kubernetes: Plugin) -> None:
    news = thing("v1", "ConfigMap", {"namespace": "default"})
    inputs = resource(kubernetes, news, "cm").inputs(news, thing("v1", "ConfigMap", FIXED))
    assert re.fullmatch("cm-[0-9a-f]{8}", inputs["metadata"]["name"])


def test_check_takes_the_name_that_the_stack_s_settings_propose(kubernetes: Plugin) -> None:
    news = thing("v1", "ConfigMap", {"namespace": "default"})
    inputs = resource(kubernetes, news, "cm").check(news, autonaming={"proposedName": "cm-of-stack"})["inputs"]
    assert inputs["metadata"] == {**AUTONAMED, "name": "cm-of-stack"}


def test_check_refuses_to_generate_a_name_where_the_stack_s_settings_forbid_it(kubernetes: Plugin) -> None:
    news = thing("v1", "ConfigMap", {"namespace": "default"})
    with pytest.raises(RefusedError):
        resource(kubernetes, news, "cm").check(news, autonaming={"mode": "DISABLE"})


def test_the_same_settings_are_no_change(kubernetes: Plugin, kubeconfig: Path) -> None:
    settings = {"kubeconfig": str(kubeconfig), "version": "4.34.2"}
    assert kubernetes.check_config(settings) == {"inputs": settings}
    assert kubernetes.diff_config(settings, settings) == {"changes": "DIFF_NONE"}


DEPLOYMENT = deployment("a")
CONFIG_MAP = thing("v1", "ConfigMap", FIXED, data={"config.yml": "1"})
AUTO_CONFIG_MAP = thing("v1", "ConfigMap", AUTONAMED, data={"config.yml": "1"})
SECRET = thing("v1", "Secret", FIXED, data=secret({"secret": "YQ=="}))
AUTO_SECRET = thing("v1", "Secret", AUTONAMED, data=secret({"tls.crt": "YQ==", "tls.key": "Yg=="}))
SERVICE = thing("v1", "Service", FIXED, spec={"ports": [{"port": 80}], "sessionAffinity": "None"})
CLAIM = thing("v1", "PersistentVolumeClaim", FIXED, spec=CLAIM_SPEC)
VOLUME = thing("v1", "PersistentVolume", {"name": "a"}, spec=VOLUME_SPEC)
BINDING = thing("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", {"name": "a"}, roleRef=ROLE)
STORAGE_CLASS = thing("storage.k8s.io/v1", "StorageClass", {"name": "a"}, provisioner="a")
JOB = thing("batch/v1", "Job", FIXED, spec={"template": {"spec": POD}})
STATEFUL_SET = thing("apps/v1", "StatefulSet", FIXED, spec={**DEPLOYMENT["spec"], "serviceName": "a"})
DAEMON_SET = thing("apps/v1", "DaemonSet", FIXED, spec=DEPLOYMENT["spec"])
CRON_JOB = thing("batch/v1", "CronJob", FIXED, spec=CRON_JOB_SPEC)
ROUTE = thing("route.openshift.io/v1", "Route", FIXED, spec=ROUTE_SPEC)
CONTAINERS = ("spec", "template", "spec", "containers")
KEY = 'data["config.yml"]'


def some(detailed: dict[str, str], *, delete_first: bool = False) -> Answer:
    """Returns the answer of a Diff; a removed property is marked as one of the inputs."""
    answer: Answer = {"changes": "DIFF_SOME", "hasDetailedDiff": True, "detailedDiff": {}}
    for path, change in detailed.items():
        # The first value of an enumeration is not in the JSON form.
        answer["detailedDiff"][path] = {"kind": change} if change != "ADD" else {}
        if change.startswith("DELETE"):
            answer["detailedDiff"][path]["inputDiff"] = True
    replaces = [path for path, change in detailed.items() if change.endswith("_REPLACE")]
    return (
        answer | ({"replaces": replaces} if replaces else {}) | ({"deleteBeforeReplace": True} if delete_first else {})
    )


def diff(kubernetes: Plugin, old: Values, new: Values, live: Values | None = None) -> Answer:
    """Compares inputs; the object is as its inputs say unless given."""
    outputs = {"__inputs": old, "__initialApiVersion": old["apiVersion"], "__fieldManager": "pulumi-kubernetes-1"}
    answer = resource(kubernetes, new).diff(old, new, outputs | (live or old))
    return answer | ({"replaces": sorted(answer["replaces"])} if "replaces" in answer else {})


@pytest.mark.parametrize(
    ("old", "path", "value", "changes"),
    [
        pytest.param(CRON_JOB, ("spec", "jobTemplate", "spec", "template", "spec", "containers", 0, "image"), "b:2",
                     {"spec.jobTemplate.spec.template.spec.containers[0].image": "UPDATE"}, id="an image of a CronJob"),
        pytest.param(DEPLOYMENT, (*CONTAINERS, 0, "image"), "b:2",
                     {"spec.template.spec.containers[0].image": "UPDATE"}, id="an image of a Deployment"),
        pytest.param(DEPLOYMENT, ("metadata", "annotations"), {"pulumi.com/timeoutSeconds": "45"},
                     {"metadata.annotations": "ADD"}, id="the first annotation"),
        pytest.param(DEPLOYMENT, ("metadata", "labels"), {"app": "x"}, {"metadata.labels": "ADD"}, id="a label"),
        pytest.param(DEPLOYMENT, ("spec", "replicas"), 3, {"spec.replicas": "ADD"}, id="a number of replicas"),
        pytest.param(DEPLOYMENT, (*CONTAINERS, 0, "env"), [{"name": "A", "value": "1"}],
                     {"spec.template.spec.containers[0].env": "ADD"}, id="the first variable"),
        pytest.param(DEPLOYMENT, (*CONTAINERS, 0, "command"), ["sleep"],
                     {"spec.template.spec.containers[0].command[1]": "DELETE"}, id="an argument less"),
        pytest.param(DEPLOYMENT, (*CONTAINERS, 0, "command"), ["sleep", "3600", "60"],
                     {"spec.template.spec.containers[0].command[2]": "ADD"}, id="an argument more"),
        pytest.param(DEPLOYMENT, (*CONTAINERS, 0, "image"), UNKNOWN,
                     {"spec.template.spec.containers[0].image": "UPDATE"}, id="an image not known yet"),
        pytest.param(DEPLOYMENT, (*CONTAINERS, 0, "imagePullPolicy"), None,
                     {"spec.template.spec.containers[0].imagePullPolicy": "DELETE"}, id="a pull policy less"),
        pytest.param(SERVICE, ("spec", "sessionAffinity"), "ClientIP", {"spec.sessionAffinity": "UPDATE"},
                     id="session affinity"),
        pytest.param(SERVICE, ("spec", "ports", 0, "port"), 81, {"spec.ports[0].port": "UPDATE"}, id="a port"),
        pytest.param(ROUTE, ("spec", "host"), "b.example.com", {"spec.host": "UPDATE"}, id="the host of a Route"),
        pytest.param(CLAIM, ("spec", "resources", "requests", "storage"), "2Gi",
                     {"spec.resources.requests.storage": "UPDATE"}, id="the size of a claim"),
        pytest.param(AUTO_CONFIG_MAP, ("data", "config.yml"), "2", {KEY: "UPDATE_REPLACE"}, id="data, autonamed"),
        pytest.param(AUTO_SECRET, ("data", "value", "tls.crt"), "Yw==", {'data["tls.crt"]': "UPDATE_REPLACE"},
                     id="a Secret's data, autonamed"),
        pytest.param(AUTO_SECRET, ("data",), secret(UNKNOWN),
                     {'data["tls.crt"]': "DELETE_REPLACE", 'data["tls.key"]': "DELETE_REPLACE"},
                     id="a Secret's data not known yet"),
    ],
)  # fmt: skip
def test_diff_of_one_property(
    kubernetes: Plugin, old: Values, path: tuple[str | int, ...], value: Any, changes: dict[str, str]
) -> None:
    assert diff(kubernetes, old, replaced(old, path, value)) == some(changes)


@pytest.mark.parametrize(
    ("old", "path", "value", "changes"),
    [
        pytest.param(CONFIG_MAP, ("data", "config.yml"), "2", {KEY: "UPDATE_REPLACE"}, id="data"),
        pytest.param(CONFIG_MAP, ("data", "more"), "2", {"data.more": "ADD_REPLACE"}, id="a key more"),
        pytest.param(CONFIG_MAP, ("data", "config.yml"), None, {KEY: "DELETE_REPLACE"}, id="a key less"),
        pytest.param(SECRET, ("data", "value", "secret"), "Yg==", {"data.secret": "UPDATE_REPLACE"}, id="a Secret"),
        pytest.param(SECRET, ("type",), "kubernetes.io/tls", {"type": "ADD_REPLACE"}, id="a Secret's type"),
        pytest.param(SERVICE, ("spec", "clusterIP"), "None", {"spec.clusterIP": "ADD_REPLACE"}, id="a cluster IP"),
        pytest.param(CLAIM, ("spec", "storageClassName"), "b", {"spec.storageClassName": "UPDATE_REPLACE"},
                     id="the class of a claim"),
        pytest.param(CLAIM, ("spec", "volumeName"), "b", {"spec.volumeName": "ADD_REPLACE"}, id="a volume"),
        pytest.param(CLAIM, ("spec", "accessModes", 0), "ReadWriteMany", {"spec.accessModes[0]": "UPDATE_REPLACE"},
                     id="an access mode"),
        pytest.param(VOLUME, ("spec", "hostPath", "path"), "/b", {"spec.hostPath.path": "UPDATE_REPLACE"}, id="a path"),
        pytest.param(BINDING, ("roleRef", "name"), "b", {"roleRef.name": "UPDATE_REPLACE"}, id="a role"),
        pytest.param(STORAGE_CLASS, ("provisioner",), "b", {"provisioner": "UPDATE_REPLACE"}, id="a provisioner"),
        pytest.param(STATEFUL_SET, ("spec", "serviceName"), "b", {"spec.serviceName": "UPDATE_REPLACE"},
                     id="the Service of a StatefulSet"),
        pytest.param(DAEMON_SET, ("spec", "selector", "matchLabels", "app"), "b",
                     {"spec.selector.matchLabels.app": "UPDATE_REPLACE"}, id="the selector of a DaemonSet"),
        pytest.param(JOB, (*CONTAINERS, 0, "image"), "b:2",
                     {"spec.template.spec.containers[0].image": "UPDATE_REPLACE"}, id="the pods of a Job"),
    ],
)  # fmt: skip
def test_diff_that_replaces_and_deletes_first(
    kubernetes: Plugin, old: Values, path: tuple[str | int, ...], value: Any, changes: dict[str, str]
) -> None:
    assert diff(kubernetes, old, replaced(old, path, value)) == some(changes, delete_first=True)


@pytest.mark.parametrize(
    ("old", "metadata", "changes"),
    [
        (CONFIG_MAP, {**FIXED, "name": "other"}, {"metadata.name": "UPDATE_REPLACE"}),
        (CONFIG_MAP, {**FIXED, "namespace": "other"}, {"metadata.namespace": "UPDATE_REPLACE"}),
    ],
    ids=["name", "namespace"],
)
def test_diff_of_the_identity_replaces(
    kubernetes: Plugin, old: Values, metadata: Values, changes: dict[str, str]
) -> None:
    assert diff(kubernetes, old, {**old, "metadata": metadata}) == some(changes)


def test_diff_of_a_selector(kubernetes: Plugin) -> None:
    new = replaced(DEPLOYMENT, ("spec", "selector", "matchLabels", "v"), "2")
    new["spec"]["template"]["metadata"]["labels"]["v"] = "2"
    changes = {"spec.selector.matchLabels.v": "ADD_REPLACE", "spec.template.metadata.labels.v": "ADD"}
    assert diff(kubernetes, DEPLOYMENT, new) == some(changes, delete_first=True)


def test_diff_after_an_import(kubernetes: Plugin) -> None:
    imported = thing("v1", "ConfigMap", FIXED)
    live = {**CONFIG_MAP, "metadata": {**FIXED, "uid": "1"}}
    assert diff(kubernetes, imported, CONFIG_MAP, live) == some({"data": "ADD_REPLACE"}, delete_first=True)


@pytest.mark.parametrize(
    ("old", "live"),
    [
        pytest.param(SECRET, SECRET, id="nothing"),
        pytest.param(DEPLOYMENT, replaced(DEPLOYMENT, ("spec", "replicas"), 1), id="a default"),
        pytest.param(DEPLOYMENT, replaced(DEPLOYMENT, ("status",), {"replicas": 1}), id="a status"),
        pytest.param(
            SERVICE, replaced(SERVICE, ("spec", "ports"), [{"port": 80, "protocol": "TCP"}, {"port": 81}]),
            id="what others added",
        ),
        pytest.param(
            replaced(DEPLOYMENT, ("spec", "paused"), False), DEPLOYMENT, id="an empty value that the API server drops"
        ),
    ],
)  # fmt: skip
def test_no_diff(kubernetes: Plugin, old: Values, live: Values) -> None:
    assert diff(kubernetes, old, old, live) == {"changes": "DIFF_NONE", "hasDetailedDiff": True}


def test_diff_sees_what_others_changed(kubernetes: Plugin) -> None:
    old = replaced(DEPLOYMENT, ("spec", "replicas"), 1)
    live = replaced(DEPLOYMENT, ("spec", "replicas"), 0)
    assert diff(kubernetes, old, old, live) == some({"spec.replicas": "UPDATE"})
