"""Object storage: the S3 buckets that the control plane node serves over TLS."""

import secrets
from pathlib import Path

from sandbox import layout

PORT = 9000
BUCKETS = Path("/srv/s3")
"""On the node, where it outlives `down`. A bucket is a folder below it."""
METADATA = Path("/var/lib/s3")
"""On the node: what the server keeps about objects."""
SETTINGS = Path("/etc/s3")
"""On the node: the server's certificate, and the credentials of its one account."""
BUCKET = "registry"
"""The bucket that is there from the start."""


def credentials() -> Path:
    """The credentials of the one account, as AWS tools read them; made unless they are there."""
    file = layout.S3 / "credentials"
    if not file.exists():
        layout.S3.mkdir(mode=0o700, exist_ok=True)
        file.touch(mode=0o600)
        file.write_text(
            "[default]\n"
            f"aws_access_key_id = {secrets.token_hex(10)}\n"
            f"aws_secret_access_key = {secrets.token_urlsafe(30)}\n"
        )
    return file
