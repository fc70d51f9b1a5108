"""The stack's settings: the only place that reads Pulumi's configuration.

Everything is checked before the first resource is registered, and every fault is told at once, by its key.
"""

import json
import os
import subprocess
from pathlib import Path
from string import Template
from typing import Annotated, Any, Self

import asyncssh
import pulumi
from pydantic import AfterValidator, Field, ValidationError, ValidationInfo, field_validator, model_validator

from settings import rules
from settings.faults import describe
from settings.maintenance import BackupSettings, GarbageCollectionSettings, MoveSettings, ToolSettings
from settings.pods import ResourceSettings, TolerationSettings
from settings.section import Section
from settings.storage import ClaimSettings, EmptyDirSettings, HostPathSettings, StorageSettings

_HOST_KEY_TYPES = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521")
_SSH_PORT = 22
_NODES_MAX = 64
_HOURS_ON_MACOS = 825 * 24
_PROJECT = "registry"

Address = Annotated[str, AfterValidator(rules.address)]
DnsName = Annotated[str, AfterValidator(rules.dns_name)]
NodeName = Annotated[str, AfterValidator(rules.node_name)]
ObjectName = Annotated[str, AfterValidator(rules.object_name)]


class SettingsError(Exception):
    """A stack's settings are missing, unknown or wrong; the message names each key, value, reason and mend."""


class ClusterSettings(Section):
    """The cluster that the stack is for; a kubeconfig that leads to any other is refused before anything is asked."""

    server: Annotated[str, AfterValidator(rules.server_url)]
    """URL of its API server, with the path if it has one."""
    ca_sha256: Annotated[str, AfterValidator(rules.fingerprint)] | None = None
    """SHA-256 fingerprint of the CA that signs the API server's certificate, which no other cluster can pretend to."""


class AuthoritySettings(Section):
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


class CertificateSettings(Section):
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


class RouteSettings(Section):
    """The passthrough Route."""

    host: DnsName
    """Host name under which clients outside the cluster reach the registry."""


class NodeSettings(Section):
    """A node whose container runtime pulls from the registry."""

    name: NodeName
    """Name of the Kubernetes node."""
    host: Address
    """Host name or IP address of its SSH server."""
    port: int = Field(default=_SSH_PORT, ge=1, le=65535)
    """TCP port of its SSH server."""
    user: str | None = Field(default=None, min_length=1)
    """Login user of this node: root, or one who may run `sudo` without a password; `ssh.user` unless set."""

    @property
    def known_names(self) -> list[str]:
        """Its names in a known_hosts file, in the order in which ssh looks for them."""
        return [self.host] if self.port == _SSH_PORT else [f"[{self.host}]:{self.port}", self.host]


class SshSettings(Section):
    """Login to the nodes."""

    user: str = Field(min_length=1)
    """Login user of nodes that have none of their own: root, or one who may run `sudo` without a password."""
    known_hosts_file: Annotated[Path, AfterValidator(rules.known_hosts)]
    """The nodes' host keys, in OpenSSH's known_hosts format, as `ssh-keyscan -t ed25519` prints them; hashed or not."""
    private_key_file: Annotated[Path, AfterValidator(rules.login_key)] | None = None
    """Login key (PEM); without one the SSH agent is asked."""

    @property
    def private_key(self) -> pulumi.Output[str] | None:
        """The login key (PEM), a secret."""
        return pulumi.Output.secret(self.private_key_file.read_text()) if self.private_key_file else None

    def user_on(self, node: NodeSettings) -> str:
        """The login user of a node."""
        return node.user or self.user

    def host_key(self, node: NodeSettings) -> str:
        """The node's host key, as `ssh-ed25519 AAAA…`.

        Raises:
            ValueError: the file has none that Pulumi's SSH client can verify.
        """
        known = asyncssh.read_known_hosts(str(self.known_hosts_file))
        found = [known.match(name, "", None) for name in node.known_names]
        revoked = [key for _, _, keys, *_ in found for key in keys]
        usable = [key for keys, *_ in found for key in keys if key.get_algorithm() in _HOST_KEY_TYPES]
        for key in usable:
            if key not in revoked:
                algorithm, data, *_ = key.export_public_key().decode().split()
                return f"{algorithm} {data}"
        if usable:
            raise ValueError(
                f"'{self.known_hosts_file}' has only revoked host keys of node '{node.name}' ({node.host}): "
                "give the node a new one, and add that"
            )
        raise ValueError(
            f"'{self.known_hosts_file}' has no ed25519 or ecdsa host key of node '{node.name}' ({node.host}): "
            f"check and add what `{self.scan(node)}` prints"
        )

    def scan(self, node: NodeSettings) -> str:
        """The command that prints a node's host key as a line for the file."""
        hashed = "-H " if "|1|" in self.known_hosts_file.read_text() else ""
        return f"ssh-keyscan {hashed}-t ed25519 -p {node.port} {node.host}"


