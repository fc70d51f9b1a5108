"""What the provider knows about Kubernetes objects without asking the API server."""

import base64
import secrets

from sandbox.plugins.compare import changed_paths
from sandbox.plugins.server import Change, Difference
from sandbox.plugins.values import UNKNOWN, Json, Properties, has_secret, has_unknown, reveal, secret

AUTONAMED = "pulumi.com/autonamed"
CREATE_MANAGER = "pulumi-kubernetes"
"""The field manager under which objects are created; for updates each object has its own."""

_LABEL_SELECTOR = ("spec.selector",)
_VOLUME_SOURCES = ("csi", "fc", "hostPath", "iscsi", "local", "nfs")
_FIXED_AT_CREATION: dict[tuple[str, str], tuple[str, ...]] = {
    ("v1", "ConfigMap"): ("binaryData", "data"),
    ("v1", "Secret"): ("data", "stringData", "type"),
    ("v1", "Service"): ("spec.clusterIP",),
    ("v1", "PersistentVolume"): tuple(f"spec.{source}" for source in _VOLUME_SOURCES),
    ("v1", "PersistentVolumeClaim"): ("spec.accessModes", "spec.selector", "spec.storageClassName", "spec.volumeName"),
    ("v1", "Pod"): ("spec",),
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


def complete(name: str, old: Properties, new: Properties, namespace: str | None) -> Properties:
    """Returns the inputs of an object with name and namespace, as the API server will understand them.

    Args:
        name: the name of the resource in the program; without a name in the inputs the object is named after it.
        old: the inputs that the object has now, if any: a generated name is kept.
        new: what the program gives.
        namespace: the one for objects that name none; None for kinds that live in no namespace.
    """
    plain = _without_null(reveal(new))
    metadata = dict(plain.get("metadata") or {})
    if "name" not in metadata and "generateName" not in metadata:
        old_metadata = reveal(old).get("metadata") or {}
        kept = old_metadata.get("name") if _is_autonamed(old_metadata) else None
        metadata["name"] = kept or f"{name}-{secrets.token_hex(4)}"
        metadata["annotations"] = {**metadata.get("annotations", {}), AUTONAMED: "true"}
    if namespace is not None:
        metadata.setdefault("namespace", namespace)
    plain["metadata"] = metadata
    match plain.get("kind"):
        case "Secret":
            plain = _encode_strings(plain)
        case "PersistentVolume" if plain.get("spec", {}).get("storageClassName") == "":
            plain["spec"] = {key: value for key, value in plain["spec"].items() if key != "storageClassName"}
    return mark_secrets(plain, new)


def mark_secrets(properties: Properties, inputs: Properties) -> Properties:
    """Marks those properties as secret whose inputs are, and always the contents of a Secret."""
    names = {name for name, value in inputs.items() if has_secret(value)}
    if "stringData" in names:
        names.add("data")
    if properties.get("kind") == "Secret":
        names |= {"data", "stringData"}
    return {name: secret(value) if name in names else value for name, value in properties.items()}


def state(live: Properties, inputs: Properties, manager: str) -> Properties:
    """Returns the outputs for an object as it is, with what later operations need to know."""
    api_version = reveal(inputs).get("apiVersion", live["apiVersion"])
    extra = {"__fieldManager": manager, "__initialApiVersion": api_version, "__inputs": inputs}
    return extra | mark_secrets(live, inputs)


def new_manager() -> str:
    """Returns a name under which one object's fields are managed."""
    return f"pulumi-kubernetes-{secrets.token_hex(4)}"


def identity(metadata: Properties) -> str:
    """Returns the id of an object: namespace and name, or the name alone."""
    return f"{metadata['namespace']}/{metadata['name']}" if metadata.get("namespace") else str(metadata["name"])


def split_identity(resource_id: str) -> tuple[str | None, str]:
    """Returns namespace and name of an id."""
    namespace, _, name = resource_id.rpartition("/")
    return namespace or None, name


def compare(old: Properties, new: Properties) -> Difference:
    """Compares the inputs of an object: what changes, and whether that needs a new object."""
    plain_old, plain_new = reveal(old), reveal(new)
    fixed = (
        "metadata.name",
        "metadata.namespace",
        *_FIXED_AT_CREATION.get((plain_new.get("apiVersion", ""), plain_new.get("kind", "")), ()),
    )
    detailed = changed_paths(plain_old, plain_new)
    replaces = [path for path in detailed if any(_is_at_or_below(path, prefix) for prefix in fixed)]
    detailed |= {path: Change(detailed[path] + 1) for path in replaces}
    old_metadata, new_metadata = plain_old.get("metadata") or {}, plain_new.get("metadata") or {}
    same_name = identity_or_none(old_metadata) == identity_or_none(new_metadata)
    return Difference(
        bool(detailed),
        replaces=replaces,
        detailed=detailed,
        input_paths=frozenset(path for path, change in detailed.items() if change in _DELETIONS),
        # Two objects cannot have one name, and a name that the program fixes is the same after a replacement.
        delete_first=bool(replaces) and same_name and not _is_autonamed(new_metadata),
    )


_DELETIONS = (Change.DELETE, Change.DELETE_REPLACE)


def identity_or_none(metadata: Properties) -> str | None:
    """Returns the id of an object, or None where the name is generated by the API server or not known yet."""
    return identity(metadata) if metadata.get("name", UNKNOWN) != UNKNOWN else None


def project(live: Json, inputs: Json) -> Json:
    """Returns what the inputs of an object would be if it were meant as it is: its values for their properties."""
    if isinstance(inputs, dict) and isinstance(live, dict):
        # The API server drops empty values; their absence is no change.
        return {
            key: project(live[key], value) if key in live else value
            for key, value in inputs.items()
            if key in live or not value
        }
    if isinstance(inputs, list) and isinstance(live, list) and len(inputs) == len(live):
        return [project(*pair) for pair in zip(live, inputs, strict=True)]
    return live


def migrated_managers(managed: list[Properties], manager: str) -> list[Properties] | None:
    """Returns the managed fields of an object with those from its creation given to the manager of its updates.

    Without this the API server would take every changed value for a conflict with whoever created the object, and
    would never remove a field. Returns None where there is nothing to migrate.
    """
    owners = ((CREATE_MANAGER, "Update"), (manager, "Apply"))
    ours: list[Properties] = []
    others: list[Properties] = []
    for entry in managed:
        is_ours = (entry["manager"], entry["operation"]) in owners and "subresource" not in entry
        (ours if is_ours else others).append(entry)
    if all(entry["manager"] == manager for entry in ours):
        return None
    fields: Properties = {}
    for entry in ours:
        fields = _merge(fields, entry["fieldsV1"])
    return [{**ours[0], "manager": manager, "operation": "Apply", "fieldsV1": fields}, *others]


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


def _encode_strings(plain: Properties) -> Properties:
    """Moves the text of a Secret into its data, which is where the API server keeps it."""
    strings = plain.get("stringData")
    if not strings or has_unknown(strings) or has_unknown(plain.get("data")):
        return plain
    encoded = {key: base64.b64encode(text.encode()).decode() for key, text in strings.items()}
    rest = {key: value for key, value in plain.items() if key != "stringData"}
    return rest | {"data": {**plain.get("data", {}), **encoded}}
