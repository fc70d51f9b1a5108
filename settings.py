"""The stack's settings: the only place that reads Pulumi's configuration.

Everything is checked before the first resource is registered, and every fault is told at once, by its key.
"""

import json
import re
from difflib import get_close_matches
from functools import cached_property
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import asyncssh
import pulumi
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_DNS_NAME_MAX = 253
_HOST_KEY_TYPES = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521")


def _dns_label(value: str) -> str:
    if not _LABEL.fullmatch(value):
        raise ValueError("must be lower-case letters, digits and '-', at most 63 characters, such as 'docker-registry'")
    return value


def _dns_name(value: str) -> str:
    labels = value.split(".")
    if len(value) > _DNS_NAME_MAX or not all(_LABEL.fullmatch(label) for label in labels) or labels[-1].isdigit():
        raise ValueError(
            "must be a host name in lower case without scheme, port or wildcard, such as 'registry.apps.example.com'"
        )
    return value


def _address(value: str) -> str:
    try:
        return str(ip_address(value))
    except ValueError:
        return _dns_name(value)


def _image(value: str) -> str:
    reference, _, digest = value.partition("@")
    name, _, tag = reference.rpartition("/")[2].partition(":")
    if not name or re.search(r"\s", value) or not (tag or digest) or (tag == "latest" and not digest):
        raise ValueError("must name a fixed version by tag or digest, such as 'registry.example.com/registry:3.1.2'")
    return value


def _quantity(value: str) -> str:
    if not re.fullmatch(r"[1-9][0-9]*(\.[0-9]+)?([kMGTPE]|[KMGTPE]i)?", value):
        raise ValueError("must be a Kubernetes quantity above zero, such as '10Gi'")
    return value


def _storage_path(value: str) -> str:
    path = Path(value)
    if not path.is_absolute() or ".." in path.parts or path == Path("/") or path.parts[1] in _SYSTEM_FOLDERS:
        raise ValueError("must be an absolute path of a folder of its own, outside the system's, such as '/registry'")
    return value


_SYSTEM_FOLDERS = ("bin", "boot", "dev", "etc", "lib", "lib64", "proc", "run", "sbin", "sys", "tmp", "usr")


def _file(value: Path) -> Path:
    try:
        value.read_bytes()
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror}): give the path of the file") from error
    return value


DnsLabel = Annotated[str, AfterValidator(_dns_label)]
DnsName = Annotated[str, AfterValidator(_dns_name)]
Address = Annotated[str, AfterValidator(_address)]
ReadableFile = Annotated[Path, AfterValidator(_file)]


class _Section(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, alias_generator=to_camel, validate_by_name=False, validate_by_alias=True
    )


class HostPathSettings(_Section):
    """A folder on one node."""

    kind: Literal["hostPath"]
    """`hostPath`."""
    node: DnsName
    """Name of the Kubernetes node that has the folder; it must be one of `nodes`."""
    path: Annotated[str, AfterValidator(_storage_path)]
    """Absolute path of the folder."""
    size: Annotated[str, AfterValidator(_quantity)]
    """Capacity as a Kubernetes quantity."""


class AuthoritySettings(_Section):
    """The cluster CA, as files."""

    cert_file: ReadableFile
    """The CA's certificate (PEM)."""
    key_file: ReadableFile
    """The CA's unencrypted private key (PEM)."""

    @cached_property
    def cert_pem(self) -> str:
        """The certificate (PEM)."""
        return self.cert_file.read_text()

    @property
    def key_pem(self) -> pulumi.Output[str]:
        """The private key (PEM), a secret."""
        return pulumi.Output.secret(self.key_file.read_text())

    @model_validator(mode="after")
    def _check_pair(self) -> Self:
        try:
            certificate = x509.load_pem_x509_certificate(self.cert_file.read_bytes())
        except ValueError as error:
            raise ValueError(f"certFile '{self.cert_file}' is no PEM certificate: give the cluster CA's") from error
        try:
            key = load_pem_private_key(self.key_file.read_bytes(), password=None)
        except (ValueError, TypeError) as error:
            raise ValueError(
                f"keyFile '{self.key_file}' is no unencrypted PEM private key: give the cluster CA's"
            ) from error
        try:
            is_ca = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        except x509.ExtensionNotFound:
            is_ca = False
        if not is_ca:
            raise ValueError(
                f"certFile '{self.cert_file}' may not sign (no CA:TRUE): give the cluster CA's certificate"
            )
        spki = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        if key.public_key().public_bytes(*spki) != certificate.public_key().public_bytes(*spki):
            raise ValueError(f"keyFile '{self.key_file}' is not the key of certFile '{self.cert_file}': give the pair")
        return self


class CertificateSettings(_Section):
    """Lifetime of the registry's certificate."""

    validity_hours: int = Field(default=17520, gt=0)
    """Hours from its creation until the certificate ends; two years unless set."""
    early_renewal_hours: int = Field(default=1440, ge=0)
    """Hours before its end from which on the next `pulumi up` renews it; 60 days unless set."""

    @model_validator(mode="after")
    def _check_renewal(self) -> Self:
        if self.early_renewal_hours >= self.validity_hours:
            raise ValueError(
                f"earlyRenewalHours {self.early_renewal_hours} is not below validityHours {self.validity_hours}: "
                "every run would renew the certificate; lower it"
            )
        return self


class RouteSettings(_Section):
    """The passthrough Route."""

    host: DnsName
    """Host name under which clients outside the cluster reach the registry."""


