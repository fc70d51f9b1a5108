"""What a stack would make of a registry that somebody made by hand; nothing here asks a cluster."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]

_KEPT_BY_OTHERS = {
    "Namespace": "set registry:createNamespace to false",
    "PersistentVolume": "use its claim with registry:storage.kind existingClaim",
    "PersistentVolumeClaim": "use it with registry:storage.kind existingClaim",
}
"""Kinds that stay whose they are, since images would go with them, by what to do instead."""


class AdoptionError(Exception):
    """The registry cannot be adopted; the message says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class Planned:
    """An object that a stack would create."""

    type: str
    """Pulumi's type."""
    name: str
    """Pulumi's name."""
    inputs: Object
    """The object as the program gives it; what is not known yet is some text."""

    @property
    def kind(self) -> str:
        """Its kind."""
        return str(self.inputs["kind"])

    @property
    def identity(self) -> str:
        """Its id: namespace and name, or the name alone."""
        metadata = self.inputs["metadata"]
        return "/".join(metadata[key] for key in ("namespace", "name") if key in metadata)


def planned(preview: Mapping[str, Any]) -> list[Planned]:
    """Returns the Kubernetes objects that a preview (`pulumi preview --json`) creates."""
    return [
        Planned(type=step["newState"]["type"], name=step["urn"].rpartition("::")[2], inputs=step["newState"]["inputs"])
        for step in preview["steps"]
        if step["op"] == "create" and step["newState"]["type"].startswith("kubernetes:")
    ]


def refuse(existing: Sequence[Planned], wanted: Sequence[Planned], live: Callable[[Planned], Object]) -> None:
    """Refuses what would lose images or interrupt the service.

    Args:
        existing: Those of the wanted objects that exist.
        wanted: All that the stack would create.
        live: Returns an existing object as it is.

    Raises:
        AdoptionError: There is nothing to adopt, or it cannot be adopted.
    """
    for service in (each for each in wanted if each.kind == "Service" and each not in existing):
        raise AdoptionError(
            f"there is no Service {service.identity}, so nothing to adopt: `pulumi up` makes a registry"
        )
    for each in existing:
        if each.kind in _KEPT_BY_OTHERS:
            raise AdoptionError(
                f"{each.kind} {each.identity} exists, and the stack would make it: {_KEPT_BY_OTHERS[each.kind]}"
            )
    for deployment in (each for each in existing if each.kind == "Deployment"):
        _refuse_deployment(deployment, live(deployment), wanted)


def _refuse_deployment(deployment: Planned, live: Object, wanted: Sequence[Planned]) -> None:
    has, needs = live["spec"]["selector"], deployment.inputs["spec"]["selector"]
    if has != needs:
        raise AdoptionError(
            f"Deployment {deployment.identity} has the selector {_text(has)}, which nobody can change, and the stack "
            f"needs {_text(needs)}: make a Deployment of another name with that selector and the same pod, "
            "delete this one, and adopt then"
        )
    has_storage = _sources(live["spec"]["template"]["spec"].get("volumes", []))
    needs_storage = _sources(deployment.inputs["spec"]["template"]["spec"]["volumes"]) | _sources(
        [each.inputs["spec"] for each in wanted if each.kind == "PersistentVolume"]
    )
    if has_storage != needs_storage and not has_storage & needs_storage:
        raise AdoptionError(
            f"Deployment {deployment.identity} keeps its images on {_listed(has_storage)}, but registry:storage is "
            f"{_listed(needs_storage)}, which does not have them: set registry:storage to where they are"
        )


def renames_port(existing: Sequence[Planned], live: Callable[[Planned], Object]) -> bool:
    """Returns whether the Service's port gets another name: nodes take it for another port, and lose the old one first.

    Args:
        existing: Those of the wanted objects that exist.
        live: Returns an existing object as it is.
    """
    return any(
        [port.get("name") for port in live(each)["spec"]["ports"]]
        != [port["name"] for port in each.inputs["spec"]["ports"]]
        for each in existing
        if each.kind == "Service"
    )


def _text(selector: Object) -> str:
    return ",".join(f"{key}={value}" for key, value in selector.get("matchLabels", {}).items())


def _listed(sources: set[str]) -> str:
    return " and ".join(sorted(sources)) or "no volume"


def _sources(volumes: Sequence[Object]) -> set[str]:
    """Returns where volumes of a pod, or persistent ones, have their files."""
    found = set()
    for volume in volumes:
        match volume:
            case {"persistentVolumeClaim": {"claimName": name}}:
                found.add(f"claim {name}")
            case {"hostPath": {"path": path}}:
                found.add(f"hostPath {path}")
            case {"nfs": {"server": server, "path": path}}:
                found.add(f"nfs {server}:{path}")
            case {"emptyDir": _}:
                found.add("an emptyDir")
    return found


def import_file(template: Mapping[str, Any], existing: Sequence[Planned]) -> Object:
    """Returns what `pulumi import --file` needs to take over objects under the program's names and parents.

    Args:
        template: What `pulumi preview --import-file` wrote.
        existing: The objects to import.
    """
    identities = {(each.type, each.name): each.identity for each in existing}
    components, objects = [], []
    for resource in template["resources"]:
        key = (resource["type"], resource["name"])
        if resource.get("component"):
            components.append(resource)
        elif key in identities:
            objects.append({**resource, "id": identities[key]})
    return {**template, "resources": [*components, *objects]}


def owned_by(manager: str, managed: Sequence[Object]) -> list[Object]:
    """Returns the managed fields of an object with all that somebody declared given to one manager.

    Server-side apply removes what its manager does not say any more, and leaves alone what others set. What
    controllers write (status, scale) stays theirs.

    Args:
        manager: Name of the manager.
        managed: `metadata.managedFields` of the object.
    """
    declared = [entry for entry in managed if "subresource" not in entry]
    if not declared:
        return list(managed)
    fields: Object = {}
    for entry in declared:
        fields = _union(fields, entry["fieldsV1"])
    others = [entry for entry in managed if "subresource" in entry]
    return [{**declared[-1], "manager": manager, "operation": "Apply", "fieldsV1": fields}, *others]


def _union(left: Object, right: Object) -> Object:
    return left | {key: _union(left.get(key, {}), value) for key, value in right.items()}
