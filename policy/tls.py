"""The registry speaks TLS, to everyone and with a certificate for every name."""

from pulumi_policy import (
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    StackValidationArgs,
    StackValidationPolicy,
)

from policy.workloads import kind, registries, variables

_PROBES = ("startupProbe", "readinessProbe", "livenessProbe")


def check_tls(args: ResourceValidationArgs, report: ReportViolation) -> None:
    """Registries serve nothing but TLS, are probed and store over it; Routes pass it through."""
    for _, container in registries(args):
        environment = variables(container)
        for variable in ("REGISTRY_HTTP_TLS_CERTIFICATE", "REGISTRY_HTTP_TLS_KEY"):
            if not environment.get(variable):
                report(f"{variable} is not set, so the registry would serve plain HTTP: set it", None)
        if environment.get("REGISTRY_HTTP_DEBUG") != "{}":
            report(
                "the registry's debug listener is as its image has it, and the official image's serves metrics and "
                "profiles over plain HTTP: set REGISTRY_HTTP_DEBUG to {}",
                None,
            )
        for probe in _PROBES:
            scheme = (
                container.get(probe, {}).get("httpGet", {}).get("scheme", "HTTP" if probe in container else "HTTPS")
            )
            if scheme != "HTTPS":
                report(f"{probe} uses {scheme}, which a TLS port refuses: set its scheme to HTTPS", None)
        if not (environment.get("REGISTRY_STORAGE_S3_REGIONENDPOINT") or "https://").startswith("https://"):
            report("the object store is reached without TLS: give an https endpoint", None)
    if kind(args) == "Route":
        tls = args.props["spec"].get("tls", {})
        if tls.get("termination") != "passthrough":
            report(f"TLS termination is '{tls.get('termination')}': set it to passthrough", None)
        if tls.get("insecureEdgeTerminationPolicy") == "Allow":
            report("insecureEdgeTerminationPolicy is Allow, which serves plain HTTP: set it to None or Redirect", None)


def check_route_host(args: StackValidationArgs, report: ReportViolation) -> None:
    """The host of each Route is one of the names that certificates are requested for."""
    requests = [each for each in args.resources if each.resource_type == "tls:index/certRequest:CertRequest"]
    names = {name for request in requests for name in request.props.get("dnsNames", ())}
    for resource in args.resources:
        if kind(resource) == "Route" and (host := resource.props["spec"]["host"]) not in names:
            known = ", ".join(sorted(names)) or "none"
            report(f"'{host}' is no name of the certificate ({known}), so clients would refuse it", resource.urn)


POLICIES = [
    ResourceValidationPolicy(
        name="tls-only", description="Everything that carries images speaks TLS.", validate=check_tls
    ),
    StackValidationPolicy(
        name="route-host-in-certificate",
        description="The certificate is for the host of the Route too.",
        validate=check_route_host,
    ),
]
