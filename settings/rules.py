"""What single settings must be: plain functions that return the value or raise ValueError with reason and mend."""

import re
from base64 import b64decode
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path, PurePosixPath
from stat import S_IMODE, S_IRWXG, S_IRWXO
from urllib.parse import urlsplit

import asyncssh
import yaml
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from pydantic_core import Url

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_DNS_NAME_MAX = 253
_RSA_BITS_MIN = 2048
_IMAGE = re.compile(
    r"([\w.-]+(:\d+)?/)?"  # registry
    r"[a-z0-9]+([._/-]+[a-z0-9]+)*"  # repository
    r"(:(?P<tag>\w[\w.-]{0,127}))?(@sha256:(?P<digest>[0-9a-f]{64}))?",
    re.ASCII,
)
_HTTPS = re.compile(r"https://[^/?#@\s]+(/[^?#\s]*)?", re.IGNORECASE)
_SHARED_FOLDERS = frozenset(
    map(
        PurePosixPath,
        (
            *("/", "/home", "/media", "/mnt", "/opt", "/srv", "/var", "/var/cache", "/var/lib", "/var/log"),
            *("/var/opt", "/var/spool"),
        ),
    )
)
"""Where others have folders too: one of the registry's own can be in them, but what is there must not become its."""
_TAKEN_FOLDERS = frozenset(
    map(
        PurePosixPath,
        (
            *("/bin", "/boot", "/dev", "/etc", "/lib", "/lib64", "/proc", "/root", "/run", "/sbin", "/sys", "/tmp"),  # noqa: S108 (a name)
            *("/usr", "/var/run", "/var/tmp"),  # noqa: S108 (a name)
            *("/var/lib/cni", "/var/lib/containerd", "/var/lib/containers", "/var/lib/docker", "/var/lib/etcd"),
            *("/var/lib/kubelet", "/var/lib/origin", "/var/lib/rancher"),
        ),
    )
)


def dns_label(value: str) -> str:
    """A DNS-1123 label, as names of namespaces are."""
    if not _LABEL.fullmatch(value):
        raise ValueError("must be lower-case letters, digits and '-', at most 63 characters, such as 'docker-registry'")
    return value


def own_namespace(value: str) -> str:
    """A namespace that can be the registry's alone."""
    if value in ("default", "openshift") or value.startswith(("kube-", "openshift-")):
        raise ValueError("belongs to the cluster: choose a namespace of the registry's own, such as 'docker-registry'")
    return dns_label(value)


def dns_name(value: str) -> str:
    """A host name."""
    labels = value.split(".")
    if len(value) > _DNS_NAME_MAX or not all(map(_LABEL.fullmatch, labels)) or labels[-1].isdigit():
        raise ValueError(
            "must be a host name in lower case without scheme, port or wildcard, such as 'registry.apps.example.com'"
        )
    return value


def object_name(value: str) -> str:
    """A DNS-1123 subdomain, as names of most objects in a cluster are."""
    if len(value) > _DNS_NAME_MAX or not _SUBDOMAIN.fullmatch(value):
        raise ValueError(
            "must be a Kubernetes object name: lower-case letters, digits, '-' and '.', such as 'node1.example.com'"
        )
    return value


def node_name(value: str) -> str:
    """Name of one node, as the cluster has it."""
    return object_name(_without_range(value))


def address(value: str) -> str:
    """A host name or an IP address."""
    try:
        return str(ip_address(value))
    except ValueError:
        return dns_name(_without_range(value))


def image(value: str) -> str:
    """An image reference that names a fixed version."""
    parts = _IMAGE.fullmatch(value)
    if not parts or not (parts["digest"] or parts["tag"] not in (None, "latest")):
        raise ValueError("must name a fixed version by tag or digest, such as 'registry.example.com/registry:3.1.2'")
    return value


def schedule(value: str) -> str:
    """A schedule in the syntax of cron."""
    if not re.fullmatch(r"@(hourly|daily|midnight|weekly|monthly)|[\w*/,?-]+( [\w*/,?-]+){4}", value):
        raise ValueError("must be five fields as cron has them, such as '0 3 * * *' for every night at three")
    return value


