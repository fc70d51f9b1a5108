import json
import re
import subprocess
from base64 import b64encode
from collections.abc import Callable
from copy import deepcopy
from datetime import timedelta
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

import settings
from settings.storage import S3Settings
from tests.conftest import KUBECONFIG, ROOT, Cluster, make_ca, write_key, write_pair
from tests.unit.test_host_keys import hash_names, new_key


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, Any]], settings.Settings]:
    def load(config: dict[str, Any]) -> settings.Settings:
        raw = {f"registry:{k}": v if isinstance(v, str) else json.dumps(v) for k, v in config.items()}
        monkeypatch.setenv("PULUMI_CONFIG", json.dumps(raw | {"pulumi:disable-default-providers": '["kubernetes"]'}))
        monkeypatch.setattr(pulumi, "get_project", lambda: "registry")
        monkeypatch.setattr(pulumi, "get_stack", lambda: "lab")
        return settings.load()

    return load


Load = Callable[[dict[str, Any]], settings.Settings]
IMAGE = "registry.example.com/kubectl:1.34.2"
HOST_PATH = {"kind": "hostPath", "node": "node1", "path": "/registry", "size": "10Gi"}
NFS = {"kind": "nfs", "server": "nfs.example.com", "path": "/exports/registry", "size": "10Gi"}
CLAIM = {"kind": "claim", "size": "10Gi"}
EXISTING = {"kind": "existingClaim", "name": "registry-pvc"}
EMPTY_DIR = {"kind": "emptyDir", "size": "1Gi"}


