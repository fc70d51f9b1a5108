import subprocess
from pathlib import Path

from components.client import trust_script

CA = "-----BEGIN CERTIFICATE-----\nMIIB$x`y`\n-----END CERTIFICATE-----\n"


def test_the_script_puts_the_ca_where_clients_look_for_it(tmp_path: Path) -> None:
    script = trust_script("registry.apps.example.com", CA).replace("/etc/docker", str(tmp_path))
    for _ in range(2):
        subprocess.run(["/bin/sh"], input=script, text=True, check=True)
    trusted = {folder.name: (folder / "ca.crt").read_text() for folder in (tmp_path / "certs.d").iterdir()}
    assert trusted == {f"registry.apps.example.com{port}": CA for port in ("", ":443", ":5000")}