class NodeSettings(_Section):
    """A node whose container runtime pulls from the registry."""

    name: DnsName
    """Name of the Kubernetes node."""
    host: Address
    """Host name or IP address of its SSH server."""
    port: int = Field(default=22, ge=1, le=65535)
    """TCP port of its SSH server."""


class SshSettings(_Section):
    """Login to the nodes."""

    user: str = Field(min_length=1)
    """Login user, who may write below /etc/docker/certs.d."""
    known_hosts_file: ReadableFile
    """The nodes' host keys, in OpenSSH's known_hosts format, as `ssh-keyscan -t ed25519` prints them."""
    private_key_file: ReadableFile | None = None
    """Login key (PEM); without one the SSH agent is asked."""

    @property
    def private_key(self) -> pulumi.Output[str] | None:
        """The login key (PEM), a secret."""
        return pulumi.Output.secret(self.private_key_file.read_text()) if self.private_key_file else None

    def host_key(self, node: NodeSettings) -> str:
        """The node's host key, as `ssh-ed25519 AAAA…`.

        Raises:
            ValueError: the file has none that Pulumi's SSH client can verify.
        """
        keys = asyncssh.match_known_hosts(str(self.known_hosts_file), node.host, node.host, node.port)[0]
        for key in keys:
            if key.get_algorithm() in _HOST_KEY_TYPES:
                return key.export_public_key().decode().strip()
        raise ValueError(
            f"'{self.known_hosts_file}' has no ed25519 or ecdsa host key of node '{node.name}' ({node.host}): "
            f"check and add what `ssh-keyscan -t ed25519 -p {node.port} {node.host}` prints"
        )


class Settings(_Section):
    """Everything a stack may set, under the project's name in `Pulumi.<stack>.yaml`."""

    kubeconfig: ReadableFile
    """Kubeconfig of the stack's cluster."""
    context: str | None = None
    """Context in it; its current one unless set."""
    namespace: DnsLabel = "docker-registry"
    """Namespace that the stack makes for the registry."""
    image: Annotated[str, AfterValidator(_image)]
    """Image of the registry, with a tag or a digest."""
    node_selector: dict[str, str] = Field(default={"region": "infra"}, min_length=1)
    """Labels of the nodes that may run the registry."""
    storage: HostPathSettings
    """Where the images are kept."""
    ca: AuthoritySettings
    """The cluster CA that signs the registry's certificate."""
    certificate: CertificateSettings = CertificateSettings()
    """Lifetime of that certificate."""
    route: RouteSettings
    """The way in from outside the cluster."""
    nodes: list[NodeSettings] = Field(min_length=1)
    """Nodes that must trust the registry."""
    ssh: SshSettings
    """Login to them."""

    @model_validator(mode="after")
    def _check_nodes(self) -> Self:
        names = [node.name for node in self.nodes]
        if repeated := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"nodes names {', '.join(sorted(repeated))} more than once: keep one entry a node")
        if self.storage.node not in names:
            raise ValueError(
                f"storage.node '{self.storage.node}' is not one of nodes ({', '.join(names)}): add it there"
            )
        for node in self.nodes:
            self.ssh.host_key(node)
        return self


def load() -> Settings:
    """The running stack's settings.

    Raises:
        pulumi.RunError: some are missing, unknown or wrong; the message names each key, value, reason and mend.
    """
    project = pulumi.get_project()
    prefix = f"{project}:"
    values = {
        key.removeprefix(prefix): _value(raw)
        for key, raw in pulumi.runtime.get_config_env().items()
        if key.startswith(prefix)
    }
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        faults = "\n".join(f"  {_describe(prefix, fault)}" for fault in error.errors())
        raise pulumi.RunError(f"stack '{pulumi.get_stack()}' has wrong settings:\n{faults}") from None


def _value(raw: str) -> Any:  # noqa: ANN401 (any JSON value)
    """A setting as Pulumi hands it over: lists and maps as JSON, all else as plain text."""
    try:
        return json.loads(raw) if raw.startswith(("{", "[")) else raw
    except ValueError:
        return raw


def _describe(prefix: str, fault: Any) -> str:  # noqa: ANN401 (pydantic's ErrorDetails is a private type's name)
    """One line for one fault: the key as it stands in the stack's file, the value, the reason and the mend."""
    path = prefix + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in fault["loc"]).lstrip(".")
    match fault["type"]:
        case "missing":
            return f"{path} is missing: set it, see the table of settings in the README"
        case "extra_forbidden":
            near = get_close_matches(str(fault["loc"][-1]), _known_keys(fault["loc"][:-1]), n=1)
            mend = f"did you mean '{near[0]}'?" if near else "remove it, see the table of settings in the README"
            return f"{path} is not a setting: {mend}"
        case "value_error" if isinstance(fault["input"], dict | BaseModel):
            return f"{path.rstrip(':')}: {fault['ctx']['error']}"
        case "value_error":
            return f"{path} '{fault['input']}' {fault['ctx']['error']}"
        case _:
            return f"{path} '{fault['input']}' is wrong: {fault['msg'].removeprefix('Input ')}"


def _known_keys(path: tuple[str | int, ...]) -> list[str]:
    """Keys of the section at a path."""
    section: type[BaseModel] = Settings
    for part in path:
        if isinstance(part, str):
            field = next(f for f in section.model_fields.values() if f.alias == part)
            section = next(
                t
                for t in (field.annotation, *getattr(field.annotation, "__args__", ()))
                if isinstance(t, type) and issubclass(t, BaseModel)
            )
    return [str(field.alias) for field in section.model_fields.values()]