def changed(config: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """The settings with one of them set, or removed if the value is None."""
    config = deepcopy(config)
    *way, last = path.split(".")
    section: Any = config
    for key in way:
        section = section[int(key) if key.isdigit() else key]
    if value is None:
        del section[last]
    else:
        section[last] = value
    return config


def test_good_settings_load(load: Load, cluster: Cluster) -> None:
    loaded = load(cluster.config)
    assert loaded.namespace == "docker-registry"
    assert loaded.node_selector == {"region": "infra"}
    assert loaded.ssh.host_key(loaded.nodes[0]).startswith("ssh-ed25519 AAAA")


@pytest.mark.parametrize("memory", ["512Mi", "0.5Gi", "1.5G", "536870912", 536870912])
@pytest.mark.parametrize("cpu", ["500m", "0.5", "1.25", "2", 0.5, 2])
def test_a_quantity_may_be_a_number(load: Load, cluster: Cluster, cpu: Any, memory: Any) -> None:
    limits = {"cpu": cpu, "memory": memory, "ephemeral-storage": memory}
    loaded = load(cluster.config | {"resources": {"limits": limits}}).resources
    assert loaded.limits.amounts == {name: str(amount) for name, amount in limits.items()}
    assert loaded.requests.amounts == {}


def test_a_toleration_may_say_as_little_as_in_kubernetes(load: Load, cluster: Cluster) -> None:
    everything, infra = load(
        cluster.config | {"tolerations": [{"operator": "Exists"}, {"key": "infra", "tolerationSeconds": 0}]}
    ).tolerations
    assert everything.model_dump(exclude_none=True) == {"operator": "Exists"}
    assert infra.model_dump(exclude_none=True) == {"key": "infra", "toleration_seconds": 0}


def test_an_image_may_be_a_template(load: Load, cluster: Cluster) -> None:
    template = {"image": "openshift3/ose-${component}:${version}", "version": "v3.11.0"}
    assert load(cluster.config | template).image == "openshift3/ose-docker-registry:v3.11.0"


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("rout", {"host": "a.example.com"}, "registry:rout is not a setting: did you mean 'route'?"),
        ("storage.pathh", "/x", "registry:storage.pathh is not a setting: did you mean 'path'?"),
        ("nodes.0.hots", "x", "registry:nodes[0].hots is not a setting: did you mean 'host'?"),
        ("image", None, "registry:image is missing: set it"),
        ("cluster", None, "registry:cluster is missing: set it"),
        ("cluster.server", "http://192.0.2.1", "registry:cluster.server 'http://192.0.2.1' must be an https URL"),
        ("cluster.server", "192.0.2.1:6443", "must be an https URL"),
        ("cluster.server", "https://", "must be an https URL"),
        ("cluster.server", "https:///k8s", "must be an https URL"),
        ("cluster.server", "https://192.0.2.1:99999", "must be an https URL"),
        ("cluster.server", "https://192.0.2.1 ", "must be an https URL"),
        ("cluster.server", "https://192.0.2.1/?a=b", "must be an https URL"),
        ("cluster.server", "https://me@192.0.2.1", "must be an https URL"),
        ("cluster.caSha256", "abc", "registry:cluster.caSha256 'abc' must be a SHA-256 fingerprint"),
        ("replicas", -1, "registry:replicas '-1' must be at least 0"),
        ("replicas", "two", "registry:replicas 'two' must be a whole number"),
        ("replicas", "1.5", "registry:replicas '1.5' must be a whole number"),
        ("createNamespace", "perhaps", "registry:createNamespace 'perhaps' must be true or false"),
        ("nodeSelector", {}, "registry:nodeSelector must have at least 1 entries"),
        ("nodeSelector", {"infra": True}, "registry:nodeSelector.infra 'true' must be text: put it in quotes"),
        ("image", "registry.example.com/registry", "registry:image 'registry.example.com/registry' must name a fixed"),
        ("image", "registry.example.com/registry:latest", "must name a fixed version"),
        ("image", "registry.example.com/registry@sha256:abc", "must name a fixed version"),
        ("image", "registry.example.com/Registry:1", "must name a fixed version"),
        (
            "image",
            "openshift3/ose-${component}:${version}",
            "has ${version}, which stands for nothing: set registry:ve",
        ),
        (
            "image",
            "registry.example.com/${name}:1",
            "has ${name}, which stands for nothing: only component and version",
        ),
        ("image", "registry.example.com/$registry:1 ", "has ${registry}, which stands for nothing"),
        ("route.host", "Registry.example.com", "registry:route.host 'Registry.example.com' must be a host name"),
        ("route.host", "https://registry.example.com", "must be a host name"),
        ("route.host", "*.example.com", "must be a host name"),
        ("route.host", "registry.example.com:443", "must be a host name"),
        ("route.host", "10.0.0.1", "must be a host name"),
        ("route.host", "a" * 64 + ".example.com", "must be a host name"),
        ("route.host", ".".join(["a" * 60] * 5), "must be a host name"),
        ("namespace", "Docker_Registry", "registry:namespace 'Docker_Registry' must be lower-case letters"),
        ("namespace", "default", "registry:namespace 'default' belongs to the cluster"),
        ("namespace", "kube-system", "belongs to the cluster"),
        ("namespace", "openshift", "belongs to the cluster"),
        ("namespace", "a" * 64, "at most 63 characters"),
        ("context", "prod", "context 'prod' is not in"),
        ("nodes.0.host", "node{1..2}", "has a brace range, and those are not expanded: list every node"),
        ("nodes.0.host", "", "registry:nodes[0].host '' must be a host name"),
        ("nodes.0.host", "a;rm -rf /", "registry:nodes[0].host 'a;rm -rf /' must be a host name"),
        ("nodes.0.host", "-oProxyCommand=id", "must be a host name"),
        ("nodes.0.host", ".".join(["a" * 60] * 5), "must be a host name"),
        ("nodes.0.name", "node{1..2}", "registry:nodes[0].name 'node{1..2}' has a brace range"),
        ("nodes.0.name", "node1\n", r"registry:nodes[0].name 'node1\n' must be a Kubernetes object name: lower-case"),
        ("nodes.0.name", "Node1", "registry:nodes[0].name 'Node1' must be a Kubernetes object name"),
        ("nodes.0.name", "node1.", "must be a Kubernetes object name"),
        ("nodes.0.name", "node..1", "must be a Kubernetes object name"),
        ("nodes.0.name", "-node1", "must be a Kubernetes object name"),
        ("nodes.0.name", "node_1", "must be a Kubernetes object name"),
        ("nodes.0.name", ".".join(["a" * 63] * 4), "must be a Kubernetes object name"),
        ("storage.node", "Node1", "registry:storage.node 'Node1' must be a Kubernetes object name"),
        ("nodes.0.port", 0, "registry:nodes[0].port '0' must be at least 1"),
        ("nodes.0.port", 70000, "registry:nodes[0].port '70000' must be at most 65535"),
        ("nodes.0.port", "ssh", "registry:nodes[0].port 'ssh' must be a whole number"),
        ("nodes.0.host", "192.0.2.99", "has no ed25519 or ecdsa host key of node 'node1' (192.0.2.99)"),
        ("nodes", [], "registry:nodes must have at least 1 entries"),
        ("nodes", ["node1"], "registry:nodes[0] 'node1' must be a map, see the table of settings in the README"),
        ("nodes", {"name": "node1"}, "registry:nodes must be a list"),
        ("route", "registry.example.com", "registry:route 'registry.example.com' must be a map"),
        ("storage", "hostPath", "registry:storage 'hostPath' must be a map"),
        ("storage.kind", "gluster", "registry:storage.kind 'gluster' is not a kind: choose one of 'hostPath', 'nfs'"),
        ("storage.kind", None, "registry:storage.kind is missing"),
        ("storage.path", "registry", "registry:storage.path 'registry' must be an absolute path"),
        ("storage.path", "/", "registry:storage.path '/' is the system's"),
        ("storage.path", "//", "is the system's"),
        ("storage.path", "/etc/registry", "is the system's"),
        ("storage.path", "//etc", "is the system's"),
        ("storage.path", "/home", "is the system's"),
        ("storage.path", "/srv", "is the system's"),
        ("storage.path", "/root/registry", "is the system's"),
        ("storage.path", "/var/lib", "is the system's"),
        ("storage.path", "/var/lib/kubelet/registry", "is the system's"),
        ("storage.path", "/data/../etc", "must be an absolute path"),
        ("storage.size", "0", "registry:storage.size '0' must be a Kubernetes quantity"),
        ("storage.size", "10GB", "must be a Kubernetes quantity"),
        ("storage.node", "node9", "storage.node 'node9' is not one of nodes (node1): add it there"),
        ("ca.certFile", "/nowhere/ca.crt", "registry:ca.certFile '/nowhere/ca.crt' cannot be read (No such file"),
        ("kubeconfig", "/nowhere/config", "registry:kubeconfig '/nowhere/config' cannot be read"),
        ("ssh.knownHostsFile", "/nowhere/known_hosts", "registry:ssh.knownHostsFile '/nowhere/known_hosts' cannot"),
        ("certificate", {"validityHours": 90000}, "is more than the"),
        ("route.host", "node1", "route.host 'node1' is a node"),
        ("certificate", {"validityHours": 100, "earlyRenewalHours": 100}, "every run would renew the certificate"),
        ("certificate", {"validityHours": "soon"}, "registry:certificate.validityHours 'soon'"),
        ("certificate", {"validityHours": 0}, "registry:certificate.validityHours '0' must be more than 0"),
        ("ssh.user", "", "registry:ssh.user '' must have at least 1 characters"),
        ("garbageCollection", {"schedule": "nightly"}, "must be five fields as cron has them"),
        ("garbageCollection", {"schedule": "0 3 * * *"}, "garbageCollection needs tools.kubectl: set it to an image"),
        ("backup", {"schedule": "@daily", "storage": NFS}, "backup needs tools.kubectl and tools.rclone: set it to an"),
        ("move", {"from": NFS}, "move needs tools.kubectl and tools.rclone"),
        ("move", {"from": HOST_PATH | {"path": "/other"}}, "move.from.kind is 'hostPath' as storage.kind is"),
        ("move", {"from": NFS | {"server": "no server"}}, "registry:move.from.server 'no server' must be"),
        ("move", {"from": EMPTY_DIR}, "move.from.kind 'emptyDir' goes with its pod: choose another storage"),
        ("backup", {"schedule": "@daily", "storage": HOST_PATH}, "backup.storage is the storage of the registry"),
        (
            "backup",
            {"schedule": "@daily", "storage": HOST_PATH | {"node": "node9"}},
            "backup.storage.node 'node9' is not storage.node 'node1', and one pod has to reach both",
        ),
        ("tools", {"kubectl": "kubectl"}, "registry:tools.kubectl 'kubectl' "),
        ("tolerations", {"key": "infra"}, "registry:tolerations must be a list"),
        ("tolerations", ["infra"], "registry:tolerations[0] 'infra' must be a map"),
        ("tolerations", [{"kye": "infra"}], "registry:tolerations[0].kye is not a setting: did you mean 'key'?"),
        ("tolerations", [{"operator": "Is"}], "registry:tolerations[0].operator 'Is' must be 'Equal', 'Exists'"),
        ("tolerations", [{"effect": "NoRun"}], "registry:tolerations[0].effect 'NoRun' must be 'NoSchedule'"),
        ("tolerations", [{"value": True}], "registry:tolerations[0].value 'true' must be text: put it in quotes"),
        (
            "tolerations",
            [{"tolerationSeconds": "long"}],
            "registry:tolerations[0].tolerationSeconds 'long' must be",
        ),
        ("resources", {"limit": {"cpu": "1"}}, "registry:resources.limit is not a setting: did you mean 'limits'?"),
        ("resources", {"limits": {"gpu": "1"}}, "registry:resources.limits.gpu is not a setting: did you mean 'cpu'?"),
        (
            "resources",
            {"limits": {"cpu": "1 core"}},
            "registry:resources.limits.cpu '1 core' must be a number of",
        ),
        ("resources", {"limits": {"cpu": 0}}, "registry:resources.limits.cpu '0' must be a number of cores above zero"),
        ("resources", {"limits": {"cpu": "0.0001"}}, "must be a number of cores"),
        ("resources", {"limits": {"cpu": True}}, "registry:resources.limits.cpu 'true' must be text"),
        ("resources", {"limits": {"memory": "512m"}}, "registry:resources.limits.memory '512m' must be a Kubernetes q"),
        ("resources", {"limits": {"memory": "512MB"}}, "must be a Kubernetes quantity"),
        (
            "resources",
            {"requests": {"ephemeral-storage": "0Gi"}},
            "registry:resources.requests.ephemeral-storage '0G",
        ),
        ("resources", {"requests": {"ephemeralStorage": "1Gi"}}, "did you mean 'ephemeral-storage'?"),
        ("imagePullSecrets", "pull", "registry:imagePullSecrets 'pull' must be a list"),
        (
            "imagePullSecrets",
            ["pull", "My Secret"],
            "registry:imagePullSecrets[1] 'My Secret' must be a Kubernetes object name",
        ),
        ("imagePullSecrets", [""], "registry:imagePullSecrets[0] '' must be a Kubernetes object name"),
        (
            "priorityClassName",
            "High priority",
            "registry:priorityClassName 'High priority' must be a Kubernetes object name",
        ),
    ],
)
def test_a_bad_setting_gives_one_line_with_key_value_and_reason(
    load: Load, cluster: Cluster, path: str, value: Any, message: str
) -> None:
    with pytest.raises(pulumi.RunError) as caught:
        load(changed(cluster.config, path, value))
    head, *faults = str(caught.value).splitlines()
    assert head == "stack 'lab' has wrong settings:"
    assert len(faults) == 1
    assert message in faults[0]


