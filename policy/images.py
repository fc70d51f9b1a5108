"""The image that runs is the one that was tested."""

import re

from pulumi_policy import ReportViolation, ResourceValidationArgs, ResourceValidationPolicy

from policy.workloads import containers, pod_spec

_DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")


def check_tag(args: ResourceValidationArgs, report: ReportViolation) -> None:
    """Images have a digest, or a tag other than `latest`."""
    for image in _images(args):
        _, _, tag = image.partition("@")[0].rpartition("/")[2].partition(":")
        if tag in ("", "latest") and not _DIGEST.search(image):
            report(f"image '{image}' is another one whenever it is pulled: name a version", None)


def check_digest(args: ResourceValidationArgs, report: ReportViolation) -> None:
    """Images have a digest."""
    for image in _images(args):
        if not _DIGEST.search(image):
            report(f"image '{image}' can be replaced under its tag: append its digest, @sha256:…", None)


def _images(args: ResourceValidationArgs) -> list[str]:
    spec = pod_spec(args)
    return [container["image"] for container in containers(spec)] if spec else []


POLICIES = [
    ResourceValidationPolicy(name="no-latest-image", description="Images name a version.", validate=check_tag),
    ResourceValidationPolicy(
        name="image-by-digest", description="Images are pinned by their digest.", validate=check_digest
    ),
]
