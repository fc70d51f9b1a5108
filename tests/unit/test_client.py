import subprocess
from pathlib import Path

from components.client import trust_script

CA = "-----BEGIN CERTIFICATE-----\nMIIB$x`y`\n-----END CERTIFICATE-----\n"


def test_the_script_puts_the_ca_where_clients_look_for_it(tmp_path: Path) -> None:
    script = trust_script("registry.apps.example.com", CA).replace("/etc/docker", str(tmp_path))
    for _ in range(2):
        subprocess.run(["/bin/sh"], input=script, text=True, check=True)
    assert (tmp_path / "certs.d/registry.apps.example.com/ca.crt").read_text() == CA