S3 = {"kind": "s3", "bucket": "images", "region": "us-east-1", "accessKey": "key", "secretKey": "very secret"}


@pytest.mark.parametrize(
    ("storage", "replicas", "limits"),
    [
        (NFS, 2, ("RollingUpdate", "ClientIP")),
        (NFS | {"mountOptions": ["nolock"]}, 2, ("RollingUpdate", "ClientIP")),
        (CLAIM, 1, ("Recreate", "None")),
        (CLAIM | {"accessMode": "ReadWriteMany", "className": "files"}, 2, ("RollingUpdate", "ClientIP")),
        (EXISTING, 1, ("Recreate", "None")),
        (EXISTING | {"accessMode": "ReadWriteMany"}, 2, ("RollingUpdate", "ClientIP")),
        (EMPTY_DIR, 1, ("Recreate", "None")),
        (S3, 5, ("RollingUpdate", "None")),
    ],
)
def test_each_kind_of_storage_says_its_limits(
    load: Load, cluster: Cluster, storage: dict[str, Any], replicas: int, limits: tuple[str, str]
) -> None:
    loaded = load(cluster.config | {"storage": storage, "replicas": str(replicas)}).storage.limits
    assert (loaded.strategy, loaded.session_affinity) == limits


@pytest.mark.parametrize(
    ("storage", "message"),
    [
        (NFS | {"server": "nfs server"}, "registry:storage.server 'nfs server' must be a host name"),
        (NFS | {"path": "exports"}, "registry:storage.path 'exports' must be an absolute path"),
        (NFS | {"mountOptions": ["soft"]}, "registry:storage: mountOptions has soft: the registry would lose writes"),
        (NFS | {"sever": "x"}, "registry:storage.sever is not a setting: did you mean 'server'?"),
        ({"kind": "claim"}, "registry:storage.size is missing"),
        (CLAIM | {"accessMode": "ReadOnlyMany"}, "'ReadOnlyMany' must be 'ReadWriteOnce' or 'ReadWriteMany'"),
        (EXISTING | {"size": "1Gi"}, "registry:storage.size is not a setting"),
        (S3 | {"endpoint": "http://s3.example.com"}, "must be an https URL"),
        (S3 | {"endpoint": "s3.example.com:9000"}, "must be an https URL"),
        (S3 | {"endpoint": "https://s3.example.com/bucket"}, "must be an https URL without a path"),
        (S3 | {"caFile": "/nowhere"}, "registry:storage.caFile '/nowhere' cannot be read"),
        (S3 | {"bucket": "ab"}, "registry:storage.bucket 'ab' must have at least 3 characters"),
        (S3 | {"secretKey": 4711}, "registry:storage.secretKey '…' must be text: put it in quotes"),
        ([S3 | {"secretKey": "4711"}], "registry:storage must be a map"),
    ],
)
def test_a_bad_storage_gives_one_line_and_shows_no_secret(
    load: Load, cluster: Cluster, storage: Any, message: str
) -> None:
    with pytest.raises(pulumi.RunError) as caught:
        load(cluster.config | {"storage": storage})
    _, *faults = str(caught.value).splitlines()
    assert len(faults) == 1
    assert message in faults[0]
    assert "4711" not in faults[0]


