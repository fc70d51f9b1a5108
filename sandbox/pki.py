"""The cluster's certificate authority, certificates, kubeconfigs and SSH keys. What exists is kept."""

import base64
import datetime
import json
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_VALIDITY = datetime.timedelta(days=3650)
_NO_USAGE = dict.fromkeys(
    (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    ),
    False,
)


@dataclass(frozen=True)
class Authority:
    """A certificate authority.

    Attributes:
        certificate: Its own certificate.
        key: The key it signs with.
    """

    certificate: x509.Certificate
    key: rsa.RSAPrivateKey

    @property
    def pem(self) -> bytes:
        """The certificate as PEM."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)


def authority(folder: Path) -> Authority:
    """Loads the authority kept in `ca.crt` and `ca.key` of a folder, or makes it there."""
    certificate_file, key_file = folder / "ca.crt", folder / "ca.key"
    if certificate_file.exists() and key_file.exists():
        key = serialization.load_pem_private_key(key_file.read_bytes(), password=None)
        assert isinstance(key, rsa.RSAPrivateKey)  # noqa: S101 - written below
        return Authority(x509.load_pem_x509_certificate(certificate_file.read_bytes()), key)
    key = rsa.generate_private_key(65537, 2048)
    name = _name("sandbox-ca")
    certificate = (
        _builder(name, name, key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(**{**_NO_USAGE, "key_cert_sign": True, "crl_sign": True}), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    made = Authority(certificate, key)
    _write_secret(key_file, _pem(key))
    certificate_file.write_bytes(made.pem)
    return made


def issue(
    signer: Authority,
    common_name: str,
    organization: str = "",
    names: Sequence[str] = (),
    addresses: Sequence[IPv4Address] = (),
) -> tuple[bytes, bytes]:
    """Issues a certificate: for a server if it has names or addresses, else for a client.

    Args:
        signer: The authority that signs.
        common_name: To Kubernetes the user of a client certificate.
        organization: To Kubernetes a group of that user.
        names: DNS names of the server.
        addresses: Addresses of the server.

    Returns:
        The certificate and its key, both as PEM.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    alternatives = [*map(x509.DNSName, names), *map(x509.IPAddress, addresses)]
    usage = ExtendedKeyUsageOID.SERVER_AUTH if alternatives else ExtendedKeyUsageOID.CLIENT_AUTH
    builder = (
        _builder(_name(common_name, organization), signer.certificate.subject, key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(**{**_NO_USAGE, "digital_signature": True}), critical=True)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.key.public_key()),
            critical=False,
        )
    )
    if alternatives:
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    certificate = builder.sign(signer.key, hashes.SHA256())
    return certificate.public_bytes(serialization.Encoding.PEM), _pem(key)


def write_certificate(  # noqa: PLR0913 - the parts of a certificate
    path: Path,
    signer: Authority,
    common_name: str,
    organization: str = "",
    *,
    names: Sequence[str] = (),
    addresses: Sequence[IPv4Address] = (),
) -> None:
    """Issues a certificate into `<path>.crt` and `<path>.key` unless it is there."""
    certificate_file, key_file = path.with_suffix(".crt"), path.with_suffix(".key")
    if certificate_file.exists() and key_file.exists():
        return
    certificate, key = issue(signer, common_name, organization, names, addresses)
    _write_secret(key_file, key)
    certificate_file.write_bytes(certificate)


def write_service_account_key(folder: Path) -> None:
    """Makes the key pair `sa.key`, `sa.pub` that signs the tokens of service accounts unless it is there."""
    private, public = folder / "sa.key", folder / "sa.pub"
    if private.exists() and public.exists():
        return
    key = rsa.generate_private_key(65537, 2048)
    _write_secret(private, _pem(key))
    public.write_bytes(
        key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


def write_kubeconfig(path: Path, signer: Authority, server: str, user: str, group: str = "") -> None:
    """Writes a kubeconfig with everything in it, for a user with a new client certificate, unless it is there."""
    if path.exists():
        return
    certificate, key = issue(signer, user, group)
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": "sandbox", "cluster": {"server": server, "certificate-authority-data": _base64(signer.pem)}}
        ],
        "users": [
            {
                "name": user,
                "user": {"client-certificate-data": _base64(certificate), "client-key-data": _base64(key)},
            }
        ],
        "contexts": [{"name": "sandbox", "context": {"cluster": "sandbox", "user": user}}],
        "current-context": "sandbox",
    }
    _write_secret(path, json.dumps(document, indent=2).encode())


def ssh_key(path: Path) -> str:
    """Makes an ed25519 key in OpenSSH's format unless it is there.

    Returns:
        The public key, as OpenSSH writes it in one line.
    """
    if not path.exists():
        _write_secret(
            path,
            ed25519.Ed25519PrivateKey.generate().private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
            ),
        )
    key = serialization.load_ssh_private_key(path.read_bytes(), password=None)
    return key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()


def _name(common_name: str, organization: str = "") -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    if organization:
        attributes.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
    return x509.Name(attributes)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        # An hour back: clocks differ.
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + _VALIDITY)
    )


def _pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _write_secret(path: Path, content: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_bytes(content)
