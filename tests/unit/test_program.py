"""The whole program against a monitor that really signs certificates."""

import asyncio
import json
import runpy
import shlex
from base64 import b64decode
from typing import Any

import pulumi
import pytest
from cryptography import x509
from pulumi.runtime.mocks import MockMonitor, MockResourceArgs, Mocks
from pulumi.runtime.proto import resource_pb2

import lookups
from sandbox.plugins.server import Call, Urn
from sandbox.plugins.tls import TlsProvider
from sandbox.plugins.values import UNKNOWN, decode_properties, is_secret, reveal
from tests.conftest import ROOT, Cluster

CLUSTER_IP = "172.30.209.118"


class SigningMocks(Mocks):
    """A cluster that makes what it is asked for; a namespace that exists already has annotations."""

    def __init__(self, annotations: dict[str, str] | None = None) -> None:
        self.annotations = annotations

    def call(self, args: pulumi.runtime.MockCallArgs) -> Any:
        raise AssertionError(f"the program calls no function, but {args.token}")

    def new_resource(self, args: MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        state = dict(args.inputs)
        match args.typ.split(":")[0], args.typ.split(":")[-1]:
            case "tls", _:
                tls = TlsProvider().resource_type(args.typ)
                call = Call(Urn(f"urn:pulumi:dev::registry::{args.typ}::{args.name}"))
                return asyncio.run(tls.create(call, reveal(args.inputs)))
            case _, "Service":
                state["metadata"] = {**state["metadata"], "resourceVersion": "1"}
                state["spec"] = {**state["spec"], "clusterIP": CLUSTER_IP}
            case _, "Namespace" if args.resource_id:
                state["metadata"] = {"name": args.resource_id, "annotations": self.annotations}
            case _, "PersistentVolumeClaim" if args.resource_id:
                state["spec"] = {"accessModes": ["ReadWriteMany"]}
            case _, "Command":
                state["stdout"] = "\n".join(state["stdin"].splitlines())
            case _, "Secret":
                state["metadata"] = {"name": f"{args.name}-1a2b3c4d", **state["metadata"]}
        return f"{args.name}-id", state


class PreviewMocks(SigningMocks):
    """As the plugins answer a preview before the namespace exists: with the inputs alone."""

    def new_resource(self, args: MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        if args.typ.startswith("tls:"):
            return None, {**args.inputs, "certPem": UNKNOWN, "certRequestPem": UNKNOWN, "privateKeyPem": UNKNOWN}
        return None, dict(args.inputs)


class DryRunMocks(PreviewMocks):
    """As they answer a preview in a namespace that exists: with a cluster IP that no Service can have."""

    def new_resource(self, args: MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        it, state = super().new_resource(args)
        if args.typ == "kubernetes:core/v1:Service":
            state["spec"] = {**state["spec"], "clusterIP": "172.30.0.0"}
        return it, state


class RecordingMonitor(MockMonitor):
    """Keeps what the program asks the engine for: inputs, parents and options."""

    def __init__(self, mocks: Mocks) -> None:
        super().__init__(mocks)
        self.requests: dict[str, resource_pb2.RegisterResourceRequest] = {}

    def RegisterResource(self, request: resource_pb2.RegisterResourceRequest) -> Any:  # noqa: N802
        self.requests[request.name] = request
        return super().RegisterResource(request)  # type: ignore[no-untyped-call]

    def inputs(self, name: str) -> Any:
        return reveal(decode_properties(self.requests[name].object))


def run_program(cluster: Cluster, monkeypatch: pytest.MonkeyPatch, mocks: Mocks, *, preview: bool) -> RecordingMonitor:
    config = {f"registry:{k}": v if isinstance(v, str) else json.dumps(v) for k, v in cluster.config.items()}
    monkeypatch.setenv("PULUMI_CONFIG", json.dumps(config))
    monkeypatch.setattr(lookups, "hostname", lambda _kubeconfig, _context, node: f"{node}.internal")
    monitor = RecordingMonitor(mocks)

    @pulumi.runtime.test  # type: ignore[untyped-decorator]
    def run() -> None:
        runpy.run_path(str(ROOT / "__main__.py"))

    asyncio.set_event_loop(asyncio.new_event_loop())
    pulumi.runtime.set_mocks(mocks, project="registry", stack="dev", preview=preview, monitor=monitor)
    run()
    return monitor


@pytest.fixture
def program(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> RecordingMonitor:
    return run_program(cluster, monkeypatch, SigningMocks(), preview=False)


def served_certificate(program: RecordingMonitor) -> x509.Certificate:
    data = program.inputs("registry-certificate-secret")["data"]
    return x509.load_pem_x509_certificate(b64decode(data["tls.crt"]))


def container(program: RecordingMonitor) -> Any:
    (only,) = program.inputs("registry-deployment")["spec"]["template"]["spec"]["containers"]
    return only


def test_the_served_certificate_is_signed_by_the_cluster_ca_for_every_name(
    program: RecordingMonitor, cluster: Cluster
) -> None:
    certificate = served_certificate(program)
    certificate.verify_directly_issued_by(cluster.ca)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [
        "registry.apps.example.com",
        "docker-registry.docker-registry.svc",
        "docker-registry.docker-registry.svc.cluster.local",
    ]
    assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == [CLUSTER_IP]


def test_the_pod_serves_that_certificate_and_is_probed_over_https(program: RecordingMonitor) -> None:
    pod = program.inputs("registry-deployment")["spec"]["template"]["spec"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    mounts = {mount["mountPath"]: volumes[mount["name"]] for mount in container(program)["volumeMounts"]}
    environment = {variable["name"]: variable.get("value") for variable in container(program)["env"]}
    assert mounts["/registry-secrets"]["secret"]["secretName"] == "registry-certificate-secret-1a2b3c4d"
    assert environment["REGISTRY_HTTP_TLS_CERTIFICATE"] == "/registry-secrets/tls.crt"
    assert environment["REGISTRY_HTTP_TLS_KEY"] == "/registry-secrets/tls.key"
    assert environment["REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY"] in mounts
    for probe in ("readinessProbe", "livenessProbe"):
        assert container(program)[probe]["httpGet"]["scheme"] == "HTTPS"


def test_the_http_secret_comes_from_a_secret_and_is_never_seen(program: RecordingMonitor) -> None:
    (variable,) = [each for each in container(program)["env"] if each["name"] == "REGISTRY_HTTP_SECRET"]
    reference = variable["valueFrom"]["secretKeyRef"]
    assert reference["name"] == "registry-http-secret-1a2b3c4d"
    assert len(program.inputs("registry-http-secret")["stringData"][reference["key"]]) == 64
    assert is_secret(decode_properties(program.requests["registry-http-secret"].object)["stringData"])


def test_the_pod_has_time_to_finish_its_requests_when_it_is_stopped(program: RecordingMonitor) -> None:
    (drain,) = [each["value"] for each in container(program)["env"] if each["name"] == "REGISTRY_HTTP_DRAINTIMEOUT"]
    pod = program.inputs("registry-deployment")["spec"]["template"]["spec"]
    assert int(drain.removesuffix("s")) < pod["terminationGracePeriodSeconds"]


def test_nothing_but_the_registry_listens_whatever_the_image_s_own_configuration_says(
    program: RecordingMonitor,
) -> None:
    environment = {variable["name"]: variable.get("value") for variable in container(program)["env"]}
    assert environment["REGISTRY_HTTP_DEBUG"] == "{}"
    assert environment["REGISTRY_LOG_LEVEL"] == "info"


def test_disruptions_and_network_are_limited_to_this_pod(program: RecordingMonitor) -> None:
    labels = program.inputs("registry-deployment")["spec"]["template"]["metadata"]["labels"]
    assert program.inputs("registry-disruptions")["spec"]["selector"] == {"matchLabels": labels}
    network = program.inputs("registry-network")["spec"]
    assert network["podSelector"] == {"matchLabels": labels}
    assert network["ingress"] == [{"ports": [{"port": 5000, "protocol": "TCP"}]}]
    assert "Egress" in network["policyTypes"]
    assert network["egress"] is None


def test_a_registry_on_a_bucket_reaches_dns_and_the_store_on_whatever_port_they_have_behind_their_services(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.config.update(storage=BUCKET | {"endpoint": "https://store.example.com"})
    program = run_program(cluster, monkeypatch, SigningMocks(), preview=False)
    (rule,) = program.inputs("registry-network")["spec"]["egress"]
    assert set(rule) == {"ports"}
    open_to = [(port["protocol"], port.get("port", "any")) for port in rule["ports"]]
    assert sorted(open_to, key=str) == [("TCP", "any"), ("UDP", 53), ("UDP", 5353)]


def test_the_images_are_on_a_claim_bound_to_a_volume_of_one_node(program: RecordingMonitor) -> None:
    volume = program.inputs("storage-hostpath-volume")["spec"]
    claim = program.inputs("storage-hostpath-claim")
    (term,) = volume["nodeAffinity"]["required"]["nodeSelectorTerms"]
    assert term["matchExpressions"] == [
        {"key": "kubernetes.io/hostname", "operator": "In", "values": ["node1.internal"]}
    ]
    assert volume["hostPath"] == {"path": "/registry", "type": "Directory"}
    assert volume["claimRef"] == {"namespace": "docker-registry", "name": claim["metadata"]["name"]}
    assert claim["spec"]["volumeName"] == program.inputs("storage-hostpath-volume")["metadata"]["name"]
    assert program.inputs("registry-deployment")["spec"]["strategy"] == {"type": "Recreate"}


def test_what_holds_images_is_protected_and_retained(program: RecordingMonitor) -> None:
    kept = {name for name, request in program.requests.items() if request.protect and request.retainOnDelete}
    assert kept == {"namespace-namespace", "storage-hostpath-volume", "storage-hostpath-claim"}


def test_the_route_passes_tls_through_and_is_awaited(program: RecordingMonitor) -> None:
    route = program.inputs("route-route")
    assert route["spec"]["tls"] == {"termination": "passthrough"}
    assert route["spec"]["host"] == "registry.apps.example.com"
    assert route["spec"]["to"]["name"] == program.inputs("registry-service")["metadata"]["name"]
    assert "Admitted" in route["metadata"]["annotations"]["pulumi.com/waitFor"]


def test_each_node_gets_the_ca_over_ssh_with_its_host_key_checked(program: RecordingMonitor, cluster: Cluster) -> None:
    command = program.inputs("trust-node1")
    # The last word of the script is what it works on.
    request = shlex.split(command["stdin"].partition("printf %s ")[2])[0]
    owner, _, *lines = request.splitlines()
    assert owner == "registry/dev"
    assert f"{CLUSTER_IP}:5000" in lines
    assert "registry.apps.example.com" in lines
    assert x509.load_pem_x509_certificate(request.partition("\n\n")[2].encode()) == cluster.ca
    assert [command["create"], command["delete"]] == ["sh -s trust", "sh -s forget"]
    assert command["connection"]["hostKey"].startswith("ssh-ed25519 ")


def test_a_node_may_have_a_port_and_a_login_user_of_its_own(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    known_hosts = cluster.folder / "known_hosts"
    key = known_hosts.read_text().split(maxsplit=1)[1]
    known_hosts.write_text(known_hosts.read_text() + f"[node2.example.com]:2222 {key}")
    cluster.config["nodes"].append({"name": "node2", "host": "node2.example.com", "port": 2222, "user": "ops"})
    program = run_program(cluster, monkeypatch, SigningMocks(), preview=False)
    logins = {name: program.inputs(f"trust-{name}") for name in ("node1", "node2")}
    assert [(each["connection"]["user"], each["connection"].get("port")) for each in logins.values()] == [
        ("root", 22),
        ("ops", 2222),
    ]
    for act in ("create", "delete"):
        assert not logins["node1"][act].startswith("sudo")
        assert logins["node2"][act].startswith("sudo -n sh -c ")


@pytest.mark.parametrize("name", ["10.177.48.66", "cn-hangzhou.192.168.0.12", "worker.1"])
def test_a_node_may_have_any_name_that_a_cluster_gives(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    cluster.config["nodes"][0]["name"] = cluster.config["storage"]["node"] = name
    program = run_program(cluster, monkeypatch, SigningMocks(), preview=False)
    assert program.inputs(f"trust-{name}")["connection"]["host"] == "192.0.2.1"
    assert "/registry" in program.inputs("storage-hostpath-folder")["stdin"]


def test_keys_reach_the_engine_as_secrets_only(program: RecordingMonitor) -> None:
    def without_secrets(value: Any) -> Any:
        if is_secret(value):
            return "secret"
        if isinstance(value, dict):
            return {key: without_secrets(item) for key, item in value.items()}
        return [without_secrets(item) for item in value] if isinstance(value, list) else value

    asked = [decode_properties(request.object) for request in program.requests.values()]
    assert "PRIVATE KEY" in json.dumps(asked)
    assert "PRIVATE KEY" not in json.dumps(without_secrets(asked))


def test_every_resource_has_a_component_as_parent_and_its_name_from_it(program: RecordingMonitor) -> None:
    urns = {request.name: request.parent for request in program.requests.values()}
    for name, parent in urns.items():
        component = parent.rpartition("::")[2]
        assert name == "cluster" or component.startswith("registry-dev") or name.startswith(f"{component}-")
    components = {request.type for request in program.requests.values() if not request.custom} - {"pulumi:pulumi:Stack"}
    assert components == {
        f"registry:index:{kind}" for kind in ("Namespace", "Storage", "Registry", "Certificate", "Route", "NodeTrust")
    }


@pytest.mark.parametrize("mocks", [PreviewMocks(), DryRunMocks()], ids=["no-namespace", "dry-run"])
def test_a_first_preview_leaves_open_what_depends_on_the_cluster_ip(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, mocks: Mocks
) -> None:
    program = run_program(cluster, monkeypatch, mocks, preview=True)
    assert program.inputs("registry-certificate-request")["ipAddresses"] == UNKNOWN
    assert program.inputs("trust-node1")["stdin"] == UNKNOWN


NFS = {"kind": "nfs", "server": "nfs.example.com", "path": "/exports/registry", "size": "10Gi"}
BUCKET = {"kind": "s3", "bucket": "images", "region": "eu-west-1", "accessKey": "user", "secretKey": "password"}
TOOLS = {"kubectl": "tools.example.com/kubectl:1.34.2", "rclone": "tools.example.com/rclone:1.76.0"}


def copier(program: RecordingMonitor, cron_job: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Returns the variables of the container that copies, and what it mounts, by the place."""
    pod = program.inputs(cron_job)["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    copy = next(each for each in pod["containers"] if each["name"] == "copy")
    assert {mount["name"] for mount in copy["volumeMounts"]} <= {volume["name"] for volume in pod["volumes"]}
    variables = {variable["name"]: variable.get("value", variable.get("valueFrom")) for variable in copy["env"]}
    return variables, {mount["mountPath"]: mount["name"] for mount in copy["volumeMounts"]}


def test_a_backup_from_bucket_to_bucket_keeps_the_two_apart(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = BUCKET | {"endpoint": "https://store.example.com:9000", "caFile": cluster.config["ca"]["certFile"]}
    backup = {"schedule": "@daily", "storage": theirs | {"rootDirectory": "/backup"}}
    cluster.config.update(storage=BUCKET, backup=backup, tools=TOOLS)
    program = run_program(cluster, monkeypatch, SigningMocks(), preview=False)

    variables, mounts = copier(program, "backup-backup")
    assert (variables["FROM"], variables["TO"]) == ("from:images", "to:images/backup")
    assert "RCLONE_CONFIG_FROM_ENDPOINT" not in variables
    assert variables["RCLONE_CONFIG_TO_ENDPOINT"] == "https://store.example.com:9000"
    assert variables["SSL_CERT_DIR"] in mounts
    (source, target) = [variables[f"RCLONE_CONFIG_{side}_SECRET_ACCESS_KEY"]["secretKeyRef"] for side in ("FROM", "TO")]
    assert source["name"] != target["name"]
    back, _ = copier(program, "backup-restore")
    assert (back["FROM"], back["TO"]) == ("from:images/backup", "to:images")
    assert back["RCLONE_CONFIG_FROM_SECRET_ACCESS_KEY"]["secretKeyRef"] == target


def test_a_registry_gets_the_storage_that_images_move_to_when_they_are_there(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = cluster.config["storage"]
    cluster.config.update(storage=BUCKET, move={"from": before}, tools=TOOLS)
    program = run_program(cluster, monkeypatch, SigningMocks(), preview=False)
    assert any("::move-copy" in urn for urn in program.requests["registry-deployment"].dependencies)
    assert any("::registry-deployment" in urn for urn in program.requests["move-end-job"].dependencies)
    for kept in ("storage-hostpath-volume", "storage-hostpath-claim"):
        assert program.requests[kept].protect


EVERYTHING = {
    "garbageCollection": {"schedule": "0 3 * * 0"},
    "backup": {"schedule": "0 3 * * *", "storage": BUCKET},
    "move": {"from": NFS},
    "tools": TOOLS,
}
"""Settings with which the program makes every pod that it can make."""


def pod_specs(program: RecordingMonitor) -> dict[str, Any]:
    """The spec of every pod that the program makes, by the name of what it is made by."""
    found = {}
    for name, request in program.requests.items():
        spec = program.inputs(name).get("spec", {}) if request.type.startswith("kubernetes:") else {}
        template = spec.get("jobTemplate", {"spec": spec})["spec"].get("template")
        if template:
            found[name] = template["spec"]
    return found


def test_every_pod_gets_what_the_settings_say_of_pods(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    toleration = {"key": "dedicated", "operator": "Equal", "value": "infra", "effect": "NoSchedule"}
    cluster.config.update(
        EVERYTHING,
        nodeSelector={"node-role.kubernetes.io/infra": ""},
        tolerations=[toleration, {"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 60}],
        resources={
            "requests": {"cpu": 1, "ephemeral-storage": "1Gi"},
            "limits": {"cpu": "1500m", "memory": "0.5Gi", "ephemeral-storage": "2Gi"},
        },
        imagePullSecrets=["registry-pull", "tools-pull"],
        priorityClassName="system-cluster-critical",
    )
    pods = pod_specs(run_program(cluster, monkeypatch, SigningMocks(), preview=False))
    assert set(pods) == {
        *("registry-deployment", "registry-storage-check", "garbage-collection-schedule"),
        *("backup-backup", "backup-restore", "move-copy", "move-end-job"),
    }
    for name, pod in pods.items():
        assert pod["nodeSelector"] == {"node-role.kubernetes.io/infra": ""}, name
        first, second = pod["tolerations"]
        assert {key: value for key, value in first.items() if value is not None} == toleration, name
        assert second["tolerationSeconds"] == 60
        assert pod["imagePullSecrets"] == [{"name": "registry-pull"}, {"name": "tools-pull"}], name
        assert pod["priorityClassName"] == "system-cluster-critical", name
        for each in pod["containers"]:
            assert each["resources"]["limits"] == {"cpu": "1500m", "memory": "0.5Gi", "ephemeral-storage": "2Gi"}, name
            requests = each["resources"]["requests"]
            assert (requests["cpu"], requests["ephemeral-storage"]) == ("1", "1Gi"), name


def test_a_pod_asks_for_nothing_that_the_settings_do_not_say(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster.config.update(EVERYTHING)
    pods = pod_specs(run_program(cluster, monkeypatch, SigningMocks(), preview=False))
    requests = {}
    for name, pod in pods.items():
        assert {pod[key] for key in ("tolerations", "imagePullSecrets", "priorityClassName")} == {None}, name
        for each in pod["containers"]:
            resources = each["resources"] or {"requests": None, "limits": None}
            assert resources["limits"] is None
            requests[name, each["name"]] = resources["requests"]
    much, little = {"cpu": "100m", "memory": "256Mi"}, {"cpu": "50m", "memory": "64Mi"}
    assert requests == {
        ("registry-deployment", "registry"): much,
        ("registry-storage-check", "storage-check"): little,
        ("garbage-collection-schedule", "run"): little,
        ("backup-backup", "copy"): much,
        ("backup-restore", "copy"): much,
        ("backup-restore", "hold"): little,
        ("move-copy", "copy"): much,
        ("move-copy", "hold"): little,
        ("move-end-job", "reopen"): little,
    }


def test_the_job_that_deletes_garbage_keeps_what_the_registry_s_pod_has_of_the_settings(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.config.update(EVERYTHING)
    pod = pod_specs(run_program(cluster, monkeypatch, SigningMocks(), preview=False))["garbage-collection-schedule"]
    (run,) = pod["containers"]
    (patch,) = [json.loads(each["value"]) for each in run["env"] if each["name"] == "JOB"]
    changed = patch["spec"]["template"]["spec"]
    kept = {"nodeSelector", "tolerations", "imagePullSecrets", "priorityClassName", "securityContext"}
    assert kept.isdisjoint(changed)
    assert {"resources", "env", "image", "securityContext"}.isdisjoint(changed["containers"][0])


RANGES = {
    "openshift.io/sa.scc.uid-range": "1000650000/10000",
    "openshift.io/sa.scc.supplemental-groups": "1000660000/10000",
}


@pytest.mark.parametrize(
    ("annotations", "user", "fs_group"),
    [(RANGES, 1000650000, 1000660000), ({"kubernetes.io/metadata.name": "it"}, 1001, 1001), (None, 1001, 1001)],
    ids=["ranges", "no-ranges", "no-annotations"],
)
def test_everything_runs_as_the_first_user_of_a_namespace_that_exists(
    cluster: Cluster,
    monkeypatch: pytest.MonkeyPatch,
    annotations: dict[str, str] | None,
    user: int,
    fs_group: int,
) -> None:
    folder = cluster.config["storage"]
    cluster.config.update(EVERYTHING, createNamespace=False, storage=folder)
    program = run_program(cluster, monkeypatch, SigningMocks(annotations), preview=False)
    for name, pod in pod_specs(program).items():
        context = pod["securityContext"]
        assert (context["runAsUser"], context["runAsGroup"], context["fsGroup"]) == (user, user, fs_group), name
    assert program.inputs("storage-hostpath-folder")["stdin"] == f"/registry\n{user}\n"
    (check,) = pod_specs(program)["registry-storage-check"]["containers"]
    assert f"The registry, user and group {user}, cannot write" in check["command"][-1]


def test_a_namespace_that_the_stack_makes_asks_for_the_user_that_pods_run_as(program: RecordingMonitor) -> None:
    annotations = program.inputs("namespace-namespace")["metadata"]["annotations"]
    assert {annotations[key] for key in RANGES} == {"1001/1"}
    for pod in pod_specs(program).values():
        context = pod["securityContext"]
        assert (context["runAsUser"], context["runAsGroup"], context["fsGroup"]) == (1001, 1001, 1001)


def test_a_range_that_cannot_be_read_stops_the_run_and_is_named(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.config.update(createNamespace=False)
    with pytest.raises(pulumi.RunError, match=r"registry:namespace 'docker-registry' .*uid-range is '0/10000'"):
        run_program(cluster, monkeypatch, SigningMocks({"openshift.io/sa.scc.uid-range": "0/10000"}), preview=False)


def test_a_preview_leaves_open_the_user_of_a_namespace_that_cannot_be_read_yet(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.config.update(createNamespace=False)
    program = run_program(cluster, monkeypatch, PreviewMocks(), preview=True)
    context = pod_specs(program)["registry-deployment"]["securityContext"]
    assert context["runAsUser"] == context["fsGroup"] == UNKNOWN
    assert program.inputs("storage-hostpath-folder")["stdin"] == UNKNOWN