HOST_PATH = {"kind": "hostPath", "node": "node1", "path": "/registry", "size": "10Gi"}


@pytest.mark.parametrize("storage", [HOST_PATH, CLAIM, EXISTING, EMPTY_DIR])
def test_more_pods_than_a_storage_allows_are_refused(load: Load, cluster: Cluster, storage: dict[str, Any]) -> None:
    with pytest.raises(pulumi.RunError, match=f"replicas 2 is more than storage.kind '{storage['kind']}' allows"):
        load(cluster.config | {"storage": storage, "replicas": "2"})


def test_the_keys_of_an_object_store_are_secrets(load: Load, cluster: Cluster) -> None:
    loaded = load(cluster.config | {"storage": S3}).storage
    assert isinstance(loaded, S3Settings)
    assert "very secret" not in repr(loaded)


def lead_to(cluster: Cluster, server: str) -> None:
    """Lets the kubeconfig lead to another API server."""
    kubeconfig = deepcopy(KUBECONFIG)
    kubeconfig["clusters"][0]["cluster"]["server"] = server
    (cluster.folder / "kubeconfig").write_text(yaml.safe_dump(kubeconfig))


SPELLINGS = [
    ("https://rancher.example.com/k8s/clusters/c-abc12", "https://rancher.example.com/k8s/clusters/c-abc12/"),
    ("https://kas.gitlab.com/k8s-proxy", "https://KAS.gitlab.com:443/k8s-proxy/"),
    ("https://api.example.com:6443", "https://API.Example.com:6443/"),
    ("https://api.example.com", "https://api.example.com:443"),
    ("https://api.example.com", "HTTPS://api.example.com/"),
    ("https://[fd00::1]:6443", "https://[FD00:0::1]:6443"),
    ("https://[fd00::1]", "https://[fd00::1]:443/"),
]