def quantity(value: str) -> str:
    """A Kubernetes quantity above zero."""
    if not re.fullmatch(r"(?=.*[1-9])[0-9]+(\.[0-9]+)?([kMGTPE]|[KMGTPE]i)?", value):
        raise ValueError("must be a Kubernetes quantity above zero, such as '10Gi'")
    return value


def cpu(value: str) -> str:
    """A number of cores above zero, which Kubernetes counts in thousandths."""
    if not re.fullmatch(r"(?=.*[1-9])([0-9]+m|[0-9]+(\.[0-9]{1,3})?)", value):
        raise ValueError("must be a number of cores above zero, such as '500m' or '2'")
    return value


def storage_path(value: str) -> str:
    """A folder on a node that neither the system nor the node's own programs use."""
    # Two slashes at the start would be a root of their own.
    path = PurePosixPath("/", absolute_path(value).lstrip("/"))
    if path in _SHARED_FOLDERS or not _TAKEN_FOLDERS.isdisjoint({path, *path.parents}):
        raise ValueError("is the system's: choose a folder of the registry's own, such as '/registry'")
    return value


def readable_file(value: Path) -> Path:
    """A file that can be read."""
    try:
        value.read_bytes()
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror}): give the path of the file") from error
    return value


def absolute_path(value: str) -> str:
    """An absolute path on another machine, or in a bucket."""
    if not PurePosixPath(value).is_absolute() or ".." in PurePosixPath(value).parts or re.search(r"[\x00-\x1f]", value):
        raise ValueError("must be an absolute path without '..', such as '/registry'")
    return value


def server_url(value: str) -> str:
    """URL of a server that is spoken to over TLS, returned in the one spelling that all its spellings share."""
    try:
        url = Url(value) if _HTTPS.fullmatch(value) else None
    except ValueError:
        url = None
    if url is None:
        raise ValueError("must be an https URL, such as 'https://api.example.com:6443'")
    return str(url).rstrip("/")


def endpoint_url(value: str) -> str:
    """URL of a server, as `server_url`, without a path."""
    url = server_url(value)
    if urlsplit(url).path:
        raise ValueError("must be an https URL without a path, such as 'https://s3.example.com:9000'")
    return url


def fingerprint(value: str) -> str:
    """A SHA-256 fingerprint, with or without colons."""
    plain = value.replace(":", "").lower()
    if not re.fullmatch(r"[0-9a-f]{64}", plain):
        raise ValueError("must be a SHA-256 fingerprint: what `openssl x509 -noout -fingerprint -sha256` prints")
    return plain


def api_server(kubeconfig: Path, context: str | None) -> tuple[str, str | None]:
    """Returns URL and CA fingerprint (SHA-256) of the API server that a context leads to; the current one if None."""
    try:
        loaded = yaml.safe_load(kubeconfig.read_text())
        contexts = {entry["name"]: entry["context"] for entry in loaded["contexts"]}
        clusters = {entry["name"]: entry["cluster"] for entry in loaded["clusters"]}
        chosen = context or loaded["current-context"]
        if chosen not in contexts:
            raise ValueError(f"context '{chosen}' is not in '{kubeconfig}': choose of {', '.join(contexts)}")
        cluster = clusters[contexts[chosen]["cluster"]]
        server = str(cluster["server"])
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"kubeconfig '{kubeconfig}' leads to no cluster: give a whole kubeconfig file") from error
    try:
        url = server_url(server)
    except ValueError as error:
        raise ValueError(f"kubeconfig '{kubeconfig}' leads to '{server}', which {error}") from error
    try:
        if "certificate-authority-data" in cluster:
            pem = b64decode(cluster["certificate-authority-data"])
        elif "certificate-authority" in cluster:
            pem = (kubeconfig.parent / cluster["certificate-authority"]).read_bytes()
        else:
            return url, None
        return url, x509.load_pem_x509_certificate(pem).fingerprint(SHA256()).hex()
    except (OSError, ValueError) as error:
        raise ValueError(f"kubeconfig '{kubeconfig}' has a CA that cannot be read ({error}): mend it") from error


