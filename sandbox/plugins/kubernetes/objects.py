"""What the provider knows about Kubernetes objects without asking the API server."""

import base64
import secrets
from collections.abc import Callable

from sandbox.plugins.compare import changed_paths
from sandbox.plugins.kubernetes.schema import Schema
from sandbox.plugins.server import Change, Difference
from sandbox.plugins.values import UNKNOWN, Json, Properties, has_secret, has_unknown, is_secret, reveal, secret

REPLACE_UNREADY = "pulumi.com/replaceUnready"
AUTONAMED = "pulumi.com/autonamed"
CREATE_MANAGER = "pulumi-kubernetes"
"""The field manager under which objects are created; for updates each object has its own."""
CLUSTER_WIDE = frozenset(
    {
        "APIService",
        "CSIDriver",
        "CSINode",
        "ClusterRole",
        "ClusterRoleBinding",
        "CustomResourceDefinition",
        "IngressClass",
        "MutatingWebhookConfiguration",
        "Namespace",
        "Node",
        "PersistentVolume",
        "PriorityClass",
        "RuntimeClass",
        "StorageClass",
        "ValidatingWebhookConfiguration",
        "VolumeAttachment",
    }
)
"""Kinds known to live in no namespace where no API server can be asked."""

_FROM_API_SERVER = (
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generation",
    "managedFields",
    "resourceVersion",
    "uid",
)
"""Metadata that only the API server sets."""
_LABEL_SELECTOR = ("spec.selector",)
_VOLUME_SOURCES = ("csi", "fc", "hostPath", "iscsi", "local", "nfs")
_FIXED_AT_CREATION: dict[tuple[str, str], tuple[str, ...]] = {
    ("v1", "ConfigMap"): ("binaryData", "data"),
    ("v1", "Secret"): ("data", "stringData", "type"),
    ("v1", "Service"): ("spec.clusterIP",),
    ("v1", "PersistentVolume"): tuple(f"spec.{source}" for source in _VOLUME_SOURCES),
    ("v1", "PersistentVolumeClaim"): ("spec.accessModes", "spec.selector", "spec.storageClassName", "spec.volumeName"),
    ("v1", "Pod"): ("spec",),
    ("v1", "ResourceQuota"): ("spec.scopes",),
    ("apps/v1", "Deployment"): _LABEL_SELECTOR,
    ("apps/v1", "DaemonSet"): _LABEL_SELECTOR,
    ("apps/v1", "ReplicaSet"): _LABEL_SELECTOR,
    ("apps/v1", "StatefulSet"): (
        *_LABEL_SELECTOR,
        "spec.podManagementPolicy",
        "spec.revisionHistoryLimit",
        "spec.serviceName",
        "spec.volumeClaimTemplates",
    ),
    ("batch/v1", "Job"): (*_LABEL_SELECTOR, "spec.completions", "spec.parallelism", "spec.template"),
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"): ("roleRef",),
    ("rbac.authorization.k8s.io/v1", "RoleBinding"): ("roleRef",),
    ("storage.k8s.io/v1", "StorageClass"): ("parameters", "provisioner"),
}
"""Properties, by kind, that need a new object when they change."""
_OTHER_OWNERS = ("kubectl", "before-first-apply", CREATE_MANAGER)
"""Beginnings of the names of managers whose fields go to the manager of the updates."""
_DELETIONS = (Change.DELETE, Change.DELETE_REPLACE)


def complete(
    generated_name: Callable[[], str],
    old: Properties,
    new: Properties,
    namespace: str | None,
    schema: Schema | None = None,
) -> Properties:
    """Returns the inputs of an object with name and namespace, as the API server will understand them.

    Args:
        generated_name: makes the name of an object without one.
        old: the inputs that the object has now, if any: a generated name is kept.
        new: what the program gives.
        namespace: the one for objects that name none; None for kinds that live in no namespace.
        schema: of the object's kind, if that is known; an object with unknown values is not looked up in it.
    """
    plain = _without_null(reveal(new))
    if not has_unknown(plain):
        plain = _normalized_by_hand(plain)
        plain = schema.normalize(plain) if schema else plain
    metadata = {key: value for key, value in (plain.get("metadata") or {}).items() if key not in _FROM_API_SERVER}
    if "name" not in metadata and "generateName" not in metadata:
        old_metadata = reveal(old).get("metadata") or {}
        kept = old_metadata.get("name") if _is_autonamed(old_metadata) else None
        metadata["name"] = kept or generated_name()
        metadata["annotations"] = {**metadata.get("annotations", {}), AUTONAMED: "true"}
    if namespace is not None:
        metadata.setdefault("namespace", namespace)
    completed = {**plain, "metadata": metadata}
    if is_secret(new.get("stringData")) and "data" in completed:
        completed["data"] = secret(completed["data"])
    return mark_secrets(completed, new)


def mark_secrets(properties: Properties, inputs: Properties) -> Properties:
    """Marks those properties as secret whose inputs are, at any depth, and always the contents of a Secret."""
    if properties.get("kind") == "Secret":
        return {key: secret(value) if key in ("data", "stringData") else value for key, value in properties.items()}
    return {key: _marked(value, inputs.get(key)) for key, value in properties.items()}


def _marked(value: Json, given: Json) -> Json:
    if not has_secret(given):
        return value
    if isinstance(value, dict) and isinstance(given, dict) and not is_secret(given):
        return mark_secrets(value, given)
    # Lists may have another order than they were given in.
    return secret(value)