@pytest.mark.parametrize(("one", "other"), [*SPELLINGS, *[(other, one) for one, other in SPELLINGS]])
def test_an_api_server_may_be_spelt_in_every_way(load: Load, cluster: Cluster, one: str, other: str) -> None:
    lead_to(cluster, one)
    assert load(changed(cluster.config, "cluster.server", other)).cluster.server in (one, other)


@pytest.mark.parametrize(
    ("leads_to", "named"),
    [
        ("https://lab.example.com:6443", "https://prod.example.com:6443"),
        ("https://api.example.com:6443", "https://api.example.com:6444"),
        ("https://api.example.com:6443", "https://api.example.com"),
        ("https://rancher.example.com/k8s/clusters/c-abc12", "https://rancher.example.com/k8s/clusters/c-abc13"),
        ("https://rancher.example.com/k8s/clusters/c-abc12", "https://rancher.example.com/k8s/clusters/C-ABC12"),
        ("https://rancher.example.com/k8s/clusters/c-abc12", "https://rancher.example.com"),
        ("https://[fd00::1]:6443", "https://[fd00::2]:6443"),
    ],
)
def test_a_kubeconfig_of_another_cluster_is_refused(load: Load, cluster: Cluster, leads_to: str, named: str) -> None:
    lead_to(cluster, leads_to)
    with pytest.raises(pulumi.RunError, match=re.escape(f"leads to {leads_to}, but cluster.server is {named}: ")):
        load(changed(cluster.config, "cluster.server", named))


def test_a_kubeconfig_that_leads_to_plain_http_is_refused(load: Load, cluster: Cluster) -> None:
    lead_to(cluster, "http://192.0.2.1:6443")
    with pytest.raises(
        pulumi.RunError, match=r"kubeconfig '.*' leads to 'http://192\.0\.2\.1:6443', which must be an ht"
    ):
        load(cluster.config)


@pytest.mark.parametrize(
    ("endpoint", "taken"),
    [
        ("https://s3.example.com/", "https://s3.example.com"),
        ("https://S3.example.com:9000/", "https://s3.example.com:9000"),
        ("https://s3.example.com:443", "https://s3.example.com"),
        ("https://[fd00::1]:9000", "https://[fd00::1]:9000"),
    ],
)
def test_an_object_store_may_be_spelt_in_every_way(load: Load, cluster: Cluster, endpoint: str, taken: str) -> None:
    loaded = load(cluster.config | {"storage": S3 | {"endpoint": endpoint}}).storage
    assert isinstance(loaded, S3Settings)
    assert loaded.endpoint == taken


