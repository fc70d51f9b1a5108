"""What a client outside the cluster needs."""

from string import Template

from components.endpoints import route_names

_SCRIPT = Template("""\
#!/bin/sh
# Makes docker, podman and skopeo on this machine trust the registry at $host. Run it as root.
set -eu
umask 022
# They look for the name as it stands in the image reference.
for name in $names; do
    mkdir -p "/etc/docker/certs.d/$$name"
    cat >"/etc/docker/certs.d/$$name/ca.crt" <<'CERTIFICATE'
$ca_pem
CERTIFICATE
done
""")


def trust_script(host: str, ca_pem: str) -> str:
    """A shell script that makes a client trust the registry.

    Args:
        host: Host name of the Route.
        ca_pem: The CA's certificate (PEM).

    Returns:
        The script; it needs nothing but a POSIX shell, and can be run again.
    """
    return _SCRIPT.substitute(host=host, names=" ".join(route_names(host)), ca_pem=ca_pem.rstrip())
