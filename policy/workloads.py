"""Finds pods and containers in the properties of a resource."""

from collections.abc import Iterator, Mapping
from typing import Any

from pulumi_policy import PolicyResource, ResourceValidationArgs

Properties = Mapping[str, Any]
Resource = ResourceValidationArgs | PolicyResource

REGISTRY = "registry"
"""Name of the container that runs the registry."""

_TEMPLATE = ("spec", "template", "spec")
_POD_SPECS = {
    "Pod": ("spec",),
    "CronJob": ("spec", "jobTemplate", *_TEMPLATE),
    **dict.fromkeys(("DaemonSet", "Deployment", "Job", "ReplicaSet", "StatefulSet"), _TEMPLATE),
}


def kind(resource: Resource) -> str | None:
    """Returns the kind of a Kubernetes object; None if it is anything else, or left out by `--target`."""
    package, _, name = resource.resource_type.rpartition(":")
    # What `--target` leaves out has no properties.
    return name if package.startswith("kubernetes:") and resource.props else None


def pod_spec(resource: Resource) -> Properties | None:
    """Returns the spec of the pods that a resource makes; None if it makes none."""
    path = _POD_SPECS.get(kind(resource) or "")
    if path is None:
        return None
    properties: Properties = resource.props
    for key in path:
        properties = properties[key]
    return properties


def containers(spec: Properties) -> Iterator[Properties]:
    """Yields the containers of a pod, those that start it included."""
    yield from spec.get("initContainers", ())
    yield from spec["containers"]


def registries(resource: Resource) -> Iterator[tuple[Properties, Properties]]:
    """Yields the containers that run a registry, each after the spec of its pod."""
    spec = pod_spec(resource)
    if spec:
        yield from ((spec, container) for container in containers(spec) if container["name"] == REGISTRY)


def variables(container: Properties) -> dict[str, Any]:
    """Returns the environment of a container; None stands for values that come from elsewhere."""
    return {variable["name"]: variable.get("value") for variable in container.get("env", ())}


def image_volume(spec: Properties, container: Properties) -> Properties | None:
    """Returns the volume that a registry keeps images on, an empty one if there is none.

    Returns None for a registry that keeps them in an object store.
    """
    environment = variables(container)
    if environment.get("REGISTRY_STORAGE", "filesystem") != "filesystem":
        return None
    names = {mount["mountPath"]: mount["name"] for mount in container.get("volumeMounts", ())}
    volumes: dict[str | None, Properties] = {volume["name"]: volume for volume in spec.get("volumes", ())}
    return volumes.get(names.get(environment.get("REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY")), {})