def test_a_kubeconfig_that_trusts_another_ca_is_refused(load: Load, cluster: Cluster) -> None:
    kubeconfig = deepcopy(KUBECONFIG)
    kubeconfig["clusters"][0]["cluster"]["certificate-authority"] = "ca.crt"
    (cluster.folder / "kubeconfig").write_text(yaml.safe_dump(kubeconfig))
    fingerprint = cluster.ca.fingerprint(SHA256()).hex(":").upper()
    assert load(changed(cluster.config, "cluster.caSha256", fingerprint))
    with pytest.raises(pulumi.RunError, match=r"trusts the CA [0-9a-f]{64}, but cluster\.caSha256 is 0{64}"):
        load(changed(cluster.config, "cluster.caSha256", "0" * 64))


def test_a_kubeconfig_that_trusts_no_ca_is_refused_where_one_is_named(load: Load, cluster: Cluster) -> None:
    with pytest.raises(pulumi.RunError, match=r"trusts the CA \(none\)"):
        load(changed(cluster.config, "cluster.caSha256", "0" * 64))


def test_a_namespace_that_exists_may_be_the_clusters(load: Load, cluster: Cluster) -> None:
    assert load(cluster.config | {"namespace": "default", "createNamespace": "false"}).namespace == "default"


def test_all_faults_are_told_at_once(load: Load, cluster: Cluster) -> None:
    config = changed(changed(cluster.config, "image", "registry"), "route.host", "10.0.0.1")
    with pytest.raises(pulumi.RunError, match=r"registry:image[^\n]*\n *registry:route\.host"):
        load(config)


def test_a_ca_that_is_none_is_refused(load: Load, cluster: Cluster) -> None:
    write_pair(cluster.folder, *make_ca("leaf", ca=False))
    with pytest.raises(pulumi.RunError, match=r"registry:ca.certFile .* may not sign certificates"):
        load(cluster.config)


def test_the_key_of_another_ca_is_refused_and_not_printed(load: Load, cluster: Cluster) -> None:
    other = cluster.folder / "other"
    other.mkdir()
    write_pair(other, *make_ca("other"))
    with pytest.raises(pulumi.RunError, match="is not the key of certFile") as caught:
        load(changed(cluster.config, "ca.keyFile", f"{other}/ca.key"))
    assert "PRIVATE" not in str(caught.value)


@pytest.mark.parametrize(
    ("nodes", "repeated"),
    [
        ({"node1": "192.0.2.1", "node2": "192.0.2.1"}, r"192\.0\.2\.1:22"),
        ({"node1": "2001:DB8::1", "node2": "2001:db8:0::1"}, "2001:db8::1:22"),
    ],
)
def test_two_entries_for_one_ssh_server_are_refused(
    load: Load, cluster: Cluster, nodes: dict[str, str], repeated: str
) -> None:
    entries = [{"name": name, "host": host} for name, host in nodes.items()]
    with pytest.raises(pulumi.RunError, match=f"nodes has {repeated} more than once"):
        load(changed(cluster.config, "nodes", entries))


def test_two_entries_for_one_node_are_refused(load: Load, cluster: Cluster) -> None:
    nodes = [{"name": "node1", "host": host} for host in ("192.0.2.1", "192.0.2.2")]
    with pytest.raises(pulumi.RunError, match="nodes has node1 more than once"):
        load(changed(cluster.config, "nodes", nodes))


def test_more_nodes_than_one_stack_can_serve_are_refused(load: Load, cluster: Cluster) -> None:
    nodes = [{"name": f"node{number}", "host": f"192.0.2.{number}"} for number in range(1, 66)]
    with pytest.raises(pulumi.RunError, match="nodes has 65 entries"):
        load(changed(cluster.config, "nodes", nodes))


@pytest.mark.parametrize(
    "name", ["10.177.48.66", "cn-hangzhou.192.168.0.12", "worker.1", "1", "ip-10-0-0-1.ec2.internal", "a" * 64]
)
def test_every_name_that_a_cluster_gives_to_a_node_is_taken(load: Load, cluster: Cluster, name: str) -> None:
    loaded = load(changed(changed(cluster.config, "nodes.0.name", name), "storage.node", name))
    assert [node.name for node in loaded.nodes] == [name]


def test_a_claim_may_have_every_name_that_a_cluster_takes(load: Load, cluster: Cluster) -> None:
    assert load(cluster.config | {"storage": EXISTING | {"name": "images-1.2"}})


