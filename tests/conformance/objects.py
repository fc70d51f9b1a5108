"""Kubernetes objects for the cases."""

from typing import Any

from tests.conformance.plugin import Plugin, Resource, Values

IMAGE = "sandbox.local/busybox:1"


def thing(api_version: str, kind: str, metadata: Values, **rest: Any) -> Values:
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **rest}


def pods(image: str = IMAGE, *command: str, name: str = "x", **spec: Any) -> Values:
    """Returns the template of pods with one container; without a command it sleeps."""
    container = {
        "name": "c",
        "image": image,
        "imagePullPolicy": "Never",
        "command": list(command or ("sleep", "3600")),
    }
    spec = {"containers": [container], "terminationGracePeriodSeconds": 0, **spec}
    return {"metadata": {"labels": {"app": name}}, "spec": spec}


def workload(kind: str, name: str, namespace: str, image: str = IMAGE, **spec: Any) -> Values:
    """Returns a Deployment, DaemonSet or StatefulSet whose pods sleep."""
    spec = {"selector": {"matchLabels": {"app": name}}, "template": pods(image, name=name), **spec}
    return thing("apps/v1", kind, {"name": name, "namespace": namespace}, spec=spec)


def deployment(name: str, namespace: str = "default", image: str = IMAGE, **spec: Any) -> Values:
    return workload("Deployment", name, namespace, image, **spec)


def resource(kubernetes: Plugin, inputs: Values, name: str = "it") -> Resource:
    """Returns the resource whose type is that of an object."""
    module = inputs["apiVersion"] if "/" in inputs["apiVersion"] else f"core/{inputs['apiVersion']}"
    return kubernetes.resource(f"kubernetes:{module}:{inputs['kind']}", name)