def known_hosts(value: Path) -> Path:
    """A readable file of host keys in OpenSSH's format."""
    content = readable_file(value).read_bytes()
    try:
        asyncssh.import_known_hosts(content.decode())
    except ValueError as error:
        raise ValueError(f"has no host keys ({error}): put there what `ssh-keyscan -t ed25519` prints") from error
    return value


def key_file(value: Path) -> Path:
    """A readable file that only its owner can read."""
    mode = S_IMODE(readable_file(value).stat().st_mode)
    if mode & (S_IRWXG | S_IRWXO):
        raise ValueError(f"holds a private key that others can read (mode {mode:04o}): run `chmod 0600 {value}`")
    return value


def certificates(value: Path) -> Path:
    """A readable file of PEM certificates, and nothing secret."""
    pem = readable_file(value).read_bytes()
    if b"PRIVATE KEY" in pem:
        raise ValueError("holds a private key: leave only certificates in it")
    try:
        x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise ValueError("has no PEM certificate: give those of the CAs") from error
    return value


def ca_certificate(value: Path) -> Path:
    """A readable file with a CA's certificate that is valid now, and nothing secret."""
    pem = readable_file(value).read_bytes()
    if b"PRIVATE KEY" in pem:
        raise ValueError("holds a private key, and is copied to every node: leave only the certificate in it")
    try:
        certificate = x509.load_pem_x509_certificate(pem)
    except ValueError as error:
        raise ValueError("is no PEM certificate: give the cluster CA's") from error
    if not _may_sign(certificate):
        raise ValueError("may not sign certificates (no CA:TRUE with keyCertSign): give the cluster CA's certificate")
    digest = certificate.signature_hash_algorithm
    if digest and digest.name == "sha1":
        raise ValueError("is signed with SHA-1, which clients refuse: renew the cluster CA")
    if not certificate.not_valid_before_utc <= datetime.now(UTC) <= certificate.not_valid_after_utc:
        raise ValueError(
            f"is valid from {certificate.not_valid_before_utc:%F} to {certificate.not_valid_after_utc:%F}, not today: "
            "renew the cluster CA"
        )
    return value


def ca_key(value: Path) -> Path:
    """A key file with an unencrypted PEM private key that is strong enough for a CA."""
    key = _private_key(key_file(value))
    if isinstance(key, RSAPrivateKey) and key.key_size < _RSA_BITS_MIN:
        raise ValueError(f"is an RSA key of {key.key_size} bits, which clients refuse: renew the cluster CA")
    return value


def is_pair(certificate: Path, key: Path) -> bool:
    """Says whether a certificate is for a private key; both files are known to be good."""
    spki = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    public = x509.load_pem_x509_certificate(certificate.read_bytes()).public_key()
    return public.public_bytes(*spki) == _private_key(key).public_key().public_bytes(*spki)


def hours_left(certificate: Path) -> int:
    """Returns the whole hours until a certificate ends."""
    end = x509.load_pem_x509_certificate(certificate.read_bytes()).not_valid_after_utc
    return int((end - datetime.now(UTC)).total_seconds() // 3600)


def login_key(value: Path) -> Path:
    """A key file with an SSH private key that needs no passphrase."""
    try:
        asyncssh.read_private_key(key_file(value))
    except (asyncssh.KeyEncryptionError, asyncssh.KeyImportError) as error:
        raise ValueError(
            f"cannot be used ({error}): give a private key without passphrase, or leave it out and use the SSH agent"
        ) from error
    return value


def _without_range(value: str) -> str:
    if re.search(r"\{.*\}", value):
        raise ValueError("has a brace range, and those are not expanded: list every node")
    return value


def _may_sign(certificate: x509.Certificate) -> bool:
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound as error:
        # A CA may leave its key usage open, but not that it is a CA.
        return error.oid == x509.KeyUsage.oid and constraints.ca
    return constraints.ca and usage.key_cert_sign


def _private_key(file: Path) -> PrivateKeyTypes:
    try:
        return load_pem_private_key(file.read_bytes(), password=None)
    except (ValueError, TypeError) as error:
        raise ValueError("is no unencrypted PEM private key: give the cluster CA's") from error