def state(live: Properties, inputs: Properties, manager: str) -> Properties:
    """Returns the outputs for an object as it is, with what later operations need to know."""
    api_version = reveal(inputs).get("apiVersion", live["apiVersion"])
    extra = {"__fieldManager": manager, "__initialApiVersion": api_version, "__inputs": inputs}
    return extra | mark_secrets(live, inputs)


def random_name(prefix: str) -> str:
    """Returns a name that no other object has."""
    return f"{prefix}-{secrets.token_hex(4)}"


def identity(metadata: Properties) -> str:
    """Returns the id of an object: namespace and name, or the name alone."""
    return f"{metadata['namespace']}/{metadata['name']}" if metadata.get("namespace") else str(metadata["name"])


def split_identity(resource_id: str) -> tuple[str | None, str]:
    """Returns namespace and name of an id."""
    namespace, _, name = resource_id.rpartition("/")
    return namespace or None, name


def compare(outputs: Properties, old: Properties, new: Properties, *, unready: bool = False) -> Difference:
    """Compares an object as it was last seen with its new inputs: what changes, and whether that needs a new object.

    Only those properties count that the program sets: those of its old inputs or of its new ones. An object that is
    not ready, and is to be replaced then, needs a new one in any case.
    """
    live, plain_new = reveal(outputs), reveal(new)
    was = project(live, reveal(old))
    fixed = (
        "metadata.name",
        "metadata.namespace",
        *_FIXED_AT_CREATION.get((plain_new.get("apiVersion", ""), plain_new.get("kind", "")), ()),
    )
    detailed = changed_paths(was, plain_new)
    replaces = [path for path in detailed if any(_is_at_or_below(path, prefix) for prefix in fixed)]
    detailed |= {path: Change(detailed[path] + 1) for path in replaces}
    if unready:
        replaces.append(f'.metadata.annotations["{REPLACE_UNREADY}"]')
    old_metadata, new_metadata = live.get("metadata") or {}, plain_new.get("metadata") or {}
    same_name = _identity_or_none(old_metadata) == _identity_or_none(new_metadata)
    return Difference(
        bool(detailed or unready),
        replaces=replaces,
        detailed=detailed,
        input_paths=frozenset(path for path, change in detailed.items() if change in _DELETIONS),
        # Two objects cannot have one name, and a name that the program fixes is the same after a replacement.
        delete_first=bool(replaces) and same_name and not _is_autonamed(new_metadata),
    )


def _identity_or_none(metadata: Properties) -> str | None:
    """Returns the id of an object, or None where the name is generated by the API server or not known yet."""
    return identity(metadata) if metadata.get("name", UNKNOWN) != UNKNOWN else None


def project(live: Json, inputs: Json) -> Json:
    """Returns what the inputs of an object would be if it were meant as it is: its values for their properties."""
    if isinstance(inputs, dict) and isinstance(live, dict):
        # The API server drops empty values; their absence is no change.
        return {
            key: project(live[key], value) if key in live else value
            for key, value in inputs.items()
            if key in live or value in ("", [], {}, False, 0)
        }
    if isinstance(inputs, list) and isinstance(live, list):
        # Elements that others append are theirs, as are properties.
        return [project(*pair) for pair in zip(live, inputs, strict=False)]
    return live


def migrated_managers(managed: list[Properties], manager: str) -> list[Properties] | None:
    """Returns the managed fields of an object with those from its creation, or set with kubectl, given to a manager.

    Without this the API server would take every changed value for a conflict with whoever set it before, and would
    never remove a field. Returns None where there is nothing to migrate.
    """
    ours: list[Properties] = []
    others: list[Properties] = []
    for entry in managed:
        is_ours = entry["manager"] == manager and entry["operation"] == "Apply"
        (ours if is_ours or entry["manager"].startswith(_OTHER_OWNERS) else others).append(entry)
    if all(entry["manager"] == manager for entry in ours):
        return None
    fields: Properties = {}
    for entry in ours:
        fields = _merge(fields, entry["fieldsV1"])
    first = {key: value for key, value in ours[0].items() if key != "subresource"}
    return [{**first, "manager": manager, "operation": "Apply", "fieldsV1": fields}, *others]


def _merge(left: Properties, right: Properties) -> Properties:
    return left | {key: _merge(left.get(key, {}), value) for key, value in right.items()}


def _is_autonamed(metadata: Properties) -> bool:
    return (metadata.get("annotations") or {}).get(AUTONAMED) == "true"


def _is_at_or_below(path: str, prefix: str) -> bool:
    return path == prefix or path.startswith((f"{prefix}.", f"{prefix}["))


def _without_null(value: Json) -> Json:
    if isinstance(value, dict):
        return {key: _without_null(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_null(item) for item in value]
    return value


def _normalized_by_hand(plain: Properties) -> Properties:
    """Brings into the API server's form what its schema does not tell."""
    match plain.get("kind"):
        case "Secret" if plain.get("stringData"):
            # The API server keeps the text of a Secret in its data.
            encoded = {key: base64.b64encode(text.encode()).decode() for key, text in plain["stringData"].items()}
            rest = {key: value for key, value in plain.items() if key != "stringData"}
            return rest | {"data": {**plain.get("data", {}), **encoded}}
        case "PersistentVolume" if (plain.get("spec") or {}).get("storageClassName") == "":
            return plain | {"spec": {key: value for key, value in plain["spec"].items() if key != "storageClassName"}}
    return plain
