"""What a client outside the cluster needs."""

from string import Template

_SCRIPT = Template("""\
#!/bin/sh
# Makes docker, podman and skopeo on this machine trust the registry at $host. Run it as root.
set -eu
umask 022
mkdir -p '/etc/docker/certs.d/$host'
cat >'/etc/docker/certs.d/$host/ca.crt' <<'CERTIFICATE'
$ca_pem
CERTIFICATE
""")


def trust_script(host: str, ca_pem: str) -> str:
    """A shell script that makes a client trust the registry.

    Args:
        host: Host name of the Route.
        ca_pem: The CA's certificate (PEM).

    Returns:
        The script; it needs nothing but a POSIX shell, and can be run again.
    """
    return _SCRIPT.substitute(host=host, ca_pem=ca_pem.rstrip())
