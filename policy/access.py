"""Nobody gets in with what everybody knows."""

from base64 import b64decode
from collections.abc import Iterator

from pulumi_policy import ReportViolation, ResourceValidationArgs, ResourceValidationPolicy

from policy.workloads import Properties, kind

_KEY_TYPES = ("ssh-ed25519 ", "ecdsa-sha2-nistp256 ", "ecdsa-sha2-nistp384 ", "ecdsa-sha2-nistp521 ")
_DEFAULT_PASSWORDS = frozenset(
    (
        *("", "admin", "admin123", "changeit", "changeme", "default", "example", "guest", "letmein", "minio"),
        *("minio123", "minioadmin", "openshift", "pass", "passw0rd", "password", "redhat", "registry", "root"),
        *("s3cr3t", "secret", "test", "testpassword", "testuser", "user", "12345678", "123456", "1234"),
        # Key pair of the examples in Amazon's documentation.
        *("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
    )
)


def check_host_keys(args: ResourceValidationArgs, report: ReportViolation) -> None:
    """Every SSH server is known by a key that Pulumi's SSH client can verify."""
    for place, connection in _connections(args):
        key = connection.get("hostKey")
        if not key:
            report(f"{place} has no hostKey, so any server would be trusted with the login: give its host key", None)
        elif not key.startswith(_KEY_TYPES):
            report(f"{place} has a hostKey of type {key.split()[0]}: give an ed25519 or ecdsa one", None)


def check_passwords(args: ResourceValidationArgs, report: ReportViolation) -> None:
    """Secrets hold nothing that is printed in documentation, and nodes are logged in to by key."""
    for place, connection in _connections(args):
        if connection.get("password"):
            report(f"{place} logs in with a password: use a key", None)
    if kind(args) == "Secret" and args.props.get("type") != "kubernetes.io/tls":
        for key, value in args.props.get("stringData", {}).items():
            _check_password(key, value, report)
        for key, value in args.props.get("data", {}).items():
            _check_password(key, b64decode(value).decode(errors="replace"), report)


def _check_password(key: str, value: str, report: ReportViolation) -> None:
    if value in _DEFAULT_PASSWORDS:
        report(f"'{key}' is a password that everybody knows: choose another one", None)


def _connections(args: ResourceValidationArgs) -> Iterator[tuple[str, Properties]]:
    # What `--target` leaves out has no properties.
    if args.resource_type.startswith("command:remote:") and args.props:
        connection = args.props["connection"]
        yield "connection", connection
        if "proxy" in connection:
            yield "connection.proxy", connection["proxy"]


POLICIES = [
    ResourceValidationPolicy(
        name="host-keys", description="SSH servers are known by their host keys.", validate=check_host_keys
    ),
    ResourceValidationPolicy(
        name="no-default-passwords", description="Nothing opens with a well-known password.", validate=check_passwords
    ),
]
