"""The parts of the sandbox that need no machine: images, keys, configuration, refusals."""

import configparser
import hashlib
import io
import json
import os
import shlex
import stat
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from sandbox import cluster, gobuild, images, layout, names, network, nfs, node, pki, programs, s3, toolchain, topology
from sandbox.errors import SandboxError
from sandbox.process import run
from sandbox.report import Report, Stage
from sandbox.wait import until


def test_an_image_is_an_oci_layout_with_matching_digests(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text("content")
    program.chmod(0o755)
    image = images.Image("example/x:1", {"usr/bin/x": program}, links={"usr/bin/y": "x"}, entrypoint=("/usr/bin/x",))
    made = images.archive(image)
    assert made == images.archive(image)

    with tarfile.open(fileobj=io.BytesIO(made)) as tar:
        files = {name: entry.read() for name in tar.getnames() if (entry := tar.extractfile(name))}
    for name, content in files.items():
        if name.startswith("blobs/"):
            assert name.rpartition("/")[2] == hashlib.sha256(content).hexdigest()

    def blob(descriptor: dict[str, Any]) -> bytes:
        content = files["blobs/" + descriptor["digest"].replace(":", "/")]
        assert len(content) == descriptor["size"]
        return content

    (entry,) = json.loads(files["index.json"])["manifests"]
    assert entry["annotations"]["io.containerd.image.name"] == "example/x:1"
    manifest = json.loads(blob(entry))
    assert json.loads(blob(manifest["config"]))["config"]["Entrypoint"] == ["/usr/bin/x"]
    with tarfile.open(fileobj=io.BytesIO(blob(manifest["layers"][0]))) as layer:
        assert layer.getmember("usr/bin/x").mode == 0o755
        assert layer.getmember("usr/bin/y").linkname == "x"
        assert layer.getmember("tmp").mode == 0o1777


def test_the_authority_is_kept_and_signs(tmp_path: Path) -> None:
    authority = pki.authority(tmp_path)
    assert pki.authority(tmp_path).certificate == authority.certificate
    assert stat.S_IMODE((tmp_path / "ca.key").stat().st_mode) == 0o600
    load_pem_private_key((tmp_path / "ca.key").read_bytes(), password=None)
    extensions = authority.certificate.extensions
    assert extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign

    address = IPv4Address("10.0.0.1")
    certificate_pem, _ = pki.issue(authority, "server", names=["localhost"], addresses=[address])
    certificate = x509.load_pem_x509_certificate(certificate_pem)
    certificate.verify_directly_issued_by(authority.certificate)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert names.get_values_for_type(x509.IPAddress) == [address]


def test_a_kubeconfig_has_everything_in_it_and_is_kept(tmp_path: Path) -> None:
    authority, path = pki.authority(tmp_path), tmp_path / "kubeconfig"
    pki.write_kubeconfig(path, authority, "https://10.0.0.1:6443", "admin", "system:masters")
    first = path.read_text()
    pki.write_kubeconfig(path, authority, "https://elsewhere", "admin")
    assert path.read_text() == first
    assert json.loads(first)["clusters"][0]["cluster"].keys() == {"server", "certificate-authority-data"}


def test_an_ssh_key_is_made_once(tmp_path: Path) -> None:
    public = pki.ssh_key(tmp_path / "key")
    assert public.startswith("ssh-ed25519 ")
    assert pki.ssh_key(tmp_path / "key") == public


def test_supervisor_runs_every_program_but_those_that_wait_for_the_api_or_for_tests() -> None:
    node = topology.CONTROL_PLANE
    parsed = configparser.RawConfigParser()
    parsed.read_string(programs.supervisor_configuration(node))
    for program in programs.programs(node):
        section = parsed[f"program:{program.name}"]
        assert tuple(shlex.split(section["command"])) == program.command
        assert section.getboolean("autostart") is not (program.needs_api or program.for_tests)
        assert section.getboolean("autorestart")


def test_a_worker_runs_no_control_plane() -> None:
    worker = replace(topology.CONTROL_PLANE, name="other", control_plane=False)
    names = {program.name for program in programs.programs(worker)}
    assert names == {"containerd", "sshd", "kubelet", "kube-proxy", "kube-router"}


def test_the_kernels_nfs_client_is_used_where_there_is_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file_systems = tmp_path / "filesystems"
    monkeypatch.setattr(nfs, "_FILE_SYSTEMS", file_systems)
    monkeypatch.setattr(layout, "NODES", tmp_path)
    link = topology.CONTROL_PLANE.home / "usr" / "sbin" / "mount.nfs"
    for listed, ours in [("nodev\tnfsd\n\text4\n", True), ("nodev\tnfs\n\text4\n", False)]:
        file_systems.write_text(listed)
        node._choose_programs(topology.CONTROL_PLANE)
        assert link.is_symlink() is ours


def test_each_node_has_the_containerd_that_it_is_to_have(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(layout, "NODES", tmp_path)
    for each in topology.NODES:
        node._choose_programs(each)
        assert (each.home / "usr" / "bin" / "containerd").is_symlink() is (each.containerd == "2.4")


def test_names_stand_in_the_hosts_file_as_long_as_the_cluster_runs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.1 localhost\n192.0.2.1 other # not the sandbox's\n")
    before = hosts.read_text()
    monkeypatch.setattr(names, "HOSTS", hosts)
    for _ in range(2):
        names.write()
        assert hosts.read_text().count("10.213.0.11 node1.sandbox.internal api.sandbox.internal") == 1
    names.remove()
    assert hosts.read_text() == before


def test_an_unknown_node_is_refused_with_the_known_ones() -> None:
    with pytest.raises(SandboxError, match=r"'nod'.*node1"):
        topology.node_named("nod")


def test_a_route_of_the_machine_in_the_way_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    routes = [{"dst": "default"}, {"dst": "172.16.0.0/12", "dev": "vpn0"}]
    monkeypatch.setattr(network, "_LINKS", tmp_path)
    monkeypatch.setattr(network, "run", lambda *_: json.dumps(routes))
    with pytest.raises(SandboxError, match=r"172\.16\.0\.0/12 on vpn0 overlaps with the sandbox's 172\.30\.0\.0/16"):
        network.check()


def test_a_running_sandbox_of_another_checkout_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bridge = tmp_path / topology.BRIDGE
    (bridge / "brif" / "sb-node1").mkdir(parents=True)
    (bridge / "ifalias").write_text("/elsewhere\n")
    monkeypatch.setattr(network, "_LINKS", tmp_path)
    with pytest.raises(SandboxError, match="/elsewhere uses the link"):
        network.check()


def test_the_links_of_another_checkout_are_left_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bridge = tmp_path / topology.BRIDGE
    bridge.mkdir()
    (bridge / "ifalias").write_text("/elsewhere\n")
    (tmp_path / topology.CONTROL_PLANE.link).mkdir()
    monkeypatch.setattr(network, "_LINKS", tmp_path)
    monkeypatch.setattr(network, "run", lambda *command: pytest.fail(" ".join(command)))
    network.detach(topology.CONTROL_PLANE)
    network.remove()


@pytest.mark.parametrize("command", [lambda: cluster.up(Report(), for_tests=True), cluster.down, cluster.reset])
def test_everyone_but_root_is_refused_before_anything_is_touched(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: Callable[[], None]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(layout, "HOME", tmp_path / "home")
    with pytest.raises(SandboxError, match="this is user 1000: run it as root"):
        command()
    assert not (tmp_path / "home").exists()


def test_what_the_user_exported_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULUMI_BACKEND_URL", "s3://bucket")
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "own")
    variables = toolchain.environment()
    assert variables["PULUMI_BACKEND_URL"] == "s3://bucket"
    assert "PULUMI_CONFIG_PASSPHRASE_FILE" not in variables


def test_the_environment_is_the_same_when_it_is_in_force(monkeypatch: pytest.MonkeyPatch) -> None:
    variables = toolchain.environment()
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert toolchain.environment() == variables


@pytest.fixture
def pulumi_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A Pulumi home of the sandbox, a home of the user, and nothing on PATH or on the network."""
    home = tmp_path / "sandbox"
    (home / "plugins").mkdir(parents=True)
    monkeypatch.setattr(layout, "PULUMI_HOME", home)
    monkeypatch.setattr(toolchain, "_PLUGINS", home / "plugins")
    monkeypatch.setattr(toolchain, "version", lambda _: "1.2.3")
    monkeypatch.setattr(toolchain, "_install", lambda *_: False)
    monkeypatch.setenv("PULUMI_HOME", str(tmp_path / "user"))
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    return home


@pytest.fixture
def stage() -> Iterator[Stage]:
    with Report().stage("plugins") as stage:
        yield stage


def test_a_provider_of_the_user_is_linked(pulumi_home: Path, tmp_path: Path, stage: Stage) -> None:
    installed = tmp_path / "user" / "plugins" / "resource-tls-v1.2.3"
    installed.mkdir(parents=True)
    (installed / "pulumi-resource-tls").touch()
    toolchain._ensure_provider("tls", stage)
    assert (pulumi_home / "plugins" / "resource-tls-v1.2.3").readlink() == installed


def test_a_fallback_is_chosen_once(pulumi_home: Path, monkeypatch: pytest.MonkeyPatch, stage: Stage) -> None:
    assert "fallback" in toolchain._ensure_provider("tls", stage)
    monkeypatch.setattr(toolchain, "_install", lambda *_: pytest.fail("tried again"))
    assert "fallback" in toolchain._ensure_provider("tls", stage)
    link = pulumi_home / "plugins" / "resource-tls-v1.2.3" / "pulumi-resource-tls"
    assert link.readlink() == toolchain._FALLBACKS / "pulumi-resource-tls"


def test_the_official_plugin_is_built_where_it_cannot_be_downloaded(
    pulumi_home: Path, monkeypatch: pytest.MonkeyPatch, stage: Stage
) -> None:
    built = []
    monkeypatch.setattr(toolchain, "build", lambda program, _: built.append(program))
    for _ in range(2):
        assert "official, built from its Go module" in toolchain._ensure_provider("kubernetes", stage)
    assert built == [gobuild.KUBERNETES_PLUGIN] * 2
    link = pulumi_home / "plugins" / "resource-kubernetes-v1.2.3" / "pulumi-resource-kubernetes"
    assert link.readlink() == gobuild.KUBERNETES_PLUGIN.path


def test_a_provider_on_path_replaces_the_fallback(pulumi_home: Path, tmp_path: Path, stage: Stage) -> None:
    toolchain._ensure_provider("tls", stage)
    program = tmp_path / "path" / "pulumi-resource-tls"
    program.parent.mkdir()
    program.touch(mode=0o755)
    assert toolchain._ensure_provider("tls", stage) == "from PATH"
    assert not (pulumi_home / "plugins" / "resource-tls-v1.2.3").exists()


def test_a_failed_program_is_quoted() -> None:
    with pytest.raises(SandboxError, match=r"(?s)`sh -c 'echo why >&2; exit 3'` ended with exit code 3:\nwhy"):
        run("sh", "-c", "echo why >&2; exit 3")


def test_a_missing_program_is_named() -> None:
    with pytest.raises(SandboxError, match="`no-such-program` is not on PATH"):
        run("no-such-program")


def test_waiting_ends_with_what_was_waited_for() -> None:
    def refused() -> None:
        raise ConnectionRefusedError("refused")

    with pytest.raises(SandboxError, match=r"the door: not within 0\.1 s \(last: refused\); knock"):
        until(refused, "the door", 0.1, "knock")


def test_the_credentials_of_the_store_are_made_once_and_are_its_owners_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(layout, "S3", tmp_path / "s3")
    file = s3.credentials()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    parser = configparser.RawConfigParser()
    parser.read(file)
    assert all(parser["default"][f"aws_{name}"] for name in ("access_key_id", "secret_access_key"))
    before = file.read_text()
    assert s3.credentials().read_text() == before
