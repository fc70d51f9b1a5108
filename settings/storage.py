"""The kinds of storage that a stack can choose from."""

from pathlib import Path
from typing import Annotated, Literal, Self

import pulumi
from pydantic import AfterValidator, Field, SecretStr, model_validator

from components.limits import OBJECT_STORE, ONE_POD, SHARED_FOLDER, Limits
from settings import rules
from settings.section import Section

Quantity = Annotated[str, AfterValidator(rules.quantity)]


class HostPathSettings(Section):
    """A folder on one node."""

    kind: Literal["hostPath"]
    """`hostPath`."""
    node: Annotated[str, AfterValidator(rules.node_name)]
    """Name of the Kubernetes node that has the folder; it must be one of `nodes`."""
    path: Annotated[str, AfterValidator(rules.storage_path)]
    """Absolute path of the folder."""
    size: Quantity
    """Capacity as a Kubernetes quantity."""

    @property
    def limits(self) -> Limits:
        """One pod, on that node."""
        return ONE_POD


class NfsSettings(Section):
    """A folder that an NFS server exports."""

    kind: Literal["nfs"]
    """`nfs`."""
    server: Annotated[str, AfterValidator(rules.address)]
    """Host name or IP address of the server."""
    path: Annotated[str, AfterValidator(rules.absolute_path)]
    """Absolute path of the exported folder, which the registry's user may write to: 1001, unless the namespace exists
    already and OpenShift gave it a range of users; then the first of it."""
    size: Quantity
    """Capacity as a Kubernetes quantity."""
    mount_options: list[str] | None = None
    """Options of the mount, such as `nfsvers=4.1`; the nodes' own unless set."""

    @property
    def limits(self) -> Limits:
        """Any number of pods; each client stays with one."""
        return SHARED_FOLDER

    @model_validator(mode="after")
    def _check_options(self) -> Self:
        # Without locks (nolock) it works all the same: the registry never locks a file.
        if unsafe := {"soft", "ro"}.intersection(self.mount_options or ()):
            raise ValueError(
                f"mountOptions has {', '.join(sorted(unsafe))}: the registry would lose writes or could make none; "
                "remove it"
            )
        return self


class _ClaimSettings(Section):
    """A PersistentVolumeClaim."""

    access_mode: Literal["ReadWriteOnce", "ReadWriteMany"] = "ReadWriteOnce"
    """Access mode of the claim."""

    @property
    def limits(self) -> Limits:
        """Any number of pods if the claim is ReadWriteMany, else one."""
        return SHARED_FOLDER if self.access_mode == "ReadWriteMany" else ONE_POD


class ClaimSettings(_ClaimSettings):
    """A claim made from a storage class."""

    kind: Literal["claim"]
    """`claim`."""
    class_name: str | None = None
    """StorageClass of the claim; the cluster's default unless set."""
    size: Quantity
    """Size as a Kubernetes quantity."""


class ExistingClaimSettings(_ClaimSettings):
    """A claim that exists in the registry's namespace."""

    kind: Literal["existingClaim"]
    """`existingClaim`."""
    name: Annotated[str, AfterValidator(rules.object_name)]
    """Name of the claim."""


class EmptyDirSettings(Section):
    """A folder that is lost with the pod, for trying things out."""

    kind: Literal["emptyDir"]
    """`emptyDir`."""
    size: Quantity
    """Size at which the pod is evicted, as a Kubernetes quantity."""

    @property
    def limits(self) -> Limits:
        """One pod, for each has a folder of its own."""
        return ONE_POD


class S3Settings(Section):
    """A bucket of an S3-compatible object store."""

    kind: Literal["s3"]
    """`s3`."""
    bucket: str = Field(min_length=3, max_length=63)
    """Name of the bucket, which exists."""
    region: str = Field(min_length=1)
    """Region of the bucket; stores without regions take `us-east-1`."""
    endpoint: Annotated[str, AfterValidator(rules.endpoint_url)] | None = None
    """URL of the store, `https://host:port`; Amazon's unless set."""
    ca_file: Annotated[Path, AfterValidator(rules.certificates)] | None = None
    """Certificates of the CAs that signed the store's certificate (PEM), besides those that the image trusts."""
    root_directory: Annotated[str, AfterValidator(rules.absolute_path)] = "/"
    """Prefix of all objects."""
    access_key: SecretStr = Field(min_length=1)
    """Access key, a secret setting."""
    secret_key: SecretStr = Field(min_length=1)
    """Secret key, a secret setting."""

    @property
    def limits(self) -> Limits:
        """Any number of pods."""
        return OBJECT_STORE

    @property
    def ca_pem(self) -> str | None:
        """The certificates of `ca_file` (PEM)."""
        return self.ca_file.read_text() if self.ca_file else None

    @property
    def credentials(self) -> tuple[pulumi.Output[str], pulumi.Output[str]]:
        """Access key and secret key, both secret."""
        return (
            pulumi.Output.secret(self.access_key.get_secret_value()),
            pulumi.Output.secret(self.secret_key.get_secret_value()),
        )


StorageSettings = Annotated[
    HostPathSettings | NfsSettings | ClaimSettings | ExistingClaimSettings | EmptyDirSettings | S3Settings,
    Field(discriminator="kind"),
]
