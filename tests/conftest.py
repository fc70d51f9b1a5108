"""Files of a cluster that exists only for a test, and which tests may run side by side."""

import fcntl
from collections.abc import Generator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncssh
import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

ROOT = Path(__file__).parent.parent
OF_ONE_STACK = (
    {"test_day2", "test_documented_commands", "test_nodes", "test_registry", "test_sandbox", "test_verify"},
    {"test_documented_stack", "test_shipped_stacks"},
)
"""Modules that would change a stack for each other: the dev stack, and the one of Pulumi.lab.yaml."""


class _ByModule(LoadScopeScheduling):  # type: ignore[misc]
    """Lets modules run side by side, but not those that share a stack."""

    def _split_scope(self, nodeid: str) -> str:
        module = nodeid.partition("::")[0]
        return next((min(modules) for modules in OF_ONE_STACK if Path(module).stem in modules), module)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """Returns who deals the tests out to processes."""
    return _ByModule(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Runs nothing beside a test that is marked `alone`: it stops what others need, or measures time."""
    folder = ROOT / ".sandbox"
    folder.mkdir(exist_ok=True)
    with (folder / "tests.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX if item.get_closest_marker("alone") else fcntl.LOCK_SH)
        return (yield)


KUBECONFIG: dict[str, Any] = {
    "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "admin"}}],
    "clusters": [{"name": "lab", "cluster": {"server": "https://192.0.2.1:6443"}}],
    "current-context": "lab",
}


@dataclass(frozen=True)
class Cluster:
    folder: Path
    config: dict[str, Any]
    ca: x509.Certificate


CaKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def make_ca(
    common_name: str,
    *,
    ca: bool = True,
    starts_in: timedelta = timedelta(days=-1),
    ends_in: timedelta = timedelta(days=3650),
    key: CaKey | None = None,
) -> tuple[x509.Certificate, CaKey]:
    key = key or ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + starts_in)
        .not_valid_after(now + ends_in)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return certificate, key


def write_pair(folder: Path, certificate: x509.Certificate, key: CaKey) -> None:
    (folder / "ca.crt").write_bytes(certificate.public_bytes(Encoding.PEM))
    write_key(folder / "ca.key", key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def write_key(file: Path, content: bytes) -> None:
    file.touch(mode=0o600)
    file.write_bytes(content)


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    """The files of a cluster with one node, and the settings of a stack on it."""
    ca, key = make_ca("cluster-ca")
    write_pair(tmp_path, ca, key)
    host_key = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode().strip()
    (tmp_path / "known_hosts").write_text(f"192.0.2.1 {host_key}\n")
    write_key(tmp_path / "id", asyncssh.generate_private_key("ssh-ed25519").export_private_key())
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(KUBECONFIG))
    config = {
        "kubeconfig": f"{tmp_path}/kubeconfig",
        "cluster": {"server": "https://192.0.2.1:6443"},
        "image": "registry.example.com/registry:3.1.2",
        "storage": {"kind": "hostPath", "node": "node1", "path": "/registry", "size": "10Gi"},
        "ca": {"certFile": f"{tmp_path}/ca.crt", "keyFile": f"{tmp_path}/ca.key"},
        "route": {"host": "registry.apps.example.com"},
        "nodes": [{"name": "node1", "host": "192.0.2.1"}],
        "ssh": {"user": "root", "privateKeyFile": f"{tmp_path}/id", "knownHostsFile": f"{tmp_path}/known_hosts"},
    }
    return Cluster(tmp_path, config, ca)
