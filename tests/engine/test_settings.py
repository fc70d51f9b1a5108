"""Bad settings, told by the engine in one run: a line for each, and nothing is touched."""

import json
import shutil
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT
from tests.engine.conftest import Project

README = "see the table of settings in the README"
BAD: dict[str, Any] = {
    "rout": {"host": "registry.example.com"},
    "kubeconfig": "gone/kubeconfig",
    "cluster": {"server": "http://api.example.com", "caSha256": "abc"},
    "namespace": "kube-system",
    "image": "registry.example.com/registry:latest",
    "replicas": -1,
    "nodeSelector": {"infra": True},
    "storage": {"kind": "hostPath", "node": "Node1", "path": "/etc", "size": "0", "pathh": "/registry"},
    "ca": {"certFile": "gone/ca.crt", "keyFile": "gone/ca.key"},
    "certificate": {"validityHours": 0, "earlyRenewalHours": "soon"},
    "garbageCollection": {"schedule": "nightly", "dryRun": "perhaps"},
    "route": {"host": "https://registry.example.com"},
    "nodes": [
        {"name": "node1", "host": "192.0.2.1"},
        {"name": "node{2..9}", "host": "node{2..9}.example.com"},
        {"name": "NODE10", "host": "a;rm -rf /"},
        {"name": "node11", "host": "", "port": 70000},
        {"name": "node12", "hots": "node12.example.com"},
        {"name": "node13", "host": "-oProxyCommand=id", "port": "ssh"},
        {"name": "a" * 254, "host": "*.example.com", "port": 0},
    ],
    "ssh": {"user": "", "privateKeyFile": "gone/id", "knownHostsFile": "gone/known_hosts", "password": "hidden-4711"},
}
TOLD = f"""
rout is not a setting: did you mean 'route'?
kubeconfig 'gone/kubeconfig' cannot be read (No such file or directory): give the path of the file
cluster.server 'http://api.example.com' must be an https URL, such as 'https://api.example.com:6443'
cluster.caSha256 'abc' must be a SHA-256 fingerprint: what `openssl x509 -noout -fingerprint -sha256` prints
namespace 'kube-system' belongs to the cluster: choose a namespace of the registry's own, such as 'docker-registry'
image 'registry.example.com/registry:latest' must name a fixed version by tag or digest, such as
replicas '-1' must be at least 0
nodeSelector.infra 'true' must be text: put it in quotes
storage.node 'Node1' must be a Kubernetes object name
storage.path '/etc' is the system's: choose a folder of the registry's own, such as '/registry'
storage.size '0' must be a Kubernetes quantity above zero, such as '10Gi'
storage.pathh is not a setting: did you mean 'path'?
ca.certFile 'gone/ca.crt' cannot be read (No such file or directory): give the path of the file
ca.keyFile 'gone/ca.key' cannot be read (No such file or directory): give the path of the file
certificate.validityHours '0' must be more than 0
certificate.earlyRenewalHours 'soon' must be a whole number
garbageCollection.schedule 'nightly' must be five fields as cron has them, such as '0 3 * * *' for every night at three
garbageCollection.dryRun 'perhaps' must be true or false
route.host 'https://registry.example.com' must be a host name in lower case without scheme, port or wildcard, such as
nodes[1].name 'node{{2..9}}' has a brace range, and those are not expanded: list every node
nodes[1].host 'node{{2..9}}.example.com' has a brace range, and those are not expanded: list every node
nodes[2].name 'NODE10' must be a Kubernetes object name
nodes[2].host 'a;rm -rf /' must be a host name in lower case
nodes[3].host '' must be a host name in lower case
nodes[3].port '70000' must be at most 65535
nodes[4].host is missing: set it, {README}
nodes[4].hots is not a setting: did you mean 'host'?
nodes[5].host '-oProxyCommand=id' must be a host name in lower case
nodes[5].port 'ssh' must be a whole number
nodes[6].name '{"a" * 254}' must be a Kubernetes object name
nodes[6].host '*.example.com' must be a host name in lower case
nodes[6].port '0' must be at least 1
ssh.user '' must have at least 1 characters
ssh.privateKeyFile 'gone/id' cannot be read (No such file or directory): give the path of the file
ssh.knownHostsFile 'gone/known_hosts' cannot be read (No such file or directory): give the path of the file
ssh.password is not a setting: remove it, {README}
""".strip().splitlines()


@pytest.fixture
def repository(project: Project) -> Project:
    """The program itself, with a stack whose settings are all bad."""
    for file in (ROOT / "Pulumi.yaml", *ROOT.glob("*.py")):
        shutil.copy(file, project.folder / file.name)
    for name in ("components", "settings"):
        (project.folder / name).symlink_to(ROOT / name)
    project.pulumi("stack", "init", "lab")
    file = project.folder / "Pulumi.lab.yaml"
    config = {f"registry:{key}": value for key, value in BAD.items()}
    file.write_text(yaml.safe_dump({**yaml.safe_load(file.read_text()), "config": config}))
    return project


@pytest.mark.parametrize("command", [("preview",), ("up", "--yes", "--skip-preview")])
def test_every_bad_setting_is_told_in_a_line_of_its_own_and_nothing_is_touched(
    repository: Project, command: tuple[str, ...]
) -> None:
    printed = repository.pulumi(*command, "--stack", "lab", fails=True)
    lines = [line.strip() for line in printed.splitlines() if line.strip().startswith("registry:")]
    unmatched = list(lines)
    for part in TOLD:
        (line,) = [line for line in lines if line.startswith(f"registry:{part}")]
        unmatched.remove(line)
    assert unmatched == []
    assert "hidden-4711" not in printed
    assert "Traceback" not in printed
    resources = json.loads(repository.pulumi("stack", "export", "--stack", "lab"))["deployment"].get("resources", [])
    assert [each["type"] for each in resources if each["type"] != "pulumi:pulumi:Stack"] == []
