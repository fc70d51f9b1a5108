"""Images outlive pods, mistakes and updates."""

from collections.abc import Sequence

from pulumi_policy import (
    PolicyResource,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    StackValidationArgs,
    StackValidationPolicy,
)

from policy.workloads import Properties, image_volume, kind, registries

_HOLDS_IMAGES = ("PersistentVolume", "PersistentVolumeClaim", "Namespace")


def check_durable(args: ResourceValidationArgs, report: ReportViolation) -> None:
    """Registries keep images on a claim or in an object store."""
    for spec, container in registries(args):
        volume = image_volume(spec, container)
        if volume is not None and "persistentVolumeClaim" not in volume:
            place = "an emptyDir" if "emptyDir" in volume else "no claim"
            report(f"images are on {place} and lost with the pod: keep them on a claim or in an object store", None)


def check_protected(args: ResourceValidationArgs, report: ReportViolation) -> None:
    """What holds images is protected, and stays when its object goes."""
    if kind(args) not in _HOLDS_IMAGES:
        return
    if not args.opts.protect:
        report("it holds images but is not protected: set protect in its options", None)
    if kind(args) == "PersistentVolume":
        policy = args.props["spec"].get("persistentVolumeReclaimPolicy")
        if policy != "Retain":
            report(f"persistentVolumeReclaimPolicy is '{policy}': images would go with the claim; set Retain", None)


def check_replicas(args: StackValidationArgs, report: ReportViolation) -> None:
    """As many registries run as their storage lets work together."""
    for resource in args.resources:
        for spec, container in registries(resource):
            volume = image_volume(spec, container)
            if volume is None:
                continue
            replicas = int(resource.props["spec"].get("replicas", 1))
            strategy = resource.props["spec"].get("strategy", {}).get("type", "RollingUpdate")
            if not _is_shared(volume, args.resources):
                if replicas > 1:
                    report(f"{replicas} replicas cannot share this storage: run one, or make it shared", resource.urn)
                if strategy != "Recreate":
                    report(f"strategy {strategy} starts a second pod, but one can use it: set Recreate", resource.urn)
            elif replicas > 1 and not _has_affinity(resource, args.resources):
                report(
                    f"{replicas} replicas share files, but clients change between them during a push: "
                    "set the Service's sessionAffinity to ClientIP",
                    resource.urn,
                )


def _is_shared(volume: Properties, resources: Sequence[PolicyResource]) -> bool:
    """Says whether several pods can write to a volume: to a claim with ReadWriteMany, or one that is not the stack's.

    What a stack only reads is not shown to policies; the program compares that claim's access modes with the settings.
    """
    claims = {
        each.props["metadata"]["name"]: each.props["spec"]["accessModes"]
        for each in resources
        if kind(each) == "PersistentVolumeClaim"
    }
    name = volume.get("persistentVolumeClaim", {}).get("claimName")
    return name is not None and "ReadWriteMany" in claims.get(name, ["ReadWriteMany"])


def _has_affinity(workload: PolicyResource, resources: Sequence[PolicyResource]) -> bool:
    """Says whether every Service of a workload keeps a client with one pod."""
    labels = workload.props["spec"]["template"]["metadata"]["labels"].items()
    services = (each.props["spec"] for each in resources if kind(each) == "Service")
    return all(
        service.get("sessionAffinity") == "ClientIP"
        for service in services
        if service.get("selector") and service["selector"].items() <= labels
    )


POLICIES = [
    ResourceValidationPolicy(
        name="durable-storage", description="Images outlive the registry's pods.", validate=check_durable
    ),
    ResourceValidationPolicy(
        name="volumes-protected", description="What holds images cannot go by mistake.", validate=check_protected
    ),
    StackValidationPolicy(
        name="replicas-fit-storage",
        description="No more registries run than the storage lets work together.",
        validate=check_replicas,
    ),
]
