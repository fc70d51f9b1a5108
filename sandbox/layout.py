"""Where everything the sandbox makes is kept: below `.sandbox` in the repository, nowhere else."""

from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
SOURCES = REPOSITORY / "sandbox"
# Work trees of one repository may share it by a link.
HOME = (REPOSITORY / ".sandbox").resolve()

VENV = HOME / "venv"
BIN = HOME / "bin"
DEBIAN = HOME / "debian"
IMAGES = HOME / "images"
NODES = HOME / "nodes"
HOSTS = NODES / "hosts"
LOGS = HOME / "logs"
PKI = HOME / "pki"
SSH = HOME / "ssh"
S3 = HOME / "s3"
KUBECONFIG = HOME / "kubeconfig"
PULUMI_HOME = HOME / "pulumi"
PULUMI_STATE = HOME / "state"
LOCK = HOME / "lock"