@pytest.mark.parametrize("setting", ["ca.keyFile", "ssh.privateKeyFile"])
def test_a_key_that_others_can_read_is_refused(load: Load, cluster: Cluster, setting: str) -> None:
    section, name = setting.split(".")
    file = Path(cluster.config[section][name])
    file.chmod(0o640)
    with pytest.raises(pulumi.RunError, match=rf"registry:{setting} .* \(mode 0640\): run `chmod 0600 {file}`"):
        load(cluster.config)


def test_a_ca_file_with_a_key_in_it_is_refused(load: Load, cluster: Cluster) -> None:
    with (cluster.folder / "ca.crt").open("a") as file:
        file.write((cluster.folder / "ca.key").read_text())
    with pytest.raises(pulumi.RunError, match=r"registry:ca\.certFile .* holds a private key"):
        load(cluster.config)


@pytest.mark.parametrize(
    ("starts_in", "ends_in"), [(timedelta(days=-2), timedelta(minutes=-1)), (timedelta(days=1), timedelta(days=2))]
)
def test_a_ca_that_is_not_valid_today_is_refused(
    load: Load, cluster: Cluster, starts_in: timedelta, ends_in: timedelta
) -> None:
    write_pair(cluster.folder, *make_ca("cluster-ca", starts_in=starts_in, ends_in=ends_in))
    with pytest.raises(pulumi.RunError, match="not today: renew the cluster CA"):
        load(cluster.config)


def test_a_ca_with_a_weak_key_is_refused(load: Load, cluster: Cluster) -> None:
    write_pair(cluster.folder, *make_ca("cluster-ca", key=rsa.generate_private_key(65537, 1024)))
    with pytest.raises(pulumi.RunError, match="is an RSA key of 1024 bits, which clients refuse: renew the cluster CA"):
        load(cluster.config)


