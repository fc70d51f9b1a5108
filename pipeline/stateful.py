"""Resources that cannot be replaced or deleted without losing something."""

from dataclasses import dataclass

from pulumi.automation.events import OpType, StepEventMetadata

_LOST = {
    "kubernetes:core/v1:PersistentVolume": "the volume of the images",
    "kubernetes:core/v1:PersistentVolumeClaim": "the claim of the images",
    "kubernetes:core/v1:Namespace": "everything in the namespace",
    "registry:index:Registry$tls:index/privateKey:PrivateKey": "uploads that are under way, with the HTTP secret",
}
"""What goes with a resource, by its type or the end of its type with its parents'."""

_CERTIFICATE = "tls:index/locallySignedCert:LocallySignedCert"
_AUTHORITY = {"caCertPem", "caPrivateKeyPem"}
_DELETED = {OpType.DELETE, OpType.DISCARD}
_REPLACED = {OpType.REPLACE, OpType.CREATE_REPLACEMENT, OpType.DELETE_REPLACED, OpType.DISCARD_REPLACED}


@dataclass(frozen=True, kw_only=True)
class StatefulChange:
    """A stateful resource that would be replaced or deleted."""

    resource: str
    """Name of the resource."""
    operation: str
    """`replace` or `delete`."""
    lost: str
    """What may be lost with it."""
    causes: list[str]
    """Properties that make it a replacement."""


def stateful_change(step: StepEventMetadata) -> StatefulChange | None:
    """Returns what a planned step would do to a stateful resource; None if it does no harm."""
    if step.op not in _DELETED | _REPLACED:
        return None
    _, _, qualified, name = step.urn.split("::", 3)
    causes = step.keys or step.diffs or []
    lost = next((lost for type_, lost in _LOST.items() if f"${qualified}".endswith(f"${type_}")), None)
    if step.type == _CERTIFICATE and _AUTHORITY.intersection(causes):
        lost = "the trust of clients that know the former CA alone"
    if lost is None:
        return None
    return StatefulChange(
        resource=name, operation="delete" if step.op in _DELETED else "replace", lost=lost, causes=causes
    )