class Settings(Section):
    """Everything a stack may set, under the project's name in `Pulumi.<stack>.yaml`."""

    kubeconfig: Annotated[Path, AfterValidator(rules.readable_file)]
    """Kubeconfig of the stack's cluster."""
    context: str | None = None
    """Context in it; its current one unless set."""
    cluster: ClusterSettings
    """Identity of the stack's cluster."""
    create_namespace: bool = True
    """Whether the stack makes the namespace; otherwise it exists."""
    namespace: Annotated[str, AfterValidator(rules.dns_label)] = "docker-registry"
    """Namespace of the registry."""
    version: str | None = None
    """What `${version}` in `image` stands for."""
    image: str
    """Image of the registry, with a tag or a digest; `${component}` in it stands for `docker-registry`."""
    node_selector: dict[str, str] = Field(default={"region": "infra"}, min_length=1)
    """Labels of the nodes that may run the registry and its Jobs. A change restarts the registry's pods."""
    tolerations: list[TolerationSettings] = Field(default=[])
    """Taints of those nodes that the registry and its Jobs tolerate; none unless set. A change restarts the registry's
    pods."""
    resources: ResourceSettings = ResourceSettings()
    """Requests and limits of the registry's containers and of those of its Jobs, for namespaces with a quota or bounds.
    A change restarts the registry's pods."""
    image_pull_secrets: list[ObjectName] = Field(default=[])
    """Names of the Secrets, in the registry's namespace, that the registry and its Jobs pull their own images with;
    none unless set. A change restarts the registry's pods."""
    priority_class_name: ObjectName | None = None
    """PriorityClass of the registry and its Jobs, which exists; the cluster's default unless set. A change restarts the
    registry's pods."""
    replicas: int = Field(default=1, ge=0)
    """Number of the registry's pods."""
    storage: StorageSettings
    """Where the images are kept."""
    ca: AuthoritySettings
    """The cluster CA that signs the registry's certificate."""
    certificate: CertificateSettings = CertificateSettings()
    """Lifetime of that certificate."""
    garbage_collection: GarbageCollectionSettings | None = None
    """When and how blobs are deleted that no image refers to; never unless set."""
    move: MoveSettings | None = None
    """The storage that the next `up` moves the images from."""
    backup: BackupSettings | None = None
    """When and where images are backed up; never unless set."""
    tools: ToolSettings = ToolSettings()
    """Images of the tools for that."""
    route: RouteSettings
    """The way in from outside the cluster."""
    nodes: list[NodeSettings] = Field(min_length=1)
    """Nodes that must trust the registry."""
    ssh: SshSettings
    """Login to them."""

    @field_validator(
        *("context", "version", "garbage_collection", "move", "backup", "priority_class_name"), mode="before"
    )
    @classmethod
    def _unset_if_empty(cls, value: Any) -> Any:  # noqa: ANN401 (any value)
        # Pulumi.yaml has to give a default to every setting that may be left out, and knows no other word for none.
        return value or None

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

    @field_validator("namespace")
    @classmethod
    def _check_namespace(cls, namespace: str, info: ValidationInfo) -> str:
        return rules.own_namespace(namespace) if info.data.get("create_namespace", True) else namespace

    @model_validator(mode="after")
    def _check_cluster(self) -> Self:
        server, ca = rules.api_server(self.kubeconfig, self.context)
        if server != self.cluster.server:
            raise ValueError(
                f"kubeconfig '{self.kubeconfig}' leads to {server}, but cluster.server is {self.cluster.server}: "
                "this stack is for that cluster alone; give its kubeconfig and context"
            )
        if self.cluster.ca_sha256 not in (None, ca):
            raise ValueError(
                f"kubeconfig '{self.kubeconfig}' trusts the CA {ca or '(none)'}, but cluster.caSha256 is "
                f"{self.cluster.ca_sha256}: this stack is for that cluster alone; give its kubeconfig and context"
            )
        return self

    @model_validator(mode="after")
    def _check_replicas(self) -> Self:
        limits = self.storage.limits
        if limits.most_replicas is not None and self.replicas > limits.most_replicas:
            raise ValueError(
                f"replicas {self.replicas} is more than storage.kind '{self.storage.kind}' allows, for "
                f"{limits.reason}: set it to {limits.most_replicas}, or choose s3, nfs or a claim with accessMode "
                "ReadWriteMany"
            )
        return self

    @model_validator(mode="after")
    def _check_garbage_collection(self) -> Self:
        if self.garbage_collection and isinstance(self.storage, EmptyDirSettings):
            raise ValueError(
                "garbageCollection cannot reach the folder of storage.kind 'emptyDir', which goes with the pod anyway: "
                "remove it, or choose another storage"
            )
        return self

    @property
    def _storages(self) -> dict[str, StorageSettings]:
        """Every storage, by its key."""
        return {
            "storage": self.storage,
            **({"move.from": self.move.source} if self.move else {}),
            **({"backup.storage": self.backup.storage} if self.backup else {}),
        }

    @model_validator(mode="after")
    def _check_copies(self) -> Self:
        if self.move and self.move.source.kind == self.storage.kind:
            raise ValueError(
                f"move.from.kind is '{self.storage.kind}' as storage.kind is, and their claims would have one name: "
                "move to another kind first"
            )
        if self.backup and self._places["backup.storage"] == self._places["storage"]:
            raise ValueError("backup.storage is the storage of the registry: give the backup another place")
        match self.backup, self.storage:
            case BackupSettings(storage=HostPathSettings(node=there)), HostPathSettings(node=here) if there != here:
                raise ValueError(
                    f"backup.storage.node '{there}' is not storage.node '{here}', and one pod has to reach both: keep "
                    "the backup on nfs, a claim or s3"
                )
        if len(self._storages) > 1:
            for key, storage in self._storages.items():
                if storage.kind == "emptyDir":
                    raise ValueError(f"{key}.kind 'emptyDir' goes with its pod: choose another storage")
        return self

    @property
    def _places(self) -> dict[str, object]:
        """What is where in the storages, by their keys; a claim that is made is like no other."""
        where = {"kind", "node", "server", "path", "name", "endpoint", "bucket", "root_directory"}
        return {
            key: key if isinstance(storage, ClaimSettings) else storage.model_dump(include=where)
            for key, storage in self._storages.items()
        }

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
        for key, storage in self._storages.items():
            if isinstance(storage, HostPathSettings) and storage.node not in names:
                raise ValueError(f"{key}.node '{storage.node}' is not one of nodes ({', '.join(names)}): add it there")
        if self.route.host in (*names, *(node.host for node in self.nodes)):
            raise ValueError(f"route.host '{self.route.host}' is a node: give the registry a host name of its own")
        for node in self.nodes:
            self.ssh.host_key(node)
        return self

    @model_validator(mode="after")
    def _check_tools(self) -> Self:
        wanted = [
            ("garbageCollection", self.garbage_collection, ["kubectl"]),
            ("move", self.move, ["kubectl", "rclone"]),
            ("backup", self.backup, ["kubectl", "rclone"]),
        ]
        for key, section, tools in wanted:
            if section and (missing := [f"tools.{tool}" for tool in tools if not getattr(self.tools, tool)]):
                raise ValueError(f"{key} needs {' and '.join(missing)}: set it to an image that has the tool")
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
    values = {
        key.removeprefix(f"{_PROJECT}:"): _value(raw)
        for key, raw in pulumi.runtime.get_config_env().items()
        if key.startswith(f"{_PROJECT}:")
    }
    try:
        settings = _validated(pulumi.get_stack(), values)
    except SettingsError as error:
        raise pulumi.RunError(str(error)) from None
    # A preview logs in nowhere.
    if not (settings.ssh.private_key_file or "SSH_AUTH_SOCK" in os.environ or pulumi.runtime.is_dry_run()):
        raise pulumi.RunError(
            "registry:ssh.privateKeyFile is missing, and there is no SSH agent (SSH_AUTH_SOCK): set it, or start an "
            "agent that has the login key"
        )
    if settings.certificate.validity_hours > _HOURS_ON_MACOS:
        pulumi.log.warn(
            f"registry:certificate.validityHours {settings.certificate.validity_hours} is more than {_HOURS_ON_MACOS} "
            "(825 days): clients on macOS refuse the certificate; lower it if there are any"
        )
    return settings


def of_stack(stack: str) -> Settings:
    """The settings of a stack, for a command that runs beside the program; the engine decrypts the secret ones.

    Raises:
        SettingsError: the engine cannot read them, or some are missing, unknown or wrong.
    """
    command = ["pulumi", "config", "--json", "--show-secrets", "--stack", stack]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise SettingsError(f"the settings of stack '{stack}' cannot be read: {done.stderr.strip()}")
    return _validated(
        stack,
        {
            key.removeprefix(f"{_PROJECT}:"): entry.get("objectValue", entry["value"])
            for key, entry in json.loads(done.stdout).items()
            if key.startswith(f"{_PROJECT}:")
        },
    )


def _validated(stack: str, values: dict[str, Any]) -> Settings:
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        faults = "\n".join(f"  {describe(_PROJECT, Settings, fault)}" for fault in error.errors())
        raise SettingsError(f"stack '{stack}' has wrong settings:\n{faults}") from None


def _value(raw: str) -> Any:  # noqa: ANN401 (any JSON value)
    """A setting as Pulumi hands it over: lists and maps as JSON, all else as plain text."""
    try:
        return json.loads(raw) if raw.startswith(("{", "[")) else raw
    except ValueError:
        return raw