def test_a_ca_signed_with_sha_1_is_refused(load: Load, cluster: Cluster) -> None:
    files = {"-keyout": cluster.folder / "ca.key", "-out": cluster.folder / "ca.crt"}
    subprocess.run(
        ["openssl", "req", "-x509", "-sha1", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=cluster-ca"]
        + [str(word) for option in files.items() for word in option],
        check=True,
        capture_output=True,
    )
    with pytest.raises(pulumi.RunError, match="is signed with SHA-1, which clients refuse: renew the cluster CA"):
        load(cluster.config)


def test_a_login_key_with_a_passphrase_is_refused(load: Load, cluster: Cluster) -> None:
    file = Path(cluster.config["ssh"]["privateKeyFile"])
    file.unlink()
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-f", file], check=True)
    with pytest.raises(pulumi.RunError, match=r"registry:ssh\.privateKeyFile .* cannot be used \(Passphrase must"):
        load(cluster.config)


def test_a_file_that_is_no_private_key_is_refused_as_login_key(load: Load, cluster: Cluster) -> None:
    Path(cluster.config["ssh"]["privateKeyFile"]).write_text("no key")
    with pytest.raises(pulumi.RunError, match=r"registry:ssh\.privateKeyFile .* cannot be used \(Invalid private key"):
        load(cluster.config)


@pytest.mark.parametrize(
    "content",
    [
        b"no: contexts",
        b"\xff\xfe",
        yaml.safe_dump(KUBECONFIG | {"clusters": []}).encode(),
        yaml.safe_dump(KUBECONFIG | {"clusters": [{"name": "lab", "cluster": {}}]}).encode(),
    ],
)
def test_a_file_that_is_no_kubeconfig_is_refused(load: Load, cluster: Cluster, content: bytes) -> None:
    (cluster.folder / "kubeconfig").write_bytes(content)
    with pytest.raises(pulumi.RunError, match=r"kubeconfig .* leads to no cluster: give a whole kubeconfig file"):
        load(cluster.config)


@pytest.mark.parametrize("ca", [{"certificate-authority-data": "!"}, {"certificate-authority": "gone.crt"}])
def test_a_kubeconfig_whose_ca_cannot_be_read_is_refused(load: Load, cluster: Cluster, ca: dict[str, str]) -> None:
    kubeconfig = deepcopy(KUBECONFIG)
    kubeconfig["clusters"][0]["cluster"].update(ca)
    (cluster.folder / "kubeconfig").write_text(yaml.safe_dump(kubeconfig))
    with pytest.raises(pulumi.RunError, match=r"kubeconfig .* has a CA that cannot be read"):
        load(cluster.config)


def test_something_that_is_no_certificate_is_refused(load: Load, cluster: Cluster) -> None:
    (cluster.folder / "ca.crt").write_text("no PEM")
    with pytest.raises(pulumi.RunError, match="is no PEM certificate: give"):
        load(cluster.config)


@pytest.mark.parametrize("content", [b"192.0.2.1", b"\xff\xfe"])
def test_a_file_that_has_no_host_keys_is_refused(load: Load, cluster: Cluster, content: bytes) -> None:
    (cluster.folder / "known_hosts").write_bytes(content)
    with pytest.raises(pulumi.RunError, match=r"registry:ssh\.knownHostsFile '.*' has no host keys \(.*\): put there"):
        load(cluster.config)


def test_a_login_needs_a_key_or_an_agent(load: Load, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    config = changed(cluster.config, "ssh.privateKeyFile", None)
    monkeypatch.setenv("SSH_AUTH_SOCK", "/run/agent")
    assert load(config).ssh.private_key is None
    monkeypatch.delenv("SSH_AUTH_SOCK")
    monkeypatch.setattr(pulumi.runtime, "is_dry_run", lambda: False)
    with pytest.raises(pulumi.RunError, match=r"registry:ssh\.privateKeyFile is missing, and there is no SSH agent"):
        load(config)
    monkeypatch.setattr(pulumi.runtime, "is_dry_run", lambda: True)
    assert load(config)


@pytest.mark.parametrize(("hours", "warned"), [(19800, False), (19801, True)])
def test_a_certificate_that_macos_refuses_gets_a_warning(
    load: Load, cluster: Cluster, monkeypatch: pytest.MonkeyPatch, hours: int, warned: bool
) -> None:
    warnings: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", warnings.append)
    load(cluster.config | {"certificate": {"validityHours": hours}})
    assert ["clients on macOS refuse" in warning for warning in warnings] == [True] * warned


def write_files_of(stack: dict[str, Any], cluster: Cluster) -> dict[str, str]:
    """Writes what the README asks for to where a stack names it; returns the nodes' host keys by the node's name."""
    ca = cluster.ca.public_bytes(Encoding.PEM)
    kubeconfig = deepcopy(KUBECONFIG)
    kubeconfig["clusters"][0]["cluster"] = {
        "server": stack["cluster"]["server"],
        "certificate-authority-data": b64encode(ca).decode(),
    }
    keys = {node["name"]: new_key() for node in stack["nodes"]}
    places = [
        f"[{node['host']}]:{node['port']}" if node.get("port", 22) != 22 else node["host"] for node in stack["nodes"]
    ]
    files = {
        stack["kubeconfig"]: yaml.safe_dump(kubeconfig).encode(),
        stack["ca"]["certFile"]: ca,
        stack["ca"]["keyFile"]: (cluster.folder / "ca.key").read_bytes(),
        stack["ssh"]["knownHostsFile"]: "".join(
            f"{place} {key}\n" for place, key in zip(places, keys.values(), strict=True)
        ).encode(),
    }
    for name, content in files.items():
        (cluster.folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_key(cluster.folder / name, content)
    hash_names(cluster.folder / stack["ssh"]["knownHostsFile"])
    return keys


@pytest.mark.parametrize("name", ["lab", "prod"])
def test_a_stack_loads_as_it_ships(load: Load, cluster: Cluster, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    text = (ROOT / f"Pulumi.{name}.yaml").read_text()
    # The one value that no file beside it can make true; the stack file itself calls it an example.
    text = re.sub("caSha256: [0-9a-f]{64}", f"caSha256: {cluster.ca.fingerprint(SHA256()).hex()}", text)
    config = yaml.safe_load(text)["config"]
    stack = {key.removeprefix("registry:"): value for key, value in config.items() if key.startswith("registry:")}
    keys = write_files_of(stack, cluster)
    monkeypatch.chdir(cluster.folder)
    monkeypatch.setenv("SSH_AUTH_SOCK", "/run/agent")

    loaded = load(stack)

    assert {node.name: loaded.ssh.host_key(node) for node in loaded.nodes} == keys
    assert loaded.cluster.server == stack["cluster"]["server"]
    users = [node.get("user", stack["ssh"]["user"]) for node in stack["nodes"]]
    assert [loaded.ssh.user_on(node) for node in loaded.nodes] == users


def test_what_pulumi_yaml_says_unless_set_is_no_setting(load: Load, cluster: Cluster) -> None:
    known = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())["config"]
    unset = {key: each["default"] for key, each in known.items() if "default" in each}
    assert load(unset | cluster.config) == load(cluster.config)


def test_garbage_of_a_pod_s_own_folder_is_nobody_s_to_collect(load: Load, cluster: Cluster) -> None:
    wanted = {"garbageCollection": {"schedule": "@daily"}, "tools": {"kubectl": IMAGE}}
    assert load(cluster.config | wanted).garbage_collection
    with pytest.raises(pulumi.RunError, match="garbageCollection cannot reach the folder"):
        load(cluster.config | wanted | {"storage": EMPTY_DIR})
