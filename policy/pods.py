"""Pods keep to the Pod Security Standard `restricted`."""

from collections.abc import Iterator

from pulumi_policy import ReportViolation, ResourceValidationArgs, ResourceValidationPolicy

from policy.workloads import Properties, containers, kind, pod_spec

_ENFORCE = "pod-security.kubernetes.io/enforce"
_VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}


def check_restricted(args: ResourceValidationArgs, report: ReportViolation) -> None:
    """Namespaces enforce `restricted`, and pods would pass it wherever they run."""
    if kind(args) == "Namespace":
        level = args.props["metadata"].get("labels", {}).get(_ENFORCE)
        if level != "restricted":
            report(f"label {_ENFORCE} is '{level}': set it to restricted", None)
    spec = pod_spec(args)
    if spec:
        for fault in (*_pod_faults(spec), *(fault for each in containers(spec) for fault in _faults(spec, each))):
            report(fault, None)


def _pod_faults(spec: Properties) -> Iterator[str]:
    for shared in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(shared):
            yield f"{shared} is on: leave it out"
    for volume in spec.get("volumes", ()):
        if forbidden := set(volume) - {"name"} - _VOLUMES:
            yield f"volume '{volume['name']}' is of kind {', '.join(forbidden)}: use a claim"


def _faults(spec: Properties, container: Properties) -> Iterator[str]:
    name, own = container["name"], container.get("securityContext", {})
    # What a container does not say, its pod says for it.
    both = {**spec.get("securityContext", {}), **own}
    if both.get("runAsNonRoot") is not True or both.get("runAsUser") == 0:
        yield f"container '{name}' may run as root: set runAsNonRoot"
    if both.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"):
        yield f"container '{name}' has no seccompProfile: set RuntimeDefault"
    if own.get("privileged"):
        yield f"container '{name}' is privileged: leave it out"
    if own.get("allowPrivilegeEscalation") is not False:
        yield f"container '{name}' may gain privileges: set allowPrivilegeEscalation to false"
    capabilities = own.get("capabilities", {})
    if "ALL" not in capabilities.get("drop", ()) or set(capabilities.get("add", ())) - {"NET_BIND_SERVICE"}:
        yield f"container '{name}' keeps capabilities: drop ALL"
    for port in container.get("ports", ()):
        if port.get("hostPort"):
            yield f"container '{name}' takes port {port['hostPort']} of its node: leave hostPort out"


POLICIES = [
    ResourceValidationPolicy(
        name="restricted-pods",
        description="Pods keep to the Pod Security Standard restricted.",
        validate=check_restricted,
    ),
]
