"""The stack's settings: the only place that reads Pulumi's configuration.

Everything is checked before the first resource is registered, and every fault is told at once, by its key.
"""

import json
from difflib import get_close_matches
from pathlib import Path
from string import Template
from typing import Annotated, Any, Literal, Self

import asyncssh
import pulumi
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.alias_generators import to_camel

import rules

_HOST_KEY_TYPES = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521")
_NODES_MAX = 64

Address = Annotated[str, AfterValidator(rules.address)]
DnsName = Annotated[str, AfterValidator(rules.dns_name)]
ReadableFile = Annotated[Path, AfterValidator(rules.readable_file)]


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
    path: Annotated[str, AfterValidator(rules.storage_path)]
    """Absolute path of the folder."""
    size: Annotated[str, AfterValidator(rules.quantity)]
    """Capacity as a Kubernetes quantity."""


class AuthoritySettings(_Section):
    """The cluster CA, as files."""

    cert_file: Annotated[Path, AfterValidator(rules.ca_certificate)]
    """The CA's certificate (PEM)."""
    key_file: Annotated[Path, AfterValidator(rules.ca_key)]
    """The CA's unencrypted private key (PEM), readable by its owner alone."""

    @property
    def cert_pem(self) -> str:
        """The certificate (PEM)."""
        return self.cert_file.read_text()

    @property
    def key_pem(self) -> pulumi.Output[str]:
        """The private key (PEM), a secret."""
        return pulumi.Output.secret(self.key_file.read_text())

    @model_validator(mode="after")
    def _check_pair(self) -> Self:
        if not rules.is_pair(self.cert_file, self.key_file):
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
    private_key_file: Annotated[Path, AfterValidator(rules.login_key)] | None = None
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
    namespace: Annotated[str, AfterValidator(rules.own_namespace)] = "docker-registry"
    """Namespace that the stack makes for the registry."""
    version: str | None = None
    """What `${version}` in `image` stands for."""
    image: str
    """Image of the registry, with a tag or a digest; `${component}` in it stands for `docker-registry`."""
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

    @field_validator("image")
    @classmethod
    def _fill_in_image(cls, image: str, info: ValidationInfo) -> str:
        names = {"component": "docker-registry", "version": info.data.get("version")}
        try:
            return rules.image(Template(image).substitute({name: value for name, value in names.items() if value}))
        except KeyError as error:
            name = error.args[0]
            mend = "set registry:version" if name in names else f"only {' and '.join(names)} can stand there"
            raise ValueError(f"has ${{{name}}}, which stands for nothing: {mend}") from error

    @model_validator(mode="after")
    def _check_context(self) -> Self:
        known = rules.contexts(self.kubeconfig)
        if self.context and self.context not in known:
            raise ValueError(f"context '{self.context}' is not in '{self.kubeconfig}': choose of {', '.join(known)}")
        return self

    @model_validator(mode="after")
    def _check_nodes(self) -> Self:
        names = [node.name for node in self.nodes]
        places = [f"{node.host}:{node.port}" for node in self.nodes]
        for listed in (names, places):
            if repeated := {each for each in listed if listed.count(each) > 1}:
                raise ValueError(f"nodes has {', '.join(sorted(repeated))} more than once: keep one entry a node")
        if len(names) > _NODES_MAX:
            raise ValueError(
                f"nodes has {len(names)} entries: each is a resource, and above {_NODES_MAX} their checkpoints take "
                "longer than the work; split the nodes among stacks"
            )
        if self.storage.node not in names:
            raise ValueError(
                f"storage.node '{self.storage.node}' is not one of nodes ({', '.join(names)}): add it there"
            )
        if self.route.host in (*names, *(node.host for node in self.nodes)):
            raise ValueError(f"route.host '{self.route.host}' is a node: give the registry a host name of its own")
        for node in self.nodes:
            self.ssh.host_key(node)
        return self

    @model_validator(mode="after")
    def _check_lifetime(self) -> Self:
        left = rules.hours_left(self.ca.cert_file)
        if self.certificate.validity_hours > left:
            raise ValueError(
                f"certificate.validityHours {self.certificate.validity_hours} is more than the {left} hours that the "
                "CA has left: clients would refuse the certificate; lower it, or renew the CA"
            )
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
